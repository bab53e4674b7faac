//! Diffie-Hellman in the MODP groups (RFC 2409 §6.2, RFC 3526, RFC 5114), over NIST curves (RFC 5903) and Curve25519
//! (RFC 7748, RFC 8031).
//!
//! The secret comes from the caller, so the same secret always gives the same public value. A peer's value is
//! checked before it is used: a wrong length, 0, 1, p-1, p and above, a value outside of the subgroup where there is
//! one, a point off the curve, or one of small order is an error.
//!
//! Exponents are short (twice the strength of the group, RFC 3526 §8): the groups are safe-prime groups, where that
//! is as hard to break, and the exponentiation time is proportional to it.

use std::iter::repeat;

use ipsec_types::SecretBytes;
use ipsec_types::algo::DhGroup;
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::derive::Deriver;
use openssl::dh::Dh;
use openssl::ec::{EcGroup, EcGroupRef, EcPoint, EcPointRef, PointConversionForm};
use openssl::nid::Nid;
use openssl::pkey::{self, PKey, Private};

use crate::CryptoError;
use crate::power_of_two::power_of_two;

/// What a group number stands for.
enum Params {
    /// A safe prime; the generator is 2.
    Modp(BigNum),
    /// Prime, generator and order of its subgroup.
    Subgroup { prime: BigNum, generator: BigNum, order: BigNum },
    /// Curve.
    Ecp(EcGroup),
    /// X25519.
    Montgomery,
}

fn params(group: DhGroup) -> Result<Params, CryptoError> {
    let subgroup = |dh: Dh<_>| -> Result<Params, CryptoError> {
        let order =
            dh.prime_q().ok_or(CryptoError::Library("a group without its order".into()))?.to_owned()?;
        Ok(Params::Subgroup { prime: dh.prime_p().to_owned()?, generator: dh.generator().to_owned()?, order })
    };
    Ok(match group {
        DhGroup::Modp768 => Params::Modp(BigNum::get_rfc2409_prime_768()?),
        DhGroup::Modp1024 => Params::Modp(BigNum::get_rfc2409_prime_1024()?),
        DhGroup::Modp1536 => Params::Modp(BigNum::get_rfc3526_prime_1536()?),
        DhGroup::Modp2048 => Params::Modp(BigNum::get_rfc3526_prime_2048()?),
        DhGroup::Modp3072 => Params::Modp(BigNum::get_rfc3526_prime_3072()?),
        DhGroup::Modp4096 => Params::Modp(BigNum::get_rfc3526_prime_4096()?),
        DhGroup::Modp6144 => Params::Modp(BigNum::get_rfc3526_prime_6144()?),
        DhGroup::Modp8192 => Params::Modp(BigNum::get_rfc3526_prime_8192()?),
        DhGroup::Dh22 => subgroup(Dh::get_1024_160()?)?,
        DhGroup::Dh23 => subgroup(Dh::get_2048_224()?)?,
        DhGroup::Dh24 => subgroup(Dh::get_2048_256()?)?,
        DhGroup::Ecp256 => Params::Ecp(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?),
        DhGroup::Ecp384 => Params::Ecp(EcGroup::from_curve_name(Nid::SECP384R1)?),
        DhGroup::Ecp521 => Params::Ecp(EcGroup::from_curve_name(Nid::SECP521R1)?),
        DhGroup::Curve25519 => Params::Montgomery,
    })
}

/// Bytes of secret to draw for a group: at least twice its strength (RFC 3526 §8), or the size of a coordinate.
pub fn secret_len(group: DhGroup) -> usize {
    match group {
        DhGroup::Modp768 | DhGroup::Modp1024 | DhGroup::Modp1536 | DhGroup::Modp2048 => 32,
        DhGroup::Dh22 | DhGroup::Dh23 | DhGroup::Dh24 | DhGroup::Ecp256 | DhGroup::Curve25519 => 32,
        DhGroup::Modp3072 => 40,
        DhGroup::Modp4096 | DhGroup::Ecp384 => 48,
        DhGroup::Modp6144 => 56,
        DhGroup::Modp8192 => 64,
        DhGroup::Ecp521 => 66,
    }
}

