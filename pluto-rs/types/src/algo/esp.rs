//! Ciphers and integrity algorithms of ESP and AH.

use serde::{Deserialize, Serialize};

use super::PolicyClass;

/// ESP encryption transforms (RFC 2407 §4.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EspCipher {
    /// ESP_DES, number 2.
    Des,
    /// ESP_3DES, number 3.
    TripleDes,
    /// ESP_NULL, number 11 (RFC 2410). With AH instead of ESP it stands for "no cipher".
    Null,
    /// ESP_AES (CBC), number 12, key length in bits.
    Aes(u16),
    /// ESP_AES-CTR, number 13 (RFC 3686), key length in bits without the nonce.
    AesCtr(u16),
    /// ESP_AES-CCM, numbers 14 to 16 (RFC 4309): key length in bits without the salt, octets of the tag (8, 12, 16).
    AesCcm(u16, u8),
    /// ESP_AES-GCM, numbers 18 to 20 (RFC 4106): as for CCM.
    AesGcm(u16, u8),
    /// ESP_CAMELLIA (CBC), number 22 (RFC 4312), key length in bits.
    Camellia(u16),
    /// ESP_NULL_AUTH_AES-GMAC, number 23 (RFC 4543): key length in bits without the salt. A tag of 16 octets, no encryption.
    AesGmac(u16),
    /// ChaCha20 with Poly1305 (RFC 7634). IKEv1 never got a number for it: IKEv2's 28 serves between our own ends.
    ChaCha20Poly1305,
}

impl EspCipher {
    /// Every transform with every length.
    pub const ALL: [EspCipher; 34] = {
        use EspCipher::{Aes, AesCcm, AesCtr, AesGcm, AesGmac, Camellia, ChaCha20Poly1305};
        use EspCipher::{Des, Null, TripleDes};
        [
            Des,
            TripleDes,
            Null,
            Aes(128),
            Aes(192),
            Aes(256),
            AesCtr(128),
            AesCtr(192),
            AesCtr(256),
            AesCcm(128, 8),
            AesCcm(192, 8),
            AesCcm(256, 8),
            AesCcm(128, 12),
            AesCcm(192, 12),
            AesCcm(256, 12),
            AesCcm(128, 16),
            AesCcm(192, 16),
            AesCcm(256, 16),
            AesGcm(128, 8),
            AesGcm(192, 8),
            AesGcm(256, 8),
            AesGcm(128, 12),
            AesGcm(192, 12),
            AesGcm(256, 12),
            AesGcm(128, 16),
            AesGcm(192, 16),
            AesGcm(256, 16),
            Camellia(128),
            Camellia(192),
            Camellia(256),
            AesGmac(128),
            AesGmac(192),
            AesGmac(256),
            ChaCha20Poly1305,
        ]
    };

