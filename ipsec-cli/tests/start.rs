//! `pluto` started the way libreswan's is, in containers above all: it reads the configuration by itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ipsec(dir: &Path, words: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_ipsec"))
        .args(words)
        .env("IPSEC_CONFS", dir)
        .env("IPSEC_CTLBASE", dir.join("run/pluto"))
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// Waits for the end.
fn exit_code(running: &mut Running) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "it runs on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for something in a text.
fn has(text: impl Fn() -> String, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !text().contains(wanted) {
        assert!(Instant::now() < deadline, "no {wanted} in:\n{}", text());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn pluto_with_config_loads_the_conns() {
    let built = Command::new(env!("CARGO")).args(["build", "-q", "-p", "pluto"]).status().unwrap();
    assert!(built.success(), "pluto does not build");
    let pluto = Path::new(env!("CARGO_BIN_EXE_ipsec")).with_file_name("pluto");
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // One that is free, and the one that goes with it.
    let free = |port: &u16| {
        [*port, port + 4000].iter().all(|p| std::net::UdpSocket::bind(("127.0.0.1", *p)).is_ok())
    };
    let first = 24_000 + u16::try_from(std::process::id() % 3000).unwrap();
    let port = (first..28_000).find(free).unwrap();
    let conf = dir.join("ipsec.conf");
    let conn = |name: &str| {
        format!("conn {name}\n left=127.0.0.1\n right=%any\n authby=secret\n type=transport\n auto=add\n")
    };
    let setup =
        format!("config setup\n logfile={0}/log\n listen=127.0.0.1\n ikeport={port}\n", dir.display());
    fs::write(&conf, format!("{setup}\n{}", conn("first"))).unwrap();
    fs::write(dir.join("ipsec.secrets"), ": PSK \"only for tests\"\n").unwrap();
    fs::set_permissions(dir.join("ipsec.secrets"), fs::Permissions::from_mode(0o600)).unwrap();
    let start = |conf: &Path| {
        let mut command = Command::new(&pluto);
        command.arg("--leak-detective").arg("--config").arg(conf).args(["--nofork", "--noklips", "--rundir"]);
        command.arg(dir.join("run")).arg("--secretsfile").arg(dir.join("ipsec.secrets"));
        command.arg("--ipsecdir").arg(dir.join("ipsec.d")).env("IPSEC_LIBDIR", "");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    };
    let running = start(&conf);
    let status = || ipsec(dir, &["whack", "--status"]);
    has(status, "\"first\":");
    has(status, "interface lo/lo 127.0.0.1");
    let log = || fs::read_to_string(dir.join("log")).unwrap_or_default();
    for line in [
        "reading the configuration (".to_string(),
        "added connection description \"first\"".to_string(),
        format!("adding interface lo/lo 127.0.0.1:{port}"),
    ] {
        has(log, &line);
    }
    assert_eq!(fs::metadata(dir.join("run")).unwrap().permissions().mode() & 0o777, 0o700);
    // A second one for the same directory refuses.
    let mut second = start(&conf);
    assert_eq!(exit_code(&mut second), Some(10));
    // SIGHUP reads the same file again.
    // The log has been rotated meanwhile.
    fs::rename(dir.join("log"), dir.join("log.1")).unwrap();
    fs::write(&conf, format!("{setup}\n{}{}", conn("first"), conn("second"))).unwrap();
    let hup = Command::new("kill").args(["-HUP", &running.0.id().to_string()]).status().unwrap();
    assert!(hup.success());
    has(status, "\"second\":");
    has(log, "added connection description \"second\"");
    // What cannot be loaded is told there, too.
    fs::write(&conf, format!("{setup}\n{}conn third\n right=\"\n auto=add\n", conn("first"))).unwrap();
    let hup = Command::new("kill").args(["-HUP", &running.0.id().to_string()]).status().unwrap();
    assert!(hup.success());
    has(log, "ipsec.conf:");
    assert!(!log().contains("description \"first\""));
    drop(running);
    // A file that cannot be read is one clear line, and no daemon.
    fs::remove_file(&conf).unwrap();
    let mut broken = start(&conf);
    let status = exit_code(&mut broken);
    let text = std::io::read_to_string(broken.0.stderr.take().unwrap()).unwrap();
    assert!(status == Some(1) && text.contains("/ipsec.conf") && text.contains("cannot be loaded"), "{text}");
}