/// The public value of `secret`: the data of the KE payload, `group.public_len()` bytes (MODP: left-padded with
/// zeros; ECP: x and y, RFC 5903 §7).
///
/// # Errors
/// [`CryptoError::Secret`] for a secret that is empty or zero (for ECP: modulo the order).
pub fn public(group: DhGroup, secret: &SecretBytes) -> Result<Vec<u8>, CryptoError> {
    let mut ctx = BigNumContext::new_secure()?;
    match params(group)? {
        Params::Modp(prime) => {
            let exponent = modp_exponent(group, secret)?;
            if let Some(power) = power_of_two(group, secret.expose()) {
                return Ok(power);
            }
            let generator = BigNum::from_u32(2)?;
            modp_power(group, &generator, &exponent, &prime, &mut ctx)
        }
        Params::Subgroup { prime, generator, order } => {
            let exponent = reduced(group, &order, secret, &mut ctx)?;
            modp_power(group, &generator, &exponent, &prime, &mut ctx)
        }
        Params::Montgomery => Ok(montgomery_key(group, secret)?.raw_public_key()?),
        Params::Ecp(curve) => {
            let scalar = ecp_scalar(group, &curve, secret, &mut ctx)?;
            let mut point = EcPoint::new(&curve)?;
            point.mul_generator2(&curve, &scalar, &mut ctx)?;
            // 0x04 | x | y
            let bytes = point.to_bytes(&curve, PointConversionForm::UNCOMPRESSED, &mut ctx)?;
            Ok(bytes.get(1..).unwrap_or_default().to_vec())
        }
    }
}

/// The shared secret of our `secret` and the `peer`'s KE data (MODP: g^xy left-padded with zeros to
/// `group.public_len()`; ECP: the x coordinate, RFC 5903 §9).
///
/// # Errors
/// [`CryptoError::PeerPublic`] or [`CryptoError::Length`] for a value no honest peer sends; [`CryptoError::Secret`] as
/// for [`public`].
pub fn shared(group: DhGroup, secret: &SecretBytes, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
    if peer.len() != group.public_len() {
        let (got, want) = (peer.len(), group.public_len());
        return Err(CryptoError::Length { what: "public value", got, want });
    }
    let mut ctx = BigNumContext::new_secure()?;
    match params(group)? {
        Params::Modp(prime) => {
            let peer = modp_peer(group, peer, &prime)?;
            let exponent = modp_exponent(group, secret)?;
            Ok(SecretBytes::new(modp_power(group, &peer, &exponent, &prime, &mut ctx)?))
        }
        Params::Subgroup { prime, order, .. } => {
            let peer = modp_peer(group, peer, &prime)?;
            let mut power = BigNum::new()?;
            power.mod_exp(&peer, &order, &prime, &mut ctx)?;
            if power != BigNum::from_u32(1)? {
                return Err(CryptoError::PeerPublic { group, why: "outside of the subgroup" });
            }
            let exponent = reduced(group, &order, secret, &mut ctx)?;
            Ok(SecretBytes::new(modp_power(group, &peer, &exponent, &prime, &mut ctx)?))
        }
        Params::Montgomery => {
            // The library refuses a point of small order, whose secret would be zero.
            let refused = |_| CryptoError::PeerPublic { group, why: "a point of small order" };
            let peer = PKey::public_key_from_raw_bytes(peer, pkey::Id::X25519)?;
            let own = montgomery_key(group, secret)?;
            let mut deriver = Deriver::new(&own)?;
            deriver.set_peer(&peer).map_err(refused)?;
            Ok(SecretBytes::new(deriver.derive_to_vec().map_err(refused)?))
        }
        Params::Ecp(curve) => {
            let peer = ecp_peer(group, &curve, peer, &mut ctx)?;
            let scalar = ecp_scalar(group, &curve, secret, &mut ctx)?;
            let mut point = EcPoint::new(&curve)?;
            point.mul2(&curve, &peer, &scalar, &mut ctx)?;
            ecp_x(group, &curve, &point, &mut ctx)
        }
    }
}

