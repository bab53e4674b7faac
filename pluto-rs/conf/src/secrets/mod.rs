//! `ipsec.secrets`: which secrets there are, and which fit a pair of identities.
//!
//! ```text
//! record := "include" GLOB
//!         | index* ":" key
//! key    := STRING | PSK value | XAUTH value
//!         | RSA "{" NAME [":"] DATA … "}"
//!         | (RSA | ECDSA | PKCS8 | P12 | …) FILE [ PASSPHRASE | "%prompt" ]
//!         | PIN TOKEN ( PIN | "%prompt" )
//!         | (EAP | NTLM | …) anything
//! ```
//!
//! An index that is no identity stands for itself, which nobody is (Openswan kept the record without it, which could make
//! it everybody's secret). No message of this module holds a part of a secret.

pub(crate) mod data;
mod lex;
mod lookup;
mod record;
mod token;

use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ipsec_types::auth::{PskRecord, SecretRecord};
use zeroize::Zeroizing;

use crate::diag::{Diagnostic, Place, Severity, tell};
use crate::glob;
use crate::source::{self, MAX_DEPTH, MAX_FILES, MAX_TOTAL};
use lex::{Record, Token};

pub use lookup::{lookup, psks, xauth_password};
pub use token::TokenName;

/// Reads `path` (a pattern, as for `pluto --secretsfile`) and what it includes: every record, in file order. Host names
/// among the indices are looked up. Notes tell which file is read; errors which record is dropped.
pub fn load_all(path: &Path) -> (Vec<SecretRecord>, Vec<Diagnostic>) {
    load_all_with(path, &resolve)
}

/// [`load_all`] with a resolver of the caller's for host names.
pub fn load_all_with(
    path: &Path,
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
) -> (Vec<SecretRecord>, Vec<Diagnostic>) {
    let mut loader = Loader::new(resolver);
    loader.pattern(&path.to_string_lossy(), Path::new("."), 1);
    (loader.out, loader.diagnostics)
}

/// [`load_all_with`] for the files of another machine that lie below `root`, absolute names in an `include` too.
pub fn load_all_below(
    root: &Path,
    path: &Path,
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
) -> (Vec<SecretRecord>, Vec<Diagnostic>) {
    let mut loader = Loader { root: Some(root), ..Loader::new(resolver) };
    loader.pattern(&path.to_string_lossy(), Path::new("."), 1);
    (loader.out, loader.diagnostics)
}

/// The pre-shared keys of [`load_all`].
pub fn load(path: &Path) -> (Vec<PskRecord>, Vec<Diagnostic>) {
    let (records, diagnostics) = load_all(path);
    (psks(&records), diagnostics)
}

/// Reads secrets from memory, as the file `path`; for tests and fuzzing. Includes are followed.
pub fn parse_all(
    path: &Path,
    text: &[u8],
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
) -> (Vec<SecretRecord>, Vec<Diagnostic>) {
    let mut loader = Loader::new(resolver);
    loader.text(path, text, 1);
    (loader.out, loader.diagnostics)
}

/// The pre-shared keys of [`parse_all`].
pub fn parse(
    path: &Path,
    text: &[u8],
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
) -> (Vec<PskRecord>, Vec<Diagnostic>) {
    let (records, diagnostics) = parse_all(path, text, resolver);
    (psks(&records), diagnostics)
}

fn resolve(name: &str) -> Option<IpAddr> {
    (name, 0).to_socket_addrs().ok()?.next().map(|a| a.ip())
}

struct Loader<'r> {
    resolver: &'r dyn Fn(&str) -> Option<IpAddr>,
    out: Vec<SecretRecord>,
    diagnostics: Vec<Diagnostic>,
    files: usize,
    octets: usize,
    /// What stands for `/` in an `include`.
    root: Option<&'r Path>,
}

/// Most records of all files together.
const MAX_RECORDS: usize = 100_000;

impl<'r> Loader<'r> {
    fn new(resolver: &'r dyn Fn(&str) -> Option<IpAddr>) -> Self {
        Loader { resolver, out: Vec::new(), diagnostics: Vec::new(), files: 0, octets: 0, root: None }
    }

    fn say(&mut self, severity: Severity, file: &Path, line: u32, message: impl Into<String>) {
        let place = Place { file: file.to_path_buf(), line, column: 1, width: 1, text: String::new() };
        tell(&mut self.diagnostics, Diagnostic::new(severity, place, message));
    }

