//! Folders `tests/check/NAME`: `etc/` as a machine has it. Out comes `expected`: what `ipsec check --root` prints, and its
//! exit status. `CHECK_UPDATE=1` rewrites them.
//!
//! The machine of every folder is a server with 203.0.113.10 on the default route and the LAN 192.168.1.1/24.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folders() -> Vec<PathBuf> {
    let all = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check")).unwrap();
    let mut all: Vec<PathBuf> = all.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// Output and exit status for a machine.
fn check(root: &Path, more: &[&str]) -> (String, i32) {
    let out = Command::new(env!("CARGO_BIN_EXE_ipsec"))
        .args(["check", "--address", "203.0.113.10/24", "--address", "192.168.1.1/24", "--root"])
        .arg(root)
        .args(more)
        .output()
        .unwrap();
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    (String::from_utf8(out.stdout).unwrap(), out.status.code().unwrap())
}

/// A copy of a machine, whose secrets only their owner reads, as a version control system does not keep that. Files
/// whose name ends in `.readable` are for everybody.
fn machine(folder: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                copy(&path, &to.join(name));
                continue;
            }
            let (name, mode) = match name.strip_suffix(".readable") {
                Some(name) => (name, 0o644),
                None if name.contains("secrets") || from.ends_with("private") => (name, 0o600),
                None => (name, 0o644),
            };
            let to = to.join(name);
            fs::copy(&path, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&folder.join("etc"), &dir.path().join("etc"));
    dir
}

#[test]
fn every_folder_gives_what_it_should() {
    for folder in folders() {
        let machine = machine(&folder);
        let (text, status) = check(machine.path(), &[]);
        let got = format!("{text}[{status}]\n");
        let path = folder.join("expected");
        if std::env::var_os("CHECK_UPDATE").is_some() {
            fs::write(&path, &got).unwrap();
        }
        assert_eq!(got, fs::read_to_string(&path).unwrap(), "{}", path.display());
    }
}

