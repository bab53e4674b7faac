//! Whole files, good and bad.

use super::*;
use proptest::prelude::*;

const HOWTO: &str = "; Sample l2tpd.conf
[global]
; listen-addr = 192.168.1.98

[lns default]
ip range = 192.168.1.128-192.168.1.254
local ip = 192.168.1.99
require chap = yes
refuse pap = yes
require authentication = yes
name = LinuxVPNserver
ppp debug = yes
pppoptfile = /etc/ppp/options.l2tpd
length bit = yes
";

fn err(text: &str) -> ConfError {
    load("x.conf", text).unwrap_err().remove(0)
}

#[test]
fn the_howtos_file_says_what_it_means() {
    let c = load("l2tpd.conf", HOWTO).unwrap();
    let l = c.default_lns.unwrap();
    assert_eq!(l.local_ip, Some([192, 168, 1, 99].into()));
    assert_eq!(l.pool.len(), 1);
    assert!(l.length_bit && l.ppp.require_auth && l.ppp.require_chap && l.ppp.refuse_pap && l.ppp.debug);
    assert!(!l.ppp.require_pap && !l.ppp.refuse_chap);
    assert_eq!(l.ppp.name.as_deref(), Some("LinuxVPNserver"));
    assert_eq!(l.ppp.file.as_deref(), Some("/etc/ppp/options.l2tpd"));
    assert_eq!(c.global.port, 1701);
    assert!(c.lns.is_empty() && c.warnings.is_empty());
}

#[test]
fn debians_file_of_comments_has_no_sections() {
    assert_eq!(load("x", "; [global]\n;port = 1\n").unwrap(), Config::default());
}

#[test]
fn networkmanagers_file_loads() {
    let text = "[global]\naccess control = yes\nport = 0\n[lac l2tp]\nlns = 192.0.2.1\nppp debug = yes\n\
                pppoptfile = /run/x\nautodial = yes\ntunnel rws = 8\ntx bps = 100000000\nrx bps = 100000000\n";
    let c = load("x", text).unwrap();
    assert!(c.global.access_control && c.global.port == 0 && c.default_lns.is_none());
    let l = &c.lac[0];
    assert_eq!(
        (l.name.as_str(), l.lns[0].port, l.autodial, l.window, l.tx_bps),
        ("l2tp", 1701, true, Some(8), 100_000_000)
    );
}

#[test]
fn errors_have_a_place_the_line_and_the_old_words() {
    let e = err("[lns default]\n  ip rang = 10.0.0.2-10.0.0.9\n");
    assert_eq!(e.old_form(), "parse_config: line 2: Unknown field 'ip rang'");
    assert_eq!(
        e.to_string(),
        "x.conf:2:3: Unknown field 'ip rang'\n      ip rang = 10.0.0.2-10.0.0.9\n      ^ expected a keyword of \
         xl2tpd.conf(5); did you mean 'ip range'?"
    );
}

#[test]
fn each_kind_of_error_in_xl2tpds_words() {
    for (text, place, words) in [
        ("port = 1\n", (1, 1), "data 'port = 1' occurs with no context"),
        ("[lns x\n", (1, 1), "No closing bracket"),
        ("[ other ]\n", (1, 2), "unknown context ''"),
        ("[lnsx]\n", (1, 2), "unknown context 'lnsx'"),
        ("[global]\nhash\n", (2, 1), "line too long or no '=' in data"),
        ("[global]\nhash = x\n", (2, 1), "Unknown field 'hash'"),
        ("[lac x]\nlns = a:b\n", (2, 7), "'a:b' is no server"),
        ("[lns x]\nip range = 1.1.1.1-9, 2.2.2.9-2.2.2.1\n", (2, 23), "start is greater than end!"),
        ("[global]\nip range = 1.1.1.1\n", (2, 1), "'ip range' not valid in this context"),
        ("[lns x]\nchallenge = maybe\n", (2, 13), "challenge must be 'yes' or 'no'"),
        ("[lns x]\nip range = 1.1.1.9-1.1.1.2\n", (2, 12), "start is greater than end!"),
        ("[lns x]\nlocal ip = 1.1\n", (2, 12), "set_ip: host '1.1' not found"),
        ("[lns x]\ntunnel rws = 0\n", (2, 14), "receive window size for tunnels must be at least 1"),
        ("[lac x]\nredial timeout = 0\n", (2, 18), "rtimeout value must be at least 1"),
        (
            "[lns x]\nlocal ip = 1.1.1.1\nlocal ip range = 1.1.1.2-9\n",
            (3, 1),
            "'local ip range' and 'local ip' are mutually exclusive",
        ),
        ("[global]\nauth file =\n", (2, 12), "no filename specified for authentication"),
    ] {
        let e = err(text);
        assert_eq!(((e.line, e.column), e.old.as_str()), (place, words), "{text}");
    }
}

