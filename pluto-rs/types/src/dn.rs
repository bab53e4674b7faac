//! Distinguished names (X.501): text to DER, DER to text, and whether two are the same.
//!
//! ```text
//! C=CA, ST=Ontario, O=Acme, CN=*, E=joe@example.com      LDAP style, as it is printed
//! /C=CA/ST=Ontario/O=Acme/CN=*                           OpenSSL style
//! O="Acme, Inc.", OID.2.5.4.3=x, CN=a\,b                 quotes, OIDs, escapes
//! ```
//!
//! Two names are the same if they have the same attributes, in whatever order they stand and whatever string type, case and
//! blanks they are written with (RFC 5280 §7.1). Openswan demanded the same order. The value `*` stands for any, in a
//! configured name alone.

use crate::der::{Reader, element, tag};

/// Longest name that is read, in octets of DER.
pub const MAX_DER: usize = 8192;
/// Most attributes of a name.
const MAX_ATTRIBUTES: usize = 64;

/// Words of attributes with their OIDs, the printed one of several first; case does not matter.
const NAMES: [(&str, &[u8]); 42] = [
    ("ND", &[0x02, 0x82, 0x06, 0x01, 0x0a, 0x07, 0x14]),
    ("UID", UID),
    ("userId", UID),
    ("DC", DC),
    ("domainComponent", DC),
    ("CN", &[0x55, 4, 3]),
    ("commonName", &[0x55, 4, 3]),
    ("S", &[0x55, 4, 4]),
    ("surname", &[0x55, 4, 4]),
    ("SN", &[0x55, 4, 5]),
    ("serialNumber", &[0x55, 4, 5]),
    ("C", &[0x55, 4, 6]),
    ("countryName", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("localityName", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("stateOrProvinceName", &[0x55, 4, 8]),
    ("STREET", &[0x55, 4, 9]),
    ("streetAddress", &[0x55, 4, 9]),
    ("O", &[0x55, 4, 10]),
    ("organizationName", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("organizationalUnitName", &[0x55, 4, 11]),
    ("T", &[0x55, 4, 12]),
    ("title", &[0x55, 4, 12]),
    ("D", &[0x55, 4, 13]),
    ("description", &[0x55, 4, 13]),
    ("postalCode", &[0x55, 4, 17]),
    ("N", &[0x55, 4, 41]),
    ("name", &[0x55, 4, 41]),
    ("G", &[0x55, 4, 42]),
    ("GN", &[0x55, 4, 42]),
    ("givenName", &[0x55, 4, 42]),
    ("I", &[0x55, 4, 43]),
    ("initials", &[0x55, 4, 43]),
    ("ID", &[0x55, 4, 45]),
    ("E", EMAIL),
    ("Email", EMAIL),
    ("emailAddress", EMAIL),
    ("UN", UNSTRUCTURED),
    ("unstructuredName", UNSTRUCTURED),
    ("TCGID", &[0x2b, 6, 1, 4, 1, 0x89, 0x31, 1, 1, 2, 2, 0x4b]),
];
const UID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1];
const DC: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
const UNSTRUCTURED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2];

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnError(String);

impl std::fmt::Display for DnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for DnError {}

fn error<T>(text: impl Into<String>) -> Result<T, DnError> {
    Err(DnError(text.into()))
}

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
    text.split_once('=').is_some_and(|(name, _)| oid(name.trim()).is_some())
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

/// An attribute as it stands in DER.
struct Attribute<'a> {
    oid: &'a [u8],
    kind: u8,
    value: &'a [u8],
    joined: bool,
}

/// The attributes of a name; `None` if it is no name.
fn attributes(der: &[u8]) -> Option<Vec<Attribute<'_>>> {
    let mut out = Vec::new();
    let mut outer = Reader::new(der);
    let mut rdns = outer.inside(tag::SEQUENCE)?;
    if !outer.is_empty() || der.len() > MAX_DER {
        return None;
    }
    while !rdns.is_empty() {
        let mut set = rdns.inside(tag::SET)?;
        let mut joined = false;
        // An empty set is no relative name.
        while !set.is_empty() || !joined {
            let mut pair = set.inside(tag::SEQUENCE)?;
            let oid = pair.expect(tag::OID).filter(|o| !o.is_empty())?;
            let (kind, value) = pair.element()?;
            if !pair.is_empty() || out.len() == MAX_ATTRIBUTES {
                return None;
            }
            out.push(Attribute { oid, kind, value, joined });
            joined = true;
        }
    }
    Some(out)
}

