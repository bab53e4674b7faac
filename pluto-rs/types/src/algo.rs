//! Algorithms by their wire numbers (IANA "IPSEC ISAKMP registry" and "ISAKMP" attribute values) and their names.
//!
//! Names returned here are shown to users and are Openswan's.

use serde::{Deserialize, Serialize};

/// IKEv1 phase 1 encryption (RFC 2409 appendix A, "Encryption Algorithm").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IkeCipher {
    /// 3DES-CBC, number 5.
    TripleDes,
    /// AES-CBC, number 7, key length in bits: 128, 192 or 256.
    Aes(u16),
}

impl IkeCipher {
    /// Wire number.
    pub fn number(self) -> u16 {
        match self {
            IkeCipher::TripleDes => 5,
            IkeCipher::Aes(_) => 7,
        }
    }
    /// Key length in bytes.
    pub fn key_len(self) -> usize {
        match self {
            IkeCipher::TripleDes => 24,
            IkeCipher::Aes(bits) => usize::from(bits / 8),
        }
    }
    /// Block length in bytes.
    pub fn block_len(self) -> usize {
        match self {
            IkeCipher::TripleDes => 8,
            IkeCipher::Aes(_) => 16,
        }
    }
    /// `oakley` name in the established line: `aes_128`, `oakley_3des_cbc_192`.
    pub fn name(self) -> String {
        match self {
            IkeCipher::TripleDes => "oakley_3des_cbc_192".into(),
            IkeCipher::Aes(bits) => format!("aes_{bits}"),
        }
    }
}

/// Hash, and with it HMAC and PRF, of IKEv1 phase 1 (RFC 2409 appendix A, "Hash Algorithm").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HashAlg {
    /// MD5, number 1.
    Md5,
    /// SHA1, number 2.
    Sha1,
    /// SHA2-256, number 4.
    Sha256,
    /// SHA2-384, number 5.
    Sha384,
    /// SHA2-512, number 6.
    Sha512,
}

impl HashAlg {
    /// Wire number.
    pub fn number(self) -> u16 {
        match self {
            HashAlg::Md5 => 1,
            HashAlg::Sha1 => 2,
            HashAlg::Sha256 => 4,
            HashAlg::Sha384 => 5,
            HashAlg::Sha512 => 6,
        }
    }
    /// The algorithm of a wire number.
    pub fn from_number(n: u16) -> Option<Self> {
        [HashAlg::Md5, HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512]
            .into_iter()
            .find(|h| h.number() == n)
    }
    /// Output length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a hash is never empty")]
    pub fn len(self) -> usize {
        match self {
            HashAlg::Md5 => 16,
            HashAlg::Sha1 => 20,
            HashAlg::Sha256 => 32,
            HashAlg::Sha384 => 48,
            HashAlg::Sha512 => 64,
        }
    }
    /// Name in the established line (`prf=oakley_sha`).
    pub fn name(self) -> &'static str {
        match self {
            HashAlg::Md5 => "oakley_md5",
            HashAlg::Sha1 => "oakley_sha",
            HashAlg::Sha256 => "oakley_sha2_256",
            HashAlg::Sha384 => "oakley_sha2_384",
            HashAlg::Sha512 => "oakley_sha2_512",
        }
    }
}

/// Diffie-Hellman groups (RFC 2409 §6, RFC 3526, RFC 5903).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DhGroup {
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
    /// Group 19, NIST P-256.
    Ecp256,
    /// Group 20, NIST P-384.
    Ecp384,
}

impl DhGroup {
    /// Every group, weakest first.
    pub const ALL: [DhGroup; 7] = [
        DhGroup::Modp1024,
        DhGroup::Modp1536,
        DhGroup::Modp2048,
        DhGroup::Modp3072,
        DhGroup::Modp4096,
        DhGroup::Ecp256,
        DhGroup::Ecp384,
    ];
    /// Wire number ("Group Description").
    pub fn number(self) -> u16 {
        match self {
            DhGroup::Modp1024 => 2,
            DhGroup::Modp1536 => 5,
            DhGroup::Modp2048 => 14,
            DhGroup::Modp3072 => 15,
            DhGroup::Modp4096 => 16,
            DhGroup::Ecp256 => 19,
            DhGroup::Ecp384 => 20,
        }
    }
    /// The group of a wire number.
    pub fn from_number(n: u16) -> Option<Self> {
        DhGroup::ALL.into_iter().find(|g| g.number() == n)
    }
    /// Length in bytes of the public value in a KE payload.
    pub fn public_len(self) -> usize {
        match self {
            DhGroup::Modp1024 => 128,
            DhGroup::Modp1536 => 192,
            DhGroup::Modp2048 => 256,
            DhGroup::Modp3072 => 384,
            DhGroup::Modp4096 => 512,
            DhGroup::Ecp256 => 64,
            DhGroup::Ecp384 => 96,
        }
    }
    /// Size of the group in bits, as `ipsec auto --status` prints it.
    pub fn bits(self) -> u16 {
        match self {
            DhGroup::Modp1024 => 1024,
            DhGroup::Modp1536 => 1536,
            DhGroup::Modp2048 => 2048,
            DhGroup::Modp3072 => 3072,
            DhGroup::Modp4096 => 4096,
            DhGroup::Ecp256 => 256,
            DhGroup::Ecp384 => 384,
        }
    }
    /// `modp2048`, as in the established line and in `ike=`.
    pub fn name(self) -> &'static str {
        match self {
            DhGroup::Modp1024 => "modp1024",
            DhGroup::Modp1536 => "modp1536",
            DhGroup::Modp2048 => "modp2048",
            DhGroup::Modp3072 => "modp3072",
            DhGroup::Modp4096 => "modp4096",
            DhGroup::Ecp256 => "ecp256",
            DhGroup::Ecp384 => "ecp384",
        }
    }
}

