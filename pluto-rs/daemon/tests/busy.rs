//! While a private key takes its time, the daemon goes on with everything else: the key file is a pipe that nobody has
//! written to yet.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

mod common;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::{Daemon, PATIENCE};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::ConnType;
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec};

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
