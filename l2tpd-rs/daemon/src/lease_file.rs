//! The addresses callers had last, in a file beside the control FIFO: a daemon that starts again, after a crash too,
//! gives them to the same callers.
//!
//! ```text
//!   CALLER ADDRESS        a line: 16 hexadecimal digits, dotted quad; the last line of a caller counts
//! ```
//!
//! The file is a convenience. What cannot be read is passed over, what cannot be written is not there the next time.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The longest file read.
const MAX: u64 = 8 << 20;
/// Lines that are appended before the file is written anew.
const LINES: usize = 100_000;

/// The file.
#[derive(Debug)]
pub struct LeaseFile {
    path: PathBuf,
    file: Option<File>,
    appended: usize,
    /// Lines that are not written yet.
    waiting: String,
}

/// The lines of a file; those that say nothing are left out.
pub fn parse(text: &str) -> Vec<(u64, Ipv4Addr)> {
    let line = |l: &str| {
        let (key, addr) = l.split_once(' ')?;
        let digits = key.len() == 16 && key.bytes().all(|b| b.is_ascii_hexdigit());
        Some((u64::from_str_radix(key, 16).ok().filter(|_| digits)?, addr.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

impl LeaseFile {
    /// The file that belongs to this control FIFO.
    pub fn new(control: &str) -> Self {
        LeaseFile {
            path: format!("{control}.addresses").into(),
            file: None,
            appended: 0,
            waiting: String::new(),
        }
    }

    /// What an earlier daemon has left, the oldest first.
    pub fn load(&self) -> Vec<(u64, Ipv4Addr)> {
        let mut bytes = Vec::new();
        // Neither a link nor anything else but a file of ours is followed.
        let open =
            OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&self.path);
        let read = open.and_then(|f| f.take(MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => parse(&String::from_utf8_lossy(&bytes)),
            Err(_) => Vec::new(),
        }
    }

    /// Whether so much was appended that the file had better be written anew.
    pub fn is_long(&self) -> bool {
        self.appended >= LINES
    }

    /// Writes the file anew, with these lines.
    ///
    /// # Errors
    /// The file system's.
    pub fn rewrite(&mut self, all: impl Iterator<Item = (u64, Ipv4Addr)>) -> io::Result<()> {
        self.file = None;
        self.waiting.clear();
        let new = self.path.with_extension("new");
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
        let text: String = all.map(|(key, addr)| format!("{key:016x} {addr}\n")).collect();
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)?;
        self.file = Some(file);
        self.appended = 0;
        Ok(())
    }

    /// Adds a line, which [`LeaseFile::flush`] writes; nothing happens before the first [`LeaseFile::rewrite`].
    pub fn append(&mut self, key: u64, addr: Ipv4Addr) {
        if self.file.is_some() {
            self.appended += 1;
            let _ = writeln!(self.waiting, "{key:016x} {addr}");
        }
    }

    /// Writes the lines of many calls at once.
    pub fn flush(&mut self) {
        if let Some(file) = self.file.as_mut().filter(|_| !self.waiting.is_empty()) {
            // A full disk costs callers their old addresses after the next start.
            let _ = file.write_all(self.waiting.as_bytes());
            self.waiting = String::new();
        }
    }

    /// Whether [`LeaseFile::append`] writes.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_comes_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let ctl = dir.path().join("ctl").to_string_lossy().into_owned();
        let mut f = LeaseFile::new(&ctl);
        assert!(f.load().is_empty());
        f.append(1, Ipv4Addr::LOCALHOST);
        assert!(f.load().is_empty() && !f.is_open(), "not before it is wanted");
        let [a, b] = [2, 3].map(|n| Ipv4Addr::new(10, 0, 0, n));
        f.rewrite([(7, a)].into_iter()).unwrap();
        f.append(u64::MAX, b);
        f.append(7, b);
        assert_eq!(f.load(), [(7, a)], "at the end of a wake-up");
        f.flush();
        f.flush();
        let want = [(7, a), (u64::MAX, b), (7, b)];
        assert_eq!(f.load(), want);
        assert_eq!(LeaseFile::new(&ctl).load(), want);
        f.rewrite([(7, b)].into_iter()).unwrap();
        assert_eq!(f.load(), [(7, b)]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("other"), "0000000000000007 10.0.0.2\n").unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), dir.path().join("ctl.addresses")).unwrap();
        assert!(LeaseFile::new(dir.path().join("ctl").to_str().unwrap()).load().is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(s in any::<String>(), t in "[0-9a-f+ .\n]{0,80}") {
            parse(&s);
            parse(&t);
        }
    }
}