/// Whether these octets are a name.
pub fn is_dn(der: &[u8]) -> bool {
    attributes(der).is_some()
}

impl Attribute<'_> {
    /// The value as text; `None` for types that are not.
    fn text(&self) -> Option<String> {
        match self.kind {
            tag::UTF8 | tag::PRINTABLE | tag::IA5 | tag::VISIBLE | 0x12 => {
                std::str::from_utf8(self.value).ok().map(str::to_string)
            }
            tag::TELETEX => Some(self.value.iter().map(|b| char::from(*b)).collect()),
            tag::BMP if self.value.len().is_multiple_of(2) => {
                let units = self.value.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
                char::decode_utf16(units).collect::<Result<_, _>>().ok()
            }
            tag::UNIVERSAL if self.value.len().is_multiple_of(4) => {
                let units = self.value.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]));
                units.map(char::from_u32).collect()
            }
            _ => None,
        }
    }

    /// What is compared: the text without its case and with single blanks, or the octets.
    fn key(&self) -> (Vec<u8>, Vec<u8>) {
        let value = match self.text() {
            Some(t) => {
                let words: Vec<String> = t.split_whitespace().map(str::to_lowercase).collect();
                [&[0], words.join(" ").as_bytes()].concat()
            }
            None => [&[1, self.kind], self.value].concat(),
        };
        (self.oid.to_vec(), value)
    }

    fn is_wildcard(&self) -> bool {
        self.text().is_some_and(|t| t == "*")
    }
}

/// How many values of a configured name are `*`.
pub fn wildcards(der: &[u8]) -> u8 {
    let n = attributes(der).map_or(0, |a| a.iter().filter(|a| a.is_wildcard()).count());
    u8::try_from(n).unwrap_or(u8::MAX)
}

/// Whether the name `actual` is what the configured `pattern` asks for.
pub fn matches(pattern: &[u8], actual: &[u8]) -> bool {
    if pattern == actual {
        return true;
    }
    let (Some(wanted), Some(has)) = (attributes(pattern), attributes(actual)) else { return false };
    if wanted.len() != has.len() {
        return false;
    }
    let mut left: Vec<_> = has.iter().map(Attribute::key).collect();
    // The plain ones first, so that no wildcard takes what one of them needs.
    let (any, exact): (Vec<_>, Vec<_>) = wanted.iter().partition(|a| a.is_wildcard());
    exact.iter().all(|a| take(&mut left, |k| *k == a.key()))
        && any.iter().all(|a| take(&mut left, |k| k.0 == a.oid))
}

