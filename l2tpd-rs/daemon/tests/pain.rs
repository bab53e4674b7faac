//! What users of xl2tpd suffer from, and what ours does there. Rows that other tests show name them; `engine` is the crate
//! `l2tp-proto`, `lab` a scenario of the lab.
//!
//! | | pain | answer | shown by |
//! |---|---|---|---|
//! | 1 | one client behind a NAT | address, port and mark tell clients apart | engine `strangers::two_clients_behind_one_nat_…`; lab `nat-two` |
//! | 2 | "Maximum retries exceeded" | data counts, HELLO only when idle, `hello interval`, `cap backoff`; the line names the message | engine `quirks::a_peer_that_never_…`, `lns::hello_only_…`; `keywords` |
//! | 3 | does not reconnect | all addresses of all `lns`, looked up each time | engine `both::a_hostname_with_a_dead_address_…`, `both::a_lost_server_…`, `both::max_redials_of_one_…` |
//! | 4 | crashes, leaks | no state before an SCCRQ, bounds | engine `hostile`, `memory`; `garbage_in_quantity_…` |
//! | 5 | 100 to 500 sessions | hash tables, epoll, descriptors as many as the system has | `make bench` (scale); lab `l2tp-many`; `as_many_descriptors_…` |
//! | 6 | pool runs dry | an address goes back once, whatever the peer acknowledges | engine `lns::ten_thousand_calls_…` |
//! | 7 | kills other processes | only pppds that are not reaped | `daemon::calls`; `a_pppd_that_has_ended_…` |
//! | 8 | slow | batches, HDLC by blocks | `make bench` |
//! | 9 | 100 % of a processor | no write waits; a pppd ends with its tty | `datapath::a_slow_pppd_…`, `a_stopped_pppd_…` |
//! | 10 | kernel mode fails | per call, with one line; else a pty | lab `l2tp-lns`, `l2tp-networkmanager` |
//! | 11 | no `/dev/ppp` | said in words | `a_pppd_without_a_kernel_…` |
//! | 12 | wrong source address | answers leave from the address asked | `udp::answers_leave_from_…` |
//! | 13 | strict AVPs | see there | engine `wire_wanted`, `quirks` |
//! | 14 | the route to the server leads into the tunnel | dropped, with a line | `a_call_that_carries_its_own_tunnel_…` |
//! | 15 | no IPv6 | inside, not outside | lab `l2tp-auth` (IPv6CP) |
//! | 16 | ip-down does not run | pppd is given time at every end | `daemon::sigterm_and_sigint_say_goodbye_…`; lab `l2tp-lns` |
//! | 17 | control interface | answers, JSON, no waiting | `daemon::the_control_pipe_…`, `control` |
//! | 18 | no reload | HUP | `daemon::a_reload_keeps_calls_…`, `process::a_reload_ends_…` |
//! | 19 | exit status 1 after a stop | 0 | `daemon::sigterm_and_sigint_say_goodbye_…` |
//! | 20 | cannot bind at boot | binds to what will be there | `an_address_that_is_not_there_yet_…` |
//! | 21 | who calls is not known | CALLER_ID, `pass peer`, the status | `pppd_is_told_who_calls`; `keywords` |
//! | 22 | secrets are mixed up | `--check`, warnings | `check`; `conf::tests` |
//! | 23 | errors of the configuration are obscure | place, cause, what was meant | `conf::tests`, `daemon::a_configuration_that_does_not_parse_…` |
//! | 24 | no fixed addresses | chap-secrets, and what PPP agrees on | engine `lns::the_pool_follows_…`; lab `l2tp-auth` |
//! | 25 | NetworkManager and port 1701 | any port | `keywords` (`port`); lab `l2tp-nm` |
//! | 26 | MTU | from the route where no file says | `mtu`; `pppd::tests` |
//! | 27 | in clear | refused where IPsec covers the port | `daemon::in_clear_without_…` |
//! | 28 | hygiene | addresses are checked, ids are free and random, limits | engine `strangers`, `wire::ids_are_never_0_…` |
//! | 29 | outgoing and further calls | any number on a tunnel | engine `both::further_calls_…`, `both::outgoing_calls_…` |
//! | 30 | logs | one line a call, limits on strangers' lines | `daemon::a_call_from_sccrq_…`; engine `limit` |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use common::*;
use l2tp_proto::avp::attr;
use l2tp_proto::hdlc;
use l2tp_proto::message::{Body, MessageType};

