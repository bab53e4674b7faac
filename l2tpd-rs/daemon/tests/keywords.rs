//! What each keyword of `xl2tpd.conf` changes, seen from outside: in what a peer hears, in pppd's command line, in the
//! log or in the counters. A row is what the file says beside the keyword, the keyword's line, and what is to be seen
//! with that line and not without it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::*;
use l2tp_proto::SecretBytes;
use l2tp_proto::auth::{Carrier, response};
use l2tp_proto::avp::{Avps, attr};
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, Message, MessageType};

/// How long nothing must come for "no answer".
const SILENCE: Duration = Duration::from_millis(300);
/// What a tunnel secret is in DIR/secrets.
const SECRET: &[u8] = b"s3cret";
/// The session ids of our calls.
const IDS: [u16; 3] = [7, 8, 9];

/// What is before the keyword in [global] and in the section, the keyword's line, and what is seen.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// Lines under [global], with the daemon as LNS.
const GLOBAL: &[Row] = &[
    ("", "", "listen-addr = 127.0.0.9", "Listening on IP address 127.0.0.9"),
    ("", "", "listen-plain = no", "came in clear"),
    ("", "", "port = 21701", ", port 21701"),
    ("", "", "pppd = DIR/other-pppd", "DIR/other-pppd passive"),
    ("", "challenge = yes", "auth file = DIR/secrets", "challenge to us"),
    ("", "", "access control = yes", "Denied connection to unauthorized peer 127.0.0.1"),
    ("", "", "rand source = dev", ""),
    ("force userspace = no", "", "force userspace = yes", "Not looking for kernel support."),
    ("", "", "ipsec saref = yes", "'ipsec saref' is not needed"),
    ("ipsec saref = yes", "", "saref refinfo = 31", "IP_IPSEC_REFINFO number to 31"),
    ("", "", "debug avp = yes", "Start-Control-Connection-Request"),
    ("", "", "debug network = yes", "network_thread: recv packet from 127.0.0.1"),
    ("", "", "debug packet = yes", ": c8 02 00"),
    ("", "", "debug state = yes", "event: CallUp"),
    ("", "", "debug tunnel = yes", "event: TunnelUp"),
    ("", "", "max tunnels = 1", "limit_tunnels 2"),
    ("", "", "max calls = 1", "limit_calls 1"),
    ("", "", "max calls per tunnel = 1", "limit_calls_per_tunnel 1"),
    ("", "", "max half open = 1", "limit_half_open 1"),
    ("", "", "max half open per peer = 1", "limit_half_open_per_peer 1"),
];

/// Lines under [lns default].
const LNS: &[Row] = &[
    ("", "", "exclusive = yes", "has no effect"),
    ("", "", "ip range = 10.9.7.1", ":10.9.7.1 "),
    ("", "ip range = 10.9.7.1-2", "no ip range = 10.9.7.1", ":10.9.7.2 "),
    ("", "", "assign ip = no", ":0.0.0.0 "),
    ("", "", "local ip = 10.9.8.1", " 10.9.8.1:"),
    ("", "", "local ip range = 10.9.6.1-10.9.6.9", " 10.9.6.1:"),
    ("access control = yes", "", "lac = 127.0.0.1", "Call established"),
    ("access control = yes", "lac = 127.0.0.0-127.0.0.9", "no lac = 127.0.0.1", "Denied connection"),
    ("auth file = DIR/secrets", "challenge = yes", "hidden bit = yes", "hidden"),
    ("", "", "length bit = yes", "data with a length"),
    ("", "", "sequencing = yes", "data with numbers"),
    ("", "", "accept outgoing = yes", "Outgoing-Call-Reply"),
    ("auth file = DIR/secrets", "", "challenge = yes", "challenge to us"),
    ("", "", "hostname = other", "host other"),
    ("", "", "name = us", " name us"),
    ("", "require auth = yes", "require pap = yes", " require-pap"),
    ("", "require auth = yes", "require chap = yes", " require-chap"),
    ("", "", "require authentication = yes", " auth"),
    ("", "", "require auth = yes", " auth"),
    ("", "", "refuse pap = yes", " refuse-pap"),
    ("", "", "refuse chap = yes", " refuse-chap"),
    ("", "", "refuse authentication = yes", " refuse-pap refuse-chap"),
    ("", "", "refuse auth = yes", " refuse-pap refuse-chap"),
    ("", "require auth = yes", "unix authentication = yes", " login"),
    ("", "require auth = yes", "unix auth = yes", " login"),
    ("", "", "ppp debug = yes", " debug"),
    ("", "", "pass peer = yes", " ipparam 127.0.0.1"),
    ("", "", "pppoptfile = /etc/ppp/options.x", " file /etc/ppp/options.x"),
    ("", "", "tunnel rws = 9", "window 9"),
    ("", "", "call rws = 9", "has no effect"),
    ("", "", "flow bit = yes", "has no effect"),
    ("", "", "tx bps = 9", "has no effect"),
    ("", "", "rx bps = 9", "has no effect"),
    ("", "", "bps = 9", "has no effect"),
];

