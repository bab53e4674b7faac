//! Names of PKCS#11 tokens and of objects on them: in `PIN` records and `leftcert=`.

use std::fmt;
use std::str::FromStr;

/// How names of tokens begin.
const PREFIX: &str = "%smartcard";
/// Longest identifier of an object, in octets.
const MAX_ID: usize = 64;

/// `%smartcard`, `%smartcardSLOT`, `%smartcard:ID`, `%smartcardSLOT:ID`: the token in a slot, or any; an object on it by its
/// identifier in hex, or any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenName {
    /// CK_SLOT_ID.
    pub slot: Option<u64>,
    /// CKA_ID.
    pub id: Option<Vec<u8>>,
}

impl TokenName {
    /// Whether a word is to be the name of a token, rightly written or not.
    pub fn is_one(word: &str) -> bool {
        word.get(..PREFIX.len()).is_some_and(|p| p.eq_ignore_ascii_case(PREFIX))
    }
}

impl FromStr for TokenName {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let rest = word.get(PREFIX.len()..).filter(|_| TokenName::is_one(word));
        let rest = rest.ok_or_else(|| format!("a token is named {PREFIX}[SLOT][:ID]"))?;
        let (slot, id) = match rest.split_once(':') {
            Some((slot, id)) => (slot, Some(id)),
            None => (rest, None),
        };
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        let slot = match slot {
            "" => None,
            _ => {
                let number = Some(slot).filter(|s| digits(s)).and_then(|s| s.parse().ok());
                Some(number.ok_or_else(|| format!("{word}: expected the number of a slot"))?)
            }
        };
        Ok(TokenName {
            slot,
            id: id.map(|id| hex(id).ok_or(format!("{word}: expected an ID in hex"))).transpose()?,
        })
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        if let Some(slot) = self.slot {
            write!(f, "{slot}")?;
        }
        if let Some(id) = &self.id {
            f.write_str(":")?;
            id.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        }
        Ok(())
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let even = !text.is_empty() && text.len().is_multiple_of(2) && text.len() <= 2 * MAX_ID;
    let digits = text.bytes().map(|b| char::from(b).to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let octets = digits.chunks(2).map(|d| u8::try_from(d.iter().fold(0, |n, d| n * 16 + d)).ok());
    even.then(|| octets.collect::<Option<Vec<u8>>>())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_say_slot_and_object() {
        let name = |slot, id: Option<&[u8]>| TokenName { slot, id: id.map(<[u8]>::to_vec) };
        for (text, want) in [
            ("%smartcard", name(None, None)),
            ("%SmartCard0", name(Some(0), None)),
            ("%smartcard:45", name(None, Some(&[0x45]))),
            ("%smartcard18446744073709551615:00aBff", name(Some(u64::MAX), Some(&[0, 0xab, 0xff]))),
        ] {
            assert_eq!(text.parse(), Ok(want.clone()), "{text}");
            assert_eq!(want.to_string().parse(), Ok(want));
        }
        for bad in [
            "%smartcar",
            "smartcard1",
            "%smartcard#1",
            "%smartcard+1",
            "%smartcard18446744073709551616",
            "%smartcard1:",
            "%smartcard:4",
            "%smartcard:4g",
            "%smartcard:+4",
            "%smartcard1@opensc:45",
            "%smartcard:\u{e9}\u{e9}",
        ] {
            assert!(bad.parse::<TokenName>().is_err(), "{bad}");
        }
        for octets in [MAX_ID - 1, MAX_ID, MAX_ID + 1] {
            let text = format!("%smartcard:{}", "ab".repeat(octets));
            assert_eq!(text.parse::<TokenName>().is_ok(), octets <= MAX_ID);
        }
    }

    proptest! {
        #[test]
        fn any_word_is_a_name_that_is_read_back_or_none(word in "(%smartcard)?[0-9a-fA-F:%#@+]{0,20}|.{0,30}") {
            if let Ok(name) = word.parse::<TokenName>() {
                prop_assert!(TokenName::is_one(&word));
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
    }
}
