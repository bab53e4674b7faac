//! What `ipsec check` has found: where, what, and what to do.

use std::fmt;

use ipsec_conf::{Diagnostic, Severity};
use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Accepted; means something else, or nothing, today. Told only when asked for.
    Note,
    /// Works, perhaps not as it looks.
    Warning,
    /// Two things contradict each other, or something cannot work.
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// A line of a file; line 0 is the file as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// As the machine that is checked knows it.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u32,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How bad.
    pub(crate) level: Level,
    /// The rule; stays the same from release to release.
    pub(crate) code: &'static str,
    /// Where.
    pub(crate) at: At,
    /// What is wrong, and what follows from it.
    pub(crate) message: String,
    /// What to do.
    pub(crate) fix: String,
    /// What it contradicts.
    pub(crate) see: Vec<At>,
}

impl Finding {
    /// A contradiction.
    pub(crate) fn error(code: &'static str, at: At, message: String, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Error, code, at, message, fix: fix.into(), see: Vec::new() }
    }

    /// Something that may be meant.
    pub(crate) fn warning(code: &'static str, at: At, message: String, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, ..Finding::error(code, at, message, fix) }
    }

    /// What the reader of a file says; `soften` makes errors warnings.
    pub(crate) fn of(code: &'static str, d: &Diagnostic, at: At, soften: bool) -> Finding {
        let level = match d.severity {
            Severity::Error if !soften => Level::Error,
            Severity::Error | Severity::Warning => Level::Warning,
            Severity::Note => Level::Note,
        };
        let token = d.token.as_ref().map(|t| format!(" [{t}]")).unwrap_or_default();
        let message = plain(&format!("{}{token}", d.message));
        let fix = d.help.as_deref().map(plain).unwrap_or_default();
        Finding { level, code, at, message, fix, see: Vec::new() }
    }

    /// With another place that belongs to it.
    #[must_use]
    pub(crate) fn see(mut self, at: At) -> Finding {
        if at != self.at && !self.see.contains(&at) && !at.file.is_empty() {
            self.see.push(at);
        }
        self
    }

    /// The finding as documented in ipsec_check(8).
    pub(crate) fn json(&self) -> Value {
        let at = |at: &At| json!({"file": at.file, "line": at.line});
        json!({
            "severity": self.level.word(),
            "code": self.code,
            "file": self.at.file,
            "line": self.at.line,
            "message": self.message,
            "fix": self.fix,
            "see": self.see.iter().map(at).collect::<Vec<_>>(),
        })
    }
}

/// No control characters, and not without end.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(800).collect()
}

impl fmt::Display for Finding {
    /// `FILE:LINE: error: MESSAGE [CODE]`, then what it contradicts and the fix, indented; without a final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {} [{}]", self.at, self.level.word(), self.message, self.code)?;
        for at in &self.see {
            write!(f, "\n    see {at}")?;
        }
        if !self.fix.is_empty() {
            write!(f, "\n    fix: {}", self.fix)?;
        }
        Ok(())
    }
}

/// By file and line, each once.
pub(crate) fn sort(list: &mut Vec<Finding>) {
    list.sort_by(|a, b| (&a.at, b.level, a.code, &a.message).cmp(&(&b.at, a.level, b.code, &b.message)));
    list.dedup();
}