/// Lines under [lac x]; PORT is that of the server.
const LAC: &[Row] = &[
    ("", "autodial = yes", "lns = 127.0.0.1:PORT", "Start-Control-Connection-Request"),
    ("", "lns = 127.0.0.1:PORT", "autodial = yes", "Start-Control-Connection-Request"),
    ("", DIAL, "remote ip = 10.1.1.1", " :10.1.1.1"),
    ("", DIAL, "local ip = 10.1.1.2", " 10.1.1.2:"),
    ("", "lns = 127.0.0.1:PORT\nautodial = yes\nredial timeout = 1", "redial = yes", "dialled again"),
    ("", "lns = 127.0.0.1:PORT\nautodial = yes\nredial = yes", "redial timeout = 1", "dialled again"),
    ("", DIAL, "defaultroute = yes", " defaultroute"),
    (
        "auth file = DIR/secrets",
        "lns = 127.0.0.1:PORT\nautodial = yes\nchallenge = yes",
        "hidden bit = yes",
        "hidden",
    ),
    ("", DIAL, "length bit = yes", "data with a length"),
    ("", DIAL, "sequencing = yes", "data with numbers"),
    ("", DIAL, "tie breaker = yes", "tie breaker"),
    ("", DIAL, "accept outgoing = yes", "Outgoing-Call-Reply"),
    ("auth file = DIR/secrets", DIAL, "challenge = yes", "challenge to us"),
    ("", DIAL, "hostname = other", "host other"),
    ("", DIAL, "name = us", " name us"),
    ("", DIAL, "require auth = yes", " auth"),
    ("", DIAL, "require authentication = yes", " auth"),
    ("", "require auth = yes\nlns = 127.0.0.1:PORT\nautodial = yes", "require pap = yes", " require-pap"),
    ("", "require auth = yes\nlns = 127.0.0.1:PORT\nautodial = yes", "require chap = yes", " require-chap"),
    ("", DIAL, "refuse pap = yes", " refuse-pap"),
    ("", DIAL, "refuse chap = yes", " refuse-chap"),
    ("", DIAL, "refuse auth = yes", " refuse-pap refuse-chap"),
    ("", DIAL, "refuse authentication = yes", " refuse-pap refuse-chap"),
    ("", DIAL, "call rws = 9", "has no effect"),
    ("", DIAL, "flow bit = yes", "has no effect"),
    ("", DIAL, "ppp debug = yes", " debug"),
    ("", DIAL, "pass peer = yes", " ipparam 127.0.0.1"),
    ("", DIAL, "pppoptfile = /etc/ppp/options.x", " file /etc/ppp/options.x"),
    ("", DIAL, "tunnel rws = 9", "window 9"),
    ("", DIAL, "tx bps = 4711", "tx 4711"),
    ("", DIAL, "rx bps = 4711", "rx 4711"),
    ("", DIAL, "bps = 4711", "tx 4711"),
    ("", DIAL, "bps = 4711", "rx 4711"),
];
const DIAL: &str = "lns = 127.0.0.1:PORT\nautodial = yes";

