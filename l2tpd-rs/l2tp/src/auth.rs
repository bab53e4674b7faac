//! Tunnel authentication and AVP hiding (RFC 2661 §5.1.1 and §4.3): MD5 over the shared secret.
//!
//! Nothing here looks a secret up or decides what a mismatch means.

use ipsec_types::SecretBytes;
use md5::{Digest, Md5};

/// The id octet of a Challenge Response: the message type that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The response travels in an SCCRP.
    Sccrp = 2,
    /// The response travels in an SCCCN.
    Scccn = 3,
}

/// MD5(id | secret | challenge), the value of the Challenge Response AVP.
pub fn response(carrier: Carrier, secret: &SecretBytes, challenge: &[u8]) -> [u8; 16] {
    Md5::new()
        .chain_update([carrier as u8])
        .chain_update(secret.expose())
        .chain_update(challenge)
        .finalize()
        .into()
}

/// Whether `got` answers `challenge`, in constant time.
pub fn verify(carrier: Carrier, secret: &SecretBytes, challenge: &[u8], got: &[u8]) -> bool {
    SecretBytes::new(response(carrier, secret, challenge).to_vec()) == SecretBytes::from(got)
}

/// Uncovers a hidden AVP value: the inner length (2 octets) says how much of the plain text is the value, the rest
/// is padding.
///
/// ```text
///   b1 = MD5(attribute type | secret | random vector)      p1 = c1 xor b1
///   bi = MD5(secret | c(i-1))                              pi = ci xor bi
/// ```
///
/// `None` when the inner length does not fit, which is what a wrong secret gives.
pub fn unhide(attribute: u16, secret: &SecretBytes, vector: &[u8], hidden: &[u8]) -> Option<Vec<u8>> {
    let mut pad: [u8; 16] = Md5::new()
        .chain_update(attribute.to_be_bytes())
        .chain_update(secret.expose())
        .chain_update(vector)
        .finalize()
        .into();
    let mut plain = Vec::with_capacity(hidden.len());
    for block in hidden.chunks(16) {
        plain.extend(block.iter().zip(pad).map(|(c, b)| c ^ b));
        pad = Md5::new().chain_update(secret.expose()).chain_update(block).finalize().into();
    }
    let (len, rest) = plain.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*len))).map(<[u8]>::to_vec)
}

/// Hides a value as [`unhide`] expects it, followed by `padding` octets of zero that the hiding covers.
pub fn hide(attribute: u16, secret: &SecretBytes, vector: &[u8], value: &[u8], padding: usize) -> Vec<u8> {
    let mut plain = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    plain.extend_from_slice(value);
    plain.resize(plain.len() + padding, 0);
    let mut pad: [u8; 16] = Md5::new()
        .chain_update(attribute.to_be_bytes())
        .chain_update(secret.expose())
        .chain_update(vector)
        .finalize()
        .into();
    let mut out = Vec::with_capacity(plain.len());
    for block in plain.chunks(16) {
        let c: Vec<u8> = block.iter().zip(pad).map(|(p, b)| p ^ b).collect();
        pad = Md5::new().chain_update(secret.expose()).chain_update(&c).finalize().into();
        out.extend_from_slice(&c);
    }
    out
}

/// A number for a list of byte strings, the same in every process: tells repetitions and callers apart, and is no
/// proof of anything.
pub(crate) fn digest(parts: &[&[u8]]) -> u64 {
    let mut h = Md5::new();
    for p in parts {
        h.update(u64::try_from(p.len()).unwrap_or(u64::MAX).to_be_bytes());
        h.update(p);
    }
    let d: [u8; 16] = h.finalize().into();
    d.iter().take(8).fold(0, |n, &b| n << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_response_is_md5_of_id_secret_challenge() {
        // printf '\002secretchallenge' | md5sum
        let want = [0xc2, 0x6b, 0xe3, 0xd6];
        let got = response(Carrier::Sccrp, &SecretBytes::from(&b"secret"[..]), b"challenge");
        assert!(verify(Carrier::Sccrp, &SecretBytes::from(&b"secret"[..]), b"challenge", &got));
        assert!(!verify(Carrier::Scccn, &SecretBytes::from(&b"secret"[..]), b"challenge", &got));
        assert!(!verify(Carrier::Sccrp, &SecretBytes::from(&b"other"[..]), b"challenge", &got));
        assert_eq!(got[..4], want);
    }

    proptest! {
        #[test]
        fn what_is_hidden_comes_back(v in proptest::collection::vec(any::<u8>(), 0..80), pad in 0usize..40, a: u16) {
            let s = SecretBytes::from(&b"s3cret"[..]);
            let h = hide(a, &s, b"random vector", &v, pad);
            prop_assert_eq!(unhide(a, &s, b"random vector", &h), Some(v));
        }

        #[test]
        fn arbitrary_hidden_bytes_never_panic(h in proptest::collection::vec(any::<u8>(), 0..80), a: u16) {
            let _ = unhide(a, &SecretBytes::from(&b"x"[..]), b"rv", &h);
        }
    }
}
