//! Hash functions, and HMAC over them, which is IKEv1's PRF (RFC 2409 §4).

use std::sync::OnceLock;

use ipsec_types::algo::HashAlg;
use openssl::md::{Md, MdRef};
use openssl::md_ctx::MdCtx;
use zeroize::Zeroize;

use crate::CryptoError;

/// RFC 2104 §2.
const IPAD: u8 = 0x36;
const OPAD: u8 = 0x5c;
/// The longest block of a hash function here.
const BLOCK: usize = 128;

/// The library's implementation. Looking it up takes longer than hashing what IKE hashes, so it is kept.
fn library(alg: HashAlg) -> Result<&'static MdRef, CryptoError> {
    static FOUND: [OnceLock<Md>; 5] = [const { OnceLock::new() }; 5];
    let [md5, sha1, sha256, sha384, sha512] = &FOUND;
    let (found, name) = match alg {
        HashAlg::Md5 => (md5, "MD5"),
        HashAlg::Sha1 => (sha1, "SHA1"),
        HashAlg::Sha256 => (sha256, "SHA256"),
        HashAlg::Sha384 => (sha384, "SHA384"),
        HashAlg::Sha512 => (sha512, "SHA512"),
    };
    if let Some(md) = found.get() {
        return Ok(md);
    }
    let md = Md::fetch(None, name, None)?;
    Ok(found.get_or_init(|| md))
}

fn digest(ctx: &mut MdCtx, alg: HashAlg, first: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
    ctx.digest_init(library(alg)?)?;
    for part in std::iter::once(&first).chain(parts) {
        ctx.digest_update(part)?;
    }
    let mut out = vec![0; alg.len()];
    ctx.digest_final(&mut out)?;
    Ok(out)
}

/// The hash of the concatenation of `parts`, `alg.len()` bytes.
///
/// # Errors
/// [`CryptoError::Library`] when the library does not offer the algorithm (MD5 on a FIPS system) or is out of memory.
pub fn hash(alg: HashAlg, parts: &[&[u8]]) -> Result<Vec<u8>, CryptoError> {
    digest(&mut MdCtx::new()?, alg, &[], parts)
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
    let block = library(alg)?.block_size().min(BLOCK);
    let mut ctx = MdCtx::new()?;
    let mut hashed = if key.len() > block { digest(&mut ctx, alg, key, &[])? } else { Vec::new() };
    let key = if hashed.is_empty() { key } else { &hashed };
    let mut room = [0; BLOCK];
    let (pad, _) = room.split_at_mut(block);
    let (begin, rest) = pad.split_at_mut(key.len().min(block));
    begin.iter_mut().zip(key).for_each(|(p, k)| *p = k ^ IPAD);
    rest.fill(IPAD);
    let inner = digest(&mut ctx, alg, pad, parts);
    pad.iter_mut().for_each(|p| *p ^= IPAD ^ OPAD);
    let outer = inner.and_then(|inner| digest(&mut ctx, alg, pad, &[&inner]));
    pad.zeroize();
    hashed.zeroize();
    outer
}
