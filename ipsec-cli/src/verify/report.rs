//! The lines of `ipsec verify`: collected first, then printed as text or as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should be, or of no concern here.
    Good,
    /// Worth knowing, no error.
    Warn,
    /// The configured conns cannot work like this.
    Bad,
}

/// What a bad verdict comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// What follows from it.
    pub(crate) consequence: String,
    /// What to do.
    pub(crate) fix: String,
}

/// An [`Advice`] of two texts.
pub(crate) fn advice(consequence: impl Into<String>, fix: impl Into<String>) -> Advice {
    Advice { consequence: consequence.into(), fix: fix.into() }
}

enum Line {
    Heading(String),
    Check { text: String, verdict: Verdict, word: String, advice: Option<Advice>, notes: Vec<String> },
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// A check and the word in its brackets, of no concern to anybody.
    pub(crate) fn line(&mut self, text: &str, word: &str) {
        self.push(text, Verdict::Good, word, None);
    }

    /// A check that ended badly, the word in its brackets, and what to do.
    pub(crate) fn bad(&mut self, text: &str, verdict: Verdict, word: &str, advice: Advice) {
        self.push(text, verdict, word, Some(advice));
    }

    fn push(&mut self, text: &str, verdict: Verdict, word: &str, advice: Option<Advice>) {
        let line = Line::Check { text: text.into(), verdict, word: word.into(), advice, notes: Vec::new() };
        self.lines.push(line);
    }

    /// A line about the check before it, besides its advice.
    pub(crate) fn note(&mut self, text: &str) {
        if let Some(Line::Check { notes, .. }) = self.lines.last_mut() {
            notes.push(text.into());
        }
    }

    /// A line with no verdict.
    pub(crate) fn heading(&mut self, text: &str) {
        self.lines.push(Line::Heading(text.into()));
    }

    /// `[OK]`, or a failure with advice.
    pub(crate) fn check(&mut self, text: &str, good: bool, word: &str, advice: Advice) {
        self.verdict(text, good, Verdict::Bad, word, advice);
    }

    /// `[OK]`, or a warning with advice.
    pub(crate) fn advise(&mut self, text: &str, good: bool, word: &str, advice: Advice) {
        self.verdict(text, good, Verdict::Warn, word, advice);
    }

    fn verdict(&mut self, text: &str, good: bool, otherwise: Verdict, word: &str, advice: Advice) {
        match good {
            true => self.line(text, "OK"),
            false => self.bad(text, otherwise, word, advice),
        }
    }

    /// Whether a check failed.
    pub(crate) fn failed(&self) -> bool {
        self.lines.iter().any(|l| matches!(l, Line::Check { verdict: Verdict::Bad, .. }))
    }

    /// The old layout: `TEXT` in 50 columns, a tab, `[RESULT]`; below it consequence, notes and fix.
    pub(crate) fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        for line in &self.lines {
            // Writing to a String cannot fail.
            let _ = match line {
                Line::Heading(text) => writeln!(out, "{text}"),
                Line::Check { text, verdict, word, advice, notes } => {
                    let code = match verdict {
                        Verdict::Good => 92,
                        Verdict::Warn => 93,
                        Verdict::Bad => 91,
                    };
                    let _ = match colour {
                        true => writeln!(out, "{text:<50}\t[\x1b[{code}m{word}\x1b[0m]"),
                        false => writeln!(out, "{text:<50}\t[{word}]"),
                    };
                    let follows = advice.iter().map(|a| a.consequence.clone());
                    let fix = advice.iter().map(|a| format!("fix: {}", a.fix));
                    let below: Vec<String> = follows.chain(notes.iter().cloned()).chain(fix).collect();
                    below.iter().try_for_each(|line| writeln!(out, "  {line}"))
                }
            };
        }
        out
    }

    /// The checks as a list of objects; headings are left out.
    pub(crate) fn json(&self) -> Value {
        let check = |line: &Line| match line {
            Line::Heading(_) => None,
            Line::Check { text, verdict, word, advice, notes } => {
                let kind = match verdict {
                    Verdict::Good => "ok",
                    Verdict::Warn => "warning",
                    Verdict::Bad => "failed",
                };
                let (consequence, fix) =
                    advice.as_ref().map_or(("", ""), |a| (a.consequence.as_str(), a.fix.as_str()));
                Some(json!({
                    "check": text.trim(), "verdict": kind, "result": word,
                    "consequence": consequence, "fix": fix, "notes": notes,
                }))
            }
        };
        json!({"ok": !self.failed(), "checks": self.lines.iter().filter_map(check).collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_verdict_and_advice_of_each_check() {
        let mut r = Report::default();
        r.heading("nothing");
        r.check("one", true, "FAILED", advice("not said", "nor this"));
        r.check(" two", false, "MISSING", advice("it does not go", "do this"));
        r.note("here");
        assert!(r.failed());
        let list = &r.json()["checks"];
        assert_eq!((&list[0]["verdict"], &list[0]["fix"]), (&"ok".into(), &"".into()));
        assert_eq!((&list[1]["check"], &list[1]["result"]), (&"two".into(), &"MISSING".into()));
        assert_eq!(
            (&list[1]["consequence"], &list[1]["fix"], &list[1]["notes"]),
            (&"it does not go".into(), &"do this".into(), &json!(["here"]))
        );
        assert_eq!(r.json()["ok"], false);
    }

    #[test]
    fn the_text_has_the_old_columns() {
        let mut r = Report::default();
        r.advise("Checking 'iptables' command", false, "MISSING", advice("why", "how"));
        let want = format!("{:<50}\t[MISSING]\n  why\n  fix: how\n", "Checking 'iptables' command");
        assert_eq!(r.text(false), want);
        assert!(!r.failed() && r.text(true).contains("\x1b[93mMISSING\x1b[0m"));
    }
}