/// Keywords about time: see the tests of their own below.
const TIMES: [&str; 4] = ["max retries", "cap backoff", "hello interval", "max redials"];

/// What a message says, a line for each thing that a keyword can change.
fn describe(body: &[u8], out: &mut Vec<String>) -> Message {
    let m = Message::decode(body, Some(&SecretBytes::from(SECRET)));
    let kind = m.kind.map_or("", MessageType::name);
    let mut put = |what: String| out.push(format!("{kind}: {what}"));
    put(String::new());
    if Avps::new(body).any(|a| a.is_ok_and(|a| a.hidden)) {
        put("hidden".into());
    }
    if m.challenge.is_some() {
        put("challenge to us".into());
    }
    m.tie_breaker.iter().for_each(|_| put("tie breaker".into()));
    m.host_name.iter().for_each(|h| put(format!("host {h}")));
    m.receive_window.iter().for_each(|w| put(format!("window {w}")));
    m.tx_speed.iter().for_each(|n| put(format!("tx {n}")));
    m.rx_speed.iter().for_each(|n| put(format!("rx {n}")));
    m.result.iter().for_each(|r| put(format!("{} {}", r.code, r.text)));
    m
}

fn answer(carrier: Carrier, body: Body, m: &Message) -> Body {
    let proof = m.challenge.as_ref().map(|c| response(carrier, &SecretBytes::from(SECRET), c));
    body.maybe(attr::CHALLENGE_RESPONSE, proof.as_ref().map(|p| &p[..]))
}

fn sid(body: Body, id: u16) -> Body {
    body.must(attr::ASSIGNED_SESSION_ID, &id.to_be_bytes())
}

fn ocrq(id: u16) -> Body {
    sid(Body::new(MessageType::OCRQ), id)
        .must(attr::CALL_SERIAL_NUMBER, &[0, 0, 0, 1])
        .must(attr::MINIMUM_BPS, &[0, 0, 1, 0])
        .must(attr::MAXIMUM_BPS, &[0, 1, 0, 0])
        .must(attr::BEARER_TYPE, &[0; 4])
        .must(attr::FRAMING_TYPE, &[0, 0, 0, 1])
        .must(attr::CALLED_NUMBER, b"4711")
}

/// What comes next, described.
fn next(lac: &mut Lac, out: &mut Vec<String>) -> Option<Message> {
    lac.body_within(SILENCE).map(|b| describe(&b, out))
}

/// The call stands: pppd's command line, and a frame of ours so that one of pppd's comes.
fn frames(d: &Daemon, lac: &Lac, session: u16, out: &mut Vec<String>) {
    wait_for("pppd", || fs::read_to_string(d.at("argv")).is_ok_and(|a| a.ends_with('\n')));
    lac.data(session, b"\xff\x03\xc0\x21\x01\x01\x00\x04");
    let mut b = [0; 2000];
    loop {
        let Ok(n) = lac.socket.recv(&mut b) else { return };
        if let Ok(Packet::Data(_)) = header::parse(&b[..n]) {
            out.extend((b[0] & 0x40 != 0).then(|| "data with a length".into()));
            return out.extend((b[0] & 0x08 != 0).then(|| "data with numbers".into()));
        }
    }
}

