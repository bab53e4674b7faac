//! What the readers of Openswan do with odd files, each fact as it was seen there, and what is made of it here: the same,
//! or what the manual says where the old reader failed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use ipsec_conf::{Config, Conn, Severity, load, load_str};
use ipsec_types::Id;
use ipsec_types::auth::{AuthBy, PublicKeySpec};
use ipsec_types::conn::{Auto, ClientSpec, ConnType, DpdAction, HostSpec};

fn read(text: &str) -> Config {
    load_str(Path::new("t"), text).unwrap_or_else(|e| panic!("{text}: {e:#?}"))
}

fn errors(text: &str) -> Vec<String> {
    load_str(Path::new("t"), text).unwrap_err().iter().map(|d| d.short()).collect()
}

fn names(config: &Config) -> Vec<&str> {
    config.conns.iter().map(|c| c.spec.name.as_str()).collect()
}

/// The conn `a` of a file that sets these lines in it.
fn conn(lines: &str) -> Conn {
    let config = read(&format!("conn a\n left=192.0.2.1\n right=192.0.2.2\n{lines}"));
    assert!(config.conn_errors.is_empty(), "{lines}: {:#?}", config.conn_errors);
    config.conns[0].clone()
}

fn refused(lines: &str) -> String {
    let config = read(&format!(
        "conn other\n left=192.0.2.1\n right=%any\nconn a\n left=192.0.2.1\n right=192.0.2.2\n{lines}"
    ));
    assert_eq!(names(&config), ["other"], "{lines}");
    let errors = config.conn_errors[0].diagnostics.iter().filter(|d| d.severity == Severity::Error);
    errors.map(|d| d.message.clone()).next().unwrap()
}

fn said(lines: &str) -> Vec<String> {
    conn(lines).notes.iter().map(|d| d.message.clone()).collect()
}

const ENDS: &str = " left=192.0.2.1\n right=192.0.2.2\n";

// File structure.

#[test]
fn the_version_line_means_nothing() {
    for line in ["version 2\n", "version 2.0 # x\n", "version\tanything\n", ""] {
        assert_eq!(names(&read(&format!("{line}conn a\n{ENDS}"))), ["a"]);
    }
    // There a second one, or one in an included file, was an error of the file.
    assert_eq!(names(&read(&format!("version 2\nconn a\n{ENDS}version 2\nconn b\n{ENDS}"))), ["a", "b"]);
}

#[test]
fn section_headers_in_any_case_and_indented() {
    assert_eq!(names(&read(&format!("CONN a\n{ENDS}  conn b\n{ENDS}Config SETUP\n OE=no\n"))), ["a", "b"]);
    assert!(errors("config other\n")[0].starts_with("t:1: syntax error ["));
}

#[test]
fn the_first_config_setup_counts() {
    let config = read("config setup\n uniqueids=no\nconfig setup\n uniqueids=yes\n keep_alive=99\n");
    assert!(!config.setup.engine.uniqueids && config.setup.engine.keep_alive == 20);
}

#[test]
fn names_of_conns() {
    let text = format!("conn \"a b\"\n{ENDS}conn 12345\n{ENDS}conn x.y-z_1\n{ENDS}conn c#\n{ENDS}");
    assert_eq!(names(&read(&text)), ["a b", "12345", "x.y-z_1", "c#"]);
}

#[test]
fn a_conn_without_a_name_takes_the_next_lines() {
    assert_eq!(names(&read(&format!("conn\n\n# comment\nfoo\n{ENDS}"))), ["foo"]);
    for text in ["conn\n left=192.0.2.1\n", "conn\n", "conn\nleft=1\n", "conn\nconn a\n left=%any\n"] {
        assert_eq!(errors(text)[0], "t:1: syntax error [conn]", "{text}");
    }
}

