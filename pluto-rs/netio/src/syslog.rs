//! Log lines to `/dev/log`.
//!
//! One datagram a line, `<PRI>ident[pid]: text` (RFC 3164 as local daemons speak it). Never blocks: what the log daemon
//! does not take at once waits for the next flush, up to a bound; beyond, lines are lost, and counted. Without a log
//! daemon, lines go to standard error.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::sys::socket::{MsgFlags, MultiHeaders, UnixAddr, sendmmsg};

/// Where log daemons listen.
const DEV_LOG: &str = "/dev/log";
/// Lines that one system call sends, and that wait for a flush while the log daemon takes what it gets.
const BATCH: usize = 64;
/// Most lines that wait for a log daemon that is busy.
const WAITING: usize = 4096;
/// Longest text of one line, in characters; the rest is cut off.
const LONGEST: usize = 2048;

/// Facility (RFC 3164 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facility {
    /// `daemon`.
    Daemon,
    /// `authpriv`, where pluto logs.
    AuthPriv,
}

/// Severity (RFC 3164 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `err`.
    Error,
    /// `warning`: pluto's ordinary line.
    Warning,
    /// `notice`.
    Notice,
    /// `info`.
    Info,
    /// `debug`.
    Debug,
}

impl Facility {
    fn code(self) -> u8 {
        match self {
            Facility::Daemon => 3,
            Facility::AuthPriv => 10,
        }
    }
}

impl Severity {
    fn code(self) -> u8 {
        match self {
            Severity::Error => 3,
            Severity::Warning => 4,
            Severity::Notice => 5,
            Severity::Info => 6,
            Severity::Debug => 7,
        }
    }
}

/// A line to the log daemon.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    ident: String,
    facility: Facility,
    socket: Option<UnixDatagram>,
    waiting: VecDeque<String>,
    /// The log daemon did not take the first of them.
    behind: bool,
    lost: u64,
}

impl Syslog {
    /// Connects to the log daemon. One that is not there yet is tried again with every line.
    pub fn open(ident: &str, facility: Facility) -> Self {
        Self::open_at(Path::new(DEV_LOG), ident, facility)
    }

    /// [`open`](Self::open) with another socket than `/dev/log`.
    pub fn open_at(path: &Path, ident: &str, facility: Facility) -> Self {
        let mut log = Syslog {
            path: path.into(),
            ident: ident.into(),
            facility,
            socket: None,
            waiting: VecDeque::new(),
            behind: false,
            lost: 0,
        };
        log.connect();
        log
    }

    fn connect(&mut self) {
        self.socket = UnixDatagram::unbound().ok().filter(|s| {
            // Non-blocking first, so that not even connecting can wait.
            s.set_nonblocking(true).is_ok() && s.connect(&self.path).is_ok()
        });
    }

    /// Logs one line. Control characters in it are written as `\ooo`, so a peer cannot forge a line.
    pub fn log(&mut self, severity: Severity, text: &str) {
        self.queue(severity, text);
        self.flush();
    }

    /// Logs one line with the next [`flush`](Self::flush), or before when many are waiting.
    pub fn queue(&mut self, severity: Severity, text: &str) {
        if self.waiting.len() >= WAITING {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        if self.lost > 0 {
            let notice = format!("{} log lines were lost: the log daemon did not take them", self.lost);
            self.waiting.push_back(self.line(Severity::Warning, &notice));
            self.lost = 0;
        }
        self.waiting.push_back(self.line(severity, text));
        if self.waiting.len() >= BATCH && !self.behind {
            self.flush();
        }
    }

    fn line(&self, severity: Severity, text: &str) -> String {
        let priority = self.facility.code() * 8 + severity.code();
        format!("<{priority}>{}[{}]: {}", self.ident, std::process::id(), escape(text))
    }

    /// Whether lines wait for a log daemon that is busy: [`flush`](Self::flush) again in a moment.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Sends the lines that wait, as far as the log daemon takes them, in as few system calls as there can be.
    pub fn flush(&mut self) {
        self.behind = false;
        while let Some(line) = self.waiting.pop_front() {
            // The first alone: it tells whether the daemon is there.
            if !self.deliver(&line) {
                self.waiting.push_front(line);
                self.behind = true;
                return;
            }
            let batch = self.waiting.iter().take(BATCH);
            let sent = self.socket.as_ref().and_then(|s| send_all(s, batch)).unwrap_or_default();
            self.waiting.drain(..sent);
        }
    }

    /// `false` when the daemon is there, but busy.
    fn deliver(&mut self, line: &str) -> bool {
        // The second try is for a daemon that was restarted.
        for _ in 0..2 {
            match self.socket.as_ref().map(|s| s.send(line.as_bytes())) {
                Some(Ok(_)) => return true,
                Some(Err(e)) if is_busy(&e) => return false,
                _ => self.connect(),
            }
        }
        let without_priority = line.split_once('>').map_or(line, |(_, rest)| rest);
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "{without_priority}");
        true
    }
}

