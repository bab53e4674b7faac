//! A daemon without a kernel, and what it is asked over its control socket.

#![allow(dead_code, reason = "each test program uses its own part of it")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipsec_types::whack::Request;

/// How long anything may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Daemon {
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
    pub(crate) fn start(nhelpers: &str) -> Daemon {
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

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Sends requests over one connection.
    pub(crate) fn ask(&self, requests: &[Request]) -> UnixStream {
        let mut stream = UnixStream::connect(self.path("pluto.ctl")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let all = std::iter::once(&Request::Batch).chain(requests);
        let text: String = all.map(|r| serde_json::to_string(r).unwrap() + "\n").collect();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream
    }

    pub(crate) fn told(&self, requests: &[Request]) -> String {
        let mut text = String::new();
        self.ask(requests).read_to_string(&mut text).unwrap();
        text
    }

    /// The first message of Main Mode; returns the type of the payload that is answered.
    pub(crate) fn call(&self, cookie: u8) -> u8 {
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
