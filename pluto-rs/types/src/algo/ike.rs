//! Ciphers and hashes of phase 1.

use serde::{Deserialize, Serialize};

use super::{DhGroup, PolicyClass};

/// IKEv1 phase 1 encryption (RFC 2409 appendix A, "Encryption Algorithm"), always CBC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IkeCipher {
    /// DES-CBC, number 1.
    Des,
    /// 3DES-CBC, number 5.
    TripleDes,
    /// AES-CBC, number 7, key length in bits: 128, 192 or 256.
    Aes(u16),
    /// Camellia-CBC, number 8 (RFC 4312), key length in bits: 128, 192 or 256.
    Camellia(u16),
}

impl IkeCipher {
    /// Every cipher with every key length.
    pub const ALL: [IkeCipher; 8] = [
        IkeCipher::Des,
        IkeCipher::TripleDes,
        IkeCipher::Aes(128),
        IkeCipher::Aes(192),
        IkeCipher::Aes(256),
        IkeCipher::Camellia(128),
        IkeCipher::Camellia(192),
        IkeCipher::Camellia(256),
    ];

    /// Wire number.
    pub fn number(self) -> u16 {
        match self {
            IkeCipher::Des => 1,
            IkeCipher::TripleDes => 5,
            IkeCipher::Aes(_) => 7,
            IkeCipher::Camellia(_) => 8,
        }
    }
    /// Value of the Key Length attribute; `None` where none is sent.
    pub fn key_len_attribute(self) -> Option<u16> {
        match self {
            IkeCipher::Des | IkeCipher::TripleDes => None,
            IkeCipher::Aes(bits) | IkeCipher::Camellia(bits) => Some(bits),
        }
    }
    /// The cipher of a wire number and a Key Length attribute. Without one, AES and Camellia have 128 bits.
    pub fn from_wire(number: u64, bits: Option<u64>) -> Option<Self> {
        let sized = |of: fn(u16) -> IkeCipher| match bits {
            None => Some(of(128)),
            Some(b @ (128 | 192 | 256)) => u16::try_from(b).ok().map(of),
            Some(_) => None,
        };
        match number {
            1 => bits.is_none().then_some(IkeCipher::Des),
            5 => bits.is_none().then_some(IkeCipher::TripleDes),
            7 => sized(IkeCipher::Aes),
            8 => sized(IkeCipher::Camellia),
            _ => None,
        }
    }
    /// Key length in bytes.
    pub fn key_len(self) -> usize {
        match self {
            IkeCipher::Des => 8,
            IkeCipher::TripleDes => 24,
            IkeCipher::Aes(bits) | IkeCipher::Camellia(bits) => usize::from(bits / 8),
        }
    }
    /// Block length in bytes.
    pub fn block_len(self) -> usize {
        match self {
            IkeCipher::Des | IkeCipher::TripleDes => 8,
            IkeCipher::Aes(_) | IkeCipher::Camellia(_) => 16,
        }
    }
    /// `oakley` name in the established line: `aes_128`, `oakley_3des_cbc_192`.
    pub fn name(self) -> String {
        match self {
            IkeCipher::Des => "oakley_des_cbc_64".into(),
            IkeCipher::TripleDes => "oakley_3des_cbc_192".into(),
            IkeCipher::Aes(bits) => format!("aes_{bits}"),
            IkeCipher::Camellia(bits) => format!("camellia_{bits}"),
        }
    }
    /// How far it can be trusted.
    pub fn class(self) -> PolicyClass {
        match self {
            IkeCipher::Des => PolicyClass::Named,
            IkeCipher::TripleDes => PolicyClass::Compat,
            IkeCipher::Aes(_) | IkeCipher::Camellia(_) => PolicyClass::Modern,
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
    /// How far it can be trusted.
    pub fn class(self) -> PolicyClass {
        match self {
            HashAlg::Md5 => PolicyClass::Legacy,
            HashAlg::Sha1 => PolicyClass::Compat,
            _ => PolicyClass::Modern,
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

impl IkeSuite {
    /// The class of its weakest part.
    pub fn class(self) -> PolicyClass {
        self.cipher.class().max(self.hash.class()).max(self.group.class())
    }
}
