//! Keys and certificates on PKCS#11 tokens: `: PIN %smartcard…` in `ipsec.secrets` and `leftcert=%smartcard…`.
//!
//! Served if the daemon was built with the feature `pkcs11`. A private key never leaves its token; signing is done by a
//! thread of its own. No PIN is kept but one that was wrong, which must not be tried again.

#[cfg(feature = "pkcs11")]
mod module;
#[cfg(feature = "pkcs11")]
pub(crate) use module::Tokens;

#[cfg(not(feature = "pkcs11"))]
mod absent;
#[cfg(not(feature = "pkcs11"))]
pub(crate) use absent::Tokens;

#[cfg(test)]
#[cfg(feature = "pkcs11")]
mod tests;

pub(crate) use ipsec_conf::secrets::TokenName;
use ipsec_crypto::{Certificate, PrivateKey};

/// A key of a token, and its certificate if the token has that too.
pub(crate) struct TokenKey {
    pub(crate) key: PrivateKey,
    pub(crate) cert: Option<Certificate>,
}

/// Why a token gives no keys.
#[derive(Debug)]
#[cfg_attr(not(feature = "pkcs11"), expect(dead_code, reason = "Pin is made by the feature pkcs11"))]
pub(crate) enum NoKeys {
    /// Its PIN has not been given.
    Pin,
    /// Another reason.
    Other(String),
}
