//! Finds the log of the daemon among those of `/var/log`: the file with the line of its last start, else one that speaks
//! of it at all. Reads the last part of each.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::paths;

/// Octets of a log, from its end, that are looked at.
const TAIL: u64 = 64 << 20;
/// Longest line that is shown, in octets.
const LINE: u64 = 8 << 10;
/// Files of the directory that are looked at.
const FILES: usize = 200;

/// What is looked for.
pub(crate) struct Log {
    /// A line of the last start.
    start: &'static str,
    /// What shows that the log is the right one at all.
    fallback: &'static str,
    /// Where it usually is.
    usual: &'static [&'static str],
    /// Words of the lines that are shown, in small letters.
    words: &'static [&'static str],
    /// Said when there is none.
    pub(crate) missing: &'static str,
}

/// The service.
pub(crate) const KERNEL: Log = Log {
    start: "Starting Openswan",
    fallback: "klips",
    usual: &["messages", "syslog", "auth.log", "daemon.log"],
    words: &["ipsec", "klips", "pluto"],
    missing: "Unable to find KLIPS messages, typically found in /var/log/messages or equivalent.",
};

/// The daemon.
pub(crate) const PLUTO: Log = Log {
    start: "Starting Pluto",
    fallback: "pluto",
    usual: &["secure", "auth.log", "daemon.log", "debug", "syslog", "messages"],
    words: &["pluto"],
    missing: "Unable to find Pluto messages, typically found in /var/log/secure or equivalent.",
};

/// The directory of logs.
pub(crate) fn directory() -> PathBuf {
    paths::env_path("LOGS", "/var/log")
}

/// The log; the usual files first, then all, the newest first.
pub(crate) fn find(log: &Log) -> Option<PathBuf> {
    let dir = directory();
    let mut others: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| {
            let name = e.file_name();
            let name = name.to_string_lossy();
            let is_packed = [".gz", ".Z", ".xz", ".bz2"].iter().any(|x| name.ends_with(x));
            !is_packed && !name.contains("lastlog") && !name.contains("tmp") && !name.starts_with("mail")
        })
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    others.sort_by_key(|o| std::cmp::Reverse(o.0));
    let others = others.into_iter().map(|o| o.1).take(FILES);
    let all: Vec<PathBuf> = log.usual.iter().map(|n| dir.join(n)).chain(others).collect();
    let with = |word: &str| all.iter().find(|p| has(p, word)).cloned();
    with(log.start).or_else(|| with(log.fallback))
}

/// The last part of a regular file, by lines.
fn open(path: &Path) -> Option<BufReader<File>> {
    let length = fs::metadata(path).ok().filter(|m| m.is_file())?.len();
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    Some(BufReader::new(file))
}

/// The next line, cut where it is too long; `None` at the end.
fn line(from: &mut BufReader<File>) -> Option<String> {
    let mut bytes = Vec::new();
    if from.by_ref().take(LINE).read_until(b'\n', &mut bytes).ok()? == 0 {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_end_matches(['\n', '\r']).to_string())
}

fn has(path: &Path, word: &str) -> bool {
    let Some(mut from) = open(path) else { return false };
    while let Some(text) = line(&mut from) {
        if text.contains(word) {
            return true;
        }
    }
    false
}

/// Copies the lines since the last start, the last `most` of them.
pub(crate) fn copy(path: &Path, log: &Log, most: usize, to: &mut dyn Write) -> io::Result<()> {
    let mut last = Last { kept: VecDeque::new(), most };
    let Some(mut from) = open(path) else { return Ok(()) };
    while let Some(text) = line(&mut from) {
        if text.contains(log.start) {
            last.kept.clear();
        }
        let lower = text.to_lowercase();
        if log.words.iter().any(|w| lower.contains(w)) {
            last.push(text);
        }
    }
    last.kept.iter().try_for_each(|l| writeln!(to, "{l}"))
}

/// Copies the last `most` lines.
pub(crate) fn tail(path: &Path, most: usize, to: &mut dyn Write) -> io::Result<()> {
    let mut last = Last { kept: VecDeque::new(), most };
    let Some(mut from) = open(path) else { return Ok(()) };
    while let Some(text) = line(&mut from) {
        last.push(text);
    }
    last.kept.iter().try_for_each(|l| writeln!(to, "{l}"))
}

/// The last lines.
struct Last {
    kept: VecDeque<String>,
    most: usize,
}

impl Last {
    fn push(&mut self, line: String) {
        if self.kept.len() == self.most {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_since_the_last_start_are_shown_and_no_more_than_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text = "pluto[1]: old\nx Starting Pluto (Openswan)\npluto[2]: one\nother\npluto[2]: two\n";
        fs::write(&path, text).unwrap();
        let copied = |most| {
            let mut out = Vec::new();
            copy(&path, &PLUTO, most, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(copied(10), "x Starting Pluto (Openswan)\npluto[2]: one\npluto[2]: two\n");
        assert_eq!(copied(1), "pluto[2]: two\n");
        let mut out = Vec::new();
        tail(&path, 2, &mut out).unwrap();
        assert_eq!(out, b"other\npluto[2]: two\n");
        assert!(has(&path, "Starting Pluto") && !has(&path, "klips") && !has(dir.path(), ""));
    }
}
