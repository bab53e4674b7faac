//! Files nobody should have, through the commands that read them: an error in bounded time and memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

/// Runs `ipsec` with at most 1 GiB of memory and 60 s of processor time; beyond, it is killed.
fn ipsec(dir: &Path, args: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_ipsec");
    let limited = format!("ulimit -v 1048576; ulimit -t 60; exec {program} {args}");
    Command::new("sh").args(["-c", &limited]).current_dir(dir).env("IPSEC_CONFS", dir).output().unwrap()
}

fn zoo() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    File::create(at("huge")).unwrap().set_len(1 << 30).unwrap();
    fs::write(at("binary"), b"conn a\n left=1\0\n").unwrap();
    symlink("loop", at("loop")).unwrap();
    fs::write(at("self"), "include self\n").unwrap();
    fs::create_dir(at("many")).unwrap();
    for i in 0..10_000 {
        fs::write(at(&format!("many/{i}.conf")), "").unwrap();
    }
    let million: String = " also=b\n".repeat(1_000_000);
    fs::write(at("also"), format!("conn a\n{million}")).unwrap();
    fs::write(at("ipsec.secrets"), ": PSK \"a long and random key\"\n").unwrap();
    fs::set_permissions(at("ipsec.secrets"), fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

const ODD: [(&str, &str); 9] = [
    ("/dev/zero", "is not a regular file"),
    ("fifo", "is not a regular file"),
    ("directory", "is a directory"),
    ("huge", "is larger than 16 MiB"),
    ("binary", "is a binary file"),
    ("loop", "Too many levels of symbolic links"),
    ("self", "includes itself"),
    ("many/*.conf", "more than 4096 files"),
    ("also", "more than 500000 parameters"),
];

#[test]
fn every_command_ends_with_one_error() {
    let dir = zoo();
    for (name, want) in ODD {
        fs::write(dir.path().join("ipsec.conf"), format!("include {name}\nconn fine\n left=%any\n")).unwrap();
        // Half a million lines take their time in a build without optimisation: once is enough.
        let all = ["check", "check --json", "addconn --checkconfig", "addconn --addall", "readwriteconf"];
        for command in all.into_iter().take(if name == "also" { 1 } else { all.len() }) {
            let out = ipsec(dir.path(), command);
            let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
            assert_eq!(out.status.code(), Some(3), "{command} {name}: {text}");
            assert!(text.contains(want), "{command} {name}: {text}");
        }
        if !name.contains('*') && name != "also" {
            let out = ipsec(dir.path(), &format!("readwriteconf --config {name}"));
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let start = format!("config file: {name} can not be loaded: ");
            assert!(out.status.code() == Some(3) && text.starts_with(&start), "{name}: {text}");
        }
    }
}

#[test]
fn check_tells_odd_files_of_every_kind() {
    let dir = zoo();
    let conf = "conn a\n left=%defaultroute\n right=198.51.100.1\n authby=secret\n auto=add\n";
    fs::write(dir.path().join("ipsec.conf"), conf).unwrap();
    for (name, want) in ODD.into_iter().filter(|o| !matches!(o.0, "self" | "many/*.conf" | "also")) {
        let name =
            if name.starts_with('/') { name.into() } else { dir.path().join(name).display().to_string() };
        let out = ipsec(dir.path(), &format!("check --l2tpconf {name}"));
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.code() == Some(1) && text.contains(want), "{name}: {text}");
        let l2tp = dir.path().join("xl2tpd.conf");
        fs::write(
            &l2tp,
            format!("[lns default]\nip range = 10.0.0.2-9\nlocal ip = 10.0.0.1\npppoptfile = {name}\n"),
        )
        .unwrap();
        let out = ipsec(dir.path(), &format!("check --l2tpconf {}", l2tp.display()));
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(
            out.status.code() == Some(1) && text.contains(want) && text.contains("[pppoptfile]"),
            "{name}: {text}"
        );
    }
    // Option files that name each other are followed a few steps.
    let options = dir.path().join("options");
    fs::write(&options, format!("file {}\nmtu 9000\n", options.display())).unwrap();
    let l2tp = dir.path().join("xl2tpd.conf");
    fs::write(
        &l2tp,
        format!(
            "[lns default]\nip range = 10.0.0.2-9\nlocal ip = 10.0.0.1\npppoptfile = {}\n",
            options.display()
        ),
    )
    .unwrap();
    let out = ipsec(dir.path(), &format!("check --l2tpconf {}", l2tp.display()));
    assert!(String::from_utf8(out.stdout).unwrap().contains("mtu 9000 does not fit"));
}
