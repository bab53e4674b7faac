//! Hash functions, and HMAC over them, which is IKEv1's PRF (RFC 2409 §4).

use std::iter::repeat;

use ipsec_types::SecretBytes;
use ipsec_types::algo::HashAlg;
use openssl::hash::{Hasher, MessageDigest};

use crate::CryptoError;

/// RFC 2104 §2.
const IPAD: u8 = 0x36;
const OPAD: u8 = 0x5c;

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
/// ```text
/// H(K ^ opad | H(K ^ ipad | parts))      K: the key, or its hash if longer than a block, filled up with zeros
/// ```
/// Made of plain hashes because the library's own keyed interface sets up a key object for each call, which takes
/// several times as long as the rest on the short inputs of IKE.
///
/// # Errors
/// [`CryptoError::Library`] as for [`hash`].
pub fn hmac(alg: HashAlg, key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
    let digest = message_digest(alg);
    let block = digest.block_size();
    let hashed =
        if key.len() > block { SecretBytes::new(hash(alg, &[key])?) } else { SecretBytes::default() };
    let key = if key.len() > block { hashed.expose() } else { key };
    let pad = |with: u8| {
        SecretBytes::new(key.iter().copied().chain(repeat(0)).take(block).map(|b| b ^ with).collect())
    };

    let mut inner = Hasher::new(digest)?;
    inner.update(pad(IPAD).expose())?;
    for part in parts {
        inner.update(part)?;
    }
    hash(alg, &[pad(OPAD).expose(), &inner.finish()?])
}