fn modp_exponent(group: DhGroup, secret: &SecretBytes) -> Result<BigNum, CryptoError> {
    let mut exponent = BigNum::new_secure()?;
    exponent.copy_from_slice(secret.expose())?;
    if exponent.num_bits() == 0 {
        return Err(CryptoError::Secret(group));
    }
    exponent.set_const_time();
    Ok(exponent)
}

/// Accepts 2 to p-2. Other values have order 1 or 2, or are another spelling of such a one.
fn modp_peer(group: DhGroup, peer: &[u8], prime: &BigNumRef) -> Result<BigNum, CryptoError> {
    let refuse = |why| Err(CryptoError::PeerPublic { group, why });
    let value = BigNum::from_slice(peer)?;
    if value <= BigNum::from_u32(1)? {
        return refuse("0 or 1");
    }
    let mut last = prime.to_owned()?;
    last.sub_word(1)?;
    if value >= last {
        return refuse("p-1 or above");
    }
    Ok(value)
}

fn modp_power(
    group: DhGroup,
    base: &BigNumRef,
    exponent: &BigNumRef,
    prime: &BigNumRef,
    ctx: &mut BigNumContext,
) -> Result<Vec<u8>, CryptoError> {
    let mut result = BigNum::new_secure()?;
    result.mod_exp(base, exponent, prime, ctx)?;
    padded(&result, group.public_len())
}

/// An X25519 key: the first 32 octets of the secret.
fn montgomery_key(group: DhGroup, secret: &SecretBytes) -> Result<PKey<Private>, CryptoError> {
    let key = SecretBytes::new(secret.expose().iter().copied().chain(repeat(0)).take(32).collect());
    if key.expose().iter().all(|b| *b == 0) {
        return Err(CryptoError::Secret(group));
    }
    Ok(PKey::private_key_from_raw_bytes(key.expose(), pkey::Id::X25519)?)
}

fn ecp_scalar(
    group: DhGroup,
    curve: &EcGroupRef,
    secret: &SecretBytes,
    ctx: &mut BigNumContext,
) -> Result<BigNum, CryptoError> {
    let mut order = BigNum::new()?;
    curve.order(&mut order, ctx)?;
    reduced(group, &order, secret, ctx)
}

/// The secret modulo the order of the group it is for.
fn reduced(
    group: DhGroup,
    order: &BigNumRef,
    secret: &SecretBytes,
    ctx: &mut BigNumContext,
) -> Result<BigNum, CryptoError> {
    let mut drawn = BigNum::new_secure()?;
    drawn.copy_from_slice(secret.expose())?;
    let mut scalar = BigNum::new_secure()?;
    scalar.nnmod(&drawn, order, ctx)?;
    if scalar.num_bits() == 0 {
        return Err(CryptoError::Secret(group));
    }
    scalar.set_const_time();
    Ok(scalar)
}

fn ecp_peer(
    group: DhGroup,
    curve: &EcGroupRef,
    peer: &[u8],
    ctx: &mut BigNumContext,
) -> Result<EcPoint, CryptoError> {
    let mut encoded = Vec::with_capacity(peer.len() + 1);
    encoded.push(4);
    encoded.extend_from_slice(peer);
    let refused = CryptoError::PeerPublic { group, why: "not a point of the curve" };
    let point = EcPoint::from_bytes(curve, &encoded, ctx).map_err(|_| refused.clone())?;
    if point.is_infinity(curve) || !point.is_on_curve(curve, ctx)? {
        return Err(refused);
    }
    Ok(point)
}

fn ecp_x(
    group: DhGroup,
    curve: &EcGroupRef,
    point: &EcPointRef,
    ctx: &mut BigNumContext,
) -> Result<SecretBytes, CryptoError> {
    let (mut x, mut y) = (BigNum::new_secure()?, BigNum::new_secure()?);
    point.affine_coordinates(curve, &mut x, &mut y, ctx)?;
    Ok(SecretBytes::new(padded(&x, group.public_len() / 2)?))
}

fn padded(n: &BigNumRef, len: usize) -> Result<Vec<u8>, CryptoError> {
    let want = i32::try_from(len).map_err(|e| CryptoError::Library(e.to_string()))?;
    Ok(n.to_vec_padded(want)?)
}
