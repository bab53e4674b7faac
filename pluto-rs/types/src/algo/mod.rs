//! Algorithms by their wire numbers (IANA "IPSEC ISAKMP registry" and "ISAKMP" attribute values) and their names.
//!
//! Names returned here are shown to users and are Openswan's.

use serde::{Deserialize, Serialize};

use crate::auth::CryptoPolicy;

mod dh;
mod esp;
mod ike;

pub use dh::DhGroup;
pub use esp::{EspCipher, EspInteg, EspSuite};
pub use ike::{HashAlg, IkeCipher, IkeSuite};

/// How far an algorithm can be trusted, best first: the measure of `crypto-policy=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyClass {
    /// Strong today.
    Modern,
    /// What Windows 10, iOS and Android need out of the box.
    Compat,
    /// Broken in theory, or nearly so; wanted by old devices.
    Legacy,
    /// Never used unless a conn names it: broken in practice, or not what it says.
    Named,
}

impl PolicyClass {
    /// Whether a conn that names no algorithm of its own may use one of this class under `policy`.
    pub fn allowed_by(self, policy: CryptoPolicy) -> bool {
        let worst = match policy {
            CryptoPolicy::Modern => PolicyClass::Modern,
            CryptoPolicy::Compat => PolicyClass::Compat,
            CryptoPolicy::Legacy => PolicyClass::Legacy,
        };
        self <= worst
    }

    /// The strictest policy that allows this class; `None` where a conn has to name the algorithm.
    pub fn least(self) -> Option<CryptoPolicy> {
        [CryptoPolicy::Modern, CryptoPolicy::Compat, CryptoPolicy::Legacy]
            .into_iter()
            .find(|p| self.allowed_by(*p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_allows_what_the_stricter_one_allows() {
        let table = [
            (DhGroup::Modp2048.class(), [true, true, true]),
            (DhGroup::Modp1024.class(), [false, true, true]),
            (HashAlg::Md5.class(), [false, false, true]),
            (DhGroup::Dh22.class(), [false, false, false]),
            (EspCipher::Null.class(), [false, false, false]),
        ];
        for (class, want) in table {
            let got = [CryptoPolicy::Modern, CryptoPolicy::Compat, CryptoPolicy::Legacy]
                .map(|p| class.allowed_by(p));
            assert_eq!(got, want, "{class:?}");
        }
    }

    #[test]
    fn wire_forms_are_read_back() {
        for c in IkeCipher::ALL {
            assert_eq!(
                IkeCipher::from_wire(c.number().into(), c.key_len_attribute().map(u64::from)),
                Some(c)
            );
        }
        for c in EspCipher::ALL {
            assert_eq!(EspCipher::from_wire(c.number(), c.key_len_attribute().map(u64::from)), Some(c));
        }
        for g in DhGroup::ALL {
            assert_eq!(DhGroup::from_number(g.number()), Some(g));
        }
    }

    #[test]
    fn odd_key_lengths_are_nothing() {
        for (n, bits) in [(5, Some(192)), (7, Some(0)), (7, Some(65_664)), (8, Some(64)), (1, Some(64))] {
            assert_eq!(IkeCipher::from_wire(n, bits), None, "{n} {bits:?}");
        }
        for (n, bits) in [(3, Some(192)), (11, Some(1)), (20, None), (20, Some(160)), (13, Some(129))] {
            assert_eq!(EspCipher::from_wire(n, bits), None, "{n} {bits:?}");
        }
    }
}
