//! Which L2TP endpoints IPsec covers, as pluto tells it.
//!
//! pluto keeps the file `/run/pluto/l2tp-protected` with one line per covered endpoint: `ADDRESS PORT MASK`. A
//! datagram that came through IPsec to such an endpoint has a mark that is not zero under the mask.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use l2tp_proto::Instant;

/// Where pluto writes.
pub const FILE: &str = "/run/pluto/l2tp-protected";
/// The file is looked at no more often than this.
const INTERVAL: Duration = Duration::from_secs(1);

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Our address, `None` for `*`.
    pub addr: Option<Ipv4Addr>,
    /// Our port.
    pub port: u16,
    /// The bits of the mark that are pluto's.
    pub mask: u32,
}

/// Parses the file; lines that are not of its form are left out.
pub fn parse(text: &str) -> Vec<Covered> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Covered> {
    let mut words = line.split_ascii_whitespace();
    let addr = match words.next()? {
        "*" => None,
        a => Some(a.parse().ok()?),
    };
    let port = words.next()?.parse().ok()?;
    let mask = words.next()?;
    let mask = match mask.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => mask.parse().ok()?,
    };
    Some(Covered { addr, port, mask })
}

/// The file's content, as fresh as a second.
#[derive(Debug)]
pub struct Protected {
    path: PathBuf,
    looked: Option<Instant>,
    modified: Option<SystemTime>,
    lines: Vec<Covered>,
}

impl Protected {
    /// Watches a file, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Protected { path: path.into(), looked: None, modified: None, lines: Vec::new() }
    }

    /// The mask of the marks for an endpoint of ours, `None` when IPsec does not cover it.
    pub fn mask(&mut self, now: Instant, addr: Ipv4Addr, port: u16) -> Option<u32> {
        if self.looked.is_none_or(|at| now.since(at) >= INTERVAL) {
            self.looked = Some(now);
            self.look();
        }
        let fits = |c: &&Covered| c.port == port && c.addr.is_none_or(|a| a == addr);
        self.lines.iter().find(fits).map(|c| c.mask)
    }

    fn look(&mut self) {
        let modified = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
        if modified == self.modified && modified.is_some() {
            return;
        }
        self.modified = modified;
        self.lines = match modified {
            Some(_) => std::fs::read_to_string(&self.path).map(|t| parse(&t)).unwrap_or_default(),
            None => Vec::new(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_and_junk() {
        let got = parse("192.0.2.1 1701 0x7fff0000\n* 1702 255\nnonsense\n1.2.3.4 99999 1\n\n");
        assert_eq!(
            got,
            [
                Covered { addr: Some([192, 0, 2, 1].into()), port: 1701, mask: 0x7fff_0000 },
                Covered { addr: None, port: 1702, mask: 255 }
            ]
        );
    }

    #[test]
    fn the_file_is_read_again_when_it_changes_but_not_within_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("l2tp-protected");
        let mut p = Protected::new(&file);
        let a = Ipv4Addr::new(192, 0, 2, 1);
        let at = |s: u64| Instant(s * 1_000_000_000);
        assert_eq!(p.mask(at(1), a, 1701), None);
        std::fs::write(&file, "192.0.2.1 1701 0xff\n").unwrap();
        assert_eq!(p.mask(at(1), a, 1701), None);
        assert_eq!(p.mask(at(3), a, 1701), Some(0xff));
        assert_eq!(p.mask(at(3), Ipv4Addr::LOCALHOST, 1701), None);
        assert_eq!(p.mask(at(3), a, 1702), None);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(p.mask(at(5), a, 1701), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(s in any::<String>(), t in "[0-9x*. \n]{0,60}") {
            parse(&s);
            parse(&t);
        }
    }
}
