//! A daemon without the feature `pkcs11`: every use of a token is refused with the reason.

use ipsec_crypto::Certificate;
use ipsec_types::SecretBytes;

use super::{NoKeys, TokenKey, TokenName};

const WHY: &str = "keys on tokens need a pluto that was built with the feature pkcs11";

/// No tokens.
pub(crate) struct Tokens;

impl Tokens {
    /// None.
    pub(crate) fn new() -> Self {
        Tokens
    }

    /// `pkcs11module=` has no effect.
    pub(crate) fn set_module(&mut self, _: Option<&str>) {}

    /// # Errors
    /// Always.
    pub(crate) fn keys(&mut self, _: &TokenName, _: Option<&SecretBytes>) -> Result<Vec<TokenKey>, NoKeys> {
        Err(NoKeys::Other(WHY.into()))
    }

    /// # Errors
    /// Always.
    pub(crate) fn certificate(&mut self, _: &TokenName) -> Result<Certificate, String> {
        Err(WHY.into())
    }
}
