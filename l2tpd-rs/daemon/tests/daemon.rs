//! The daemon as a process: a scripted LAC over a real socket, and a shell script in pppd's place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use common::*;
use l2tp_proto::avp::attr;
use l2tp_proto::message::{Body, MessageType};

fn gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// The pid in "Call established with ..., PID: N, ...".
fn pid_of(line: &str) -> u32 {
    line.split("PID: ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()
}

#[test]
fn a_call_from_sccrq_to_frames_both_ways_and_hang_up() {
    let mut d = Daemon::start("", STUB);
    let mut lac = Lac::new(d.addr, 1);
    let session = lac.dial(7);
    let pid = pid_of(&d.expect("Call established with 127.0.0.1, PID: "));
    // Held until pppd speaks, and then pppd's own frame until we do.
    lac.data(session, b"\xff\x03\xc0\x21hello");
    assert_eq!(lac.frame(), [0xff, 3, 0xc0, 0x21, 1, 1, 0, 4]);
    let mut want = Vec::new();
    l2tp_proto::hdlc::encode(b"\xff\x03\xc0\x21hello", &mut want);
    wait_for("the frame on pppd's tty", || fs::read(d.at("tty")).unwrap_or_default() == want);
    let argv = fs::read_to_string(d.at("argv")).unwrap();
    assert!(argv.contains(" passive nodetach 10.9.8.1:10.9.8.2 name x"), "{argv}");
    let fds = fs::read_to_string(d.at("fds")).unwrap();
    // The script's own descriptors apart, there are the tty and the log.
    assert!(fds.contains("0 -> /dev/pts/"), "{fds}");
    for ours in ["socket:", "ptmx", "eventpoll", "ctl", "/etc/passwd"] {
        assert!(!fds.contains(ours), "{ours} is inherited: {fds}");
    }
    lac.send(
        session,
        Body::new(MessageType::CDN).must(attr::RESULT_CODE, &[0, 3]).must(attr::ASSIGNED_SESSION_ID, &[0, 7]),
    );
    d.expect("control_finish: Connection closed to 127.0.0.1, serial 0 ()");
    let line = d.expect(&format!("call_close: call {session} with 127.0.0.1, address 10.9.8.2: "));
    assert!(line.ends_with(" s, 9 octets received, 8 sent; the peer has hung up: 3 ()"), "{line}");
    d.expect(&format!("sending TERM signal to pid {pid}"));
    wait_for("pppd's end", || gone(pid));
    assert!(d.command("x").contains("calls count=0"));
}

#[test]
fn without_pppd_calls_stand_are_counted_and_end() {
    let mut d = Daemon::start("pppd = none\n", STUB);
    let mut lac = Lac::new(d.addr, 1);
    let first = lac.dial(7);
    d.expect("Call established with 127.0.0.1, PID: 0");
    let second = lac.call(8);
    d.expect("Call established with 127.0.0.1, PID: 0");
    lac.data(first, b"\xff\x03\x00\x21 to nobody");
    wait_for("the frame's octets", || {
        let calls = d.command("i calls");
        calls.lines().any(|l| l.starts_with(&first.to_string()) && l.contains(" null ") && l.ends_with(" 14"))
    });
    assert!(!d.at("argv").exists(), "a pppd was started");
    assert!(d.command("i pool").contains("in use: 2"));
    // By us, by the peer.
    assert_eq!(d.command(&format!("k {first}")), "00 OK: 1 calls end\n");
    lac.send(
        second,
        Body::new(MessageType::CDN).must(attr::RESULT_CODE, &[0, 3]).must(attr::ASSIGNED_SESSION_ID, &[0, 8]),
    );
    wait_for("the addresses", || d.command("i pool").contains("in use: 0"));
    assert!(d.command("x").contains("calls count=0"));
}

#[test]
fn pppd_that_ends_or_cannot_be_started_is_told_to_the_peer() {
    let mut d = Daemon::start("", "#!/bin/sh\nexit 11\n");
    let mut lac = Lac::new(d.addr, 1);
    lac.dial(7);
    let m = lac.receive();
    assert_eq!((m.kind, m.result.unwrap().code), (Some(MessageType::CDN), 3));
    d.expect("child_handler : pppd exited for call 7 with code 11");
    d.expect("authentication failed: the peer did not prove who it is");
    fs::remove_file(d.at("pppd")).unwrap();
    lac.call(8);
    assert_eq!(lac.receive().kind, Some(MessageType::CDN));
    d.expect("pppd failed! (No such file or directory");
    assert!(d.command("x").contains("calls count=0"));
}

#[test]
fn sigterm_and_sigint_say_goodbye_reap_pppds_and_remove_the_files() {
    for signal in ["-TERM", "-INT"] {
        let mut d = Daemon::start("", STUB);
        let mut lac = Lac::new(d.addr, 1);
        lac.dial(7);
        let pid = pid_of(&d.expect("Call established"));
        let start = Instant::now();
        d.signal(signal);
        let m = lac.receive();
        let said = (m.kind, m.result.unwrap().text);
        assert_eq!(said, (Some(MessageType::STOPCCN), "Server closing".into()), "{signal}");
        assert!(d.child.wait().unwrap().success());
        assert!(start.elapsed() < Duration::from_secs(2));
        assert!(gone(pid) && !d.at("ctl").exists() && !d.at("pid").exists());
    }
}

#[test]
fn kill_9_takes_the_pppds_along_and_does_not_block_the_next_start() {
    let mut d = Daemon::start("", STUB);
    let mut lac = Lac::new(d.addr, 1);
    lac.dial(7);
    let pid = pid_of(&d.expect("Call established"));
    d.child.kill().unwrap();
    d.child.wait().unwrap();
    wait_for("pppd's end", || gone(pid));
    assert!(d.at("ctl").exists() && d.at("pid").exists());
    (d.child, d.lines) = spawn(&d.dir);
    let line = d.expect("Listening on IP address");
    d.addr.set_port(line.rsplit(' ').next().unwrap().parse().unwrap());
    Lac::new(d.addr, 1).dial(7);
    d.expect("Call established");
}

#[test]
fn callers_get_their_addresses_again_after_a_crash() {
    let mut d = Daemon::start("", STUB);
    for (n, host) in ["one", "two"].into_iter().enumerate() {
        let mut lac = Lac::new(d.addr, 1);
        lac.host = host;
        lac.dial(7);
        d.expect(&format!("\"10.9.8.1:10.9.8.{}\"", n + 2));
    }
    d.child.kill().unwrap();
    d.child.wait().unwrap();
    (d.child, d.lines) = spawn(&d.dir);
    let line = d.expect("Listening on IP address");
    d.addr.set_port(line.rsplit(' ').next().unwrap().parse().unwrap());
    for (host, addr) in [("two", 3), ("three", 2), ("one", 4)] {
        let mut lac = Lac::new(d.addr, 1);
        lac.host = host;
        lac.dial(7);
        d.expect(&format!("\"10.9.8.1:10.9.8.{addr}\""));
    }
}

#[test]
fn a_second_daemon_with_the_same_pid_file_does_not_start() {
    let d = Daemon::start("", STUB);
    let (mut second, lines) = spawn(&d.dir);
    assert!(!second.wait().unwrap().success());
    assert!(lines.iter().any(|l| l.contains("consider_pidfile: There's already a xl2tpd server running.")));
}

#[test]
fn a_reload_keeps_calls_and_an_error_changes_nothing() {
    let mut d = Daemon::start("", STUB);
    let mut lac = Lac::new(d.addr, 1);
    lac.dial(7);
    d.expect("Call established");
    let good = fs::read_to_string(d.at("conf")).unwrap();
    fs::write(d.at("conf"), format!("{good}ip rang = 1.1.1.1\n")).unwrap();
    d.signal("-HUP");
    let place = d.expect("Unknown field 'ip rang'");
    assert!(place.contains("conf:11:1: Unknown field"), "{place}");
    d.expect("parse_config: line 11: Unknown field 'ip rang'");
    d.expect("everything stays as it was");
    fs::write(d.at("conf"), good.replace("10.9.8.2-9", "10.9.8.77")).unwrap();
    d.signal("-HUP");
    d.expect("configuration read again");
    lac.data(1, b"x");
    assert!(d.command("y default").contains("tunnels.0.calls.count=1"));
    let mut other = Lac::new(d.addr, 2);
    other.dial(9);
    d.expect("\"10.9.8.1:10.9.8.77\"");
}

#[test]
fn the_control_pipe_answers_and_a_writer_that_stays_stops_nobody() {
    let mut d = Daemon::start("", STUB);
    let _stays = fs::OpenOptions::new().write(true).open(d.at("ctl")).unwrap();
    let mut lac = Lac::new(d.addr, 1);
    let session = lac.dial(7);
    d.expect("Call established");
    assert_eq!(d.command("c somewhere"), "01 No such tunnel 'somewhere'\n");
    assert!(d.command("q").starts_with("01 Unknown command q"));
    assert!(d.command("y other").starts_with("01 Error: Could not find lns"));
    assert_eq!(d.command(&format!("h {session}")), "00 OK\n");
    assert_eq!(lac.receive().kind, Some(MessageType::CDN));
    assert_eq!(d.command("d 0"), "01 No such tunnel '0'\n");
    assert_eq!(d.command(&format!("d {}", lac.lns_tid)), "00 OK\n");
    assert_eq!(lac.receive().result.unwrap().text, "Goodbye!");
    d.signal("-USR1");
    d.expect("====== xl2tpd statistics ========");
    d.expect("Number of tunnels open: 0");
}

#[test]
fn in_clear_without_listen_plain_there_is_no_answer() {
    let mut d = Daemon::start("listen-plain = no\n", STUB);
    let mut lac = Lac::new(d.addr, 1);
    let body = lac.sccrq();
    lac.send(0, body);
    d.expect("Denied connection to unauthorized peer 127.0.0.1: SCCRQ came in clear, not through IPsec (listen-plain = no)");
    lac.socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(lac.socket.recv(&mut [0; 100]).is_err());
}

#[test]
fn garbage_in_quantity_does_not_disturb_a_call() {
    let mut d = Daemon::start("", STUB);
    let mut lac = Lac::new(d.addr, 1);
    let session = lac.dial(7);
    d.expect("Call established");
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut x = 1u32;
    for i in 0..20_000usize {
        let junk: Vec<u8> = (0..i % 60)
            .map(|_| {
                x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (x >> 24) as u8
            })
            .collect();
        other.send_to(&junk, d.addr).unwrap();
    }
    lac.data(session, b"\xff\x03after");
    assert!(d.command("y default").contains("tunnels.count=1"));
    let mut want = Vec::new();
    l2tp_proto::hdlc::encode(b"\xff\x03after", &mut want);
    wait_for("the frame", || {
        lac.data(session, b"\xff\x03after");
        fs::read(d.at("tty")).unwrap_or_default().windows(want.len()).any(|w| w == want)
    });
    assert!(d.lines.try_iter().count() < 100, "the log is bounded");
}

#[test]
fn a_configuration_that_does_not_parse_ends_the_start_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("conf"), "[global]\n\n port 1701\n").unwrap();
    let (mut child, lines) = spawn(&dir);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let all: Vec<String> = lines.iter().collect();
    assert!(all[0].ends_with("conf:3:2: line too long or no '=' in data"), "{all:?}");
    assert!(all[2].ends_with("     ^ expected 'keyword = value' or '; comment'"), "{all:?}");
    assert!(all[3].ends_with("parse_config: line 3: line too long or no '=' in data"), "{all:?}");
    assert!(all[4].ends_with("init: Unable to load config file"), "{all:?}");
}