#[test]
fn parameters_want_a_blank_before_them() {
    assert_eq!(errors("conn a\nleft=192.0.2.1\n")[0], "t:2: syntax error [left]");
    assert_eq!(names(&read("conn a\n left=192.0.2.1\n\tright=%any\n"))[0], "a");
}

#[test]
fn blank_lines_and_comments_end_no_section() {
    let c = conn("\n   \n# column one\n  # indented\n\n auto=add\n");
    assert_eq!(c.spec.auto, Auto::Add);
}

#[test]
fn comments_behind_values() {
    for tail in [" # home", " #home", "\t#home sweet", " # a \"b"] {
        assert_eq!(conn(&format!(" leftid=@x{tail}\n")).spec.left.id, Id::Fqdn("x".into()), "{tail}");
    }
    assert_eq!(conn(" leftid=@foo#bar\n").spec.left.id, Id::Fqdn("foo#bar".into()));
}

#[test]
fn line_ends_and_byte_order_marks() {
    let dir = tempfile::tempdir().unwrap();
    let unix = read("conn a\n left=192.0.2.1\n right=192.0.2.2\n").conns;
    for text in [
        "conn a\r\n left=192.0.2.1\r\n right=192.0.2.2\r\n",
        "\u{feff}conn a\n left=192.0.2.1\n right=192.0.2.2",
        "conn a\n left = 192.0.2.1\n right\t=\t192.0.2.2\n",
        "conn a\n LEFT=192.0.2.1\n Right=192.0.2.2\n",
    ] {
        let path = dir.path().join("c");
        fs::write(&path, text).unwrap();
        assert_eq!(load(&path).unwrap().conns, unix, "{text:?}");
    }
}

#[test]
fn a_backslash_at_the_end_is_of_the_value() {
    assert_eq!(conn(" leftupdown=/x\\\n").spec.left.updown.as_deref(), Some("/x\\"));
}

#[test]
fn latin_1_is_no_reason_to_fail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    fs::write(
        &path,
        b"# gr\xfc\xdfe\nconn a\n left=192.0.2.1\n right=192.0.2.2 # caf\xe9\n leftid=@caf\xe9\n",
    )
    .unwrap();
    assert_eq!(names(&load(&path).unwrap()), ["a"]);
}

// Values.

#[test]
fn quotes_and_braces() {
    assert_eq!(conn(" leftid=\"@x\"\n").spec.left.id, Id::Fqdn("x".into()));
    assert_eq!(
        conn(" leftupdown=\"ipsec _updown --route yes\"\n").spec.left.updown.as_deref(),
        Some("ipsec _updown --route yes")
    );
    assert_eq!(conn(" leftupdown='x'\n").spec.left.updown.as_deref(), Some("'x'"));
    // Set, to nothing.
    assert_eq!(conn(" leftid=\"\"\n").spec.left.id, Id::None);
    let two = read("conn a\n left=192.0.2.1\n right=192.0.2.2\n leftsubnets={10.0.0.0/24 10.0.1.0/24}\n");
    assert_eq!(names(&two), ["a/1x0", "a/2x0"]);
}

#[test]
fn an_empty_value_is_the_default() {
    let c = conn(" pfs=\n leftid=\n auto=add\n");
    assert!(c.spec.pfs && c.spec.left.id == Id::None && c.spec.auto == Auto::Add);
}

#[test]
fn booleans_in_every_spelling() {
    for (word, value) in [
        ("yes", true),
        ("Y", true),
        ("True", true),
        ("ON", true),
        ("1", true),
        ("no", false),
        ("No", false),
        ("n", false),
        ("off", false),
        ("0", false),
        ("\"no\"", false),
    ] {
        assert_eq!(conn(&format!(" pfs={word}\n")).spec.pfs, value, "{word}");
    }
}

