//! The daemon as a process: a scripted LAC over a real socket, and a shell script in pppd's place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use l2tp_proto::avp::attr;
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, Message, MessageType};

const PATIENCE: Duration = Duration::from_secs(10);

/// Says its command line, sends one LCP frame, then copies its tty to a file.
const STUB: &str = r#"#!/bin/sh
echo "$$ $0 $*" >>DIR/argv
ls -l /proc/$$/fd >DIR/fds
printf '\176\377\175\043\300\041\175\041\175\041\175\040\175\044\321\265\176'
exec cat >DIR/tty
"#;

struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
    lines: Receiver<String>,
    seen: Vec<String>,
    addr: SocketAddr,
}

impl Daemon {
    fn start(global: &str, stub: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        fs::write(at("pppd"), stub.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        fs::set_permissions(at("pppd"), fs::Permissions::from_mode(0o755)).unwrap();
        let conf = format!(
            "[global]\nlisten-addr = 127.0.0.1\nport = 0\npppd = {}\n{global}[lns default]\nip range = 10.9.8.2-9\n\
             local ip = 10.9.8.1\nlength bit = yes\nname = x\n",
            at("pppd")
        );
        fs::write(at("conf"), conf).unwrap();
        let (child, lines) = spawn(&dir);
        let mut d = Daemon { child, dir, lines, seen: Vec::new(), addr: ([127, 0, 0, 1], 0).into() };
        let line = d.expect("Listening on IP address 127.0.0.1, port ");
        d.addr.set_port(line.rsplit(' ').next().unwrap().parse().unwrap());
        d
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits for a log line that contains `part`.
    fn expect(&mut self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(l) => {
                    self.seen.push(l.clone());
                    if l.contains(part) {
                        return l;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with '{part}' in {:#?}", self.seen)
                }
            }
        }
    }

    fn signal(&self, s: &str) {
        assert!(Command::new("kill").args([s, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn command(&self, text: &str) -> String {
        let reply = self.at("reply");
        assert!(Command::new("mkfifo").arg(&reply).status().unwrap().success());
        let read = fs::OpenOptions::new().read(true).write(true).open(&reply).unwrap();
        let mut pipe = fs::OpenOptions::new().write(true).open(self.at("ctl")).unwrap();
        // One write, as the tools do it: without a newline that is what ends a command.
        pipe.write_all(format!("@{} {text}", reply.display()).as_bytes()).unwrap();
        let end = Instant::now() + PATIENCE;
        while reply.exists() {
            assert!(Instant::now() < end, "no answer to '{text}'");
            std::thread::sleep(Duration::from_millis(5));
        }
        // The daemon has written and gone; what it wrote is in the FIFO, which this end keeps.
        let mut buffer = [0; 4096];
        let n = std::io::Read::read(&mut &read, &mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &tempfile::TempDir) -> (Child, Receiver<String>) {
    let at = |name: &str| dir.path().join(name);
    let mut child = Command::new(env!("CARGO_BIN_EXE_xl2tpd"))
        .args(["-D", "-c"])
        .arg(at("conf"))
        .arg("-C")
        .arg(at("ctl"))
        .arg("-p")
        .arg(at("pid"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (tx, lines) = channel();
    let stderr = child.stderr.take().unwrap();
    std::thread::spawn(move || {
        for l in BufReader::new(stderr).lines().map_while(Result::ok) {
            if tx.send(l).is_err() {
                break;
            }
        }
    });
    (child, lines)
}

struct Lac {
    socket: UdpSocket,
    to: SocketAddr,
    tid: u16,
    lns_tid: u16,
    ns: u16,
    nr: u16,
    host: &'static str,
}

impl Lac {
    fn new(to: SocketAddr, tid: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Lac { socket, to, tid, lns_tid: 0, ns: 0, nr: 0, host: "lac" }
    }

    fn send(&mut self, session: u16, body: Body) {
        let d = header::control(self.lns_tid, session, self.ns, self.nr, &body.done());
        self.ns += 1;
        self.socket.send_to(&d, self.to).unwrap();
    }

    /// The next control message that is no ZLB, acknowledged.
    fn receive(&mut self) -> Message {
        loop {
            let mut b = [0; 2000];
            let n = self.socket.recv(&mut b).expect("an answer");
            let Ok(Packet::Control(c)) = header::parse(&b[..n]) else { continue };
            if c.body.is_empty() || c.ns != self.nr {
                continue;
            }
            self.nr += 1;
            let z = header::control(self.lns_tid, 0, self.ns, self.nr, &[]);
            self.socket.send_to(&z, self.to).unwrap();
            return Message::decode(c.body, None);
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        loop {
            let mut b = [0; 2000];
            let n = self.socket.recv(&mut b).expect("a frame");
            if let Ok(Packet::Data(d)) = header::parse(&b[..n]) {
                return d.payload.to_vec();
            }
        }
    }

    fn sccrq(&self) -> Body {
        Body::new(MessageType::SCCRQ)
            .must(attr::PROTOCOL_VERSION, &[1, 0])
            .must(attr::BEARER_CAPABILITIES, &[0; 4])
            .must(attr::HOST_NAME, self.host.as_bytes())
            // As long as a client's is: in clear an SCCRP is not larger than what has asked for it.
            .may(attr::VENDOR_NAME, b"a vendor of clients")
            .must(attr::FRAMING_CAPABILITIES, &[0, 0, 0, 3])
            .must(attr::ASSIGNED_TUNNEL_ID, &self.tid.to_be_bytes())
    }

    /// A tunnel with a call; returns the daemon's session id.
    fn dial(&mut self, sid: u16) -> u16 {
        let body = self.sccrq();
        self.send(0, body);
        self.lns_tid = self.receive().assigned_tunnel.unwrap();
        self.send(0, Body::new(MessageType::SCCCN));
        self.call(sid)
    }

    fn call(&mut self, sid: u16) -> u16 {
        self.send(0, Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes()));
        let session = self.receive().assigned_session.unwrap();
        self.send(session, Body::new(MessageType::ICCN).must(attr::TX_CONNECT_SPEED, &[0, 1, 0, 0]));
        session
    }

    fn data(&self, session: u16, frame: &[u8]) {
        let mut d = Vec::new();
        header::put_data(&mut d, self.lns_tid, session, false, None, frame);
        self.socket.send_to(&d, self.to).unwrap();
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

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
    for ours in ["socket:", "ptmx", "eventpoll", "ctl"] {
        assert!(!fds.contains(ours), "{ours} is inherited: {fds}");
    }
    lac.send(
        session,
        Body::new(MessageType::CDN).must(attr::RESULT_CODE, &[0, 3]).must(attr::ASSIGNED_SESSION_ID, &[0, 7]),
    );
    d.expect("control_finish: Connection closed to 127.0.0.1, serial 0 ()");
    d.expect(&format!("sending TERM signal to pid {pid}"));
    wait_for("pppd's end", || gone(pid));
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
fn sigterm_says_goodbye_reaps_pppds_and_removes_the_files() {
    let mut d = Daemon::start("", STUB);
    let mut lac = Lac::new(d.addr, 1);
    lac.dial(7);
    let pid = pid_of(&d.expect("Call established"));
    let start = Instant::now();
    d.signal("-TERM");
    let m = lac.receive();
    assert_eq!((m.kind, m.result.unwrap().text.as_str()), (Some(MessageType::STOPCCN), "Server closing"));
    assert!(d.child.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(gone(pid) && !d.at("ctl").exists() && !d.at("pid").exists());
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
    assert!(place.contains("conf:10:1: Unknown field"), "{place}");
    d.expect("parse_config: line 10: Unknown field 'ip rang'");
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
