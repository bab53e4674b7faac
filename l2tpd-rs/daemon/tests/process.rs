//! The daemon's processes and descriptors: what its pppds get, what becomes of them, and how many are started at once; and
//! what a reload ends and begins.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]

mod common;

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::path::Path;

use common::*;
use l2tp_proto::avp::attr;
use l2tp_proto::message::{Body, Message, MessageType};

#[test]
fn a_pppd_that_does_not_look_at_its_tty_dies_with_the_daemon_all_the_same() {
    let mut d = Daemon::start("", "#!/bin/sh\nexec sleep 1000\n");
    Lac::new(d.addr, 1).dial(7);
    let line = d.expect("Call established");
    let pid = line.split("PID: ").nth(1).unwrap().split(',').next().unwrap();
    let there = Path::new("/proc").join(pid);
    wait_for("the program", || fs::read_to_string(there.join("comm")).is_ok_and(|c| c == "sleep\n"));
    d.child.kill().unwrap();
    d.child.wait().unwrap();
    // An orphan may wait for its new parent for a while.
    let runs = || fs::read_to_string(there.join("stat")).is_ok_and(|s| !s.contains(") Z "));
    wait_for("its end", || !runs());
}

#[test]
fn calls_leave_no_descriptor_behind() {
    // One that runs, and one that does not even start.
    let mut d = Daemon::start("", STUB);
    let mut lac = Lac::new(d.addr, 1);
    let open = |d: &Daemon| fs::read_dir(format!("/proc/{}/fd", d.child.id())).unwrap().count();
    let end = |d: &mut Daemon, sid: u16, session: u16| {
        assert_eq!(d.command(&format!("h {session}")), "00 OK\n");
        d.expect(&format!(" for call {sid} "));
    };
    let first = lac.dial(7);
    d.expect("Call established");
    let with_one = open(&d);
    end(&mut d, 7, first);
    lac.receive();
    let idle = open(&d);
    assert!(idle < with_one);
    for sid in 10..20 {
        let session = lac.call(sid);
        d.expect("Call established");
        end(&mut d, sid, session);
        lac.receive();
    }
    assert_eq!(open(&d), idle);
    fs::remove_file(d.at("pppd")).unwrap();
    for sid in 20..30 {
        lac.call(sid);
        assert_eq!(lac.receive().kind, Some(MessageType::CDN));
    }
    assert_eq!(open(&d), idle);
}

#[test]
fn of_many_calls_at_once_a_few_pppds_are_started_before_others_are_served() {
    const CALLS: u16 = 20;
    const AT_ONCE: usize = 8;
    let lns = "[lns default]\nip range = 10.9.8.2-99\n";
    let mut d = Daemon::with(&format!("[global]\n{BASE}max calls per tunnel = 100\n{lns}"), STUB);
    let mut lac = Lac::new(d.addr, 1);
    lac.dial(1);
    d.expect("Call established");
    let sessions: Vec<u16> = (2..2 + CALLS)
        .map(|sid| {
            lac.send(0, Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes()));
            lac.receive().assigned_session.unwrap()
        })
        .collect();
    // While the daemon stands still everything comes: calls that are connected, and commands, of which a wake-up takes 16.
    d.signal("-STOP");
    let stat = format!("/proc/{}/stat", d.child.id());
    wait_for("the stop", || fs::read_to_string(&stat).unwrap().contains(") T "));
    for session in sessions {
        lac.send(session, Body::new(MessageType::ICCN).must(attr::TX_CONNECT_SPEED, &[0, 1, 0, 0]));
    }
    let mut pipe = fs::OpenOptions::new().write(true).open(d.at("ctl")).unwrap();
    // Four fill a read.
    let command = format!("q{}\n", " ".repeat(1022));
    pipe.write_all(command.repeat(3 * 16).as_bytes()).unwrap();
    d.signal("-CONT");
    drop(pipe);
    let (mut started, mut in_a_row, mut most) = (0, 0, 0);
    while started < CALLS {
        match d.expect("") {
            l if l.contains("Call established") => (started, in_a_row) = (started + 1, in_a_row + 1),
            l if l.contains("Unknown command q") => in_a_row = 0,
            _ => {}
        }
        most = most.max(in_a_row);
    }
    assert_eq!(most, AT_ONCE);
}