#[test]
fn numbers_times_and_percentages() {
    assert_eq!(conn(" keyingtries=%forever\n").spec.keyingtries, 0);
    assert!(refused(" keyingtries=4294967296\n").contains("number too large: 4294967296"));
    let c = conn(" salifetime=1w\n ikelifetime=90m\n rekeymargin=1.5m\n rekeyfuzz=100\n");
    assert_eq!(
        (c.spec.sa_lifetime, c.spec.ike_lifetime, c.spec.rekey_margin, c.spec.rekey_fuzz),
        (86400, 5400, 90, 100)
    );
    let c = conn(" lifebytes=250000000\n lifepackets=1000000\n");
    assert_eq!((c.spec.life_bytes, c.spec.life_packets), (250_000_000, 1_000_000));
    let c = conn(" ipsec-max-bytes=1M\n ipsec-max-packets=2K\n");
    assert_eq!((c.spec.life_bytes, c.spec.life_packets), (1 << 20, 2 << 10));
    assert!(refused(" lifepackets=many\n").contains("lifepackets"));
    assert!(refused(" salifetime=5x\n").contains("bad duration multiplier \"x\" on 5x"));
}

// include, also, %default.

#[test]
fn includes() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put("b.conf", "conn b\n left=%any\n right=192.0.2.1\n");
    put("a.conf", "conn a\n left=%any\n right=192.0.2.1\n");
    put(".hidden.conf", "nonsense\n");
    put(
        "main",
        "include *.conf\ninclude nowhere/*.conf\ninclude {b,none}.conf\ninclude \"a.conf\"\nconn z\n left=%any\n",
    );
    let config = load(&dir.path().join("main")).unwrap();
    assert_eq!(names(&config), ["a", "b", "b", "a", "z"]);
    let notes: Vec<_> = config.warnings.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(notes, ["could not open include filename: 'nowhere/*.conf' (tried  and )"]);
    // Parameters before any section of an included file, and a file that is there and cannot be read, are errors.
    put("p.conf", " left=%any\n");
    put("main", "conn z\n left=%any\ninclude p.conf\n");
    assert!(
        load(&dir.path().join("main")).unwrap_err()[0].short().ends_with("p.conf:1: syntax error [left]")
    );
}

#[test]
fn also_in_every_order() {
    let template = "conn t\n left=192.0.2.1\n keylife=1h\n auto=ignore\n also=u\nconn u\n right=192.0.2.2\n keylife=2h\n pfs=no\n";
    let body = "conn a\n also=T\n auto=add\n";
    for text in [format!("{template}{body}"), format!("{body}{template}")] {
        let config = read(&text);
        let a = &config.named("a")[0].spec;
        assert_eq!((a.auto, a.sa_lifetime, a.pfs), (Auto::Add, 3600, false));
    }
    // Several in one; a missing one is told.
    let config = read(&format!("conn a\n also=\"t none u\"\n auto=add\n{template}"));
    assert!(config.named("a")[0].notes.iter().any(|n| n.message == "also=none: there is no such conn"));
    // With nothing but alsoflip, too.
    let config = read(&format!("conn a\n alsoflip=t\n auto=add\n{template}"));
    assert_eq!(config.named("a")[0].spec.right.host, HostSpec::Addr("192.0.2.1".parse().unwrap()));
}

#[test]
fn defaults_from_anywhere() {
    let text = "conn a\n left=192.0.2.1\n right=%any\n also=t\nconn %default\n keylife=1h\n keyingtries=5\n authby=secret\n also=t\nconn t\n keyingtries=7\nconn %default\n keylife=2h\n";
    let config = read(text);
    let a = &config.named("a")[0].spec;
    assert_eq!((a.sa_lifetime, a.keyingtries, a.authby), (7200, 7, AuthBy::PSK));
    assert!(config.warnings.iter().any(|d| d.message == "also= is not valid in section '%default'"));
}