    fn pattern(&mut self, pattern: &str, base: &Path, depth: usize) {
        let paths = match glob::expand(pattern, base) {
            Ok(paths) => paths,
            Err(why) => return self.say(Severity::Error, Path::new(pattern), 0, why),
        };
        if paths.is_empty() {
            self.files += 1;
            let message = format!("no secrets filename matched \"{pattern}\"");
            // A wildcard asks for what there is, which may be nothing.
            let wild = pattern.contains(['*', '?', '[']);
            let severity = if wild { Severity::Note } else { Severity::Warning };
            self.say(severity, Path::new(pattern), 0, message);
        }
        for path in paths {
            self.file(&path, depth);
            if self.files > MAX_FILES {
                break;
            }
        }
    }

    fn file(&mut self, path: &Path, depth: usize) {
        let shown = path.display();
        if depth > MAX_DEPTH {
            let message = format!("preshared secrets file \"{shown}\" nested too deeply");
            return self.say(Severity::Error, path, 0, message);
        }
        self.files += 1;
        if self.files > MAX_FILES {
            let message = format!("preshared secrets file \"{shown}\": more than {MAX_FILES} files");
            return self.say(Severity::Error, path, 0, message);
        }
        match source::read_bytes(path).map(Zeroizing::new) {
            Err(why) => self.say(Severity::Error, path, 0, format!("could not open \"{shown}\": {why}")),
            Ok(bytes) => {
                self.say(Severity::Note, path, 0, format!("loading secrets from \"{shown}\""));
                let mode = std::fs::metadata(path).map_or(0, |m| m.permissions().mode());
                for (bit, what) in [(0o004, "read"), (0o002, "changed")] {
                    if mode & bit != 0 {
                        let message = format!("\"{shown}\" can be {what} by every user; chmod 600 it");
                        self.say(Severity::Warning, path, 0, message);
                    }
                }
                self.text(path, &bytes, depth);
            }
        }
    }

    fn text(&mut self, path: &Path, text: &[u8], depth: usize) {
        self.octets += text.len();
        if self.octets > MAX_TOTAL {
            let message = format!("more than {} MiB in all", MAX_TOTAL >> 20);
            return self.say(Severity::Error, path, 0, message);
        }
        let indented = lex::records(text, |record| {
            self.record(path, record, depth);
            self.out.len() <= MAX_RECORDS
        });
        if let Some(line) = indented {
            let message = "file starts with indentation (continuation notation); read as a record";
            self.say(Severity::Warning, path, line, message);
        }
        if self.out.len() > MAX_RECORDS {
            self.out.truncate(MAX_RECORDS);
            self.say(
                Severity::Error,
                path,
                0,
                format!("more than {MAX_RECORDS} records; the rest is not used"),
            );
        }
    }

    fn record(&mut self, path: &Path, record: &Record<'_>, depth: usize) {
        if let Some(line) = record.unterminated {
            return self.say(Severity::Error, path, line, "unterminated string");
        }
        if record.too_long {
            return self.say(Severity::Error, path, record.line, "record too long; dropped");
        }
        let include = record.tokens.first().and_then(Token::word);
        if include.is_some_and(|w| w.eq_ignore_ascii_case("include")) {
            return self.include(path, record, depth);
        }
        let mut said = Vec::new();
        let read = record::read(record, path, self.resolver, &mut said);
        self.out.extend(read);
        for finding in said {
            self.say(finding.severity, path, finding.line, finding.message);
        }
    }

    fn include(&mut self, path: &Path, record: &Record<'_>, depth: usize) {
        let [_, pattern] = record.tokens.as_slice() else {
            return self.say(Severity::Error, path, record.line, "include: expected one file name pattern");
        };
        let Ok(pattern) = std::str::from_utf8(pattern.bytes) else {
            return self.say(Severity::Error, path, record.line, "include: the pattern is not UTF-8");
        };
        // Unlike in ipsec.conf, relative names always start from the including file.
        let base: PathBuf = path.parent().map(Path::to_path_buf).unwrap_or_default();
        match self.root.filter(|_| pattern.starts_with('/')) {
            Some(root) => self.pattern(&format!("{}{pattern}", root.display()), &base, depth + 1),
            None => self.pattern(pattern, &base, depth + 1),
        }
    }
}