    /// Wire number.
    pub fn number(self) -> u8 {
        match self {
            EspCipher::Des => 2,
            EspCipher::TripleDes => 3,
            EspCipher::Null => 11,
            EspCipher::Aes(_) => 12,
            EspCipher::AesCtr(_) => 13,
            EspCipher::AesCcm(_, 8) => 14,
            EspCipher::AesCcm(_, 12) => 15,
            EspCipher::AesCcm(..) => 16,
            EspCipher::AesGcm(_, 8) => 18,
            EspCipher::AesGcm(_, 12) => 19,
            EspCipher::AesGcm(..) => 20,
            EspCipher::Camellia(_) => 22,
            EspCipher::AesGmac(_) => 23,
            EspCipher::ChaCha20Poly1305 => 28,
        }
    }
    /// Value of the Key Length attribute; `None` where none is sent.
    pub fn key_len_attribute(self) -> Option<u16> {
        match self {
            EspCipher::Des | EspCipher::TripleDes | EspCipher::Null | EspCipher::ChaCha20Poly1305 => None,
            EspCipher::Aes(b)
            | EspCipher::AesCtr(b)
            | EspCipher::AesCcm(b, _)
            | EspCipher::AesGcm(b, _)
            | EspCipher::AesGmac(b)
            | EspCipher::Camellia(b) => Some(b),
        }
    }
    /// The transform of a wire number and a Key Length attribute. Without one, AES-CBC and Camellia have 128 bits;
    /// the modes that came later must have one.
    pub fn from_wire(number: u8, bits: Option<u64>) -> Option<Self> {
        let number_matches = |c: &EspCipher| c.number() == number;
        let want = match (number, bits) {
            (12 | 22, None) => Some(128),
            (_, bits) => bits,
        };
        EspCipher::ALL
            .into_iter()
            .filter(number_matches)
            .find(|c| c.key_len_attribute().map(u64::from) == want)
    }
    /// Octets of key material: the key, and the salt or nonce that some modes draw with it.
    pub fn key_len(self) -> usize {
        let salt = match self {
            EspCipher::AesCtr(_)
            | EspCipher::AesGcm(..)
            | EspCipher::AesGmac(_)
            | EspCipher::ChaCha20Poly1305 => 4,
            EspCipher::AesCcm(..) => 3,
            _ => 0,
        };
        let key = match self {
            EspCipher::Des => 8,
            EspCipher::TripleDes => 24,
            EspCipher::Null => 0,
            EspCipher::ChaCha20Poly1305 => 32,
            _ => self.key_len_attribute().map_or(0, |b| usize::from(b / 8)),
        };
        key + salt
    }
    /// Octets of the tag of a mode that protects integrity itself, and takes no integrity algorithm beside it.
    pub fn tag_len(self) -> Option<u8> {
        match self {
            EspCipher::AesCcm(_, tag) | EspCipher::AesGcm(_, tag) => Some(tag),
            EspCipher::AesGmac(_) | EspCipher::ChaCha20Poly1305 => Some(16),
            _ => None,
        }
    }
    /// Name in `xfrm=` of the established line: `AES_128`, `3DES_0`.
    pub fn name(self) -> String {
        let letter = |tag| match tag {
            8 => 'A',
            12 => 'B',
            _ => 'C',
        };
        match self {
            EspCipher::Des => "DES_0".into(),
            EspCipher::TripleDes => "3DES_0".into(),
            EspCipher::Null => "NULL_0".into(),
            EspCipher::Aes(bits) => format!("AES_{bits}"),
            EspCipher::AesCtr(bits) => format!("AES_CTR_{bits}"),
            EspCipher::AesCcm(bits, tag) => format!("AES_CCM_{}_{bits}", letter(tag)),
            EspCipher::AesGcm(bits, tag) => format!("AES_GCM_{}_{bits}", letter(tag)),
            EspCipher::AesGmac(bits) => format!("NULL_AUTH_AES_GMAC_{bits}"),
            EspCipher::Camellia(bits) => format!("CAMELLIA_{bits}"),
            EspCipher::ChaCha20Poly1305 => "CHACHA20_POLY1305_0".into(),
        }
    }
    /// How far it can be trusted.
    pub fn class(self) -> PolicyClass {
        match self {
            EspCipher::Des | EspCipher::Null | EspCipher::AesGmac(_) => PolicyClass::Named,
            EspCipher::TripleDes => PolicyClass::Compat,
            _ => PolicyClass::Modern,
        }
    }
}

/// Integrity of ESP and AH ("Authentication Algorithm" attribute, RFC 2407 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EspInteg {
    /// None: beside a cipher that has its own tag.
    None,
    /// HMAC-MD5-96, number 1.
    Md5,
    /// HMAC-SHA1-96, number 2.
    Sha1,
    /// HMAC-SHA2-256-128, number 5.
    Sha256,
    /// HMAC-SHA2-256 cut to 96 bits, as Linux before 2.6.33 and devices made of it: number 5 too, never negotiated
    /// as such but put in place of [`EspInteg::Sha256`] by `sha2-truncbug=yes`.
    Sha256Trunc96,
    /// HMAC-SHA2-384-192, number 6.
    Sha384,
    /// HMAC-SHA2-512-256, number 7.
    Sha512,
    /// AES-XCBC-MAC-96, number 9 (RFC 3566).
    AesXcbc,
    /// AES-CMAC-96 (RFC 4494). IKEv1 never got a number for it: 250 is libreswan's.
    AesCmac,
}