#[test]
fn keys_that_stand_there_twice() {
    assert!(said(" leftid=@a\n leftid=@a\n")[0].contains("duplicate key 'leftid'"));
    assert!(refused(" leftid=@a\n leftid=@b\n").starts_with("while loading 'a': duplicate key 'leftid'"));
    // Aliases are one key.
    assert!(refused(" keylife=1h\n lifetime=2h\n").contains("duplicate key 'lifetime'"));
    assert!(refused(" esp=3des\n ah=md5\n").contains("duplicate key 'ah'"));
    let two = read(&format!("conn a\n{ENDS} auto=add\nconn a\n{ENDS} auto=start\n"));
    assert_eq!((names(&two), two.named("a").len()), (vec!["a", "a"], 1));
}

/// `%dnsondemand`, the default of old, and its kin load, and are no key; several keys of one end are.
#[test]
fn what_a_public_key_can_be() {
    let keys = |lines: &str| conn(lines).spec.right.public_keys;
    for word in ["%dnsondemand", "%dnsonload", "%dns", "%DNSonDemand"] {
        assert_eq!(keys(&format!(" rightrsasigkey={word}\n")), [PublicKeySpec::Dns], "{word}");
    }
    assert_eq!(keys(" rightrsasigkey=%cert\n"), [PublicKeySpec::Cert]);
    assert_eq!(keys(" rightrsasigkey=%none\n"), []);
    let two = [PublicKeySpec::Rsa(vec![1, 3, 7]), PublicKeySpec::Rsa(vec![1, 5, 9])];
    assert_eq!(keys(" rightrsasigkey=0x010307\n rightrsasigkey2=0sAQUJ\n"), two);
    let odd = conn(" rightrsasigkey=AQUJ\n");
    assert!(odd.spec.right.public_keys.is_empty());
    let told = "conn a/right: rsakey1 malformed [does not begin with 0s or 0x]";
    assert!(odd.notes.iter().any(|n| n.message == told), "{:?}", odd.notes);
}

// Keys that are not known or not there.

#[test]
fn unknown_and_misplaced_keys() {
    assert_eq!(refused(" lefft=1\n"), "syntax error");
    assert!(said(" virtual_private=%v4:10/8\n")[0].contains("is not valid in a conn"));
    assert!(said(" x-owner=any \"thing\n X_y=z\n x_=\n X-q\n").is_empty());
    let setup =
        read("config setup\n left=192.0.2.1\n forwardcontrol=yes\n rp_filter=%unchanged\n plutofork=no\n");
    let said: Vec<_> = setup.warnings.iter().map(|d| (d.severity, d.message.as_str())).collect();
    assert!(said[0].0 == Severity::Warning && said[0].1.contains("left"), "{said:?}");
    assert_eq!(
        said.iter().filter(|s| s.1.contains("obsolete keyword ignored on read")).count(),
        3,
        "{said:?}"
    );
}

#[test]
fn words_that_are_not_in_the_list_count_as_the_first() {
    let c = conn(" auto=bogus\n dpdaction=bogus\n dpddelay=1\n dpdtimeout=2\n type=bogus\n");
    assert_eq!(
        (c.spec.auto, c.spec.dpd_action, c.spec.conn_type),
        (Auto::Ignore, DpdAction::Clear, ConnType::Tunnel)
    );
    assert!(c.notes.iter().any(|d| d.message == "keyword auto, invalid value: bogus; taken as `ignore'"));
    // Nobody would be authenticated.
    assert!(refused(" authby=bogus\n").contains("authby=bogus"));
}

#[test]
fn two_methods_of_authentication() {
    for value in ["secret|rsasig", "rsasig|secret", "secret,rsasig", "\"secret rsasig\""] {
        let by = conn(&format!(" authby={value}\n")).spec.authby;
        assert!(by.psk && by.rsasig, "{value}");
    }
}

#[test]
fn a_key_without_left_or_right_means_right() {
    let c = conn(" subnet=10.0.0.0/8\n protoport=17/1701\n xauthclient=yes\n");
    assert!(
        c.spec.right.client != ClientSpec::Host
            && c.spec.right.protoport.proto == 17
            && c.spec.right.xauth_client
    );
    assert!(c.spec.left.client == ClientSpec::Host);
}

