//! The key derivation of IKEv1 (RFC 2409 §5, appendix B) and the NAT-D hash (RFC 3947 §3.2).
//!
//! `prf` is HMAC of the negotiated hash throughout. `X_b` is the body of payload X without its generic header; `|`
//! is concatenation; CKY-I and CKY-R are the cookies.

use std::net::IpAddr;

use ipsec_types::SecretBytes;
use ipsec_types::algo::{HashAlg, IkeCipher};

use crate::{CryptoError, hash, hmac};

fn prf(alg: HashAlg, key: &SecretBytes, parts: &[&[u8]]) -> Result<SecretBytes, CryptoError> {
    hmac(alg, key.expose(), parts).map(SecretBytes::new)
}

/// `SKEYID = prf(pre-shared-key, Ni_b | Nr_b)` (§5.4).
///
/// # Errors
/// Those of [`hmac`], here and below where no other is named.
pub fn skeyid_psk(
    alg: HashAlg,
    psk: &SecretBytes,
    ni_b: &[u8],
    nr_b: &[u8],
) -> Result<SecretBytes, CryptoError> {
    prf(alg, psk, &[ni_b, nr_b])
}

/// `SKEYID = prf(Ni_b | Nr_b, g^xy)`, for signatures (§5.1).
///
/// # Errors
/// Those of [`hmac`].
pub fn skeyid_signature(
    alg: HashAlg,
    g_xy: &SecretBytes,
    ni_b: &[u8],
    nr_b: &[u8],
) -> Result<SecretBytes, CryptoError> {
    prf(alg, &SecretBytes::new([ni_b, nr_b].concat()), &[g_xy.expose()])
}

/// The three keys of an IKE SA (§5).
#[derive(Clone, Debug)]
pub struct PhaseOneKeys {
    /// `SKEYID_d`: derives the keys of child SAs.
    pub d: SecretBytes,
    /// `SKEYID_a`: authenticates messages under the IKE SA.
    pub a: SecretBytes,
    /// `SKEYID_e`: encrypts them, through [`cipher_key`].
    pub e: SecretBytes,
}

impl PhaseOneKeys {
    /// ```text
    /// SKEYID_d = prf(SKEYID,            g^xy | CKY-I | CKY-R | 0)
    /// SKEYID_a = prf(SKEYID, SKEYID_d | g^xy | CKY-I | CKY-R | 1)
    /// SKEYID_e = prf(SKEYID, SKEYID_a | g^xy | CKY-I | CKY-R | 2)
    /// ```
    ///
    /// # Errors
    /// Those of [`hmac`].
    pub fn derive(
        alg: HashAlg,
        skeyid: &SecretBytes,
        g_xy: &SecretBytes,
        cky_i: &[u8],
        cky_r: &[u8],
    ) -> Result<Self, CryptoError> {
        let g_xy = g_xy.expose();
        let d = prf(alg, skeyid, &[g_xy, cky_i, cky_r, &[0]])?;
        let a = prf(alg, skeyid, &[d.expose(), g_xy, cky_i, cky_r, &[1]])?;
        let e = prf(alg, skeyid, &[a.expose(), g_xy, cky_i, cky_r, &[2]])?;
        Ok(PhaseOneKeys { d, a, e })
    }
}

/// The cipher key of an IKE SA (appendix B): the first bytes of SKEYID_e, or, where that is too short,
/// of `Ka = K1 | K2 | …` with `K1 = prf(SKEYID_e, 0)` and `Kn = prf(SKEYID_e, Kn-1)`.
///
/// # Errors
/// Those of [`hmac`].
pub fn cipher_key(
    cipher: IkeCipher,
    alg: HashAlg,
    skeyid_e: &SecretBytes,
) -> Result<SecretBytes, CryptoError> {
    let want = cipher.key_len();
    if let Some(first) = skeyid_e.expose().get(..want) {
        return Ok(SecretBytes::from(first));
    }
    expand(want, |previous| prf(alg, skeyid_e, &[previous.map_or(&[0], SecretBytes::expose)]))
}

/// Concatenates blocks until there are `want` bytes; `next` is given the block before.
fn expand(
    want: usize,
    next: impl Fn(Option<&SecretBytes>) -> Result<SecretBytes, CryptoError>,
) -> Result<SecretBytes, CryptoError> {
    // One block of room more than is needed, so that growing never leaves a copy behind.
    let mut block = next(None)?;
    let mut all = Vec::with_capacity(want + block.len());
    loop {
        all.extend_from_slice(block.expose());
        if all.len() >= want {
            break;
        }
        block = next(Some(&block))?;
    }
    let all = SecretBytes::new(all);
    Ok(SecretBytes::from(all.expose().get(..want).unwrap_or_default()))
}

