//! Log lines to syslog or standard error; a slow log never stops the daemon.
//!
//! The log daemon takes only so many lines at once, ten where nobody has raised `net.unix.max_dgram_qlen`, and the start
//! of one pppd is more. Lines it does not take wait, up to a bound; [`Log::catch_up`] tries them again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use l2tp_proto::Level;

/// Facility `daemon` of syslog(3).
const DAEMON: u8 = 3 << 3;

/// Lines that wait for the log daemon at most.
const WAITING: usize = 4096;

/// Where lines go.
#[derive(Debug)]
pub struct Log {
    ident: &'static str,
    syslog: Option<RefCell<Syslog>>,
}

#[derive(Debug)]
struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    waiting: VecDeque<String>,
    lost: u64,
}

impl Syslog {
    /// False when the log daemon is there and busy. Without one the line is lost.
    fn send(&mut self, line: &str) -> bool {
        // The second try is for a syslogd that was started anew.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = self.connect();
            }
            match self.socket.as_ref().map(|s| s.send(line.as_bytes())) {
                Some(Err(e)) if e.kind() == ErrorKind::WouldBlock => return false,
                Some(Err(_)) => self.socket = None,
                _ => break,
            }
        }
        true
    }

    fn connect(&self) -> Option<UnixDatagram> {
        let s = UnixDatagram::unbound().ok()?;
        s.set_nonblocking(true).ok()?;
        s.connect(&self.path).ok()?;
        Some(s)
    }

    /// Sends what waits, as far as it goes.
    fn catch_up(&mut self) {
        while let Some(line) = self.waiting.pop_front() {
            if !self.send(&line) {
                return self.waiting.push_front(line);
            }
        }
    }
}

fn severity(level: Level) -> u8 {
    match level {
        Level::Crit => 2,
        Level::Err => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

impl Log {
    /// Lines go to standard error as `ident[pid]: text`.
    pub fn stderr(ident: &'static str) -> Self {
        Log { ident, syslog: None }
    }

    /// Lines go to `/dev/log`.
    pub fn syslog(ident: &'static str) -> Self {
        Self::syslog_at(ident, "/dev/log".into())
    }

    fn syslog_at(ident: &'static str, path: PathBuf) -> Self {
        Log {
            ident,
            syslog: Some(RefCell::new(Syslog { path, socket: None, waiting: VecDeque::new(), lost: 0 })),
        }
    }

    /// Writes one line, or keeps it for [`Log::catch_up`]; one that is too many is lost, which is told.
    pub fn line(&self, level: Level, text: &str) {
        let pid = std::process::id();
        let Some(syslog) = &self.syslog else {
            // One write a line, so that lines of several processes do not mix.
            let _ = std::io::stderr().write_all(format!("{}[{pid}]: {text}\n", self.ident).as_bytes());
            return;
        };
        let form = |level, text: &str| format!("<{}>{}[{pid}]: {text}", DAEMON | severity(level), self.ident);
        let mut s = syslog.borrow_mut();
        s.catch_up();
        if s.waiting.len() >= WAITING {
            s.lost += 1;
            return;
        }
        if s.lost > 0 && s.waiting.is_empty() {
            let text = format!("{} log lines were lost: the log daemon did not take them", s.lost);
            s.lost = 0;
            s.waiting.push_back(form(Level::Warning, &text));
        }
        s.waiting.push_back(form(level, text));
        s.catch_up();
    }

    /// Whether lines wait for the log daemon.
    pub fn is_behind(&self) -> bool {
        self.syslog.as_ref().is_some_and(|s| !s.borrow().waiting.is_empty())
    }

    /// Sends lines that wait, as many as the log daemon takes.
    pub fn catch_up(&self) {
        if let Some(s) = &self.syslog {
            s.borrow_mut().catch_up();
        }
    }

    /// A line of level crit.
    pub fn crit(&self, text: &str) {
        self.line(Level::Crit, text);
    }

    /// A line of level warning.
    pub fn warning(&self, text: &str) {
        self.line(Level::Warning, text);
    }

    /// A line of level info.
    pub fn info(&self, text: &str) {
        self.line(Level::Info, text);
    }

    /// A line of level debug.
    pub fn debug(&self, text: &str) {
        self.line(Level::Debug, text);
    }
}

/// Octets for `debug packet`, bounded.
pub fn hex(data: &[u8]) -> String {
    let mut out = format!("packet dump, {} octets:", data.len());
    for b in data.iter().take(256) {
        out.push_str(&format!(" {b:02x}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_a_busy_log_daemon_in_order_and_too_many_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let syslogd = UnixDatagram::bind(&path).unwrap();
        syslogd.set_nonblocking(true).unwrap();
        let log = Log::syslog_at("x", path);
        let take = || {
            let mut b = [0; 200];
            std::iter::from_fn(|| {
                syslogd.recv(&mut b).ok().map(|n| String::from_utf8_lossy(&b[..n]).into_owned())
            })
            .collect::<Vec<_>>()
        };
        let mut n = 0;
        while !log.is_behind() {
            log.info(&n.to_string());
            n += 1;
        }
        for i in n..n + WAITING + 9 {
            log.info(&i.to_string());
        }
        let mut got = Vec::new();
        while log.is_behind() {
            got.extend(take());
            log.catch_up();
        }
        got.extend(take());
        let want: Vec<String> =
            (0..n + WAITING - 1).map(|i| format!("<30>x[{}]: {i}", std::process::id())).collect();
        assert_eq!(got, want);
        log.info("after");
        let got = take();
        assert!(got[0].contains("10 log lines were lost") && got[1].ends_with(": after"), "{got:?}");
        assert!(!log.is_behind());
    }

    #[test]
    fn without_a_log_daemon_nothing_is_kept() {
        let log = Log::syslog_at("x", "/nonexistent/log".into());
        log.info("nobody hears");
        assert!(!log.is_behind());
    }
}
