//! The configuration as `ipsec readwriteconf` prints it: one file, every conn with all that applies to it.
//!
//! `also=` and `%default` are merged in, includes are gone, keys are lower case in the order of the keyword table, and the
//! text loads again to the same conns. A conn with a line that cannot be read is left out.

use std::fmt::Write;
use std::path::Path;

use crate::diag::{Diagnostic, Severity};
use crate::dialect::{self, Dialect};
use crate::keywords::{self, Kind, Scope, Side};
use crate::merge::{Conns, Merged};
use crate::parse::{self, Param, SectionKind, Sections};
use crate::values;

/// Reads `path` and what it includes, and writes it out again.
///
/// # Errors
/// As [`crate::load`].
pub fn file(path: &Path) -> Result<String, Vec<Diagnostic>> {
    parse::read_file(path, &[]).map(|sections| write(&sections))
}

/// [`file()`] of a text that is not in a file.
///
/// # Errors
/// As [`crate::load_str`].
pub fn text(path: &Path, text: &str) -> Result<String, Vec<Diagnostic>> {
    parse::read_str(path, text).map(|sections| write(&sections))
}

/// Writes sections that have been read.
pub fn write(sections: &Sections) -> String {
    let dialect = dialect::of(sections);
    let body = body(sections, dialect);
    // What applies to each conn is written out, so that some words are more often there than they were.
    let same = |out: &str| {
        parse::read_str(Path::new("canonical"), out).is_ok_and(|again| dialect::of(&again) == dialect)
    };
    let head = "version 2.0\n\nconfig setup\n";
    let out = format!("{head}{body}");
    if same(&out) { out } else { format!("{head}\t{}\n{body}", dialect.mark()) }
}

fn body(sections: &Sections, dialect: Dialect) -> String {
    let conns = Conns::new(&sections.list, dialect);
    let mut out = String::new();
    // The first one counts.
    let setup = sections.list.iter().find(|s| s.kind == SectionKind::Setup);
    let mut seen = Vec::new();
    for param in setup.into_iter().flat_map(|s| &s.params) {
        let found = crate::keywords::find(&param.key, true);
        let Some(keyword) = found.map(|f| f.keyword).filter(|k| !seen.contains(&k.name)) else { continue };
        if !param.value.is_empty() || param.quoted {
            seen.push(keyword.name);
            line(&mut out, &param.key.to_ascii_lowercase(), keyword.kind, param);
        }
    }
    for section in &sections.list {
        let SectionKind::Ca(name) = &section.kind else { continue };
        let _ = write!(out, "\nca {}\n", quoted(name));
        for param in section.params.iter().filter(|p| !p.value.is_empty()) {
            if let Some(keyword) = keywords::find_ca(&param.key) {
                line(&mut out, &param.key.to_ascii_lowercase(), keyword.kind, param);
            }
        }
    }
    for i in 0..conns.len() {
        let Some((name, _, merged)) = conns.merged(i) else { continue };
        match merged.diagnostics.iter().find(|d| d.severity == Severity::Error) {
            None => conn(&mut out, name, &merged),
            // Without the line that is wrong it would load, and mean something else.
            Some(why) => drop(write!(out, "\n# conn {name} left out: {}\n", why.short())),
        }
    }
    out.push_str("\n# end of config\n");
    out
}

fn conn(out: &mut String, name: &str, merged: &Merged<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\n# begin conn {name}\nconn {}\n", quoted(name));
    for keyword in keywords::all().filter(|k| matches!(k.scope, Scope::End | Scope::Conn)) {
        let sides: &[Side] =
            if keyword.scope == Scope::End { &[Side::Left, Side::Right] } else { &[Side::Both] };
        for &side in sides {
            let slot = (keyword.name, side);
            let single = merged.settings.get(&slot).copied();
            let several = merged.appended.get(&slot).into_iter().flatten().copied();
            for param in single.into_iter().chain(several) {
                line(out, &key(param, side), keyword.kind, param);
            }
        }
    }
    let _ = writeln!(out, "# end conn {name}");
}

/// The key as written, under the end it applies to after `alsoflip=`.
fn key(param: &Param, side: Side) -> String {
    let written = param.key.to_ascii_lowercase();
    if side == Side::Both {
        return written;
    }
    let bare = written.strip_prefix("left").or_else(|| written.strip_prefix("right")).unwrap_or(&written);
    format!("{}{bare}", side.prefix())
}

fn line(out: &mut String, key: &str, kind: Kind, param: &Param) {
    let value = values::canonical(kind, &param.value);
    let _ = writeln!(out, "\t{key}={}", quoted(&value));
}

/// In quotes where the reader needs them.
fn quoted(value: &str) -> String {
    let bare = !value.is_empty() && !value.contains([' ', '\t', '#', '{', '}']);
    if bare { value.to_string() } else { format!("\"{value}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_applies_is_written_in_full() {
        let conf = "config setup\n\tOE=No\nconn a\n\talsoflip=t\n\tLEFT=192.0.2.1\n\tpfs=OFF\n\
\trightid=\"C=US, CN=x\"\nconn t\n\tleft=%any\n\tleftsubnet=10.0.0.0/8\nconn %default\n\tkeylife=1h\n";
        let want = "version 2.0\n\nconfig setup\n\toe=no\n\n# begin conn a\nconn a\n\tleft=192.0.2.1\n\tright=%any\n\
\trightsubnet=10.0.0.0/8\n\trightid=\"C=US, CN=x\"\n\tpfs=no\n\tkeylife=1h\n# end conn a\n\n# begin conn t\nconn t\n\
\tleft=%any\n\tleftsubnet=10.0.0.0/8\n\tkeylife=1h\n# end conn t\n\n# end of config\n";
        let once = text(Path::new("t"), conf).unwrap();
        assert_eq!(once, want);
        assert_eq!(text(Path::new("t"), &once).unwrap(), once);
    }
}
