//! Hash functions, and HMAC over them, which is IKEv1's PRF (RFC 2409 §4).

use ipsec_types::algo::HashAlg;
use openssl::hash::{Hasher, MessageDigest};
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::CryptoError;

fn message_digest(alg: HashAlg) -> MessageDigest {
    match alg {
        HashAlg::Md5 => MessageDigest::md5(),
        HashAlg::Sha1 => MessageDigest::sha1(),
        HashAlg::Sha256 => MessageDigest::sha256(),
        HashAlg::Sha384 => MessageDigest::sha384(),
        HashAlg::Sha512 => MessageDigest::sha512(),
    }
}

/// The hash of the concatenation of `parts`, `alg.len()` bytes.
///
/// # Errors
/// [`CryptoError::Library`] when the library does not offer the algorithm (MD5 on a FIPS system) or is out of memory.
pub fn hash(alg: HashAlg, parts: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
    let mut hasher = Hasher::new(message_digest(alg))?;
    for part in parts {
        hasher.update(part)?;
    }
    Ok(hasher.finish()?.to_vec())
}

/// HMAC (RFC 2104) of the concatenation of `parts`, `alg.len()` bytes. The key may have any length, zero included.
///
/// # Errors
/// [`CryptoError::Library`] as for [`hash`].
pub fn hmac(alg: HashAlg, key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
    // The library takes no empty key; HMAC pads with zeros, so one zero byte is the same key.
    let key = PKey::hmac(if key.is_empty() { &[0] } else { key })?;
    let mut signer = Signer::new(message_digest(alg), &key)?;
    for part in parts {
        signer.update(part)?;
    }
    Ok(signer.sign_to_vec()?)
}
