//! Machines that are right, and machines with one defect each.

use std::fs;
use std::time::Duration;

use super::*;

/// A machine laid out in a directory, in which all is well.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let conf = "/proc/sys/net/ipv4/conf";
    for (path, text) in [
        ("/proc/net/xfrm_stat", "XfrmInError 0"),
        ("/proc/sys/net/core/xfrm_larval_drop", "1"),
        ("/proc/sys/net/ipv4/ip_forward", "1"),
        ("/proc/sys/kernel/osrelease", "6.1.0"),
        ("/proc/modules", "esp4 1 0 - Live 0\nl2tp_ppp 1 0 - Live 0\n"),
        ("/proc/net/dev", "head\nhead\n  lo: 0\neth0: 0\neth1: 0\n"),
        ("/proc/42/comm", "pluto"),
        ("/dev/ppp", ""),
    ] {
        plant(&dir, path, text);
    }
    for name in ["all", "default", "eth0"] {
        for word in ["send_redirects", "accept_redirects", "rp_filter"] {
            plant(&dir, &format!("{conf}/{name}/{word}"), "0");
        }
    }
    dir
}

fn plant(dir: &tempfile::TempDir, path: &str, text: &str) {
    let path = dir.path().join(&path[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn needs() -> Needs {
    Needs { forwarding: true, certificates: true, responder: true, l2tp: true, ..Needs::default() }
}

fn report(dir: &tempfile::TempDir, needs: &Needs) -> Report {
    let host = Host::new(dir.path());
    let mut r = Report::default();
    machine::kernel(&mut r, &host, needs);
    machine::settings(&mut r, &host, needs);
    services::clashes(&mut r, &host, needs);
    r
}

#[test]
fn a_good_machine_raises_no_alarm() {
    let dir = machine();
    let r = report(&dir, &needs());
    let text = r.text(false);
    let all_fine =
        text.lines().filter(|l| l.contains("\t[")).all(|l| l.ends_with("[OK]") || l.ends_with("[N/A]"));
    assert!(!r.failed() && all_fine, "{text}");
}

#[test]
fn each_defect_is_named() {
    let conf = "/proc/sys/net/ipv4/conf";
    for (path, text, want, fails) in [
        ("/proc/modules", "nothing", " NETKEY: ESP in the kernel                        \t[FAILED]", true),
        (
            "/proc/sys/net/core/xfrm_larval_drop",
            "0",
            "XFRM larval drop                         \t[NOT ENABLED]",
            false,
        ),
        ("/proc/sys/net/ipv4/ip_forward", "0", "checking IP forwarding\t[FAILED]", true),
        (&format!("{conf}/eth0/send_redirects"), "1", "bogus ICMP redirects! On for: eth0", false),
        (
            &format!("{conf}/eth0/accept_redirects"),
            "1",
            "ICMP default/accept_redirects            \t[NOT DISABLED]",
            false,
        ),
        (
            &format!("{conf}/eth0/rp_filter"),
            "1",
            " /proc/sys/net/ipv4/conf/eth0/rp_filter           \t[ENABLED]",
            false,
        ),
        (
            &format!("{conf}/all/rp_filter"),
            "1",
            " /proc/sys/net/ipv4/conf/eth0/rp_filter           \t[ENABLED]",
            false,
        ),
        ("/proc/77/comm", "charon", "charon (pid 77)", false),
        ("/proc/77/comm", "openl2tpd", "openl2tpd (pid 77)", false),
        ("/proc/77/comm", "pluto", "pids 42, 77", false),
    ] {
        let dir = machine();
        plant(&dir, path, text);
        let r = report(&dir, &needs());
        assert!(r.text(false).contains(want), "{path}: {}", r.text(false));
        assert_eq!(r.failed(), fails, "{path}");
    }
}

#[test]
fn what_no_conn_needs_is_no_failure() {
    let dir = machine();
    plant(&dir, "/proc/sys/net/ipv4/ip_forward", "0");
    assert!(!report(&dir, &Needs::default()).failed());
    // Loose filtering for all makes the interface's own strict value loose too.
    plant(&dir, "/proc/sys/net/ipv4/conf/all/rp_filter", "2");
    plant(&dir, "/proc/sys/net/ipv4/conf/eth0/rp_filter", "1");
    assert!(
        report(&dir, &needs())
            .text(false)
            .contains("Checking rp_filter                                \t[OK]")
    );
}

#[test]
fn a_kernel_without_xfrm_is_the_end() {
    let dir = machine();
    fs::remove_file(dir.path().join("proc/net/xfrm_stat")).unwrap();
    fs::remove_file(dir.path().join("proc/sys/net/core/xfrm_larval_drop")).unwrap();
    let r = report(&dir, &needs());
    assert!(r.failed() && r.text(false).contains("CONFIG_XFRM_USER"));
}

#[test]
fn kernel_pieces_of_a_conn_are_asked_for() {
    let dir = machine();
    for needs in [Needs { ah: true, ..needs() }, Needs { ipcomp: true, ..needs() }] {
        assert!(report(&dir, &needs).failed());
    }
    plant(&dir, "/proc/kallsyms", "0 t ah_init_state\n0 t ipcomp4_init_state\n");
    assert!(!report(&dir, &Needs { ah: true, ipcomp: true, ..needs() }).failed());
}

#[test]
fn a_clock_of_1970_fails_certificates_only() {
    let early = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    for (needs, fails) in [(needs(), true), (Needs::default(), false)] {
        let mut r = Report::default();
        machine::time(&mut r, &needs, early);
        assert_eq!(r.failed(), fails);
        assert!(r.text(false).contains("[WRONG]"));
    }
}

#[test]
fn a_private_address_hints_at_a_nat() {
    let says = |needs: &Needs, address: &str| {
        let mut r = Report::default();
        machine::nat(&mut r, needs, address.parse().ok());
        r.text(false).contains("[PROBABLY]")
    };
    assert!(says(&needs(), "192.168.1.2") && says(&needs(), "100.64.0.1"));
    assert!(!says(&needs(), "192.0.2.1") && !says(&Needs::default(), "10.0.0.1"));
    assert!(!says(&Needs { oriented_private: true, ..needs() }, "10.0.0.1"));
}

#[test]
fn needs_follow_the_conns() {
    let of = |text: &str| Needs::of(&ipsec_conf::load_str(Path::new("t"), text).unwrap());
    let l2tp = of(
        "config setup\n\toe=yes\nconn a\n\tleft=192.0.2.1\n\tleftprotoport=17/1701\n\tright=%any\n\ttype=transport\n\tauthby=secret\n\tauto=add\n",
    );
    assert!(
        l2tp.l2tp && l2tp.forwarding && l2tp.responder && l2tp.oe && l2tp.plain_esp && !l2tp.certificates
    );
    assert!(!of("conn a\n\tleft=192.0.2.1\n\tright=%any\n\tforceencaps=yes\n\tauto=add\n").plain_esp);
    // Those that oe=yes brings stand behind the file's own.
    assert_eq!(l2tp.names.first().map(String::as_str), Some("a"));
    assert!(l2tp.names.iter().any(|n| n == "private-or-clear"));
    let ignored = of("conn a\n\tleft=192.0.2.1\n\tright=192.0.2.2\n\tcompress=yes\n\tauto=ignore\n");
    assert!(!ignored.ipcomp && ignored.names.is_empty());
    let start = of("conn a\n\tleft=10.0.0.1\n\tright=10.0.0.2\n\tleftcert=x\n\tphase2=ah\n\tauto=start\n");
    assert!(start.ah && start.certificates && !start.responder && start.oriented_private);
}
