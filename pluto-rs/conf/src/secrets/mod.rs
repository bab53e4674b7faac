//! `ipsec.secrets`: which pre-shared keys there are, and which fit a pair of identities.
//!
//! ```text
//! record := "include" GLOB
//!         | index* ":" ( STRING | PSK (STRING | DATA) | OTHER-KIND anything )
//! ```
//!
//! A record with a bad index is dropped (Openswan kept it without that index, which could make it everybody's secret). No
//! message of this module holds a part of a secret.

mod data;
mod lex;

use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ipsec_types::auth::PskRecord;
use ipsec_types::{Id, SecretBytes};
use zeroize::Zeroizing;

use crate::diag::{Diagnostic, Place, Severity};
use crate::glob;
use crate::source::{self, MAX_DEPTH, MAX_FILES};
use lex::{Record, Token};

/// The kinds of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Psk,
    Xauth,
    /// A private key, in the file or beside it.
    PrivateKey,
    Pin,
    /// Secrets of other authentication methods.
    Other,
}

impl Kind {
    fn of(word: &str) -> Option<Kind> {
        Some(match word.to_ascii_uppercase().as_str() {
            "PSK" => Kind::Psk,
            "XAUTH" => Kind::Xauth,
            "RSA" | "ECDSA" | "PKCS8" | "PKCS12" | "P12" | "BLISS" | "PRIV" => Kind::PrivateKey,
            "PIN" => Kind::Pin,
            "EAP" | "NTLM" | "PPK" | "PPKS" => Kind::Other,
            _ => return None,
        })
    }
}

/// Reads `path` (a pattern, as for `pluto --secretsfile`) and what it includes, in file order. Host names among the indices are
/// looked up. Notes tell which file is read and what is skipped; errors which record is dropped.
pub fn load(path: &Path) -> (Vec<PskRecord>, Vec<Diagnostic>) {
    load_with(path, &resolve)
}

/// [`load`] with a resolver of the caller's for host names.
pub fn load_with(
    path: &Path,
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
) -> (Vec<PskRecord>, Vec<Diagnostic>) {
    let mut loader = Loader { resolver, out: Vec::new(), diagnostics: Vec::new(), files: 0 };
    loader.pattern(&path.to_string_lossy(), Path::new("."), 1);
    (loader.out, loader.diagnostics)
}

/// Reads secrets from memory, as the file `path`; for tests and fuzzing. Includes are followed.
pub fn parse(
    path: &Path,
    text: &[u8],
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
) -> (Vec<PskRecord>, Vec<Diagnostic>) {
    let mut loader = Loader { resolver, out: Vec::new(), diagnostics: Vec::new(), files: 0 };
    loader.text(path, text, 1);
    (loader.out, loader.diagnostics)
}

fn resolve(name: &str) -> Option<IpAddr> {
    (name, 0).to_socket_addrs().ok()?.next().map(|a| a.ip())
}

struct Loader<'r> {
    resolver: &'r dyn Fn(&str) -> Option<IpAddr>,
    out: Vec<PskRecord>,
    diagnostics: Vec<Diagnostic>,
    files: usize,
}