// Single keys.

#[test]
fn ends() {
    let host = |value: &str| {
        read(&format!("conn a\n left=192.0.2.1\n right={value}\n")).conns[0].spec.right.host.clone()
    };
    let addr = |a: &str| HostSpec::Addr(a.parse().unwrap());
    for (value, want) in [
        ("%any", HostSpec::Any),
        ("0.0.0.0", HostSpec::Any),
        ("%defaultroute", HostSpec::DefaultRoute),
        ("%eth0", HostSpec::Interface("eth0".into())),
        ("%group", HostSpec::Group),
        ("%oppo", HostSpec::Opportunistic),
        ("%opportunisticgroup", HostSpec::OpportunisticGroup),
        ("vpn.example.com", HostSpec::Name("vpn.example.com".into())),
        ("2001:db8::1", addr("2001:db8::1")),
        ("0xc0000201", addr("192.0.2.1")),
    ] {
        assert_eq!(host(value), want, "{value}");
    }
}

#[test]
fn networks() {
    let net = |value: &str| conn(&format!(" leftsubnet={value}\n")).spec.left.client.clone();
    let want = |n: &str| ClientSpec::Net(n.parse().unwrap());
    for (value, n) in [
        ("10.1.2.3/24", "10.1.2.0/24"),
        ("10.1/16", "10.1.0.0/16"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0/0", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
    ] {
        assert_eq!(net(value), want(n), "{value}");
    }
    // There an error; nothing else can be meant.
    assert_eq!(net("10.0.0.1"), want("10.0.0.1/32"));
    assert!(
        refused(" leftsubnet=10.0.0/33\n")
            .starts_with("while loading 'a': bad subnet leftsubnet=10.0.0/33 [")
    );
    assert!(said(" leftsourceip=10.0.0.1\n")[0].starts_with("defaulting leftsubnet to 10.0.0.1/32"));
    assert!(
        said(" leftsubnet=vhost:bogus\n")[0]
            .contains("invalid virtual string [vhost:bogus] - virtual selection disabled")
    );
}

#[test]
fn ports() {
    let port = |value: &str| {
        conn(&format!(" leftprotoport={value}\n rightprotoport={value}\n")).spec.left.protoport.to_string()
    };
    for (value, want) in [
        ("17/1701", "17/1701"),
        ("udp/l2tp", "17/1701"),
        ("17/%any", "17/%any"),
        ("17/0", "17/0"),
        ("tcp", "6/0"),
        ("tcp/telnet", "6/23"),
        ("47", "47/0"),
    ] {
        assert_eq!(port(value), want);
    }
    for (value, why) in [
        ("bogus", "<protocol> is neither a number nor a valid name"),
        ("300", "<protocol> must be between 0 and 255"),
        ("17/70000", "<port> must be between 0 and 65535"),
    ] {
        assert_eq!(
            refused(&format!(" leftprotoport={value}\n")),
            format!("bad leftprotoport={value} [{why}]")
        );
    }
}

#[test]
fn next_hops() {
    assert!(conn(" leftnexthop=%direct\n").spec.left.nexthop.is_none());
    assert!(conn(" leftnexthop=%defaultroute\n").left.nexthop_default);
    assert!(refused(" leftnexthop=bogus!\n").starts_with("while loading 'a': bad addr leftnexthop=bogus! ["));
}

#[test]
fn identities() {
    let id = |value: &str| conn(&format!(" leftid={value}\n")).spec.left.id.clone();
    assert_eq!(id("@vpn.example.com"), Id::Fqdn("vpn.example.com".into()));
    assert_eq!(id("joe@example.com"), Id::UserFqdn("joe@example.com".into()));
    assert_eq!(id("@[Group]"), Id::KeyId(b"Group".to_vec()));
    assert_eq!(id("@#0a0b"), Id::KeyId(vec![10, 11]));
    assert_eq!(id("192.0.2.9"), Id::Addr("192.0.2.9".parse().unwrap()));
    assert!(conn(" leftid=%fromcert\n").spec.left.id_from_cert);
    // A name is looked up when the conn is added; a bare number is no identity, and the address stands for it.
    assert_eq!(conn(" leftid=gw.example.com\n").left.id_name.as_deref(), Some("gw.example.com"));
}

#[test]
fn algorithms_say_esp_whatever_they_are_for() {
    let bad = "034 esp string error: enc_alg not found, enc_alg=\"bogus\", auth_alg=\"\", modp=\"\"";
    assert_eq!((refused(" ike=bogus\n").as_str(), refused(" esp=bogus\n").as_str()), (bad, bad));
    assert_eq!(conn(" phase2=ah\n ah=hmac-md5\n").spec.esp.len(), 1);
    assert_eq!(conn(" pfsgroup=modp1024\n").spec.pfs_group.map(|g| g.number()), Some(2));
}

#[test]
fn dead_peers_want_both_times() {
    let c = conn(" dpddelay=30\n dpdaction=clear\n");
    assert_eq!((c.spec.dpd_delay, c.notes.len()), (0, 1));
    let c = conn(" dpddelay=30s\n dpdtimeout=2m\n dpdaction=restart_by_peer\n");
    assert_eq!(
        (c.spec.dpd_delay, c.spec.dpd_timeout, c.spec.dpd_action),
        (30, 120, DpdAction::RestartByPeer)
    );
}

#[test]
fn a_margin_that_is_too_long_is_halved() {
    let c = conn(" rekeymargin=9h\n");
    assert_eq!(c.spec.rekey_margin, 14400);
    assert_eq!(
        c.notes[0].message,
        "conn: a, rekeymargin (32400s) > salifetime (28800s); reducing rekeymargin to 14400 seconds"
    );
    assert_eq!(conn(" ikelifetime=30h\n").spec.ike_lifetime, 86400);
}

#[test]
fn virtual_private_lists() {
    let list = |value: &str| {
        let config = read(&format!("config setup\n virtual_private={value}\n"));
        let v = config.setup.engine.virtual_private.clone();
        (v.allowed.len(), v.disallowed.len(), config.warnings.len())
    };
    assert_eq!(list("%v4:10.0.0.0/8,%v6:fd00::/8,%v4:!10.1.0.0/16"), (2, 1, 0));
    assert_eq!(list("%4:10.0.0.0/8"), (1, 0, 1));
    assert_eq!(list("%v4:10.0.0.0/8,bogus"), (0, 0, 2));
}

/// A client gets one address, of one family.
#[test]
fn of_several_pools_the_first_counts_and_that_is_said() {
    let both = "10.9.0.1-10.9.0.9,fd00:9::1-fd00:9::9";
    for (word, value, told) in [
        ("rightaddresspool", both, true),
        ("rightaddresspool", "10.9.0.1-10.9.0.9", false),
        ("rightsourceip", "10.9.0.0/28, fd00:9::/64", true),
        ("rightsourceip", "10.9.0.0/28", false),
    ] {
        let c = conn(&format!(" {word}={value}\n"));
        assert_eq!(c.spec.right.address_pool.unwrap().first.to_string(), "10.9.0.1");
        let line = format!("{word}={value}: addresses are given out of the first pool only");
        assert_eq!(c.notes.iter().any(|d| d.message == line), told, "{:#?}", c.notes);
    }
}

#[test]
fn connaliases_and_names_without_case() {
    let config = read(&format!("conn a\n{ENDS} connalias=\"x y\"\n connalias=z\n"));
    assert_eq!(config.conns[0].spec.aliases, ["x", "y", "z"]);
    assert!(config.named("Z").len() == 1 && config.named("A").len() == 1 && config.named("q").is_empty());
}
