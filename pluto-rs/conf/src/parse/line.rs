//! A line of `ipsec.conf` and what can be wrong with it.

use std::path::PathBuf;
use std::rc::Rc;

use super::Span;
use super::grammar::Rule;
use crate::diag::{Diagnostic, Place, did_you_mean, excerpt};

/// A line and where it is.
pub(super) struct Line<'a> {
    pub(super) file: &'a Rc<PathBuf>,
    pub(super) number: u32,
    pub(super) text: &'a str,
}

impl Line<'_> {
    pub(super) fn place(&self, start: usize, width: usize) -> Place {
        Place {
            file: self.file.to_path_buf(),
            line: self.number,
            column: self.column(start),
            width: u32::try_from(width.max(1)).unwrap_or(1),
            text: excerpt(self.text),
        }
    }

    pub(super) fn column(&self, start: usize) -> u32 {
        u32::try_from(self.text.get(..start).map_or(0, |s| s.chars().count()) + 1).unwrap_or(u32::MAX)
    }

    pub(super) fn span(&self, start: usize) -> Span {
        Span { file: Rc::clone(self.file), line: self.number, column: self.column(start) }
    }

    /// A syntax error at the word that starts at byte `at`.
    pub(super) fn syntax(&self, at: usize, help: impl Into<String>) -> Diagnostic {
        let token = self.text.get(at..).and_then(|s| s.split([' ', '\t']).next()).unwrap_or_default();
        Diagnostic::syntax(self.place(at, token.chars().count()), token, help)
    }

    /// A syntax error whose token is known.
    pub(super) fn syntax_word(&self, at: usize, token: &str, help: &str) -> Diagnostic {
        Diagnostic::syntax(self.place(at, token.chars().count()), token, help)
    }

    /// Puts a grammar failure into the file's words.
    pub(super) fn explain(&self, e: &pest::error::Error<Rule>, indent: usize) -> Diagnostic {
        let at = match e.location {
            pest::error::InputLocation::Pos(p) | pest::error::InputLocation::Span((p, _)) => p,
        };
        let first = self.text[indent..].split([' ', '\t', '=']).next().unwrap_or_default();
        let header =
            matches!(first.to_ascii_lowercase().as_str(), "conn" | "config" | "include" | "version" | "ca");
        let rest = self.text.get(at..).unwrap_or_default();
        let help = match (header, indent) {
            (true, _) if first.eq_ignore_ascii_case("config") => "expected `config setup'",
            (true, _) if self.text.trim() == first => "expected a name",
            (true, _) => "expected one name and the end of the line",
            (false, 0) => {
                "expected `config setup', `conn NAME', `include FILE', or a blank and `KEYWORD=VALUE'"
            }
            _ if rest.starts_with(['"', '{']) => "expected the closing quote or brace on the same line",
            _ if rest.contains('"') => "expected the end of the line after the value",
            _ => "expected `KEYWORD=VALUE'",
        };
        if !header && indent == 0 {
            let near = did_you_mean(first, ["config", "conn", "include", "version"]);
            let help = near.map_or(help.to_string(), |n| format!("{help}; did you mean `{n}'?"));
            return self.syntax_word(indent, first, &help);
        }
        self.syntax(at, help)
    }
}