impl EspInteg {
    /// Those that are negotiated, by number.
    pub const NEGOTIATED: [EspInteg; 7] = [
        EspInteg::Md5,
        EspInteg::Sha1,
        EspInteg::Sha256,
        EspInteg::Sha384,
        EspInteg::Sha512,
        EspInteg::AesXcbc,
        EspInteg::AesCmac,
    ];

    /// Wire number; 0 is "not sent".
    pub fn number(self) -> u16 {
        match self {
            EspInteg::None => 0,
            EspInteg::Md5 => 1,
            EspInteg::Sha1 => 2,
            EspInteg::Sha256 | EspInteg::Sha256Trunc96 => 5,
            EspInteg::Sha384 => 6,
            EspInteg::Sha512 => 7,
            EspInteg::AesXcbc => 9,
            EspInteg::AesCmac => 250,
        }
    }
    /// The algorithm of a wire number.
    pub fn from_number(n: u16) -> Option<Self> {
        EspInteg::NEGOTIATED.into_iter().find(|a| a.number() == n)
    }
    /// The AH transform of the algorithm (RFC 2407 §4.4.3, RFC 4868); 0 for none.
    pub fn ah_transform(self) -> u8 {
        match self {
            EspInteg::None => 0,
            EspInteg::Md5 => 2,
            EspInteg::Sha1 => 3,
            EspInteg::Sha256 | EspInteg::Sha256Trunc96 => 5,
            EspInteg::Sha384 => 6,
            EspInteg::Sha512 => 7,
            EspInteg::AesXcbc => 9,
            EspInteg::AesCmac => 250,
        }
    }
    /// Key length in bytes (RFC 2403, 2404, 3566, 4494, 4868).
    pub fn key_len(self) -> usize {
        match self {
            EspInteg::None => 0,
            EspInteg::Md5 | EspInteg::AesXcbc | EspInteg::AesCmac => 16,
            EspInteg::Sha1 => 20,
            EspInteg::Sha256 | EspInteg::Sha256Trunc96 => 32,
            EspInteg::Sha384 => 48,
            EspInteg::Sha512 => 64,
        }
    }
    /// Length in bits of the truncated tag on the wire.
    pub fn trunc_bits(self) -> u32 {
        match self {
            EspInteg::None => 0,
            EspInteg::Md5
            | EspInteg::Sha1
            | EspInteg::AesXcbc
            | EspInteg::AesCmac
            | EspInteg::Sha256Trunc96 => 96,
            EspInteg::Sha256 => 128,
            EspInteg::Sha384 => 192,
            EspInteg::Sha512 => 256,
        }
    }
    /// Name in `xfrm=` of the established line.
    pub fn name(self) -> &'static str {
        match self {
            EspInteg::None => "NONE",
            EspInteg::Md5 => "HMAC_MD5",
            EspInteg::Sha1 => "HMAC_SHA1",
            EspInteg::Sha256 => "HMAC_SHA2_256",
            EspInteg::Sha256Trunc96 => "HMAC_SHA2_256_TRUNCBUG",
            EspInteg::Sha384 => "HMAC_SHA2_384",
            EspInteg::Sha512 => "HMAC_SHA2_512",
            EspInteg::AesXcbc => "AES_XCBC",
            EspInteg::AesCmac => "AES_CMAC_96",
        }
    }
    /// How far it can be trusted.
    pub fn class(self) -> PolicyClass {
        match self {
            EspInteg::Md5 => PolicyClass::Legacy,
            EspInteg::Sha1 => PolicyClass::Compat,
            _ => PolicyClass::Modern,
        }
    }
}

/// One `cipher-integ` of an `esp=`/`phase2alg=` line, or of our defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EspSuite {
    /// Encryption; [`EspCipher::Null`] with AH.
    pub cipher: EspCipher,
    /// Integrity.
    pub integ: EspInteg,
}

impl EspSuite {
    /// The class of its weaker part.
    pub fn class(self) -> PolicyClass {
        self.cipher.class().max(self.integ.class())
    }
    /// Whether the two go together: exactly one of them protects integrity.
    pub fn is_sound(self) -> bool {
        self.cipher.tag_len().is_some() == (self.integ == EspInteg::None)
    }
}
