//! Who calls a machine without an IKE daemon is told so at once, and not only that nobody answers.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

mod common;

use std::io::{BufRead, BufReader};

use common::Daemon;
use ipsec_types::auth::AuthBy;
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec};

#[test]
fn a_machine_that_refuses_is_named() {
    let daemon = Daemon::start("0");
    let host = |a: &str| EndSpec { host: HostSpec::Addr(a.parse().unwrap()), ..EndSpec::default() };
    let conn = ConnSpec {
        name: "nobody".into(),
        left: host("127.0.0.1"),
        right: host("127.0.0.2"),
        authby: AuthBy::PSK,
        ..ConnSpec::default()
    };
    daemon.told(&[Request::Add(Box::new(conn)), Request::Listen]);
    let up = daemon.ask(&[Request::Initiate { name: "nobody".into(), asynchronous: false }]);
    // The answer may wait for more lines; the log does not.
    let deadline = std::time::Instant::now() + common::PATIENCE;
    let line = loop {
        let log = std::fs::File::open(daemon.path("log")).unwrap();
        let found = BufReader::new(log).lines().map_while(Result::ok).find(|l| l.contains("asynchronous"));
        if let Some(line) = found {
            break line;
        }
        assert!(std::time::Instant::now() < deadline, "nothing was told");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    drop(up);
    assert!(line.contains("\"nobody\" #1: ERROR: asynchronous network error report on lo (sport="), "{line}");
    let why = "complainant 127.0.0.2: Connection refused [errno 111, origin ICMP type 3 code 3 (not authenticated)]";
    assert!(line.contains(" for message to 127.0.0.2 port ") && line.ends_with(why), "{line}");
}