#[test]
fn a_flood_of_requests_for_tunnels_costs_no_memory() {
    let mut d = Daemon::start("", STUB);
    Lac::new(d.addr, 1).dial(7);
    d.expect("Call established");
    let held = || {
        let status = fs::read_to_string(format!("/proc/{}/status", d.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let before = held();
    let mut flood = Lac::new(d.addr, 2);
    // As many as the daemon comes to: what a full socket does not take is lost.
    wait_for("20,000 refusals", || {
        for _ in 0..200 {
            flood.tid = flood.tid.wrapping_add(1).max(2);
            let body = flood.sccrq();
            flood.socket.send_to(&l2tp_proto::header::control(0, 0, 0, 0, &body.done()), d.addr).unwrap();
        }
        let counters = d.command("i counters");
        let line = counters.lines().find_map(|l| l.strip_prefix("limit_half_open_per_peer ")).unwrap();
        line.parse::<u64>().unwrap() > 20_000
    });
    let list = d.command("x");
    let count = list.lines().find_map(|l| l.strip_prefix("00 AVAILABLE tunnels count=")).unwrap();
    assert!(count.parse::<usize>().unwrap() <= 9, "one that stands and eight that are half-open: {count}");
    // Without the limits it is several times that.
    let more = held().saturating_sub(before);
    assert!(more < 4096, "{more} KiB");
}

/// The SCCRQ that comes next, answered; a call that is asked for is connected.
fn serve(server: &mut Lac) -> Message {
    (server.lns_tid, server.ns, server.nr) = (0, 0, 0);
    let m = server.receive();
    assert_eq!(m.kind, Some(MessageType::SCCRQ));
    server.lns_tid = m.assigned_tunnel.unwrap();
    let sccrp = Body::new(MessageType::SCCRP)
        .must(attr::PROTOCOL_VERSION, &[1, 0])
        .must(attr::HOST_NAME, b"lns")
        .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
        .must(attr::ASSIGNED_TUNNEL_ID, &server.tid.to_be_bytes());
    server.send(0, sccrp);
    assert_eq!(server.receive().kind, Some(MessageType::SCCCN));
    let session = server.receive().assigned_session.unwrap();
    server.send(session, Body::new(MessageType::ICRP).must(attr::ASSIGNED_SESSION_ID, &[0, 7]));
    assert_eq!(server.receive().kind, Some(MessageType::ICCN));
    m
}

#[test]
fn a_reload_ends_what_is_gone_begins_what_is_new_and_touches_nothing_else() {
    let mut servers: Vec<Lac> = (0..3)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            Lac { socket, to: ([127, 0, 0, 1], 0).into(), tid: 5, lns_tid: 0, ns: 0, nr: 0, host: "lns" }
        })
        .collect();
    let ports: Vec<u16> = servers.iter().map(|s| s.socket.local_addr().unwrap().port()).collect();
    let section = |name: &str, port: u16, more: &str| {
        format!("[lac {name}]\nlns = 127.0.0.1:{port}\nautodial = yes\n{more}")
    };
    let lns = "[lns default]\nip range = 10.9.8.2-9\nlocal ip = 10.9.8.1\n";
    let before = section("stays", ports[0], "") + &section("goes", ports[1], "") + lns;
    let mut d = Daemon::with(&format!("[global]\n{BASE}{before}"), STUB);
    for s in &mut servers[..2] {
        s.to = d.addr;
        serve(s);
    }
    d.expect("Call established");
    d.expect("Call established");
    let mut caller = Lac::new(d.addr, 1);
    let session = caller.dial(7);
    d.expect("Call established with 127.0.0.1, PID: ");
    // One is changed, one is gone, one is new; nobody is an LNS any more; there is a limit.
    let text = fs::read_to_string(d.at("conf")).unwrap();
    let after = section("stays", ports[0], "hostname = other\n") + &section("comes", ports[2], "");
    let text = text.replace(&before, &after).replace("[global]\n", "[global]\nmax calls = 3\n");
    fs::write(d.at("conf"), text).unwrap();
    d.signal("-HUP");
    servers[2].to = d.addr;
    serve(&mut servers[2]);
    let m = servers[1].receive();
    assert_eq!((m.kind, m.result.unwrap().text.as_str()), (Some(MessageType::STOPCCN), "Goodbye!"));
    d.expect("configuration read again");
    let calls = d.command("i calls");
    assert_eq!(calls.lines().count(), 2 + 3, "the caller's, the one that stays, the new one: {calls}");
    assert!(calls.contains(&session.to_string()));
    assert!(servers[0].body_within(std::time::Duration::from_millis(300)).is_none(), "not a word");
    // A fourth call is one too many, and a new caller has no section.
    assert_eq!(d.command(&format!("c {}", servers[0].lns_tid)), "00 OK\n");
    d.expect("Too many calls (3)");
    let mut other = Lac::new(d.addr, 2);
    let body = other.sccrq();
    other.send(0, body);
    d.expect("Denied connection to unauthorized peer");
    // What was changed counts from the next dial on.
    assert_eq!(d.command("d stays"), "00 OK\n");
    while servers[0].receive().kind != Some(MessageType::STOPCCN) {}
    assert_eq!(d.command("c stays"), "00 OK\n");
    (servers[0].lns_tid, servers[0].ns, servers[0].nr) = (0, 0, 0);
    assert_eq!(servers[0].receive().host_name.as_deref(), Some("other"));
}
