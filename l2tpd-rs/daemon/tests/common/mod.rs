//! What the tests of the whole daemon share: the process, a stub of pppd, a scripted peer.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by panicking, and not every test uses all of it"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use l2tp_proto::avp::attr;
use l2tp_proto::header::{self, Packet};
use l2tp_proto::message::{Body, Message, MessageType};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Says its command line, sends one LCP frame, then copies its tty to a file.
pub(crate) const STUB: &str = r#"#!/bin/sh
echo "$$ $0 $*" >>DIR/argv
ls -l /proc/$$/fd >DIR/fds
printf '\176\377\175\043\300\041\175\041\175\041\175\040\175\044\321\265\176'
exec cat >DIR/tty
"#;

/// What the daemons of all tests have.
pub(crate) const BASE: &str = "listen-addr = 127.0.0.1\nport = 0\npppd = DIR/pppd\nforce userspace = yes\n";

pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) lines: Receiver<String>,
    pub(crate) seen: Vec<String>,
    pub(crate) addr: SocketAddr,
}

impl Daemon {
    pub(crate) fn start(global: &str, stub: &str) -> Self {
        let lns = "[lns default]\nip range = 10.9.8.2-9\nlocal ip = 10.9.8.1\nlength bit = yes\nname = x\n";
        Self::with(&format!("[global]\n{BASE}{global}{lns}"), stub)
    }

    /// With this configuration, in which DIR is the test's folder.
    pub(crate) fn with(conf: &str, stub: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let here = |text: &str| text.replace("DIR", dir.path().to_str().unwrap());
        for name in ["pppd", "other-pppd"] {
            let file = dir.path().join(name);
            fs::write(&file, here(stub)).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(dir.path().join("secrets"), "* * s3cret\n").unwrap();
        fs::write(dir.path().join("conf"), here(conf)).unwrap();
        let (child, lines) = spawn(&dir);
        let mut d = Daemon { child, dir, lines, seen: Vec::new(), addr: ([127, 0, 0, 1], 0).into() };
        let line = d.expect("Listening on IP address ");
        let (ip, port) = line.rsplit_once("address ").unwrap().1.split_once(", port ").unwrap();
        d.addr = SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap());
        d
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits for a log line that contains `part`.
    pub(crate) fn expect(&mut self, part: &str) -> String {
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

    pub(crate) fn signal(&self, s: &str) {
        assert!(Command::new("kill").args([s, &self.child.id().to_string()]).status().unwrap().success());
    }

    pub(crate) fn command(&self, text: &str) -> String {
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

pub(crate) fn spawn(dir: &tempfile::TempDir) -> (Child, Receiver<String>) {
    let at = |name: &str| dir.path().join(name);
    // It is started with a descriptor that is nobody's business.
    let mut child = Command::new("/bin/sh")
        .args(["-c", "exec \"$0\" \"$@\" 9</etc/passwd", env!("CARGO_BIN_EXE_xl2tpd"), "-D", "-c"])
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

pub(crate) struct Lac {
    pub(crate) socket: UdpSocket,
    pub(crate) to: SocketAddr,
    pub(crate) tid: u16,
    pub(crate) lns_tid: u16,
    pub(crate) ns: u16,
    pub(crate) nr: u16,
    pub(crate) host: &'static str,
}

impl Lac {
    pub(crate) fn new(to: SocketAddr, tid: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Lac { socket, to, tid, lns_tid: 0, ns: 0, nr: 0, host: "lac" }
    }

    pub(crate) fn send(&mut self, session: u16, body: Body) {
        let d = header::control(self.lns_tid, session, self.ns, self.nr, &body.done());
        self.ns += 1;
        self.socket.send_to(&d, self.to).unwrap();
    }

    /// The next control message that is no ZLB, acknowledged.
    pub(crate) fn receive(&mut self) -> Message {
        Message::decode(&self.body_within(PATIENCE).expect("an answer"), None)
    }

    /// As [`Lac::receive`], not taken apart and only when it comes in this time.
    pub(crate) fn body_within(&mut self, time: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            let mut b = [0; 2000];
            let got = self.socket.recv(&mut b);
            self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let Ok(n) = got else { return None };
            let Ok(Packet::Control(c)) = header::parse(&b[..n]) else { continue };
            if c.body.is_empty() || c.ns != self.nr {
                continue;
            }
            self.nr += 1;
            let z = header::control(self.lns_tid, 0, self.ns, self.nr, &[]);
            self.socket.send_to(&z, self.to).unwrap();
            return Some(c.body.to_vec());
        }
    }

    pub(crate) fn frame(&mut self) -> Vec<u8> {
        loop {
            let mut b = [0; 2000];
            let n = self.socket.recv(&mut b).expect("a frame");
            if let Ok(Packet::Data(d)) = header::parse(&b[..n]) {
                return d.payload.to_vec();
            }
        }
    }

    pub(crate) fn sccrq(&self) -> Body {
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
    pub(crate) fn dial(&mut self, sid: u16) -> u16 {
        let body = self.sccrq();
        self.send(0, body);
        self.lns_tid = self.receive().assigned_tunnel.unwrap();
        self.send(0, Body::new(MessageType::SCCCN));
        self.call(sid)
    }

    pub(crate) fn call(&mut self, sid: u16) -> u16 {
        self.send(0, Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &sid.to_be_bytes()));
        let session = self.receive().assigned_session.unwrap();
        self.send(session, Body::new(MessageType::ICCN).must(attr::TX_CONNECT_SPEED, &[0, 1, 0, 0]));
        session
    }

    pub(crate) fn data(&self, session: u16, frame: &[u8]) {
        let mut d = Vec::new();
        header::put_data(&mut d, self.lns_tid, session, false, None, frame);
        self.socket.send_to(&d, self.to).unwrap();
    }
}

pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
