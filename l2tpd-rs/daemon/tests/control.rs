//! The control FIFO and its tool, command by command: what is answered and what is done.
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
use std::process::Command;

use common::*;
use l2tp_proto::avp::attr;
use l2tp_proto::message::{Body, Message, MessageType};

/// Says its command line and what its descriptor 4 has.
const STUB: &str = r#"#!/bin/sh
echo "$$ $0 $*" >>DIR/argv
case "$*" in *passwordfd\ 4*) cat <&4 >DIR/password ;; esac
exec cat >DIR/tty
"#;

/// A daemon with `[lac isp]` to a server of ours, which is there too.
fn daemon(more: &str) -> (Daemon, Lac) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let lns = "[lns default]\nip range = 10.9.8.2-9\nlocal ip = 10.9.8.1\n";
    let conf = format!("[global]\n{BASE}{lns}[lac isp]\nlns = 127.0.0.1:{port}\n{more}");
    let d = Daemon::with(&conf, STUB);
    let server = Lac { socket, to: d.addr, tid: 5, lns_tid: 0, ns: 0, nr: 0, host: "lns" };
    (d, server)
}

/// Answers the SCCRQ that comes next.
fn opens(server: &mut Lac) -> Message {
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
    m
}

/// Answers the ICRQ that comes next; the daemon's session id.
fn calls(server: &mut Lac, sid: u16) -> u16 {
    let m = server.receive();
    assert_eq!(m.kind, Some(MessageType::ICRQ));
    let session = m.assigned_session.unwrap();
    server.send(session, Body::new(MessageType::ICRP).must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes()));
    assert_eq!(server.receive().kind, Some(MessageType::ICCN));
    session
}

#[test]
fn connect_further_call_hang_up_disconnect() {
    let (mut d, mut server) = daemon("name = of-the-file\n");
    assert_eq!(d.command("d isp"), "01 Session 'isp' not up\n");
    assert_eq!(d.command("c ISP somebody pass word"), "00 OK\n", "names are found in any case");
    opens(&mut server);
    let session = calls(&mut server, 7);
    d.expect("Call established with 127.0.0.1, Local: ");
    wait_for("pppd", || fs::read_to_string(d.at("argv")).is_ok_and(|a| a.ends_with('\n')));
    let argv = fs::read_to_string(d.at("argv")).unwrap();
    assert!(
        argv.contains(" passive nodetach : name somebody plugin passwordfd.so passwordfd 4 mtu "),
        "{argv}"
    );
    wait_for("its password", || fs::read_to_string(d.at("password")).is_ok_and(|p| p == "pass word"));
    assert_eq!(d.command("c isp"), "01 Session 'isp' already active!\n");
    // A further call on the tunnel, and its end.
    assert_eq!(d.command(&format!("c {}", server.lns_tid)), "00 OK\n");
    let second = calls(&mut server, 8);
    d.expect("Call established");
    assert_eq!(d.command(&format!("h {second}")), "00 OK\n");
    let m = server.receive();
    assert_eq!((m.kind, m.assigned_session), (Some(MessageType::CDN), Some(second)));
    assert_eq!(d.command("h 0"), "00 OK\n", "whether there is such a call or not");
    assert!(d.command("i calls").contains(&session.to_string()));
    assert_eq!(d.command("d isp"), "00 OK\n");
    let m = server.receive();
    assert_eq!((m.kind, m.result.unwrap().text.as_str()), (Some(MessageType::STOPCCN), "Goodbye!"));
    assert_eq!(d.command("d isp"), "01 Session 'isp' not up\n");
}

#[test]
fn outgoing_calls_and_bare_tunnels() {
    let (mut d, mut server) = daemon("");
    assert_eq!(d.command("o isp"), "01 Error\n", "a number is missing");
    assert_eq!(d.command("o isp 555 1234"), "00 OK\n");
    opens(&mut server);
    let m = server.receive();
    assert_eq!((m.kind, m.called_number.as_deref()), (Some(MessageType::OCRQ), Some("555 1234")));
    assert_eq!(d.command("d isp"), "00 OK\n");
    server.receive();
    assert_eq!(d.command("t"), "01 Error\n");
    assert_eq!(d.command(&format!("t 127.0.0.1:{}", server.socket.local_addr().unwrap().port())), "00 OK\n");
    opens(&mut server);
    d.expect("Connection established to 127.0.0.1");
    assert!(d.command("x").contains("tunnels count=1"));
    assert_eq!(d.command(&format!("d {}", server.lns_tid)), "00 OK\n");
    assert_eq!(server.receive().kind, Some(MessageType::STOPCCN));
}

