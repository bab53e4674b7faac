//! Errors of the configuration file.

use std::fmt;

/// What is wrong with a line and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfError {
    /// File name as given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line as it stands in the file.
    pub source: String,
    /// xl2tpd's words, without `parse_config: line N: `.
    pub old: String,
    /// What would have been right.
    pub expected: String,
}

impl ConfError {
    /// xl2tpd's one-line form.
    pub fn old_form(&self) -> String {
        format!("parse_config: line {}: {}", self.line, self.old)
    }
}

/// ```text
/// /etc/xl2tpd/xl2tpd.conf:7:1: Unknown field 'ip  range'
///     ip  range = 10.0.0.2-10.0.0.9
///     ^ expected a keyword of an [lns] section; did you mean 'ip range'?
/// ```
impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.source.chars().map(|c| if c < ' ' { ' ' } else { c }).collect();
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.old)?;
        writeln!(f, "    {}", shown.trim_end())?;
        write!(f, "    {:>width$} expected {}", "^", self.expected, width = self.column)
    }
}

impl std::error::Error for ConfError {}
