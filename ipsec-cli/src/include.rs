//! `ipsec _include`: files with what they include in place, each change of file marked. Copies lines and understands
//! nothing else of them.

use std::io::{self, Write};
use std::path::Path;

use ipsec_conf::glob;
use ipsec_conf::source::{self, MAX_DEPTH, MAX_FILES, MAX_TOTAL};

use crate::{info, paths};

const USAGE: &str = "Usage: ipsec _include file ...";

/// Runs `ipsec _include`: 1 when a file cannot be read, 2 for nonsense.
pub(crate) fn run(args: &[String]) -> i32 {
    let mut files = args;
    while let Some((arg, rest)) = files.split_first() {
        match arg.as_str() {
            "--inband" => {}
            "--help" => {
                println!("{USAGE}");
                return 0;
            }
            "--version" => {
                println!("ipsec _include {}", info::version_code());
                return 0;
            }
            "--" => {
                files = rest;
                break;
            }
            _ if arg.starts_with('-') => {
                eprintln!("ipsec _include: unknown option `{arg}'");
                return 2;
            }
            _ => break,
        }
        files = rest;
    }
    if files.is_empty() {
        eprintln!("{USAGE}");
        return 2;
    }
    let mut out = io::stdout().lock();
    let mut copy = Copier::new(&mut out);
    let result = files.iter().try_for_each(|f| copy.file(Path::new(f), 1));
    match result {
        Ok(()) => i32::from(copy.failed),
        // Nobody reads any more.
        Err(_) => 1,
    }
}

/// Copies files until there is too much of them.
pub(crate) struct Copier<'w> {
    out: &'w mut dyn Write,
    files: usize,
    octets: usize,
    /// Whether a file could not be read.
    pub(crate) failed: bool,
}

impl<'w> Copier<'w> {
    pub(crate) fn new(out: &'w mut dyn Write) -> Self {
        Copier { out, files: 0, octets: 0, failed: false }
    }

    fn tell(&mut self, text: &str) -> io::Result<()> {
        self.failed = true;
        writeln!(self.out, "#:{text}")
    }

    /// Copies a file and what it includes.
    pub(crate) fn file(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let name = path.display();
        self.files += 1;
        let text = match source::read(path) {
            _ if self.files > MAX_FILES || depth > MAX_DEPTH => {
                Err("too many files include each other".to_string())
            }
            result => result,
        };
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                self.tell(&format!("cannot open configuration file '{name}': {why}"))?;
                if path == paths::confs().join("ipsec.secrets") {
                    self.tell("`ipsec newhostkey' makes a secrets file")?;
                }
                return Ok(());
            }
        };
        self.octets += text.len();
        if self.octets > MAX_TOTAL {
            return self.tell(&format!("{name}: more than {} MiB in all", MAX_TOTAL >> 20));
        }
        writeln!(self.out, "\n#< {name} 1")?;
        for (n, line) in source::lines(&text).enumerate() {
            if line.starts_with("#<") || line.starts_with("#>") || line.starts_with("#:") {
                continue;
            }
            let included = line.strip_prefix("include").filter(|r| r.starts_with([' ', '\t']));
            let Some(rest) = included else {
                writeln!(self.out, "{line}")?;
                continue;
            };
            let words: Vec<&str> = rest.split_whitespace().take_while(|w| !w.starts_with('#')).collect();
            let [pattern] = words.as_slice() else {
                self.tell(&format!("({name}, line {}) include syntax error in \"{line}\"", n + 1))?;
                continue;
            };
            let pattern = pattern.trim_matches(['"', '\'']);
            match glob::expand(pattern, path.parent().unwrap_or(Path::new("."))) {
                Ok(found) => found.iter().try_for_each(|f| self.file(f, depth + 1))?,
                Err(why) => self.tell(&why)?,
            }
            writeln!(self.out, "\n#> {name} {}", n + 2)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(path: &Path) -> (String, bool) {
        let mut out = Vec::new();
        let mut copy = Copier::new(&mut out);
        copy.file(path, 1).unwrap();
        let failed = copy.failed;
        (String::from_utf8(out).unwrap(), failed)
    }

    #[test]
    fn changes_of_file_are_marked() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b.conf"));
        std::fs::write(&a, "one\n#< faked\ninclude *.conf # x\ntwo\n").unwrap();
        std::fs::write(&b, "inner\n").unwrap();
        let (out, failed) = copied(&a);
        let (a, b) = (a.display(), b.display());
        assert_eq!(out, format!("\n#< {a} 1\none\n\n#< {b} 1\ninner\n\n#> {a} 4\ntwo\n"));
        assert!(!failed);
    }

    #[test]
    fn what_cannot_be_included_is_told_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a");
        std::fs::write(&a, "include a\ninclude a b\ninclude /dev/zero\n").unwrap();
        let (out, failed) = copied(&a);
        assert!(failed && out.contains("too many files") && out.contains("include syntax error"), "{out}");
        assert!(out.contains("'/dev/zero': is not a regular file") && out.len() < 1 << 20, "{out}");
    }
}