#[test]
fn as_many_descriptors_as_the_system_allows() {
    let d = Daemon::start("", STUB);
    let limits = fs::read_to_string(format!("/proc/{}/limits", d.child.id())).unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard: {line}");
}

#[test]
fn a_pppd_that_has_ended_is_not_signalled() {
    let mut d = Daemon::start("", "#!/bin/sh\nexit 0\n");
    let mut lac = Lac::new(d.addr, 1);
    let session = lac.dial(7);
    d.expect("child_handler : pppd exited for call 7 with code 0");
    assert_eq!(lac.receive().kind, Some(MessageType::CDN));
    assert_eq!(d.command(&format!("h {session}")), "00 OK\n");
    d.signal("-TERM");
    assert!(d.child.wait().unwrap().success());
    let all: Vec<String> = d.seen.iter().cloned().chain(d.lines.iter()).collect();
    assert!(!all.iter().any(|l| l.contains("Terminating pppd")), "{all:#?}");
}

#[test]
fn a_stopped_pppd_costs_no_time_and_disturbs_nobody() {
    // It reads nothing.
    let mut d = Daemon::start("", "#!/bin/sh\nexec sleep 100\n");
    let mut lac = Lac::new(d.addr, 1);
    let session = lac.dial(7);
    d.expect("Call established");
    for _ in 0..3000 {
        lac.data(session, &[0x55; 1400]);
    }
    wait_for("frames to be dropped", || {
        let counters = d.command("i counters");
        let line = counters.lines().find(|l| l.starts_with("dropped_for_slow_pppds")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() > 0
    });
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", d.child.id())).unwrap();
        let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap()
    };
    wait_for("it to rest", || {
        let before = ticks();
        std::thread::sleep(std::time::Duration::from_millis(300));
        ticks() == before
    });
    Lac::new(d.addr, 2).dial(8);
    d.expect("Call established");
}

#[test]
fn a_pppd_without_a_kernel_that_has_ppp_is_explained() {
    let mut d =
        Daemon::start("", "#!/bin/sh\necho 'Sorry - this system lacks PPP kernel support' >&2\nexit 4\n");
    let mut lac = Lac::new(d.addr, 1);
    lac.dial(7);
    let said = lac.receive().result.unwrap();
    assert_eq!((said.code, said.text.as_str()), (2, "PPP could not be started"));
    d.expect("Sorry - this system lacks PPP kernel support");
    d.expect("the kernel has no PPP support (modprobe ppp_generic, /dev/ppp)");
}

/// An IPv4 packet of UDP in a PPP frame.
fn udp_packet(to: [u8; 4], port: u16) -> Vec<u8> {
    let mut p = vec![0xff, 3, 0, 0x21, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1];
    p.extend(to);
    p.extend([0x06, 0xa5]);
    p.extend(port.to_be_bytes());
    p.extend([0, 8, 0, 0]);
    p
}