impl Loader<'_> {
    fn say(&mut self, severity: Severity, file: &Path, line: u32, message: impl Into<String>) {
        let place = Place { file: file.to_path_buf(), line, column: 1, width: 1, text: String::new() };
        self.diagnostics.push(Diagnostic::new(severity, place, message));
    }

    fn pattern(&mut self, pattern: &str, base: &Path, depth: usize) {
        let paths = glob::expand(pattern, base);
        if paths.is_empty() {
            let message = format!("no secrets filename matched \"{pattern}\"");
            self.say(Severity::Warning, Path::new(pattern), 0, message);
        }
        for path in paths {
            self.file(&path, depth);
        }
    }

    fn file(&mut self, path: &Path, depth: usize) {
        let shown = path.display();
        if depth > MAX_DEPTH {
            let message = format!("preshared secrets file \"{shown}\" nested too deeply");
            return self.say(Severity::Error, path, 0, message);
        }
        if self.files >= MAX_FILES {
            let message = format!("preshared secrets file \"{shown}\": more than {MAX_FILES} files");
            return self.say(Severity::Error, path, 0, message);
        }
        self.files += 1;
        match source::read_bytes(path).map(Zeroizing::new) {
            Err(why) => self.say(Severity::Error, path, 0, format!("could not open \"{shown}\": {why}")),
            Ok(bytes) => {
                self.say(Severity::Note, path, 0, format!("loading secrets from \"{shown}\""));
                if std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0) {
                    let message = format!("\"{shown}\" can be read by every user; chmod 600 it");
                    self.say(Severity::Warning, path, 0, message);
                }
                self.text(path, &bytes, depth);
            }
        }
    }

    fn text(&mut self, path: &Path, text: &[u8], depth: usize) {
        let (records, orphan) = lex::records(text);
        if let Some(line) = orphan {
            self.say(Severity::Error, path, line, "file starts with indentation (continuation notation)");
        }
        for record in &records {
            if let Some(line) = record.unterminated {
                self.say(Severity::Error, path, line, "unterminated string");
                continue;
            }
            let include = record.tokens.first().and_then(Token::word);
            if include.is_some_and(|w| w.eq_ignore_ascii_case("include")) {
                self.include(path, record, depth);
            } else if let Err((severity, line, message)) = self.record(record) {
                self.say(severity, path, line, message);
            }
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
        self.pattern(pattern, &base, depth + 1);
    }

    /// Takes a record that is not an include. `Err` is what to say about one that is not taken.
    fn record(&mut self, record: &Record<'_>) -> Result<(), (Severity, u32, String)> {
        let error = |line, message: &str| Err((Severity::Error, line, message.to_string()));
        let tokens = &record.tokens;
        let colon = tokens.iter().position(|t| t.word() == Some(":"));
        let (indices, key) = match (colon, tokens.split_last()) {
            (Some(i), _) => (&tokens[..i], &tokens[i + 1..]),
            // The form of the oldest manuals: indices and a quoted secret, no colon.
            (None, Some((last, indices))) if last.quoted => (indices, std::slice::from_ref(last)),
            _ => return error(record.line, "unexpected end of id list"),
        };
        let Some((first, rest)) = key.split_first() else {
            return error(record.line, "expected a kind of key after the colon");
        };
        let psk = match first.word().map(Kind::of) {
            None if first.quoted => {
                if !rest.is_empty() {
                    return error(first.line, "expected record boundary in key");
                }
                SecretBytes::from(first.bytes)
            }
            Some(Some(Kind::Psk)) => match rest {
                [value] if value.quoted => SecretBytes::from(value.bytes),
                [value] => match data::decode(value.bytes) {
                    Ok(psk) => psk,
                    Err(why) => return error(value.line, &format!("PSK data malformed: {why}")),
                },
                [] => return error(first.line, "PSK data malformed: no secret"),
                _ => return error(first.line, "expected record boundary in key"),
            },
            Some(Some(kind)) => {
                let what = match kind {
                    Kind::Xauth => "XAUTH password",
                    Kind::PrivateKey => "private key",
                    Kind::Pin => "PIN",
                    Kind::Psk | Kind::Other => "secret",
                };
                return Err((
                    Severity::Note,
                    first.line,
                    format!("{what} skipped: only pre-shared keys are used"),
                ));
            }
            _ => return error(first.line, "unrecognized key format: expected PSK, RSA, XAUTH or PIN"),
        };
        let ids = indices.iter().map(|t| self.index(t)).collect::<Result<Vec<_>, _>>()?;
        self.out.push(PskRecord { ids, psk, line: record.line });
        Ok(())
    }

    /// An index: an identity, or a host name that is looked up.
    fn index(&self, token: &Token<'_>) -> Result<Id, (Severity, u32, String)> {
        let bad = |why: String| (Severity::Error, token.line, format!("{why}; record dropped"));
        let text = std::str::from_utf8(token.bytes).map_err(|_| bad("an index is not UTF-8".into()))?;
        if token.quoted {
            // Not shown: it may be a secret in the wrong place.
            return text.parse().map_err(|_| bad("a quoted index is not an identity".into()));
        }
        match text.parse::<Id>() {
            Ok(id) => Ok(id),
            Err(_) if is_host_name(text) => (self.resolver)(text)
                .map(Id::Addr)
                .ok_or_else(|| bad(format!("index \"{text}\" does not look numeric and name lookup failed"))),
            Err(e) => Err(bad(format!("index \"{text}\" {e}"))),
        }
    }
}

fn is_host_name(text: &str) -> bool {
    text.len() <= 255
        && text.bytes().any(|b| b.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// The keys for `me` and `him`, best first: all distinct keys of the most specific match, in file order. For wildcards
/// that is every `%any` record followed by those without an index, so that each can be tried. `Id::None` as `him` is an unknown peer.
pub fn lookup<'a>(records: &'a [PskRecord], me: &Id, him: &Id) -> Vec<&'a SecretBytes> {
    let mut best = 0;
    let mut keys: Vec<(&PskRecord, u8)> = Vec::new();
    for record in records {
        let score = score(record, me, him);
        if score > best {
            best = score;
            keys.clear();
        }
        if score == best && score > 0 {
            keys.push((record, score));
        }
    }
    // Stable: file order within each group.
    keys.sort_by_key(|(record, _)| record.ids.is_empty());
    let mut distinct: Vec<&SecretBytes> = Vec::new();
    for (record, _) in keys {
        if !distinct.contains(&&record.psk) {
            distinct.push(&record.psk);
        }
    }
    distinct
}

/// Openswan's score of a record, 0 for no match: 12 both named, 10 me and a wildcard, 9 me alone, 6 him and a wildcard, 2 a
/// wildcard. Where both are named a wildcard besides does no harm (it made Openswan refuse the record).
fn score(record: &PskRecord, me: &Id, him: &Id) -> u8 {
    let named = |who: &Id| *who != Id::None && record.ids.iter().any(|i| *i != Id::None && i.matches(who));
    let wildcard = record.ids.is_empty() || record.ids.contains(&Id::None);
    match (named(me), named(him), wildcard) {
        (true, true, _) if record.ids.len() > 1 => 12,
        (true, _, true) => 10,
        (true, _, false) if record.ids.len() == 1 => 9,
        (false, true, true) => 6,
        (false, false, true) => 2,
        _ => 0,
    }
}
