//! What is wrong with a file: one line for scripts, and the full form with the offending line for people.
//!
//! Nothing here reads files or decides what an error means for the rest of the configuration.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Accepted; means something else, or nothing, today.
    Note,
    /// Accepted with a meaning that may surprise.
    Warning,
    /// The line, its conn or the file is refused.
    Error,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// A place in a file: what the caret points at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// File as it was named.
    pub file: PathBuf,
    /// Line from 1; 0 is the file as a whole.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
    /// Length in characters of what is meant, at least 1.
    pub width: u32,
    /// The line itself.
    pub text: String,
}

impl Place {
    /// A place that is a whole file.
    pub fn file(path: &Path) -> Place {
        Place { file: path.to_path_buf(), ..Place::default() }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What, in Openswan's words where it had any.
    pub message: String,
    /// The token Openswan puts in brackets after a syntax error.
    pub token: Option<String>,
    /// What was expected, or what to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding without token or help.
    pub fn new(severity: Severity, place: Place, message: impl Into<String>) -> Self {
        Diagnostic { severity, place, message: message.into(), token: None, help: None }
    }

    /// A syntax error at `place`, with the token found there.
    pub fn syntax(place: Place, token: impl Into<String>, help: impl Into<String>) -> Self {
        Diagnostic {
            token: Some(token.into()),
            help: Some(help.into()),
            ..Diagnostic::new(Severity::Error, place, "syntax error")
        }
    }

    /// The same finding with a help line.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The form scripts know: `FILE:LINE: MESSAGE [TOKEN]`.
    pub fn short(&self) -> String {
        let mut s = self.place.file.display().to_string();
        if self.place.line > 0 {
            s.push_str(&format!(":{}", self.place.line));
        }
        s.push_str(": ");
        s.push_str(&self.message);
        if let Some(t) = &self.token {
            s.push_str(&format!(" [{}]", printable(t, MAX_SHOWN)));
        }
        s
    }

    /// The form of the daemon's log: `"FILE" line N: MESSAGE`, or the message alone when it is not about a line.
    pub fn log_form(&self) -> String {
        match self.place.line {
            0 => printable(&self.message, 4 * MAX_SHOWN),
            line => format!(
                "\"{}\" line {line}: {}",
                self.place.file.display(),
                printable(&self.message, 4 * MAX_SHOWN)
            ),
        }
    }
}

/// Longest piece of a line that is shown.
const MAX_SHOWN: usize = 200;
/// Most findings about one thing.
const MAX_TOLD: usize = 100;

/// As much of a line as a finding keeps.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(2 * MAX_SHOWN).collect()
}

/// Whether [`tell`] has enough, so that it is not worth finding out more about one.
pub(crate) fn enough(list: &[Diagnostic]) -> bool {
    list.len() > MAX_TOLD
}

/// Adds a finding, unless there are enough; the first error always finds room.
pub(crate) fn tell(list: &mut Vec<Diagnostic>, finding: Diagnostic) {
    if list.len() < MAX_TOLD {
        return list.push(finding);
    }
    if list.len() == MAX_TOLD {
        let message = "more of this kind is not told";
        list.push(Diagnostic::new(Severity::Note, Place::file(&finding.place.file), message));
    }
    if finding.severity == Severity::Error && list.iter().all(|d| d.severity != Severity::Error) {
        list.push(finding);
    }
}

/// `s` without control characters and not longer than `max` characters.
fn printable(s: &str, max: usize) -> String {
    s.chars().take(max).map(|c| if c == '\t' || !c.is_control() { c } else { '?' }).collect()
}

impl fmt::Display for Diagnostic {
    /// `FILE:LINE:COLUMN: error: MESSAGE`, the line, a caret under it, and the help; without a final newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place.file.display())?;
        if self.place.line > 0 {
            write!(f, ":{}:{}", self.place.line, self.place.column)?;
        }
        write!(f, ": {}: {}", self.severity.word(), printable(&self.message, 4 * MAX_SHOWN))?;
        let text = printable(&self.place.text, MAX_SHOWN);
        let column = usize::try_from(self.place.column).unwrap_or(0).saturating_sub(1);
        if !text.is_empty() && column <= text.chars().count() {
            let number = self.place.line.to_string();
            let margin = " ".repeat(number.len());
            // Tabs stay tabs, so that the caret stands under the same character on any terminal.
            let lead: String =
                text.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let room = text.chars().count().saturating_sub(column).max(1);
            let caret = "^".repeat(usize::try_from(self.place.width).unwrap_or(1).clamp(1, room));
            write!(f, "\n {number} | {text}\n {margin} | {lead}{caret}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n   = {}", printable(help, 4 * MAX_SHOWN))?;
        }
        Ok(())
    }
}

/// The word of `known` nearest to `word`, if it is near enough to be what was meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_ascii_lowercase().chars().take(40).collect();
    let limit = (word.len() / 2).clamp(1, 3);
    known
        .into_iter()
        .filter(|k| k.len().abs_diff(word.len()) <= limit)
        .map(|k| (edit_distance(&word, k), k))
        .filter(|&(d, _)| d <= limit)
        .min_by_key(|&(d, _)| d)
        .map(|(_, k)| k)
}

/// Number of insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn edit_distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    let mut above = row.clone();
    let mut before = None;
    for (i, cb) in b.chars().enumerate() {
        let higher = std::mem::replace(&mut above, row.clone());
        row[0] = i + 1;
        for (j, &ca) in a.iter().enumerate() {
            let substituted = above[j] + usize::from(ca != cb);
            row[j + 1] = substituted.min(row[j] + 1).min(above[j + 1] + 1);
            if j > 0 && before == Some(ca) && a[j - 1] == cb {
                row[j + 1] = row[j + 1].min(higher[j - 1] + 1);
            }
        }
        before = Some(cb);
    }
    row[a.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caret_stands_under_the_word() {
        let place = Place { file: "f".into(), line: 12, column: 2, width: 4, text: "\tlefft=1.2.3.4".into() };
        let d = Diagnostic::syntax(place, "lefft", "did you mean `left'?");
        assert_eq!(d.short(), "f:12: syntax error [lefft]");
        assert_eq!(
            d.to_string(),
            "f:12:2: error: syntax error\n 12 | \tlefft=1.2.3.4\n    | \t^^^^\n   = did you mean `left'?"
        );
    }

    #[test]
    fn near_words_are_found_and_far_ones_not() {
        let known = ["authby", "auto", "leftid", "nat_traversal"];
        assert_eq!(did_you_mean("nat_traversl", known), Some("nat_traversal"));
        assert_eq!(did_you_mean("AUTHBI", known), Some("authby"));
        assert_eq!(did_you_mean("modp2084", ["modp1024", "modp2048"]), Some("modp2048"));
        assert_eq!(did_you_mean("zzz", known), None);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let place = Place { file: "f".into(), line: 1, column: 1, width: 1, text: "\x1b[31m".into() };
        assert!(!Diagnostic::syntax(place, "\x1b", "").to_string().contains('\x1b'));
    }
}
