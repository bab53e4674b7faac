//! The body of a control message, built AVP by AVP.

use ipsec_types::SecretBytes;

use crate::auth;
use crate::avp::{self, attr};
use crate::message::MessageType;

/// Builds the body of a control message.
#[derive(Debug)]
pub struct Body {
    out: Vec<u8>,
    /// Secret and random vector, when what may be hidden is.
    hider: Option<(SecretBytes, [u8; 16])>,
}

impl Body {
    /// Starts a message of this type; the Message Type AVP is always mandatory here.
    pub fn new(kind: MessageType) -> Self {
        let mut out = Vec::with_capacity(96);
        avp::put(&mut out, true, 0, attr::MESSAGE_TYPE, &kind.0.to_be_bytes());
        Body { out, hider: None }
    }

    /// Hides the AVPs that [`Body::secret`] adds from here on (RFC 2661 §4.3), each with octets of padding that are
    /// taken from the random vector.
    #[must_use]
    pub fn hiding(mut self, with: Option<(SecretBytes, [u8; 16])>) -> Self {
        if let Some((_, vector)) = &with {
            avp::put(&mut self.out, true, 0, attr::RANDOM_VECTOR, vector);
        }
        self.hider = with;
        self
    }

    /// Adds an AVP with the M bit, hidden if this message hides; only for those of which RFC 2661 §4.4 says that they
    /// may be.
    #[must_use]
    pub fn secret(mut self, attribute: u16, value: &[u8]) -> Self {
        let Some((secret, vector)) = &self.hider else { return self.must(attribute, value) };
        let padding = usize::from(vector[15] & 7);
        let hidden = auth::hide(attribute, secret, vector, value, padding);
        avp::put_hidden(&mut self.out, true, attribute, &hidden);
        self
    }

    /// Adds an AVP with the M bit.
    #[must_use]
    pub fn must(mut self, attribute: u16, value: &[u8]) -> Self {
        avp::put(&mut self.out, true, 0, attribute, value);
        self
    }

    /// Adds an AVP without the M bit: one a peer may skip.
    #[must_use]
    pub fn may(mut self, attribute: u16, value: &[u8]) -> Self {
        avp::put(&mut self.out, false, 0, attribute, value);
        self
    }

    /// Adds an AVP with the M bit when there is a value.
    #[must_use]
    pub fn maybe(self, attribute: u16, value: Option<&[u8]>) -> Self {
        match value {
            Some(v) => self.must(attribute, v),
            None => self,
        }
    }

    /// Adds a Result Code: result, error, words.
    #[must_use]
    pub fn result(self, code: u16, error: u16, text: &str) -> Self {
        let mut v = Vec::with_capacity(4 + text.len());
        v.extend_from_slice(&code.to_be_bytes());
        v.extend_from_slice(&error.to_be_bytes());
        v.extend_from_slice(text.as_bytes());
        self.must(attr::RESULT_CODE, &v)
    }

    /// The finished body.
    pub fn done(self) -> Vec<u8> {
        self.out
    }
}