/// ESP encryption transforms (RFC 2407 §4.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EspCipher {
    /// ESP_3DES, number 3.
    TripleDes,
    /// ESP_AES (CBC), number 12, key length in bits.
    Aes(u16),
}

impl EspCipher {
    /// Wire number.
    pub fn number(self) -> u8 {
        match self {
            EspCipher::TripleDes => 3,
            EspCipher::Aes(_) => 12,
        }
    }
    /// Key length in bytes.
    pub fn key_len(self) -> usize {
        match self {
            EspCipher::TripleDes => 24,
            EspCipher::Aes(bits) => usize::from(bits / 8),
        }
    }
    /// Name in `xfrm=` of the established line: `AES_128`, `3DES_0`.
    pub fn name(self) -> String {
        match self {
            EspCipher::TripleDes => "3DES_0".into(),
            EspCipher::Aes(bits) => format!("AES_{bits}"),
        }
    }
}

/// ESP integrity ("Authentication Algorithm" attribute, RFC 2407 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EspInteg {
    /// HMAC-MD5-96, number 1.
    Md5,
    /// HMAC-SHA1-96, number 2.
    Sha1,
    /// HMAC-SHA2-256-128, number 5.
    Sha256,
    /// HMAC-SHA2-384-192, number 6.
    Sha384,
    /// HMAC-SHA2-512-256, number 7.
    Sha512,
}

impl EspInteg {
    /// Wire number.
    pub fn number(self) -> u16 {
        match self {
            EspInteg::Md5 => 1,
            EspInteg::Sha1 => 2,
            EspInteg::Sha256 => 5,
            EspInteg::Sha384 => 6,
            EspInteg::Sha512 => 7,
        }
    }
    /// The algorithm of a wire number.
    pub fn from_number(n: u16) -> Option<Self> {
        [EspInteg::Md5, EspInteg::Sha1, EspInteg::Sha256, EspInteg::Sha384, EspInteg::Sha512]
            .into_iter()
            .find(|a| a.number() == n)
    }
    /// Key length in bytes (RFC 2403, 2404, 4868).
    pub fn key_len(self) -> usize {
        match self {
            EspInteg::Md5 => 16,
            EspInteg::Sha1 => 20,
            EspInteg::Sha256 => 32,
            EspInteg::Sha384 => 48,
            EspInteg::Sha512 => 64,
        }
    }
    /// Length in bits of the truncated tag on the wire.
    pub fn trunc_bits(self) -> u32 {
        match self {
            EspInteg::Md5 | EspInteg::Sha1 => 96,
            EspInteg::Sha256 => 128,
            EspInteg::Sha384 => 192,
            EspInteg::Sha512 => 256,
        }
    }
    /// Name in `xfrm=` of the established line.
    pub fn name(self) -> &'static str {
        match self {
            EspInteg::Md5 => "HMAC_MD5",
            EspInteg::Sha1 => "HMAC_SHA1",
            EspInteg::Sha256 => "HMAC_SHA2_256",
            EspInteg::Sha384 => "HMAC_SHA2_384",
            EspInteg::Sha512 => "HMAC_SHA2_512",
        }
    }
}

/// One `cipher-hash-group` of an `ike=` line, or of our defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IkeSuite {
    /// Encryption.
    pub cipher: IkeCipher,
    /// Hash, PRF and integrity.
    pub hash: HashAlg,
    /// Diffie-Hellman group.
    pub group: DhGroup,
}

/// One `cipher-integ` of an `esp=`/`phase2alg=` line, or of our defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EspSuite {
    /// Encryption.
    pub cipher: EspCipher,
    /// Integrity.
    pub integ: EspInteg,
}