/// Sends datagrams with one system call; how many it took.
fn send_all<'a>(socket: &UnixDatagram, lines: impl Iterator<Item = &'a String>) -> Option<usize> {
    let slices: Vec<[IoSlice<'_>; 1]> = lines.map(|l| [IoSlice::new(l.as_bytes())]).collect();
    if slices.is_empty() {
        return None;
    }
    let mut headers = MultiHeaders::<UnixAddr>::preallocate(slices.len(), None);
    let nowhere = vec![None; slices.len()];
    let fd = socket.as_raw_fd();
    sendmmsg(fd, &mut headers, &slices, nowhere, [], MsgFlags::empty()).ok().map(Iterator::count)
}

fn is_busy(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock || e.raw_os_error() == Some(libc::ENOBUFS)
}

/// `text` on one line and not too long.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for c in text.trim_end_matches('\n').chars().take(LONGEST) {
        if c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String does not fail.
                let _ = write!(out, "\\{byte:03o}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(daemon: &UnixDatagram) -> String {
        let mut buf = [0; 8192];
        let len = daemon.recv(&mut buf).unwrap();
        String::from_utf8(buf[..len].to_vec()).unwrap()
    }

    #[test]
    fn lines_reach_the_daemon_through_its_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut log = Syslog::open_at(&path, "pluto", Facility::AuthPriv);
        let pid = std::process::id();
        log.log(Severity::Warning, "listening for IKE messages");
        assert_eq!(receive(&daemon), format!("<84>pluto[{pid}]: listening for IKE messages"));

        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        log.log(Severity::Warning, "to standard error");
        let daemon = UnixDatagram::bind(&path).unwrap();
        log.log(Severity::Error, "again");
        assert_eq!(receive(&daemon), format!("<83>pluto[{pid}]: again"));
    }

    #[test]
    fn a_daemon_that_sleeps_blocks_nobody_and_gets_what_waited() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        daemon.set_nonblocking(true).unwrap();
        let mut log = Syslog::open_at(&path, "pluto", Facility::Daemon);
        let mut said = 0;
        while log.lost < 7 {
            log.log(Severity::Info, &format!("line {said}"));
            said += 1;
        }
        assert!(log.is_behind() && log.waiting.len() == WAITING);
        let mut heard = Vec::new();
        let mut buf = [0; 512];
        let mut listen = |log: &mut Syslog| {
            while log.is_behind() {
                while let Ok(len) = daemon.recv(&mut buf) {
                    heard.push(String::from_utf8(buf[..len].to_vec()).unwrap());
                }
                log.flush();
            }
            while let Ok(len) = daemon.recv(&mut buf) {
                heard.push(String::from_utf8(buf[..len].to_vec()).unwrap());
            }
            heard.split_off(0)
        };
        // All but the last seven, in order.
        let kept = listen(&mut log);
        assert_eq!(kept.len(), said - 7);
        assert!(kept.iter().enumerate().all(|(n, l)| l.ends_with(&format!("]: line {n}"))));
        log.log(Severity::Info, "after");
        let rest = listen(&mut log);
        assert!(rest[0].ends_with("7 log lines were lost: the log daemon did not take them"));
        assert!(rest[1].ends_with("]: after"));
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(
            escape("a\nJan 1 host pluto[1]: forged\u{1b}[2J\n"),
            "a\\012Jan 1 host pluto[1]: forged\\033[2J"
        );
        assert_eq!(escape("\u{85}é"), "\\302\\205é");
        assert_eq!(escape(&"x".repeat(LONGEST + 5)).len(), LONGEST);
    }
}
