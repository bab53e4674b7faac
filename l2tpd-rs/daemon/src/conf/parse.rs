//! Text to lines: the grammar's side of the configuration, without any keyword.

use pest::Parser;
use pest::iterators::Pair;
use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "conf/xl2tpd.pest"]
struct Grammar;

/// A piece of text and where it starts, both from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spanned {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// One line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `[kind name]`.
    Section { kind: Spanned, name: String },
    /// `[` without `]`.
    Unclosed(Spanned),
    /// `keyword = value`.
    Option { keyword: Spanned, value: Spanned },
    /// Anything else.
    NoEquals(Spanned),
}

fn blank(c: char) -> bool {
    c <= ' '
}

/// The pair's text trimmed; the position is that of what is left.
fn spanned(p: &Pair<'_, Rule>) -> Spanned {
    let (line, column) = p.line_col();
    let trimmed = p.as_str().trim_start_matches(blank);
    let skipped = p.as_str().len() - trimmed.len();
    let skipped = p.as_str()[..skipped].chars().count();
    Spanned { text: trimmed.trim_end_matches(blank).into(), line, column: column + skipped }
}

/// Takes the file apart; `None` cannot happen as every text is a sentence of the grammar.
pub(super) fn lines(text: &str) -> Option<Vec<Line>> {
    let file = Grammar::parse(Rule::file, text).ok()?.next()?;
    Some(file.into_inner().filter_map(line).collect())
}

fn line(p: Pair<'_, Rule>) -> Option<Line> {
    let whole = spanned(&p);
    match p.as_rule() {
        Rule::section => {
            let mut inner = p.into_inner();
            let kind = inner.next()?;
            let (line, column) = kind.line_col();
            let kind = Spanned { text: kind.as_str().into(), line, column };
            Some(Line::Section { kind, name: inner.next().map(|n| n.as_str().into()).unwrap_or_default() })
        }
        Rule::unclosed => Some(Line::Unclosed(whole)),
        Rule::option => {
            let mut inner = p.into_inner();
            let (keyword, value) = (inner.next()?, inner.next()?);
            Some(Line::Option { keyword: spanned(&keyword), value: spanned(&value) })
        }
        Rule::no_equals => Some(Line::NoEquals(whole)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Line {
        let mut l = lines(text).unwrap();
        assert_eq!(l.len(), 1, "{l:?}");
        l.remove(0)
    }

    #[test]
    fn comments_blank_lines_and_crlf() {
        assert_eq!(lines("; a\n\n  \r\n;[lns x]").unwrap(), []);
        let Line::Option { keyword, value } = one("  port = 1701 \t; note\r\n") else { panic!() };
        assert_eq!((keyword.text.as_str(), keyword.column), ("port", 3));
        assert_eq!((value.text.as_str(), value.column), ("1701", 10));
    }

    #[test]
    fn a_section_is_split_at_the_first_space() {
        let Line::Section { kind, name } = one("[lns  two words] rest") else { panic!() };
        assert_eq!((kind.text.as_str(), name.as_str()), ("lns", " two words"));
        let Line::Section { kind, .. } = one("[ global ]") else { panic!() };
        assert_eq!(kind.text, "");
        assert!(matches!(one("[lns ; x]"), Line::Unclosed(_)));
    }

    #[test]
    fn only_the_first_equals_sign_splits() {
        let Line::Option { value, .. } = one("name = a = b") else { panic!() };
        assert_eq!(value.text, "a = b");
        assert!(matches!(one("# hash"), Line::NoEquals(_)));
    }

    proptest! {
        #[test]
        fn every_text_is_a_sentence(s in any::<String>(), t in "[\\[\\]=; a\n\r\t]{0,40}") {
            prop_assert!(lines(&s).is_some());
            prop_assert!(lines(&t).is_some());
        }
    }
}