/// A server for L2TP clients in which all is well.
fn good() -> tempfile::TempDir {
    machine(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/l2tp-server"))
}

#[test]
fn each_planted_contradiction_is_told_with_its_place_and_a_fix() {
    const CONF: &str = "etc/ipsec.conf";
    const XL2TPD: &str = "etc/xl2tpd/xl2tpd.conf";
    const PPP: &str = "etc/ppp/options.xl2tpd";
    const CHAP: &str = "etc/ppp/chap-secrets";
    const SECRETS: &str = "etc/ipsec.secrets";
    // File, what is replaced by what; the code; the place; an error or not.
    for (file, from, to, code, place, error) in [
        (CONF, "leftprotoport=17/1701", "leftprotoport=17/1702", "l2tp-port", "/etc/ipsec.conf:11", true),
        (XL2TPD, "[global]", "[global]\nport = 1702", "l2tp-port", "/etc/ipsec.conf:11", true),
        (
            XL2TPD,
            "local ip = 192.168.1.99",
            "local ip = 192.168.1.130",
            "pool-local-ip",
            "/etc/xl2tpd/xl2tpd.conf:4",
            true,
        ),
        (XL2TPD, "= 192.168.1.128", "= 192.168.1.1", "pool-own-address", "/etc/xl2tpd/xl2tpd.conf:3", true),
        (
            XL2TPD,
            "[global]",
            "[global]\nlisten-addr = 192.168.1.1",
            "l2tp-listen",
            "/etc/xl2tpd/xl2tpd.conf:2",
            true,
        ),
        (XL2TPD, "ip range", "; ip range", "xl2tpd-trap", "/etc/xl2tpd/xl2tpd.conf:4", true),
        (XL2TPD, "[lns default]", "[lns x]", "xl2tpd-trap", "/etc/xl2tpd/xl2tpd.conf:3", true),
        (
            XL2TPD,
            "require authentication = yes",
            "require chap = yes",
            "xl2tpd-trap",
            "/etc/xl2tpd/xl2tpd.conf:5",
            true,
        ),
        (XL2TPD, "name = vpn", "nme = vpn", "xl2tpd-conf", "/etc/xl2tpd/xl2tpd.conf:6", true),
        (
            XL2TPD,
            "name = vpn",
            "name = vpn\nrequire chap = yes",
            "chap-kind",
            "/etc/xl2tpd/xl2tpd.conf:7",
            false,
        ),
        (XL2TPD, "options.xl2tpd", "options.other", "pppoptfile", "/etc/xl2tpd/xl2tpd.conf:7", true),
        (XL2TPD, "name = vpn", "name = other", "no-users", "/etc/xl2tpd/xl2tpd.conf:6", true),
        (CONF, ",%v4:!192.168.1.0/24", "", "virtual-private-lan", "/etc/ipsec.conf:2", true),
        (
            CONF,
            "\tvirtual_private=%v4:10",
            "\tx-was=%v4:10",
            "virtual-private-missing",
            "/etc/ipsec.conf",
            true,
        ),
        (CONF, "nat_traversal=yes", "nat_traversal=no", "nat-traversal-off", "/etc/ipsec.conf:3", true),
        (CONF, "pfs=no", "pfs=yes", "l2tp-pfs", "/etc/ipsec.conf:7", true),
        (CONF, "type=transport", "type=tunnel", "l2tp-tunnel", "/etc/ipsec.conf:9", true),
        (CONF, "17/%any", "17/1701", "l2tp-peer-port", "/etc/ipsec.conf:13", false),
        (CONF, "17/%any", "6/%any", "protoport-differ", "/etc/ipsec.conf:11", true),
        (CONF, "left=203.0.113.10", "left=203.0.113.11", "not-ours", "/etc/ipsec.conf:10", true),
        (CONF, "right=%any", "right=192.168.1.1", "both-ours", "/etc/ipsec.conf:12", true),
        (CONF, "auto=add", "auto=start", "start-any", "/etc/ipsec.conf:8", true),
        (CONF, "\tright=%any\n", "", "end-missing", "/etc/ipsec.conf:5", true),
        (CONF, "authby=secret", "authby=rsasig", "no-key", "/etc/ipsec.conf:6", true),
        (CONF, "authby=secret", "authby=secre", "conn-refused", "/etc/ipsec.conf:6", true),
        (
            CONF,
            "auto=add",
            "auto=add\n\tleftupdown=/usr/bin/none",
            "updown-missing",
            "/etc/ipsec.conf:9",
            true,
        ),
        (
            CONF,
            "auto=add",
            "auto=add\n\tdpddelay=10\n\tdpdtimeout=60\n\tdpdaction=restart",
            "dpd-restart-any",
            "/etc/ipsec.conf:11",
            false,
        ),
        (
            CONF,
            "config setup",
            "config setup\n\tlisten=203.0.113.99",
            "listen-address",
            "/etc/ipsec.conf:2",
            true,
        ),
        (PPP, "require-mschap-v2", "noauth", "ppp-noauth", "/etc/ppp/options.xl2tpd:1", true),
        (PPP, "mtu 1280", "mtu 1500", "mtu-too-large", "/etc/ppp/options.xl2tpd:2", true),
        (PPP, "mru 1280", "mru 1410", "mtu-tight", "/etc/ppp/options.xl2tpd:3", false),
        (PPP, "noccp", "noccp\nrequire-mppe-128", "mppe-off", "/etc/ppp/options.xl2tpd:4", true),
        (
            PPP,
            "require-mschap-v2",
            "auth\nmppe required",
            "mppe-without-mschap",
            "/etc/ppp/options.xl2tpd:2",
            true,
        ),
        (PPP, "proxyarp", "", "pool-proxyarp", "/etc/xl2tpd/xl2tpd.conf:3", false),
        (
            PPP,
            "proxyarp",
            "proxyarp\nreplacedefaultroute",
            "ppp-defaultroute",
            "/etc/ppp/options.xl2tpd:6",
            true,
        ),
        (PPP, "proxyarp", "proxyarp\nname gw", "ppp-name", "/etc/ppp/options.xl2tpd:6", false),
        (PPP, "proxyarp", "proxyarp\nrefuse-mschap-v2", "require-refuse", "/etc/ppp/options.xl2tpd:6", false),
        (PPP, "proxyarp", "proxyarp\nfile /etc/ppp/none", "pppoptfile", "/etc/ppp/options.xl2tpd:6", true),
        (
            CHAP,
            "alice vpn \"secret a\" *",
            "alice vpn \"secret a\"",
            "user-no-address",
            "/etc/ppp/chap-secrets:2",
            true,
        ),
        (
            CHAP,
            "alice vpn \"secret a\" *",
            "alice * \"a\" -",
            "user-no-address",
            "/etc/ppp/chap-secrets:2",
            true,
        ),
        (PPP, "proxyarp", "proxyarp\ndefaultroute", "ppp-defaultroute", "/etc/ppp/options.xl2tpd:6", false),
        (
            XL2TPD,
            "[global]",
            "[global]\naccess control = yes",
            "xl2tpd-trap",
            "/etc/xl2tpd/xl2tpd.conf:4",
            true,
        ),
        (CHAP, "bob", "bob vpn\ncarol", "user-malformed", "/etc/ppp/chap-secrets:3", true),
        (CHAP, "bob", "alice", "user-duplicate", "/etc/ppp/chap-secrets:3", false),
        (SECRETS, "203.0.113.10 %any", "203.0.113.99", "no-secret", "/etc/ipsec.conf:6", true),
        (SECRETS, "\"a long and random key\"", "\"short\"", "weak-secret", "/etc/ipsec.secrets:1", false),
        (
            SECRETS,
            "203",
            "203.0.113.10 198.51.100.1 : PSK \"of the pair 1\"\n198.51.100.1 203.0.113.10 : PSK \"of the pair 2\"\n203",
            "duplicate-secret",
            "/etc/ipsec.secrets:2",
            false,
        ),
        (SECRETS, "203", ": RSA none.pem\n203", "key-missing", "/etc/ipsec.secrets:1", true),
        (SECRETS, "203", ": PSK \"open\n203", "ipsec-secrets", "/etc/ipsec.secrets:1", true),
    ] {
        let dir = good();
        let path = dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in {file}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let (json, status) = check(dir.path(), &["--json"]);
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        let list = report["findings"].as_array().unwrap();
        let found = list.iter().find(|f| {
            f["code"] == code && {
                let (file, line) = (f["file"].as_str().unwrap(), f["line"].as_u64().unwrap());
                place == if line == 0 { file.to_string() } else { format!("{file}:{line}") }
            }
        });
        let Some(found) = found else { panic!("{code} at {place} is not in {json}") };
        assert_eq!(found["severity"], if error { "error" } else { "warning" }, "{code}");
        assert!(!found["message"].as_str().unwrap().is_empty(), "{code}");
        let of_readers = ["ipsec-secrets", "conn-refused"];
        assert!(of_readers.contains(&code) || !found["fix"].as_str().unwrap().is_empty(), "{code}");
        let ok = list.iter().all(|f| f["severity"] != "error");
        assert!(!(error && ok), "{code}");
        assert_eq!((status, report["ok"].as_bool()), (i32::from(!ok), Some(ok)), "{code}: {json}");
    }
}

#[test]
fn a_good_server_has_nothing_to_be_told() {
    let dir = good();
    let (text, status) = check(dir.path(), &[]);
    assert_eq!((text.as_str(), status), ("ipsec check: 0 errors, 0 warnings in 5 files\n", 0));
}

#[test]
fn files_that_others_can_read_are_told() {
    for file in ["etc/ipsec.secrets", "etc/ppp/chap-secrets"] {
        let dir = good();
        fs::set_permissions(dir.path().join(file), fs::Permissions::from_mode(0o644)).unwrap();
        let (text, status) = check(dir.path(), &[]);
        let want = format!(
            "/{file}: error: can be read by every user of this machine (mode 644) [secrets-readable]\n    fix: chmod 600 /{file}\n"
        );
        assert!(status == 1 && text.starts_with(&want), "{text}");
    }
}

#[test]
fn what_cannot_be_read_at_all_is_another_exit_status() {
    let dir = good();
    fs::write(dir.path().join("etc/ipsec.conf"), "nonsense\n").unwrap();
    let (text, status) = check(dir.path(), &[]);
    assert!(status == 3 && text.starts_with("/etc/ipsec.conf:1: error: syntax error [nonsense]"), "{text}");
    let out = Command::new(env!("CARGO_BIN_EXE_ipsec")).args(["check", "--frob"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
}
