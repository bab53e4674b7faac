//! Packet marks that a conn names (libreswan's `mark=`), and the tunnel device that goes with them (`vti-interface=`).
//!
//! ```text
//!  mark=5/0xffffff        both directions        mark=-1        one of its own for each instance, from 1001 up
//!  mark-in=6              inbound                mark-out=7     outbound
//! ```
//! The marks are those of the policies: what leaves must carry the outbound one to be encrypted, what was decrypted must
//! carry the inbound one to be let in. A virtual tunnel interface (VTI) gives both.

use serde::{Deserialize, Serialize};

use crate::kernel::Mark;

/// The first of the marks that are given out, less one, and how many there are: below the bits of
/// [`MARK_MASK`](crate::kernel::MARK_MASK).
const UNIQUE: u32 = 1000;
const UNIQUES: u32 = 31_000;

/// The mark of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnMark {
    /// `None`: every instance of the conn gets one of its own.
    pub value: Option<u32>,
    /// Which bits count.
    pub mask: u32,
}

impl ConnMark {
    /// The mark of the `n`th conn or instance, from 1; after 31,000 they begin again. Bits outside of the mask do not count.
    pub fn of(self, n: u32) -> Mark {
        let value = self.value.unwrap_or(UNIQUE + 1 + n.wrapping_sub(1) % UNIQUES);
        Mark { value: value & self.mask, mask: self.mask }
    }
}

impl std::str::FromStr for ConnMark {
    type Err = String;

    /// `VALUE[/MASK]`, each decimal or hexadecimal behind `0x`; the mask is all bits unless given. The value may be `-1`, or
    /// strongSwan's `%unique`.
    fn from_str(s: &str) -> Result<Self, String> {
        let (value, mask) = match s.split_once('/') {
            Some((value, mask)) => (value, number(mask)?),
            None => (s, u32::MAX),
        };
        let value = match value {
            "-1" | "%unique" => None,
            _ => Some(number(value)?),
        };
        if mask == 0 {
            return Err("the mask leaves no bit".into());
        }
        Ok(ConnMark { value, mask })
    }
}

fn number(s: &str) -> Result<u32, String> {
    let read = match s.strip_prefix("0x").or_else(|| s.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
        None if s.bytes().all(|b| b.is_ascii_digit()) => s.parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| "expected a number of 32 bits, decimal or behind 0x, and perhaps /MASK".into())
}

/// A virtual tunnel interface, which the updown script makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vti {
    /// `vti-interface=`: at most 15 octets.
    pub interface: String,
    /// `vti-routing=`: routes to the peer's network lead there.
    pub routing: bool,
    /// `vti-shared=`: other conns use it too, so that it has no far end and stays.
    pub shared: bool,
}

/// What a conn with `mark=` has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Of what was decrypted.
    pub inbound: Option<ConnMark>,
    /// Of what is to be encrypted.
    pub outbound: Option<ConnMark>,
    /// `vti-interface=`.
    pub vti: Option<Vti>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read() {
        for (text, value, mask) in [
            ("5", Some(5), u32::MAX),
            ("5/0xffffff", Some(5), 0xff_ffff),
            ("0x64/0X0f0", Some(0x64), 0xf0),
            ("-1/0xff", None, 0xff),
            ("%unique", None, u32::MAX),
            ("4294967295", Some(u32::MAX), u32::MAX),
        ] {
            assert_eq!(text.parse(), Ok(ConnMark { value, mask }), "{text}");
        }
        for text in ["", "-2", "5/", "5/0", "/5", "0x", "4294967296", "0x1ffffffff", "5/6/7", "+5", "five"] {
            assert!(text.parse::<ConnMark>().is_err(), "{text}");
        }
    }

    #[test]
    fn instances_get_marks_of_their_own_and_bits_outside_of_the_mask_do_not_count() {
        let unique = ConnMark { value: None, mask: u32::MAX };
        assert_eq!([1, 2, 31_000, 31_001].map(|n| unique.of(n).value), [1001, 1002, 32_000, 1001]);
        assert!([0, u32::MAX].iter().all(|n| unique.of(*n).value & crate::kernel::MARK_MASK == 0));
        assert_eq!(ConnMark { value: Some(0x164), mask: 0xff }.of(9), Mark { value: 0x64, mask: 0xff });
    }
}