/// Removes one element that fits; false if there is none.
fn take<T>(left: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> bool {
    let found = left.iter().position(fits);
    if let Some(i) = found {
        left.swap_remove(i);
    }
    found.is_some()
}

/// The text of a name as Openswan prints it; `@~0x…` for octets that are none. Control characters are escaped.
pub fn text(der: &[u8]) -> String {
    let Some(attributes) = attributes(der) else {
        return der.iter().fold("@~0x".into(), |s, b| format!("{s}{b:02x}"));
    };
    let mut out = String::new();
    for a in attributes {
        if !out.is_empty() {
            out.push_str(if a.joined { "+" } else { ", " });
        }
        match NAMES.iter().find(|(_, oid)| *oid == a.oid) {
            Some((name, _)) => out.push_str(name),
            None => out.push_str(&dotted(a.oid)),
        }
        out.push('=');
        match a.text() {
            None => a.value.iter().for_each(|b| out.push_str(&format!("{b:02x}"))),
            Some(value) => {
                for c in value.chars() {
                    match c {
                        c if c.is_control() => out.push_str(&format!("\\{:03o}", u32::from(c))),
                        ',' | '\\' | '"' => out.extend(['\\', c]),
                        c => out.push(c),
                    }
                }
            }
        }
    }
    out
}

fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0u64;
    for b in oid {
        arc = arc.wrapping_shl(7) | u64::from(b & 0x7f);
        if b & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let head = arcs.first().copied().unwrap_or(0);
    let first = (head / 40).min(2);
    let mut out = format!("{first}.{}", head - 40 * first);
    arcs.iter().skip(1).for_each(|a| out.push_str(&format!(".{a}")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        matches(&parse(a).unwrap(), &parse(b).unwrap())
    }

    #[test]
    fn text_forms_are_read_and_printed() {
        let der = parse("C=US,O=x").unwrap();
        assert_eq!(
            der,
            [
                0x30, 0x19, 0x31, 0x0b, 0x30, 9, 6, 3, 0x55, 4, 6, 0x13, 2, b'U', b'S', 0x31, 0x0a, 0x30, 8,
                6, 3, 0x55, 4, 10, 0x13, 1, b'x'
            ]
        );
        for (written, printed) in [
            ("C=CA, ST=Ontario,O=Acme,CN=*,  E=*", "C=CA, ST=Ontario, O=Acme, CN=*, E=*"),
            ("/C=US/O=a, b/CN=host/x", "C=US, O=a\\, b, CN=host/x"),
            ("c=US/o=x", "C=US, O=x"),
            ("O=\"Acme, Inc.\", CN=a\\,b\\ ", "O=Acme\\, Inc., CN=a\\,b "),
            ("OID.2.5.4.3=x, 1.3.6.1.4.1.311.20.2.3=y", "CN=x, 1.3.6.1.4.1.311.20.2.3=y"),
            ("emailAddress=a@b.c", "E=a@b.c"),
            ("UID=b+CN=a, O=c", "CN=a+UID=b, O=c"),
            ("DC=com, DC=example, CN=1+1", "DC=com, DC=example, CN=1+1"),
            ("CN=Zo\u{eb}", "CN=Zo\u{eb}"),
        ] {
            let der = parse(written).unwrap();
            assert_eq!(text(&der), printed);
            assert!(matches(&parse(&text(&der)).unwrap(), &der), "{written}");
        }
    }

    #[test]
    fn bad_texts_name_the_fault() {
        for (bad, why) in [
            ("", "empty"),
            ("C=US, x", "expected NAME=value"),
            ("XX=1", "unknown OID"),
            ("C=", "no value"),
            ("O=\"a", "not closed"),
            ("O=\"a\"b", "after a quoted value"),
            ("3.1=x", "unknown OID"),
            ("1.40.1=x", "unknown OID"),
        ] {
            let e = parse(bad).unwrap_err().to_string();
            assert!(e.contains(why), "{bad}: {e}");
        }
        assert!(parse(&"CN=x,".repeat(65)).is_err());
        assert!(parse(&format!("CN={}", "x".repeat(9000))).is_err());
    }

    #[test]
    fn order_spelling_case_and_string_type_do_not_matter() {
        assert!(same("C=US, O=Acme,CN=a", "cn=A, O=acme , C=us"));
        assert!(same("emailAddress=x@y, CN=1", "CN=1, E=X@y"));
        assert!(same("O=a  b", "O=A b"));
        assert!(!same("O=a, CN=b", "O=b, CN=a"));
        assert!(!same("O=a", "O=a, OU=a"));
        assert!(!same("OU=a, OU=a", "OU=a, OU=b"));
        let utf8 = element(tag::UTF8, b"acme");
        let utf8 = [element(tag::OID, &[0x55, 4, 10]), utf8].concat();
        let utf8 = element(tag::SEQUENCE, &element(tag::SET, &element(tag::SEQUENCE, &utf8)));
        assert!(matches(&parse("O=Acme").unwrap(), &utf8));
        assert_eq!(text(&utf8), "O=acme");
    }

    #[test]
    fn wildcards_are_those_of_the_configured_name_alone() {
        assert!(same("C=US, CN=*, E=*", "C=US, CN=x, E=y"));
        assert!(same("OU=*, OU=a", "OU=a, OU=b"));
        assert!(!same("C=US, CN=*", "C=US, OU=x"));
        assert!(!same("C=US, CN=joe", "C=US, CN=*"));
        assert!(!same("CN=*", "CN=x, O=y"));
        assert_eq!((wildcards(&parse("C=US, CN=*, E=*").unwrap()), wildcards(b"x")), (2, 0));
    }

    /// CVE-2009-2185, CVE-2013-6075: relative names of odd lengths are no names, and nothing is read beyond them.
    #[test]
    fn cve_2009_2185_cve_2013_6075_broken_names_match_nothing() {
        let good = parse("C=US, O=x").unwrap();
        for cut in 0..good.len() {
            assert!(!matches(&good, &good[..cut]) && !is_dn(&good[..cut]), "{cut}");
            assert!(text(&good[..cut]).starts_with("@~0x"));
        }
        for i in 0..good.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[i] = value;
                let _ = (text(&bad), matches(&bad, &good), matches(&good, &bad));
            }
        }
        // An empty set, and octets behind the name.
        assert!(!is_dn(&[0x30, 2, 0x31, 0]));
        assert!(!is_dn(&[&good[..], &[0]].concat()));
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        assert_eq!(text(&parse("CN=a\nb").unwrap()), "CN=a\\012b");
    }
}