/// A peer that calls; a second call of each kind; and two peers that do not go on after the SCCRQ.
fn as_lac(d: &Daemon, out: &mut Vec<String>) {
    let mut lac = Lac::new(d.addr, 1);
    let body = lac.sccrq();
    lac.send(0, body);
    let Some(m) = next(&mut lac, out).filter(|m| m.kind == Some(MessageType::SCCRP)) else { return };
    lac.lns_tid = m.assigned_tunnel.unwrap();
    lac.send(0, answer(Carrier::Scccn, Body::new(MessageType::SCCCN), &m));
    lac.send(0, sid(Body::new(MessageType::ICRQ), IDS[0]));
    let Some(session) = next(&mut lac, out).and_then(|m| m.assigned_session) else { return };
    lac.send(session, Body::new(MessageType::ICCN).must(attr::TX_CONNECT_SPEED, &[0, 1, 0, 0]));
    frames(d, &lac, session, out);
    lac.send(0, sid(Body::new(MessageType::ICRQ), IDS[1]));
    next(&mut lac, out);
    lac.send(0, ocrq(IDS[2]));
    next(&mut lac, out);
    for tid in [2, 3] {
        let mut other = Lac::new(d.addr, tid);
        let body = other.sccrq();
        other.send(0, body);
    }
}

/// A server that the daemon dials; in the end it closes the tunnel.
fn as_lns(d: &Daemon, socket: UdpSocket, again: bool, out: &mut Vec<String>) {
    let mut lac = Lac { socket, to: d.addr, tid: 5, lns_tid: 0, ns: 0, nr: 0, host: "lns" };
    let Some(m) = next(&mut lac, out) else { return };
    lac.lns_tid = m.assigned_tunnel.unwrap();
    let sccrp = Body::new(MessageType::SCCRP)
        .must(attr::PROTOCOL_VERSION, &[1, 0])
        .must(attr::HOST_NAME, b"lns")
        .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
        .must(attr::ASSIGNED_TUNNEL_ID, &lac.tid.to_be_bytes());
    lac.send(0, answer(Carrier::Sccrp, sccrp, &m));
    next(&mut lac, out);
    let Some(session) = next(&mut lac, out).and_then(|m| m.assigned_session) else { return };
    lac.send(session, sid(Body::new(MessageType::ICRP), IDS[0]));
    next(&mut lac, out);
    frames(d, &lac, session, out);
    lac.send(0, ocrq(IDS[1]));
    next(&mut lac, out);
    if again {
        lac.send(0, Body::new(MessageType::STOPCCN).must(attr::ASSIGNED_TUNNEL_ID, &[0, 5]).result(1, 0, ""));
        (lac.lns_tid, lac.ns, lac.nr) = (0, 0, 0);
        if lac.body_within(Duration::from_millis(1700)).is_some() {
            out.push("dialled again".into());
        }
    }
}

