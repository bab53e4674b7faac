//! `ipsec.secrets` from bytes to records of tokens: indentation, quotes, comments, `0t`.
//!
//! Tokens borrow from the file's buffer, so no copy of a secret is left behind by the lexer.

/// One token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// The bytes, without quotes.
    pub(super) bytes: &'a [u8],
    /// Whether it stood in quotes.
    pub(super) quoted: bool,
    /// Line from 1.
    pub(super) line: u32,
}

impl<'a> Token<'a> {
    /// The token as an unquoted word.
    pub(super) fn word(&self) -> Option<&'a str> {
        if self.quoted { None } else { std::str::from_utf8(self.bytes).ok() }
    }
}

/// The tokens from one column-1 token up to the next.
pub(super) struct Record<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    /// Line of the first token.
    pub(super) line: u32,
    /// Line on which a quote was not closed.
    pub(super) unterminated: Option<u32>,
    /// Whether there were more than [`MAX_TOKENS`].
    pub(super) too_long: bool,
}

/// Most tokens of one record: an RSA key has thirty, the rest is indices.
const MAX_TOKENS: usize = 1000;

impl Record<'_> {
    /// Whether a `{` has no `}` yet.
    fn is_open(&self) -> bool {
        if self.too_long {
            return false;
        }
        let brace = self.tokens.iter().rev().find_map(|t| t.word().filter(|w| matches!(*w, "{" | "}")));
        brace == Some("{")
    }

    /// Whether a whole key follows the colon, so that nothing but a passphrase can still belong to it.
    fn is_complete(&self) -> bool {
        if self.too_long {
            return false;
        }
        let colon = self.tokens.iter().position(|t| t.word() == Some(":"));
        let key = colon.and_then(|i| self.tokens.get(i + 1..)).unwrap_or_default();
        !self.is_open() && (key.len() > 1 || key.first().is_some_and(|t| t.quoted))
    }

    /// Whether the tokens are a record of their own: one with a colon, or an include.
    fn is_record(&self) -> bool {
        let first = self.tokens.first().and_then(Token::word);
        first.is_some_and(|w| w.eq_ignore_ascii_case("include"))
            || self.tokens.iter().any(|t| t.word() == Some(":"))
    }
}

/// Splits a file into records and hands each to `each`, as long as that says so. The value is the first line, if it is
/// indented: Openswan skipped it.
///
/// Indented lines go on with the record above, unless that is complete and the line is a whole record, as strongSwan's files
/// have them.
pub(super) fn records<'a>(text: &'a [u8], mut each: impl FnMut(&Record<'a>) -> bool) -> Option<u32> {
    let mut current: Option<Record<'_>> = None;
    let mut indented = None;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (i, line) in text.split(|&b| b == b'\n').enumerate() {
        let number = u32::try_from(i + 1).unwrap_or(u32::MAX);
        let line = line.trim_ascii_end();
        let content = line.trim_ascii_start();
        if content.is_empty() || content[0] == b'#' {
            continue;
        }
        let mut own = Record { tokens: Vec::new(), line: number, unterminated: None, too_long: false };
        // A `}` in column one ends the block that is open, as people write it.
        let closes = content[0] == b'}' && current.as_ref().is_some_and(Record::is_open);
        let begins = if content.len() == line.len() && !closes {
            tokens(content, number, &mut own);
            true
        } else if current.as_ref().is_none_or(Record::is_complete) {
            tokens(content, number, &mut own);
            own.is_record() || current.is_none()
        } else {
            false
        };
        if begins {
            indented = indented.or((current.is_none() && content.len() < line.len()).then_some(number));
            if current.replace(own).is_some_and(|record| !each(&record)) {
                return indented;
            }
        } else if let Some(record) = &mut current {
            tokens(content, number, record);
        }
    }
    if let Some(record) = current {
        each(&record);
    }
    indented
}

/// Adds the tokens of one line to `record`.
fn tokens<'a>(mut rest: &'a [u8], line: u32, record: &mut Record<'a>) {
    loop {
        rest = rest.trim_ascii_start();
        let Some(&first) = rest.first() else { return };
        if record.tokens.len() >= MAX_TOKENS {
            record.too_long = true;
            return;
        }
        if first == b'#' {
            return;
        }
        if matches!(first, b'"' | b'\'' | b'`') {
            let Some(end) = rest[1..].iter().position(|&b| b == first) else {
                record.unterminated = record.unterminated.or(Some(line));
                return;
            };
            record.tokens.push(Token { bytes: &rest[1..=end], quoted: true, line });
            rest = &rest[end + 2..];
            continue;
        }
        let after_kind = record.tokens.last().and_then(Token::word).is_some_and(takes_data);
        let end = match after_kind && rest.starts_with(b"0t") {
            true => rest.len(),
            false => rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()),
        };
        let (word, tail) = rest.split_at(end);
        rest = tail;
        word_tokens(word, line, record, after_kind);
    }
}

/// A word is one token, but a final `:` is its own, and so is one glued to the kind behind it, with or without an index
/// before it (`192.0.2.1:PSK`): an extension, as no index ends in such a word.
fn word_tokens<'a>(word: &'a [u8], line: u32, record: &mut Record<'a>, is_data: bool) {
    let mut push = |bytes: &'a [u8]| {
        if !bytes.is_empty() {
            record.tokens.push(Token { bytes, quoted: false, line });
        }
    };
    if is_data {
        return push(word);
    }
    if let Some(colon) = word.iter().rposition(|&b| b == b':')
        && std::str::from_utf8(&word[colon + 1..]).is_ok_and(|k| super::record::Kind::of(k).is_some())
    {
        push(&word[..colon]);
        push(&word[colon..=colon]);
        return push(&word[colon + 1..]);
    }
    match word.strip_suffix(b":") {
        Some(index) => {
            push(index);
            push(&word[word.len() - 1..]);
        }
        None => push(word),
    }
}

fn takes_data(word: &str) -> bool {
    matches!(super::record::Kind::of(word), Some(super::record::Kind::Psk | super::record::Kind::Xauth))
}
