//! Log lines to syslog or standard error; a slow log never stops the daemon.
//!
//! The log daemon takes only so many lines at once, ten where nobody has raised `net.unix.max_dgram_qlen`, and the start
//! of one pppd is more. Lines it does not take wait, up to a bound; [`Log::catch_up`] tries them again. In the loop the
//! lines of a wake-up go out together at its end ([`Log::gather`]): a system call for each would be most of a call's cost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{IoSlice, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use l2tp_proto::Level;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};

/// Facility `daemon` of syslog(3).
const DAEMON: u8 = 3 << 3;

/// Lines that wait for the log daemon at most.
const WAITING: usize = 4096;
/// Lines a system call.
const BATCH: usize = 32;
/// Octets that a pipe takes whole.
const WHOLE: usize = 4000;

/// Where lines go.
#[derive(Debug)]
pub struct Log {
    ident: &'static str,
    pid: u32,
    gather: Cell<bool>,
    to: RefCell<To>,
}

#[derive(Debug)]
enum To {
    /// Whole lines that wait to be written.
    Stderr(String),
    Syslog(Syslog),
}

#[derive(Debug)]
struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    waiting: VecDeque<String>,
    lost: u64,
}

impl Syslog {
    /// Sends the lines at the front; how many the log daemon has taken, none when it is busy or not there.
    fn send(socket: &UnixDatagram, lines: &VecDeque<String>) -> nix::Result<usize> {
        let vectors: Vec<[IoSlice<'_>; 1]> =
            lines.iter().take(BATCH).map(|l| [IoSlice::new(l.as_bytes())]).collect();
        let mut heads = MultiHeaders::<()>::preallocate(vectors.len(), None);
        let nobody = vec![None; vectors.len()];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmmsg(socket.as_raw_fd(), &mut heads, &vectors, &nobody, [], flags).map(Iterator::count)
    }

    fn connect(&self) -> Option<UnixDatagram> {
        let s = UnixDatagram::unbound().ok()?;
        s.connect(&self.path).ok()?;
        Some(s)
    }

    /// Sends what waits, as far as it goes. Without a log daemon it is lost.
    fn catch_up(&mut self) {
        // The second try is for a syslogd that was started anew.
        let mut fresh = false;
        while !self.waiting.is_empty() {
            if self.socket.is_none() {
                fresh = true;
                self.socket = self.connect();
            }
            let Some(socket) = &self.socket else { return self.waiting.clear() };
            match Self::send(socket, &self.waiting) {
                Ok(0) | Err(Errno::EAGAIN) => return,
                Ok(n) => {
                    self.waiting.drain(..n);
                }
                // One that it never takes, for its length: not worth waiting for.
                Err(_) if fresh => {
                    self.waiting.pop_front();
                }
                Err(_) => self.socket = None,
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
    fn new(ident: &'static str, to: To) -> Self {
        Log { ident, pid: std::process::id(), gather: Cell::new(false), to: RefCell::new(to) }
    }

    /// Lines go to standard error as `ident[pid]: text`. To be made in the process that uses it.
    pub fn stderr(ident: &'static str) -> Self {
        Self::new(ident, To::Stderr(String::new()))
    }

    /// Lines go to `/dev/log`. To be made in the process that uses it.
    pub fn syslog(ident: &'static str) -> Self {
        Self::syslog_at(ident, "/dev/log".into())
    }

    fn syslog_at(ident: &'static str, path: PathBuf) -> Self {
        Self::new(ident, To::Syslog(Syslog { path, socket: None, waiting: VecDeque::new(), lost: 0 }))
    }

    /// From now on lines wait for [`Log::catch_up`], unless they are many.
    pub fn gather(&self) {
        self.gather.set(true);
    }

    /// Writes one line, or keeps it for [`Log::catch_up`]; one that is too many is lost, which is told.
    pub fn line(&self, level: Level, text: &str) {
        let (ident, pid) = (self.ident, self.pid);
        let many = match &mut *self.to.borrow_mut() {
            To::Stderr(waiting) => {
                let _ = writeln!(waiting, "{ident}[{pid}]: {text}");
                waiting.len() >= WHOLE
            }
            To::Syslog(s) => {
                let form =
                    |level, text: &str| format!("<{}>{ident}[{pid}]: {text}", DAEMON | severity(level));
                if s.waiting.len() >= WAITING {
                    s.catch_up();
                }
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
                s.waiting.len() >= BATCH
            }
        };
        if many || !self.gather.get() {
            self.catch_up();
        }
    }

    /// Whether lines wait for the log daemon.
    pub fn is_behind(&self) -> bool {
        match &*self.to.borrow() {
            To::Stderr(waiting) => !waiting.is_empty(),
            To::Syslog(s) => !s.waiting.is_empty(),
        }
    }

    /// Sends lines that wait, as many as the log daemon takes.
    pub fn catch_up(&self) {
        match &mut *self.to.borrow_mut() {
            To::Stderr(waiting) => {
                if !waiting.is_empty() {
                    // Whole lines in one write, so that those of several processes do not mix.
                    let _ = std::io::stderr().write_all(waiting.as_bytes());
                    waiting.clear();
                }
            }
            To::Syslog(s) => s.catch_up(),
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

impl Drop for Log {
    fn drop(&mut self) {
        self.catch_up();
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
    fn gathered_lines_go_out_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let syslogd = UnixDatagram::bind(&path).unwrap();
        syslogd.set_nonblocking(true).unwrap();
        let log = Log::syslog_at("x", path);
        log.gather();
        log.info("one");
        log.info("two");
        let mut b = [0; 200];
        assert!(log.is_behind() && syslogd.recv(&mut b).is_err());
        log.catch_up();
        assert!(!log.is_behind());
        for want in ["one", "two"] {
            let n = syslogd.recv(&mut b).unwrap();
            assert!(b[..n].ends_with(want.as_bytes()));
        }
        // What is left when it goes goes too.
        log.info("three");
        drop(log);
        assert!(syslogd.recv(&mut b).is_ok());
    }

    #[test]
    fn without_a_log_daemon_nothing_is_kept() {
        let log = Log::syslog_at("x", "/nonexistent/log".into());
        log.info("nobody hears");
        assert!(!log.is_behind());
    }
}
