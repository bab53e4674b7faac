//! What can go wrong in this crate.

use ipsec_types::algo::DhGroup;

/// Why a cryptographic operation was refused. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A key, an IV, a message or a public value has a length the algorithm does not take.
    #[error("{what} of {got} bytes, {want} expected")]
    Length {
        /// What it is the length of.
        what: &'static str,
        /// Bytes given.
        got: usize,
        /// Bytes that would have been right.
        want: usize,
    },
    /// A ciphertext or plaintext that is empty or no multiple of the block length.
    #[error("data of {got} bytes is not a non-zero multiple of the block length {block}")]
    Blocks {
        /// Bytes given.
        got: usize,
        /// Block length of the cipher.
        block: usize,
    },
    /// The algorithm exists, this key size of it does not.
    #[error("no such cipher with a key of {0} bits")]
    KeySize(u16),
    /// The peer's public value is one no honest peer sends.
    #[error("unacceptable public value for {}: {why}", group.name())]
    PeerPublic {
        /// Group.
        group: DhGroup,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The caller's secret exponent is empty or zero.
    #[error("unusable secret exponent for {}", .0.name())]
    Secret(DhGroup),
    /// A key, a certificate or a list that cannot be used: what is wrong with it.
    #[error("{0}")]
    Unusable(String),
    /// A key file or container that does not open with the passphrase that was given, or without one.
    #[error("{0}")]
    Passphrase(&'static str),
    /// A signature that was not made with the key.
    #[error("signature is wrong")]
    Signature,
    /// A computation that broke off by a panic, which is a bug of ours or of a token's module: the panic's words.
    #[error("a computation broke off, which is a bug: {0}")]
    Broken(String),
    /// The library refused; its own words.
    #[error("crypto library: {0}")]
    Library(String),
}

impl From<openssl::error::ErrorStack> for CryptoError {
    fn from(e: openssl::error::ErrorStack) -> Self {
        CryptoError::Library(e.to_string())
    }
}

impl CryptoError {
    /// [`CryptoError::Unusable`] of a text.
    pub(crate) fn unusable(why: impl Into<String>) -> Self {
        CryptoError::Unusable(why.into())
    }
}