/// All there is to see of a daemon with these lines, `wanted` or not.
fn seen(global: &str, section: &str, lac: bool, wanted: Option<&str>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let kind = if lac { "[lac x]\n" } else { "[lns default]\n" };
    let pool = if lac || section.contains("ip range = 10.9.7") { "" } else { "ip range = 10.9.8.2-9\n" };
    let text = format!("[global]\n{BASE}auth file = DIR/none\n{global}\n{kind}{pool}{section}\n");
    let mut d = Daemon::with(&text.replace("PORT", &port), STUB);
    let mut out = Vec::new();
    match lac {
        true => as_lns(&d, socket, section.contains("redial"), &mut out),
        false => as_lac(&d, &mut out),
    }
    out.push(d.command("i counters"));
    let dir = d.dir.path().to_string_lossy().into_owned();
    let end = Instant::now() + if wanted.is_some() { PATIENCE } else { Duration::ZERO };
    loop {
        d.seen.extend(d.lines.try_iter());
        let argv = fs::read_to_string(d.at("argv")).unwrap_or_default();
        // The stub is a script: its own name comes after its pid, the tty after that.
        let argv = argv.lines().map(|l| {
            l.split(" /dev/pts/")
                .map(|p| p.trim_start_matches(|c: char| c.is_ascii_digit()))
                .collect::<String>()
                + " "
        });
        let all: Vec<String> = out.iter().chain(&d.seen).cloned().chain(argv).collect();
        let all = all.join("\n").replace(&dir, "DIR");
        if wanted.is_none_or(|w| all.contains(w)) || Instant::now() > end {
            return all;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn check(rows: &[Row], global_line: bool, lac: bool) {
    let mut wrong = Vec::new();
    for &(global, section, line, want) in rows {
        let (g, s) = match global_line {
            true => (format!("{global}\n{line}"), section.to_string()),
            false => (global.to_string(), format!("{section}\n{line}")),
        };
        let with = seen(&g, &s, lac, Some(want));
        if !with.contains(want) {
            wrong.push(format!("'{line}': no '{want}' in\n{with}"));
        } else if !want.is_empty() && seen(global, section, lac, None).contains(want) {
            wrong.push(format!("'{want}' is seen without '{line}'"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_global_keywords_change() {
    check(GLOBAL, true, false);
}

#[test]
fn what_lns_keywords_change() {
    check(LNS, false, false);
}

#[test]
fn what_lac_keywords_change() {
    check(LAC, false, true);
}

/// How long an unacknowledged ICRP is repeated.
fn given_up_after(global: &str) -> Duration {
    let mut d = Daemon::start(global, STUB);
    let mut lac = Lac::new(d.addr, 1);
    let body = lac.sccrq();
    lac.send(0, body);
    lac.lns_tid = lac.receive().assigned_tunnel.unwrap();
    lac.send(0, Body::new(MessageType::SCCCN));
    let start = Instant::now();
    lac.send(0, sid(Body::new(MessageType::ICRQ), 7));
    d.expect("Maximum retries exceeded for tunnel");
    start.elapsed()
}

#[test]
fn max_retries_and_cap_backoff_say_when_a_tunnel_is_given_up() {
    let times = [("max retries = 1\n", 1), ("max retries = 3\ncap backoff = 1\n", 3)];
    let run =
        |(text, want): (&'static str, u64)| std::thread::spawn(move || (text, given_up_after(text), want));
    for t in times.map(run) {
        let (text, took, want) = t.join().unwrap();
        // 31 s by default, 7 s for three without a cap.
        let want = Duration::from_secs(want);
        assert!(
            took + Duration::from_millis(100) > want && took < want + Duration::from_secs(2),
            "{text}: {took:?}"
        );
    }
}

#[test]
fn hello_interval_says_when_a_silent_peer_is_asked() {
    let d = Daemon::start("hello interval = 1\n", STUB);
    let mut lac = Lac::new(d.addr, 1);
    lac.dial(7);
    let body = lac.body_within(Duration::from_secs(3)).expect("60 s by default");
    assert_eq!(Message::decode(&body, None).kind, Some(MessageType::HELLO));
}

#[test]
fn max_redials_says_when_a_server_is_given_up() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let lac = format!(
        "lns = 127.0.0.1:{port}\nautodial = yes\nredial = yes\nredial timeout = 1\nmax redials = 1\n"
    );
    let mut d = Daemon::with(&format!("[global]\n{BASE}[lac x]\n{lac}"), STUB);
    for _ in 0..2 {
        let socket = socket.try_clone().unwrap();
        let mut server = Lac { socket, to: d.addr, tid: 5, lns_tid: 0, ns: 0, nr: 0, host: "lns" };
        server.lns_tid = server.receive().assigned_tunnel.unwrap();
        server.send(
            0,
            Body::new(MessageType::STOPCCN).must(attr::ASSIGNED_TUNNEL_ID, &[0, 5]).result(4, 0, "no"),
        );
    }
    d.expect("maximum retries exceeded");
}

#[test]
fn every_keyword_has_a_row_for_every_section_it_may_stand_in() {
    let rows = [("global", GLOBAL), ("lns", LNS), ("lac", LAC)];
    let tested: Vec<(&str, &str)> = rows
        .iter()
        .flat_map(|(section, rows)| rows.iter().map(|r| (*section, r.2.split(" = ").next().unwrap())))
        .collect();
    let shown = |p: &(&str, &str)| tested.contains(p) || TIMES.contains(&p.1);
    let missing: Vec<_> = l2tpd::conf::places().filter(|p| !shown(p)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(tested.iter().all(|t| l2tpd::conf::places().any(|p| p == *t)));
}