/// The first IV of an IKE SA: the first `block_len` bytes of `hash(g^xi | g^xr)` (appendix B).
///
/// # Errors
/// Those of [`hash`].
pub fn phase1_iv(alg: HashAlg, g_xi: &[u8], g_xr: &[u8], block_len: usize) -> Result<Vec<u8>, CryptoError> {
    first(hash(alg, &[g_xi, g_xr])?, block_len)
}

/// The first IV of a Quick Mode or Informational exchange: the first `block_len` bytes of
/// `hash(last block of phase 1 | M-ID)` (appendix B).
///
/// # Errors
/// Those of [`hash`].
pub fn phase2_iv(
    alg: HashAlg,
    last_phase1_block: &[u8],
    msgid: u32,
    block_len: usize,
) -> Result<Vec<u8>, CryptoError> {
    first(hash(alg, &[last_phase1_block, &msgid.to_be_bytes()])?, block_len)
}

fn first(mut bytes: Vec<u8>, want: usize) -> Result<Vec<u8>, CryptoError> {
    if bytes.len() < want {
        return Err(CryptoError::Length { what: "hash for an iv", got: bytes.len(), want });
    }
    bytes.truncate(want);
    Ok(bytes)
}

/// `HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)` (§5): "own" is the initiator.
///
/// # Errors
/// Those of [`hmac`].
#[expect(clippy::too_many_arguments, reason = "the terms of the formula")]
pub fn hash_i(
    alg: HashAlg,
    skeyid: &SecretBytes,
    g_x_own: &[u8],
    g_x_peer: &[u8],
    cky_own: &[u8],
    cky_peer: &[u8],
    sa_b: &[u8],
    id_b: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    hmac(alg, skeyid.expose(), &[g_x_own, g_x_peer, cky_own, cky_peer, sa_b, id_b])
}

/// `HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)` (§5): "own" is the responder, whoever computes
/// it; the SA body is still the initiator's.
///
/// # Errors
/// Those of [`hmac`].
#[expect(clippy::too_many_arguments, reason = "the terms of the formula")]
pub fn hash_r(
    alg: HashAlg,
    skeyid: &SecretBytes,
    g_x_own: &[u8],
    g_x_peer: &[u8],
    cky_own: &[u8],
    cky_peer: &[u8],
    sa_b: &[u8],
    id_b: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    hash_i(alg, skeyid, g_x_own, g_x_peer, cky_own, cky_peer, sa_b, id_b)
}

/// `len` bytes of key material for one child SA (§5.5), `K1 | K2 | …`:
/// ```text
/// K1 = prf(SKEYID_d,      [ g(qm)^xy | ] protocol | SPI | Ni_b | Nr_b)
/// Kn = prf(SKEYID_d, Kn-1 | [ g(qm)^xy | ] protocol | SPI | Ni_b | Nr_b)
/// ```
/// `g_qm_xy` is given with PFS; `spi` is that of the SA the keys are for (chosen by its receiver), host order.
///
/// # Errors
/// Those of [`hmac`].
#[expect(clippy::too_many_arguments, reason = "the terms of the formula")]
pub fn keymat(
    alg: HashAlg,
    skeyid_d: &SecretBytes,
    g_qm_xy: Option<&SecretBytes>,
    protocol: u8,
    spi: u32,
    ni_b: &[u8],
    nr_b: &[u8],
    len: usize,
) -> Result<SecretBytes, CryptoError> {
    let g_xy = g_qm_xy.map_or(&[][..], SecretBytes::expose);
    let spi = spi.to_be_bytes();
    expand(len, |previous| {
        let previous = previous.map_or(&[][..], SecretBytes::expose);
        prf(alg, skeyid_d, &[previous, g_xy, &[protocol], &spi, ni_b, nr_b])
    })
}

/// The body of a NAT-D payload: `HASH = HASH(CKY-I | CKY-R | IP | Port)` (RFC 3947 §3.2), also of the drafts.
///
/// # Errors
/// Those of [`hash`].
pub fn natd_hash(
    alg: HashAlg,
    cky_i: &[u8],
    cky_r: &[u8],
    addr: IpAddr,
    port: u16,
) -> Result<Vec<u8>, CryptoError> {
    let port = port.to_be_bytes();
    match addr {
        IpAddr::V4(a) => hash(alg, &[cky_i, cky_r, &a.octets(), &port]),
        IpAddr::V6(a) => hash(alg, &[cky_i, cky_r, &a.octets(), &port]),
    }
}
