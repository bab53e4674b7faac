//! Text to DER: both spellings, quotes, escapes and OIDs. Looks at no DER it has not written.

use super::{DC, DnError, EMAIL, MAX_ATTRIBUTES, MAX_DER, NAMES, UNSTRUCTURED, error};
use crate::der::{element, tag};

/// Longest word of an attribute that is looked for, in octets: an OID of 32 arcs, and blanks.
const MAX_NAME: usize = 512;

/// The DER form of a name.
///
/// # Errors
/// What was expected.
pub fn parse(text: &str) -> Result<Vec<u8>, DnError> {
    let text = text.trim_start();
    let mut rdns = Vec::new();
    let pieces = split(text)?;
    if pieces.len() > MAX_ATTRIBUTES {
        return error(format!("more than {MAX_ATTRIBUTES} attributes in ID_DER_ASN1_DN"));
    }
    let mut rest = pieces.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        let more = tail.iter().take_while(|p| p.joined).count();
        let (joined, tail) = tail.split_at(more);
        rest = tail;
        let mut set: Vec<Vec<u8>> =
            std::iter::once(first).chain(joined).map(Piece::der).collect::<Result<_, _>>()?;
        // X.690 §11.6: the elements of a SET OF are sorted.
        set.sort();
        rdns.extend_from_slice(&element(tag::SET, &set.concat()));
    }
    let der = element(tag::SEQUENCE, &rdns);
    if der.len() > MAX_DER {
        return error("ID_DER_ASN1_DN is too long");
    }
    Ok(der)
}

/// One `NAME=value`, unescaped.
struct Piece {
    name: String,
    value: String,
    /// It belongs to the same relative name as the one before (`+`).
    joined: bool,
}

impl Piece {
    fn der(&self) -> Result<Vec<u8>, DnError> {
        let Some(oid) = oid(&self.name) else {
            return error(format!("unknown OID in ID_DER_ASN1_DN: `{}'", self.name));
        };
        if self.value.is_empty() {
            return error(format!("`{}=' of ID_DER_ASN1_DN has no value", self.name));
        }
        let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
        let kind = match () {
            () if [EMAIL, DC, UNSTRUCTURED].contains(&oid.as_slice()) && self.value.is_ascii() => tag::IA5,
            () if self.value.chars().all(printable) => tag::PRINTABLE,
            () => tag::UTF8,
        };
        let pair = [element(tag::OID, &oid), element(kind, self.value.as_bytes())];
        Ok(element(tag::SEQUENCE, &pair.concat()))
    }
}

/// Splits at commas, at slashes before a known word, and at plus signs before one.
fn split(text: &str) -> Result<Vec<Piece>, DnError> {
    let slashes = text.starts_with('/');
    let mut rest = text.strip_prefix('/').unwrap_or(text);
    let mut pieces = Vec::new();
    let mut joined = false;
    while !rest.trim().is_empty() {
        let Some((name, tail)) = rest.split_once('=') else {
            return error(format!("expected NAME=value in ID_DER_ASN1_DN, found `{}'", rest.trim()));
        };
        let (value, separator, tail) = value(tail, slashes)?;
        pieces.push(Piece { name: name.trim().to_string(), value, joined });
        joined = separator == Some('+');
        rest = tail;
    }
    if pieces.is_empty() { error("empty ID_DER_ASN1_DN") } else { Ok(pieces) }
}

/// A value, what ended it, and the rest.
fn value(text: &str, slashes: bool) -> Result<(String, Option<char>, &str), DnError> {
    let text = text.trim_start();
    let mut out = String::new();
    let mut chars = text.char_indices();
    if let Some(quoted) = text.strip_prefix('"') {
        chars = quoted.char_indices();
        loop {
            match chars.next() {
                None => return error("a quote in ID_DER_ASN1_DN is not closed"),
                Some((_, '"')) => break,
                Some((_, '\\')) => out.extend(chars.next().map(|c| c.1)),
                Some((_, c)) => out.push(c),
            }
        }
        let rest = chars.as_str().trim_start();
        let mut after = rest.chars();
        return match after.next() {
            None => Ok((out, None, "")),
            Some(c @ (',' | '/' | '+')) => Ok((out, Some(c), after.as_str())),
            Some(c) => error(format!("`{c}' after a quoted value in ID_DER_ASN1_DN")),
        };
    }
    // Blanks at the end belong to the value only if they are escaped.
    let mut kept = 0;
    while let Some((_, c)) = chars.next() {
        let rest = chars.as_str();
        let ends = match c {
            ',' => !slashes,
            '/' | '+' => begins_with_name(rest),
            _ => false,
        };
        if ends {
            out.truncate(out.trim_end().len().max(kept));
            return Ok((out, Some(c), rest));
        }
        if c == '\\' {
            out.extend(chars.next().map(|c| c.1));
            kept = out.len();
        } else {
            out.push(c);
        }
    }
    out.truncate(out.trim_end().len().max(kept));
    Ok((out, None, ""))
}

fn begins_with_name(text: &str) -> bool {
    // No further than a name can be long, or a text of nothing but slashes takes its length's square.
    let end = text.bytes().take(MAX_NAME).position(|b| b == b'=');
    end.and_then(|end| text.get(..end)).is_some_and(|name| oid(name.trim()).is_some())
}

/// The OID of a word, `2.5.4.3` or `OID.2.5.4.3`, without tag and length.
fn oid(name: &str) -> Option<Vec<u8>> {
    if let Some((_, oid)) = NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Some(oid.to_vec());
    }
    let dotted = match name.get(..4) {
        Some(p) if p.eq_ignore_ascii_case("oid.") => &name[4..],
        _ => name,
    };
    let arcs: Vec<u32> = dotted.split('.').map(|a| a.parse().ok()).collect::<Option<_>>()?;
    let [first @ 0..=2, second, rest @ ..] = arcs.as_slice() else { return None };
    if (*first < 2 && *second > 39) || rest.len() > 30 || *second > u32::MAX - 80 {
        return None;
    }
    let mut out = Vec::new();
    for arc in std::iter::once(first * 40 + second).chain(rest.iter().copied()) {
        let septets = (32 - arc.leading_zeros()).div_ceil(7).max(1);
        for i in (0..septets).rev() {
            let more = if i > 0 { 0x80 } else { 0 };
            out.push(more | (arc >> (7 * i) & 0x7f) as u8);
        }
    }
    Some(out)
}
