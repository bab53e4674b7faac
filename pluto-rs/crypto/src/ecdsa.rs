//! ECDSA signatures of IKEv1 (RFC 4754): `r | s`, each as long as the order of the curve.
//!
//! Authentication method, curve and hash go together: 9 is P-256 with SHA-256, 10 is P-384 with SHA-384, 11 is P-521 with
//! SHA-512. That hash is also the one of HASH_I and HASH_R, which is what is signed, whatever hash phase 1 negotiated.

use ipsec_types::algo::HashAlg;
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey, EcKeyRef, EcPoint};
use openssl::ecdsa::EcdsaSig;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Private, Public};

use crate::CryptoError;

/// A curve that IKEv1 has an authentication method for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// P-521.
    P521,
}

impl Curve {
    fn of(nid: Option<Nid>) -> Option<Curve> {
        match nid? {
            Nid::X9_62_PRIME256V1 => Some(Curve::P256),
            Nid::SECP384R1 => Some(Curve::P384),
            Nid::SECP521R1 => Some(Curve::P521),
            _ => None,
        }
    }

    /// Octets of `r` and of `s`.
    pub fn order_len(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    /// Bits of the field.
    pub fn bits(self) -> u32 {
        match self {
            Curve::P256 => 256,
            Curve::P384 => 384,
            Curve::P521 => 521,
        }
    }

    /// The hash that goes with it.
    pub fn hash(self) -> HashAlg {
        match self {
            Curve::P256 => HashAlg::Sha256,
            Curve::P384 => HashAlg::Sha384,
            Curve::P521 => HashAlg::Sha512,
        }
    }

    /// The authentication method (RFC 4754 §2).
    pub fn method(self) -> u16 {
        match self {
            Curve::P256 => 9,
            Curve::P384 => 10,
            Curve::P521 => 11,
        }
    }
}

/// A public key on such a curve.
#[derive(Clone)]
pub struct EcPublic {
    key: EcKey<Public>,
    curve: Curve,
    /// The point, compressed; two keys are equal if these are.
    point: Vec<u8>,
}

impl PartialEq for EcPublic {
    fn eq(&self, other: &Self) -> bool {
        self.curve == other.curve && self.point == other.point
    }
}
impl Eq for EcPublic {}

impl std::fmt::Debug for EcPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EcPublic({:?})", self.curve)
    }
}

fn curve_of<T: HasPublic>(key: &EcKeyRef<T>) -> Result<Curve, CryptoError> {
    Curve::of(key.group().curve_name())
        .ok_or_else(|| CryptoError::unusable("EC key is not on P-256, P-384 or P-521"))
}

impl EcPublic {
    pub(crate) fn of(key: EcKey<Public>) -> Result<Self, CryptoError> {
        let curve = curve_of(&key)?;
        key.check_key().map_err(|_| CryptoError::unusable("EC public key is not a point of its curve"))?;
        let mut ctx = BigNumContext::new()?;
        let form = openssl::ec::PointConversionForm::COMPRESSED;
        let point = key.public_key().to_bytes(key.group(), form, &mut ctx)?;
        Ok(EcPublic { key, curve, point })
    }

    /// Of a curve's OID, its contents, and an encoded point (SEC 1 §2.3.3).
    ///
    /// # Errors
    /// Another curve, no point of it.
    pub(crate) fn from_point(oid: &[u8], point: &[u8]) -> Result<Self, CryptoError> {
        let nid = match oid {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Nid::X9_62_PRIME256V1,
            [0x2b, 0x81, 4, 0, 34] => Nid::SECP384R1,
            [0x2b, 0x81, 4, 0, 35] => Nid::SECP521R1,
            _ => return Err(CryptoError::unusable("EC key is not on P-256, P-384 or P-521")),
        };
        let group = EcGroup::from_curve_name(nid)?;
        let mut ctx = BigNumContext::new()?;
        let bad = |_| CryptoError::unusable("EC public key is not a point of its curve");
        let point = EcPoint::from_bytes(&group, point, &mut ctx).map_err(bad)?;
        Self::of(EcKey::from_public_key(&group, &point).map_err(bad)?)
    }

    /// Its curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    pub(crate) fn point(&self) -> &[u8] {
        &self.point
    }

    /// Checks the signature of `hash`.
    ///
    /// # Errors
    /// [`CryptoError::Signature`] for everything that is not one: a wrong length, zeros, numbers beyond the order.
    pub fn verify(&self, hash: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let len = self.curve.order_len();
        let Some((r, s)) =
            signature.split_at_checked(len).filter(|(_, s)| s.len() == len && !hash.is_empty())
        else {
            return Err(CryptoError::Signature);
        };
        let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
        let mut ctx = BigNumContext::new()?;
        let mut order = BigNum::new()?;
        self.key.group().order(&mut order, &mut ctx)?;
        let outside = |n: &BigNumRef| n.num_bits() == 0 || n.ucmp(&order).is_ge();
        if outside(&r) || outside(&s) {
            return Err(CryptoError::Signature);
        }
        match EcdsaSig::from_private_components(r, s)?.verify(hash, &self.key) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(CryptoError::Signature),
        }
    }
}

/// A private key on such a curve.
#[derive(Clone)]
pub struct EcPrivate {
    key: EcKey<Private>,
    public: EcPublic,
}

impl std::fmt::Debug for EcPrivate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EcPrivate({:?})", self.public.curve)
    }
}

impl EcPrivate {
    pub(crate) fn of(key: EcKey<Private>) -> Result<Self, CryptoError> {
        curve_of(&key)?;
        key.check_key().map_err(|_| CryptoError::unusable("EC private key does not fit its public key"))?;
        let public = EcPublic::of(EcKey::from_public_key(key.group(), key.public_key())?)?;
        Ok(EcPrivate { key, public })
    }

    /// The public half.
    pub fn public(&self) -> &EcPublic {
        &self.public
    }

    pub(crate) fn inner(&self) -> &EcKey<Private> {
        &self.key
    }

    /// The signature of `hash`, `2 * curve.order_len()` octets; different each time.
    ///
    /// # Errors
    /// The library refuses.
    pub fn sign(&self, hash: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let sig = EcdsaSig::sign(hash, &self.key)?;
        let len = i32::try_from(self.public.curve.order_len()).unwrap_or(0);
        let mut out = sig.r().to_vec_padded(len)?;
        out.extend(sig.s().to_vec_padded(len)?);
        Ok(out)
    }
}
