//! Where the daemon looks for its configuration and secrets, by either of its names. In a mount namespace with an /etc of
//! its own, which only root can have: for others there is nothing to see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]

use std::os::unix::fs::MetadataExt;
use std::process::Command;

const X: &str = "/etc/xl2tpd/xl2tpd.conf";
const L: &str = "/etc/l2tpd/l2tpd.conf";
const OLD: &str = "/etc/l2tp/l2tpd.conf";

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// What `NAME ARGUMENTS --check` says, and its exit status, where these files are.
fn check(name: &str, arguments: &str, files: &[&str]) -> (String, i32) {
    let section = "[lns default]\\nip range = 10.0.0.2-9\\nchallenge = yes\\n";
    let make = files.iter().map(|f| format!("mkdir -p $(dirname {f}); printf '{section}' >{f}\n"));
    let make: String = make.collect();
    let script = format!("mount -t tmpfs none /etc\n{make}exec -a {name} \"$0\" {arguments} --check");
    let daemon = env!("CARGO_BIN_EXE_xl2tpd");
    let out = Command::new("unshare").args(["-m", "bash", "-ec", &script, daemon]).output().unwrap();
    (String::from_utf8(out.stderr).unwrap(), out.status.code().unwrap())
}

#[test]
fn the_first_of_the_usual_files_is_read() {
    if !is_root() {
        return;
    }
    let missing = "/etc/xl2tpd/none.conf";
    for (name, arguments, files, found) in [
        ("xl2tpd", "", &[X, L, OLD][..], X),
        ("xl2tpd", "", &[L, OLD], L),
        ("xl2tpd", "", &[OLD], OLD),
        ("l2tpd", "", &[X, L, OLD], L),
        ("l2tpd", "", &[X, OLD], X),
        ("/usr/sbin/l2tpd", "", &[OLD], OLD),
        // One that is asked for, and one that is not there.
        ("xl2tpd", "-c /etc/l2tp/l2tpd.conf", &[X, OLD], OLD),
        ("xl2tpd", "-c /etc/xl2tpd/none.conf", &[X], X),
        ("l2tpd", "-c /etc/xl2tpd/none.conf", &[L], L),
    ] {
        let (said, status) = check(name, arguments, files);
        assert!(said.contains(&format!("{found}: no errors")), "{name} {arguments} {files:?}: {said}");
        assert_eq!(status, 0);
    }
    let (said, status) = check("xl2tpd", &format!("-c {missing}"), &[]);
    assert!(
        said.contains(&format!("init_config: Unable to open config file {missing} or {X} or {L} or {OLD}"))
    );
    assert_eq!(status, 1);
}

#[test]
fn secrets_lie_beside_the_usual_file_or_where_they_are_said_to() {
    if !is_root() {
        return;
    }
    for (arguments, conf, want) in [
        ("", X, "/etc/xl2tpd/l2tp-secrets"),
        ("", L, "/etc/l2tpd/l2tp-secrets"),
        ("", OLD, "/etc/l2tp/l2tp-secrets"),
        // A file from elsewhere has its secrets in the usual place.
        ("-c /etc/my.conf", "/etc/my.conf", "/etc/xl2tpd/l2tp-secrets"),
        ("-s /etc/others", X, "/etc/others"),
    ] {
        let (said, _) = check("xl2tpd", arguments, &[conf]);
        // What is missed tells where it was looked for.
        assert!(
            said.contains(&format!("'challenge' needs {want}, which is not there")),
            "{arguments} {conf}: {said}"
        );
    }
}