#[test]
fn sections_come_change_and_go() {
    let (mut d, mut server) = daemon("");
    let port = server.socket.local_addr().unwrap().port();
    assert_eq!(d.command("a"), "01 Configuration parse error: lac-name expected\n");
    assert_eq!(d.command("a bad lns=127.0.0.1;no such=1"), "03 Configuration parse error\n");
    d.expect("parse_one_line: token 2: Unknown field 'no such'");
    assert_eq!(d.command("d bad"), "01 No such tunnel 'bad'\n", "nothing of it was taken");
    assert_eq!(d.command(&format!("a more lns=127.0.0.1:{port};hostname=other;autodial=yes")), "00 OK\n");
    assert_eq!(opens(&mut server).host_name.as_deref(), Some("other"));
    assert_eq!(d.command("a more lns=127.0.0.1"), "01 Lac 'more' is there already, nothing is changed\n");
    assert!(d.command("x").contains("00 AVAILABLE lac.1.name=more\n00 AVAILABLE lac.count=2\n"));
    assert_eq!(d.command("r more"), "00 OK\n");
    while server.receive().kind != Some(MessageType::STOPCCN) {}
    assert_eq!(d.command("r more"), "01 No such tunnel 'more'\n");
    // An LNS section is made, and changed.
    assert_eq!(d.command("z own lac=127.0.0.1;ip range=10.9.9.2-9.9"), "00 OK: Saved value\n");
    assert_eq!(d.command("z own hostname=mine"), "00 OK: Saved value\n");
    assert_eq!(d.command("z own colour=red"), "03 Configuration parse error\n");
    assert_eq!(d.command("z"), "01 Error: Could not find lns and could not create it\n");
    let mut lac = Lac::new(d.addr, 1);
    let body = lac.sccrq();
    lac.send(0, body);
    let m = lac.receive();
    assert_eq!(m.host_name.as_deref(), Some("mine"));
    lac.lns_tid = m.assigned_tunnel.unwrap();
    lac.send(0, Body::new(MessageType::SCCCN));
    lac.call(9);
    d.expect("LNS session is 'own'");
    d.expect("Call established");
    let status = d.command("y own");
    let peer = lac.socket.local_addr().unwrap();
    let tunnel = format!("00 OK\n00 STATUS tunnels.0.id=1\n00 STATUS tunnels.0.peer={peer}\n");
    assert!(status.starts_with(&tunnel), "{status}");
    for key in ["calls.0.id", "calls.0.tx_bytes", "calls.0.rx_bytes", "calls.0.tx_pkts", "calls.0.rx_pkts"] {
        assert!(status.contains(&format!("\n00 STATUS tunnels.0.{key}=")), "{status}");
    }
    assert!(status.ends_with("00 STATUS tunnels.0.calls.count=1\n00 STATUS tunnels.count=1\n"), "{status}");
    assert_eq!(d.command("y none"), "01 Error: Could not find lns\n");
    assert_eq!(d.command("w own"), "00 OK\n");
    assert_eq!(lac.receive().kind, Some(MessageType::CDN));
    assert_eq!(d.command("w own"), "01 No such tunnel 'own'\n");
    // They outlive a reload, which is not what removed them.
    assert_eq!(d.command(&format!("a kept lns=127.0.0.1:{port}")), "00 OK\n");
    d.signal("-HUP");
    d.expect("configuration read again");
    assert!(d.command("x").contains("name=kept\n"));
}

#[test]
fn several_commands_in_one_write_and_unreadable_ones() {
    let (mut d, _server) = daemon("");
    let mut pipe = fs::OpenOptions::new().write(true).open(d.at("ctl")).unwrap();
    pipe.write_all(b"z one hostname=a\nz two hostname=b\r\n@nowhere\nq\nz three hostname=c").unwrap();
    d.expect("do_control: Can't parse result filename or command");
    d.expect("Unknown command q");
    let all = d.command("x");
    assert!(all.contains("lns.count=4") && all.contains("lns.2.name=three"), "{all}");
    assert_eq!(d.command("q"), "01 Unknown command q\n");
    // To the log as well.
    assert!(d.command("s").starts_with("00 OK\n00 STATUS ====== xl2tpd statistics ========\n"));
    d.expect("Number of tunnels open: 0");
}

