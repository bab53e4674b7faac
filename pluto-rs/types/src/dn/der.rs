//! DER to text, and whether two names are the same. Takes any octets; what is no name matches nothing.

use super::{MAX_ATTRIBUTES, MAX_DER, NAMES};
use crate::der::{Reader, tag};

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
        // A peer's may be as long as a message.
        let mut out = String::with_capacity(4 + 2 * der.len());
        out.push_str("@~0x");
        for nibble in der.iter().flat_map(|b| [b >> 4, b & 15]) {
            out.extend(char::from_digit(nibble.into(), 16));
        }
        return out;
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
