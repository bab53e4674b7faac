//! Lines to `/dev/log`, as `syslog(3)` writes them, without ever waiting for whoever reads there.
//!
//! The crate `syslog` sets its socket to blocking and gives up on a lost reader; a daemon that must not stall and must
//! survive a restart of the log service needs these few lines instead.

use std::io;
use std::os::unix::net::UnixDatagram;

/// Where a line belongs (RFC 3164 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facility {
    /// `daemon`, 3.
    Daemon,
    /// `authpriv`, 10.
    AuthPriv,
}

impl Facility {
    fn number(self) -> u8 {
        match self {
            Facility::Daemon => 3,
            Facility::AuthPriv => 10,
        }
    }
}

/// Severity `warning`, at which Openswan logs everything.
const WARNING: u8 = 4;
const PATH: &str = "/dev/log";
/// Longest line; the rest is cut.
const LIMIT: usize = 2000;

/// A connection to the log service, made again when it is lost.
pub struct Syslog {
    ident: String,
    facility: Facility,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// Lines will begin with `ident[pid]: `.
    pub fn open(ident: &str, facility: Facility) -> Syslog {
        Syslog { ident: ident.into(), facility, socket: None }
    }

    /// Writes a line. If there is no log service it goes to standard error.
    pub fn warning(&mut self, text: &str) {
        let line = self.line(WARNING, text);
        if self.send(&line).is_err() {
            // The service may have been restarted since.
            self.socket = None;
            if self.send(&line).is_err() {
                eprintln!("{}[{}]: {text}", self.ident, std::process::id());
            }
        }
    }

    fn line(&self, severity: u8, text: &str) -> String {
        let mut line =
            format!("<{}>{}[{}]: ", self.facility.number() * 8 + severity, self.ident, std::process::id());
        for c in text.chars() {
            if line.len() >= LIMIT {
                line.push_str("...");
                break;
            }
            if c.is_control() {
                line.push_str(&format!("#{:03o}", c as u32));
            } else {
                line.push(c);
            }
        }
        line
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(s) => s,
            none => {
                let s = UnixDatagram::unbound()?;
                s.set_nonblocking(true)?;
                s.connect(PATH)?;
                none.insert(s)
            }
        };
        match socket.send(line.as_bytes()) {
            // A reader that does not keep up loses lines; we lose no time.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another() {
        let s = Syslog::open("pluto", Facility::AuthPriv);
        let line = s.line(WARNING, "peer says \"a\nb\u{7}\"");
        assert!(line.starts_with("<84>pluto["), "{line}");
        assert!(line.ends_with("]: peer says \"a#012b#007\""), "{line}");
        assert!(s.line(WARNING, &"x".repeat(10_000)).len() < LIMIT + 16);
    }
}
