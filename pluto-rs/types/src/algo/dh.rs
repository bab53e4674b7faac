//! Diffie-Hellman groups.

use serde::{Deserialize, Serialize};

use super::PolicyClass;

/// Diffie-Hellman groups (RFC 2409 §6, RFC 3526, RFC 5114, RFC 5903, RFC 8031).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DhGroup {
    /// Group 1, 768 bits.
    Modp768,
    /// Group 2, 1024 bits.
    Modp1024,
    /// Group 5, 1536 bits.
    Modp1536,
    /// Group 14, 2048 bits.
    Modp2048,
    /// Group 15, 3072 bits.
    Modp3072,
    /// Group 16, 4096 bits.
    Modp4096,
    /// Group 17, 6144 bits.
    Modp6144,
    /// Group 18, 8192 bits.
    Modp8192,
    /// Group 19, NIST P-256.
    Ecp256,
    /// Group 20, NIST P-384.
    Ecp384,
    /// Group 21, NIST P-521.
    Ecp521,
    /// Group 22, 1024 bits with a subgroup of 160; whence its prime comes was never told.
    Dh22,
    /// Group 23, 2048 bits with a subgroup of 224.
    Dh23,
    /// Group 24, 2048 bits with a subgroup of 256.
    Dh24,
    /// Group 31, Curve25519.
    Curve25519,
}

impl DhGroup {
    /// Every group, by number.
    pub const ALL: [DhGroup; 15] = [
        DhGroup::Modp768,
        DhGroup::Modp1024,
        DhGroup::Modp1536,
        DhGroup::Modp2048,
        DhGroup::Modp3072,
        DhGroup::Modp4096,
        DhGroup::Modp6144,
        DhGroup::Modp8192,
        DhGroup::Ecp256,
        DhGroup::Ecp384,
        DhGroup::Ecp521,
        DhGroup::Dh22,
        DhGroup::Dh23,
        DhGroup::Dh24,
        DhGroup::Curve25519,
    ];

    /// Number, length in octets of the public value, bits, name.
    fn facts(self) -> (u16, usize, u16, &'static str) {
        match self {
            DhGroup::Modp768 => (1, 96, 768, "modp768"),
            DhGroup::Modp1024 => (2, 128, 1024, "modp1024"),
            DhGroup::Modp1536 => (5, 192, 1536, "modp1536"),
            DhGroup::Modp2048 => (14, 256, 2048, "modp2048"),
            DhGroup::Modp3072 => (15, 384, 3072, "modp3072"),
            DhGroup::Modp4096 => (16, 512, 4096, "modp4096"),
            DhGroup::Modp6144 => (17, 768, 6144, "modp6144"),
            DhGroup::Modp8192 => (18, 1024, 8192, "modp8192"),
            DhGroup::Ecp256 => (19, 64, 256, "ecp256"),
            DhGroup::Ecp384 => (20, 96, 384, "ecp384"),
            DhGroup::Ecp521 => (21, 132, 521, "ecp521"),
            DhGroup::Dh22 => (22, 128, 1024, "dh22"),
            DhGroup::Dh23 => (23, 256, 2048, "dh23"),
            DhGroup::Dh24 => (24, 256, 2048, "dh24"),
            DhGroup::Curve25519 => (31, 32, 255, "curve25519"),
        }
    }

    /// Wire number ("Group Description").
    pub fn number(self) -> u16 {
        self.facts().0
    }
    /// The group of a wire number.
    pub fn from_number(n: u16) -> Option<Self> {
        DhGroup::ALL.into_iter().find(|g| g.number() == n)
    }
    /// Length in bytes of the public value in a KE payload.
    pub fn public_len(self) -> usize {
        self.facts().1
    }
    /// Size of the group in bits, as `ipsec auto --status` prints it.
    pub fn bits(self) -> u16 {
        self.facts().2
    }
    /// `modp2048`, as in the established line and in `ike=`.
    pub fn name(self) -> &'static str {
        self.facts().3
    }
    /// How far it can be trusted.
    pub fn class(self) -> PolicyClass {
        match self {
            DhGroup::Modp768 | DhGroup::Dh22 | DhGroup::Dh23 | DhGroup::Dh24 => PolicyClass::Named,
            DhGroup::Modp1024 | DhGroup::Modp1536 => PolicyClass::Compat,
            _ => PolicyClass::Modern,
        }
    }
}
