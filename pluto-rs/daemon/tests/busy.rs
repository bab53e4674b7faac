//! While a private key takes its time, the daemon goes on with everything else: the key file is a pipe that nobody has
//! written to yet.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipsec_types::auth::AuthBy;
use ipsec_types::conn::ConnType;
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec};

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// One with a pre-shared key and no kernel, that listens on 127.0.0.1.
    fn start(nhelpers: &str) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("ipsec.d/private")).unwrap();
        fs::write(dir.path().join("secrets"), ": PSK \"only for tests\"\n").unwrap();
        let port = loop {
            let free = |port| UdpSocket::bind(("127.0.0.1", port)).ok()?.local_addr().ok();
            let port = free(0).unwrap().port();
            if port < 61_000 && free(port + 4000).is_some() {
                break port;
            }
        };
        let child = Command::new(env!("CARGO_BIN_EXE_pluto"))
            .args(["--nofork", "--noklips", "--stderrlog", "--listen", "127.0.0.1", "--nhelpers", nhelpers])
            .args(["--ikeport", &port.to_string(), "--ctlbase"])
            .arg(dir.path().join("pluto"))
            .arg("--secretsfile")
            .arg(dir.path().join("secrets"))
            .arg("--ipsecdir")
            .arg(dir.path().join("ipsec.d"))
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let daemon = Daemon { child, dir, port };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(daemon.path("pluto.ctl")).is_err() {
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(daemon.path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Sends requests over one connection.
    fn ask(&self, requests: &[Request]) -> UnixStream {
        let mut stream = UnixStream::connect(self.path("pluto.ctl")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let all = std::iter::once(&Request::Batch).chain(requests);
        let text: String = all.map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream
    }

    fn told(&self, requests: &[Request]) -> String {
        let mut text = String::new();
        self.ask(requests).read_to_string(&mut text).unwrap();
        text
    }

    /// The first message of Main Mode; returns the type of the payload that is answered.
    fn call(&self, cookie: u8) -> u8 {
        let transform = [
            &[0u8, 0, 0, 0, 1, 1, 0, 0][..],
            // AES-128, SHA1, pre-shared key, MODP 2048, an hour
            &[0x80, 1, 0, 7, 0x80, 14, 0, 128, 0x80, 2, 0, 2, 0x80, 3, 0, 1, 0x80, 4, 0, 14, 0x80, 11, 0, 1],
            &[0x80, 12, 14, 16],
        ]
        .concat();
        let long = |n: usize| u8::try_from(n).unwrap();
        let proposal = [&[0, 0, 0, long(8 + transform.len()), 0, 1, 0, 1][..], &transform].concat();
        let mut proposal = proposal;
        proposal[8 + 3] = long(transform.len());
        let sa = [&[0, 0, 0, long(12 + proposal.len()), 0, 0, 0, 1, 0, 0, 0, 1][..], &proposal].concat();
        let header = [&[cookie; 8][..], &[0; 8], &[1, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, long(28 + sa.len())]];
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&[header.concat(), sa].concat(), ("127.0.0.1", self.port)).unwrap();
        let mut answer = [0; 2048];
        let n = socket.recv(&mut answer).unwrap();
        assert!(n > 28 && answer[..8] == [cookie; 8] && answer[8..16] != [0; 8]);
        answer[16]
    }
}

fn road_warriors() -> Request {
    let host = |a: &str| HostSpec::Addr(a.parse().unwrap());
    Request::Add(Box::new(ConnSpec {
        name: "all".into(),
        left: EndSpec { host: host("127.0.0.1"), ..EndSpec::default() },
        right: EndSpec { host: HostSpec::Any, ..EndSpec::default() },
        authby: AuthBy::PSK,
        conn_type: ConnType::Transport,
        ..ConnSpec::default()
    }))
}

fn waits(stream: &UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let waits = (&*stream).read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    waits
}

/// A key that is not read before the pipe that is returned is written to and closed. `ask` has it read.
fn slow_key(daemon: &Daemon, ask: impl FnOnce()) -> File {
    let pipe = daemon.path("ipsec.d/private/slow.key");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(daemon.path("secrets"), ": PSK \"only for tests\"\n: RSA slow.key\n").unwrap();
    ask();
    // This waits until the daemon has opened the pipe.
    File::options().write(true).open(&pipe).unwrap()
}

fn plain_key() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/plain.key"))
}

fn finish(mut slow: File) {
    slow.write_all(&fs::read(plain_key()).unwrap()).unwrap();
}

/// Clients at a time.
const PLACES: usize = 64;

/// Whoever waits takes a place, also when he has said that he asks no more; whoever is killed gives it up.
#[test]
fn clients_that_hang_up_give_up_their_places_at_once() {
    let daemon = Daemon::start("0");
    let mut waiting = Vec::new();
    let slow = slow_key(&daemon, || waiting.push(daemon.ask(&[Request::RereadSecrets])));
    let (full, served) = ("too many requests at a time", "\"all\"");
    daemon.told(&[road_warriors()]);
    let status = || daemon.told(&[Request::Status]);
    let has_room = || {
        let deadline = Instant::now() + PATIENCE;
        while !status().contains(served) {
            assert!(Instant::now() < deadline, "a place that nobody has is not given to anybody");
        }
    };
    while waiting.len() < PLACES - 1 {
        waiting.push(daemon.ask(&[Request::RereadSecrets, Request::Status]));
    }
    has_room();
    waiting.push(daemon.ask(&[Request::RereadSecrets]));
    let deadline = Instant::now() + PATIENCE;
    while !status().contains(full) {
        assert!(Instant::now() < deadline, "one place is left too many");
    }
    // Both a batch of which a part is held back, and what is under way.
    for n in [PLACES - 1, 5, 0] {
        drop(waiting.remove(n));
        has_room();
    }
    // And one that speaks of one thing only, without a word of its end.
    let mut single = UnixStream::connect(daemon.path("pluto.ctl")).unwrap();
    let line = serde_json::to_string(&Request::RereadSecrets).unwrap() + "\n";
    single.write_all(line.as_bytes()).unwrap();
    assert!(waits(&single));
    drop(single);
    has_room();
    // Those that are left are answered; what they ask is not slow any more.
    let pipe = daemon.path("ipsec.d/private/slow.key");
    fs::remove_file(&pipe).unwrap();
    fs::copy(plain_key(), &pipe).unwrap();
    finish(slow);
    for mut stream in waiting {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("loaded private key file"), "{text}");
    }
}

#[test]
fn ike_and_other_commands_are_answered_while_a_key_is_loaded() {
    for nhelpers in ["0", "1"] {
        let daemon = Daemon::start(nhelpers);
        daemon.told(&[road_warriors(), Request::Listen]);
        assert_eq!(daemon.call(1), 1, "an SA payload");

        let mut waiting = None;
        let slow = slow_key(&daemon, || {
            let all = [Request::RereadSecrets, Request::Delete { name: "all".into() }];
            waiting = Some(daemon.ask(&all));
        });
        let mut waiting = waiting.unwrap();

        assert_eq!(daemon.call(2), 1, "an SA payload");
        assert!(
            daemon.told(&[Request::Status]).contains("\"all\""),
            "what comes behind it has not been done"
        );
        assert!(waits(&waiting));

        finish(slow);
        let mut text = String::new();
        waiting.read_to_string(&mut text).unwrap();
        assert!(text.contains("loaded private key file") && text.contains("\"all\""), "{text}");
        assert!(!daemon.told(&[Request::Status]).contains("\"all\""));
    }
}
