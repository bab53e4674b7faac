//! Log lines to syslog or standard error; a slow log never stops the daemon.

use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixDatagram;

use l2tp_proto::Level;

/// Facility `daemon` of syslog(3).
const DAEMON: u8 = 3 << 3;

/// Where lines go.
#[derive(Debug)]
pub struct Log {
    ident: &'static str,
    syslog: Option<RefCell<Option<UnixDatagram>>>,
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
        Log { ident, syslog: Some(RefCell::new(None)) }
    }

    /// Writes one line; one that cannot be written is lost.
    pub fn line(&self, level: Level, text: &str) {
        let pid = std::process::id();
        match &self.syslog {
            None => {
                // One write a line, so that lines of several processes do not mix.
                let _ = std::io::stderr().write_all(format!("{}[{pid}]: {text}\n", self.ident).as_bytes());
            }
            Some(socket) => {
                let line = format!("<{}>{}[{pid}]: {text}", DAEMON | severity(level), self.ident);
                let mut socket = socket.borrow_mut();
                // The second try is for a syslogd that was started anew.
                for _ in 0..2 {
                    if socket.is_none() {
                        *socket = connect();
                    }
                    match socket.as_ref().map(|s| s.send(line.as_bytes())) {
                        Some(Err(e)) if e.kind() != std::io::ErrorKind::WouldBlock => *socket = None,
                        _ => break,
                    }
                }
            }
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

fn connect() -> Option<UnixDatagram> {
    let s = UnixDatagram::unbound().ok()?;
    s.set_nonblocking(true).ok()?;
    s.connect("/dev/log").ok()?;
    Some(s)
}