#[test]
fn all_errors_come_in_one_run() {
    let e = load("x", "[global]\nport = 1\nnothing\n[lnsx]\nip range = 1\n[lns a]\nauth = yes\nmtu = 9\n")
        .unwrap_err();
    let got: Vec<_> = e.iter().map(|e| (e.line, e.old.as_str())).collect();
    let want = [
        (3, "line too long or no '=' in data"),
        (4, "unknown context 'lnsx'"),
        (7, "Unknown field 'auth'"),
        (8, "Unknown field 'mtu'"),
    ];
    assert_eq!(got, want);
    assert!(e[3].expected.contains("belongs into the pppoptfile"));
}

#[test]
fn what_the_old_reader_dies_on_is_read_with_a_warning() {
    let text = "# a comment\n# port = 7\n[ global ]\nport = 1702 # ours\naccess control = on\n[lns default]\n\
                ip  range = 10.0.0.2-4, 10.0.0.8\nlac=1.1.1.1,2.2.2.2-9\nflow bits = no\nhostname = a # b\n[lac v]\nlns = a, b:99\n";
    let c = load("x", text).unwrap();
    assert_eq!(c.warnings.len(), 10, "{:#?}", c.warnings);
    assert_eq!(c.warnings[0], "x:1:1: '#' starts no comment in this file; the line is not read (write ';')");
    assert!(c.global.port == 1702 && c.global.access_control);
    let l = c.default_lns.unwrap();
    assert_eq!((l.pool.len(), l.lac.len(), l.hostname.as_deref()), (2, 2, Some("a # b")));
    let v: Vec<_> = c.lac[0].lns.iter().map(|s| (s.host.as_str(), s.port)).collect();
    assert_eq!(v, [("a", 1701), ("b", 99)]);
}

#[test]
fn lac_default_gives_its_servers_and_nothing_else() {
    let c = load("x", "[lac default]\nlns = d\nautodial = yes\n[lac a]\n[lac b]\nlns = e\n").unwrap();
    assert_eq!((c.lac[0].lns[0].host.as_str(), c.lac[1].lns[0].host.as_str()), ("d", "e"));
    assert!(!c.lac[0].autodial && c.warnings[0].contains("has no effect: [lac default]"), "{:?}", c.warnings);
}

#[test]
fn sections_reopen_and_ranges_append() {
    let c =
        load("x", "[lns A]\nlac = 10.0.0.1\n[lns b]\n[LNS a]\nno lac = 10.0.0.2\nhostname = h\n").unwrap();
    assert_eq!(c.lns.len(), 2);
    assert_eq!(c.lns[0].lac.len(), 2);
    assert_eq!(c.lns[0].hostname.as_deref(), Some("h"));
}

#[test]
fn numbers_are_read_as_c_reads_them() {
    let port = |v: &str| load("x", &format!("[global]\nport = {v}\n")).unwrap().global.port;
    assert_eq!([port("1702x"), port("abc"), port("70000"), port("-5")], [1702, 0, 4464, 1701]);
}

#[test]
fn what_has_no_effect_is_told() {
    let c = load("x", "[lns x]\nexclusive = yes\ncall rws = 4\nexclusive = no\n").unwrap();
    assert_eq!(c.warnings.len(), 2, "{:?}", c.warnings);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(s in any::<String>()) {
        let _ = load("x", &s);
    }

    #[test]
    fn arbitrary_sections_of_the_fifo_never_panic(name in "[a-z\\] ;]{0,8}", options in any::<String>(), k in 0usize..99,
                                                  v in "[-0-9a-z.,;:= #]{0,30}") {
        let conf = load("x", HOWTO).unwrap();
        let keyword = keywords::KEYWORDS[k % keywords::KEYWORDS.len()].name;
        for options in [options, format!("{keyword}={v}")] {
            for kind in ["lns", "lac"] {
                let _ = with_section(&conf, kind, &name, &options);
            }
        }
    }

    #[test]
    fn keywords_with_any_numeric_value_never_panic(k in 0..keywords::KEYWORDS.len(), v in "[0-9.\\-yesno ]{0,16}", s in 0..3usize) {
        let section = ["global", "lns x", "lac y"][s];
        let _ = load("x", &format!("[{section}]\n{} = {v}\n", keywords::KEYWORDS[k].name));
    }
}