#[test]
fn a_call_that_carries_its_own_tunnel_is_told_and_does_not_feed_itself() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    // Its own tunnel's packet twice, and then another one.
    let mut frames = Vec::new();
    for p in
        [udp_packet([127, 0, 0, 1], port), udp_packet([127, 0, 0, 1], port), udp_packet([127, 0, 0, 1], 53)]
    {
        hdlc::encode(&p, &mut frames);
    }
    let octal: String = frames.iter().map(|b| format!("\\{b:03o}")).collect();
    let stub = format!("#!/bin/sh\nprintf '{octal}'\nexec cat >DIR/tty\n");
    let conf = format!("[global]\n{BASE}[lac x]\nlns = 127.0.0.1:{port}\nautodial = yes\n");
    let mut d = Daemon::with(&conf, &stub);
    let mut server = Lac { socket, to: d.addr, tid: 5, lns_tid: 0, ns: 0, nr: 0, host: "lns" };
    server.lns_tid = server.receive().assigned_tunnel.unwrap();
    let sccrp = server.sccrq().done();
    let sccrp = l2tp_proto::avp::Avps::new(&sccrp).skip(1).fold(Body::new(MessageType::SCCRP), |b, a| {
        let a = a.unwrap();
        b.must(a.attribute, a.value)
    });
    server.send(0, sccrp);
    server.receive();
    let session = server.receive().assigned_session.unwrap();
    server.send(session, Body::new(MessageType::ICRP).must(attr::ASSIGNED_SESSION_ID, &[0, 7]));
    d.expect("Call established");
    server.data(session, b"\xff\x03\xc0\x21\x01\x01\x00\x04");
    assert_eq!(server.frame(), udp_packet([127, 0, 0, 1], 53), "the only one that leaves");
    d.expect("the route to its own server leads into it, packets for the tunnel to 127.0.0.1 are dropped");
    assert!(!d.lines.try_iter().any(|l| l.contains("leads into it")), "once is enough");
}

#[test]
fn an_address_that_is_not_there_yet_is_listened_on() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("conf"), "[global]\nlisten-addr = 192.0.2.77\nport = 0\n").unwrap();
    let (child, lines) = spawn(&dir);
    let mut d = Daemon { child, dir, lines, seen: Vec::new(), addr: ([192, 0, 2, 77], 0).into() };
    d.expect("init_network: 192.0.2.77 is not an address of this machine yet");
    d.expect("Listening on IP address 192.0.2.77, port ");
}

#[test]
fn pppd_is_told_who_calls() {
    let mut d = Daemon::start("", "#!/bin/sh\necho \"$CALLER_ID\" >>DIR/caller\nexec sleep 100\n");
    let mut lac = Lac::new(d.addr, 1);
    let body = lac.sccrq();
    lac.send(0, body);
    lac.lns_tid = lac.receive().assigned_tunnel.unwrap();
    lac.send(0, Body::new(MessageType::SCCCN));
    for (sid, number) in [(7u16, Some("+49 30 1234")), (8, None)] {
        let icrq = Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes());
        lac.send(0, icrq.maybe(attr::CALLING_NUMBER, number.map(str::as_bytes)));
        let session = lac.receive().assigned_session.unwrap();
        lac.send(session, Body::new(MessageType::ICCN));
        d.expect("Call established");
        let want = if sid == 7 { "+49 30 1234\n" } else { "+49 30 1234\n\n" };
        wait_for("pppd", || fs::read_to_string(d.at("caller")).is_ok_and(|c| c == want));
    }
    assert!(d.command("j").contains("\"calling_number\":\"+49 30 1234\""));
}

#[test]
fn a_port_in_use_ends_the_start_with_words() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("conf"), format!("[global]\nlisten-addr = 127.0.0.1\nport = {port}\n"))
        .unwrap();
    let (mut child, lines) = spawn(&dir);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(
        lines
            .iter()
            .any(|l| l.contains("init_network: Unable to bind socket: ") && l.ends_with("Terminating."))
    );
}

#[test]
fn the_command_line_answers_before_it_does_anything() {
    for (word, code, said) in
        [("--version", 0, "xl2tpd version:  xl2tpd-"), ("--help", 1, "Usage: xl2tpd [-c")]
    {
        let out = Command::new(env!("CARGO_BIN_EXE_xl2tpd")).arg(word).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert_eq!(out.status.code(), Some(code), "{word}");
        assert!(text.starts_with('\n') && text.contains(said) && out.stderr.is_empty(), "{text}");
    }
}