#[test]
fn the_tools_words_and_exit_statuses() {
    let (d, server) = daemon("");
    let port = server.socket.local_addr().unwrap().port();
    let tool = |pipe: &str, words: &[&str]| {
        let mut c = Command::new(env!("CARGO_BIN_EXE_xl2tpd-control"));
        let out = c.args(["-c", d.at(pipe).to_str().unwrap()]).args(words).output().unwrap();
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    };
    let server = format!("lns=127.0.0.1:{port}");
    for (words, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&[], 255),
        (&["no-such-command"], 255),
        (&["connect-lac"], 255),
        (&["--unknown"], 255),
        (&["connect-lac", "nobody"], 1),
        // A value may be the next word, and a keyword may be two words.
        (&["add-lac", "new", &server, "redial", "timeout=5", "max redials=", "3"], 0),
        (&["add-lac", "bad", "x=y"], 3),
        (&["add-lns", "default", "hostname=h"], 0),
        (&["status-lns", "default"], 0),
        (&["status-lac", "isp"], 0),
        (&["available"], 0),
        (&["disconnect-lac", "new"], 1),
        (&["remove-lac", "new"], 0),
        (&["remove-lns", "default"], 0),
        // As before 1.3.16.
        (&["add", "old", &server], 0),
        (&["connect", "nobody"], 1),
        (&["disconnect", "old"], 1),
        (&["status", "old"], 0),
        (&["remove", "old"], 0),
        (&["show", "calls"], 0),
        (&["show", "nothing"], 1),
        (&["kick", "nobody"], 1),
    ] {
        let (got, out, err) = tool("ctl", words);
        assert_eq!(got, code, "{words:?}: {out}{err}");
    }
    assert_eq!(tool("nowhere", &["available"]).0, 254, "no daemon");
    // Silent but for what is asked for to be seen, and with -d.
    assert_eq!(tool("ctl", &["connect-lac", "nobody"]).1, "");
    let (code, out, err) = tool("ctl", &["-d", "connect-lac", "nobody"]);
    let said = "xl2tpd-control: command response: 01 No such tunnel 'nobody'\n";
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", said));
    assert!(tool("ctl", &["status", "--json"]).1.starts_with("{\"counters\":{"));
    assert!(tool("ctl", &["show", "counters"]).1.starts_with("tunnels_up "));
}

#[test]
fn the_status_in_json_has_what_the_tables_have() {
    let (mut d, _server) = daemon("");
    let mut lac = Lac::new(d.addr, 1);
    let session = lac.dial(7);
    d.expect("Call established");
    lac.data(session, b"\xff\x03\xc0\x21hello");
    let mut all = serde_json::Value::Null;
    wait_for("the frame's octets", || {
        let text = d.command("j");
        all = serde_json::from_str(text.strip_prefix("00 OK\n").unwrap()).unwrap();
        all["tunnels"][0]["calls"][0]["rx_bytes"] == 9
    });
    let (tunnel, call) = (&all["tunnels"][0], &all["tunnels"][0]["calls"][0]);
    for (value, want) in [
        (&all["pid"], d.child.id().into()),
        (&all["lacs"], serde_json::json!([{"name": "isp", "state": "idle", "tunnel": null, "redials": 0}])),
        (&all["pool"], serde_json::json!({"in_use": 1, "sections": [{"lns": "default", "size": 8}]})),
        (&all["counters"]["calls_up"], 1.into()),
        (&tunnel["id"], lac.lns_tid.into()),
        (&tunnel["peer_id"], 1.into()),
        (&tunnel["peer"], lac.socket.local_addr().unwrap().to_string().into()),
        (&tunnel["peer_host"], "lac".into()),
        (&tunnel["role"], "lns".into()),
        (&tunnel["section"], "default".into()),
        (&tunnel["established"], true.into()),
        (&tunnel["mark"], 0.into()),
        (&call["id"], session.into()),
        (&call["peer_id"], 7.into()),
        (&call["local_ip"], "10.9.8.1".into()),
        (&call["remote_ip"], "10.9.8.2".into()),
        (&call["path"], "pty".into()),
        (&call["rx_packets"], 1.into()),
    ] {
        assert_eq!(*value, want, "{all:#}");
    }
    let table = d.command("i calls");
    let line = table.lines().last().unwrap();
    for word in [session.to_string(), call["pid"].to_string(), "10.9.8.2".into(), "pty".into()] {
        assert!(line.split_whitespace().any(|w| w == word), "{word}: {table}");
    }
    let line = d.command("i tunnels").lines().nth(2).unwrap().to_string();
    assert!(line.starts_with(&format!("{:<6} 1 ", lac.lns_tid)) && line.contains(" established "), "{line}");
    assert!(d.command("i pool").contains(&format!("10.9.8.2 call {session} user -\n")));
}
