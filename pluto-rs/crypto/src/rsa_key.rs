//! RSA signatures of IKEv1, in their raw form. The numbers keys are made of are in [`crate::rsa`].
//!
//! A signature of IKEv1 is the hash padded as PKCS#1 says for private-key encryption, without the DigestInfo that
//! signatures have elsewhere (RFC 2409 §5.1, RFC 2313 §8.1):
//!
//! ```text
//! 00 01 FF … FF 00 HASH        as long as the modulus, at least eight FF
//! ```
//!
//! When one is checked this block is built anew and compared whole, so no octet of it is the peer's choice.

use ipsec_types::SecretBytes;
use ipsec_types::auth::RsaNumbers;
use openssl::bn::{BigNum, BigNumRef};
use openssl::pkey::{Private, Public};
use openssl::rsa::{Padding, Rsa, RsaPrivateKeyBuilder};

use crate::{CryptoError, rsa};

/// Bits of the shortest modulus that is taken. Openswan took 512, which anybody can factor today.
pub const MIN_BITS: u32 = 1024;
/// Bits of the longest one.
pub const MAX_BITS: u32 = 16_384;
/// Octets of PKCS#1's padding around the hash, at least.
const PADDING: usize = 11;

/// An RSA public key that has been checked.
#[derive(Clone)]
pub struct RsaPublic {
    rsa: Rsa<Public>,
    n: Vec<u8>,
    e: Vec<u8>,
}

impl PartialEq for RsaPublic {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n && self.e == other.e
    }
}
impl Eq for RsaPublic {}

impl std::fmt::Debug for RsaPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RsaPublic({} bits)", self.bits())
    }
}

impl RsaPublic {
    /// From modulus and exponent, big-endian.
    ///
    /// # Errors
    /// A modulus that is even or of an odd size, an exponent that is even or below 3.
    pub fn new(n: &[u8], e: &[u8]) -> Result<Self, CryptoError> {
        let bad = |why: &str| Err(CryptoError::unusable(why));
        if n.len() > MAX_BITS as usize / 8 + 1 || e.len() > n.len() {
            return bad("RSA key too long");
        }
        let (n, e) = (BigNum::from_slice(n)?, BigNum::from_slice(e)?);
        let bits = n.num_bits().unsigned_abs();
        if bits < MIN_BITS {
            return Err(CryptoError::Unusable(format!(
                "RSA modulus too small for security: less than {MIN_BITS} bits"
            )));
        }
        if bits > MAX_BITS {
            return bad("RSA key too long");
        }
        if !n.is_bit_set(0) {
            return bad("RSA modulus is even");
        }
        if !e.is_bit_set(0) || e.num_bits() < 2 || e.ucmp(&n).is_ge() {
            return bad("RSA exponent is even or too small");
        }
        // The library takes no longer ones with a long modulus, as they cost time.
        if bits > 3072 && e.num_bits() > 64 {
            return bad("RSA exponent too long");
        }
        let (n_bytes, e_bytes) = (n.to_vec(), e.to_vec());
        Ok(RsaPublic { rsa: Rsa::from_public_components(n, e)?, n: n_bytes, e: e_bytes })
    }

    /// From the form of RFC 3110, as `leftrsasigkey=` has it behind `0s`.
    ///
    /// # Errors
    /// Octets that are no such key, and as [`RsaPublic::new`].
    pub fn from_rfc3110(blob: &[u8]) -> Result<Self, CryptoError> {
        let (e, n) = rsa::split_public_key(blob)
            .ok_or_else(|| CryptoError::unusable("RSA public key blob too short or too long"))?;
        Self::new(n, e)
    }

    /// The form of RFC 3110.
    pub fn to_rfc3110(&self) -> Vec<u8> {
        rsa::public_key(&self.e, &self.n)
    }

    /// Openswan's key identifier: the first nine characters of the key in base64.
    pub fn keyid(&self) -> String {
        let blob = self.to_rfc3110();
        let mut text = openssl::base64::encode_block(blob.get(..9).unwrap_or(&blob));
        text.truncate(9);
        text
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> u32 {
        self.rsa.n().num_bits().unsigned_abs()
    }

    /// The modulus, big-endian.
    pub fn modulus(&self) -> &[u8] {
        &self.n
    }

    /// The exponent, big-endian.
    pub fn exponent(&self) -> &[u8] {
        &self.e
    }

    /// Checks the raw signature of `hash`.
    ///
    /// # Errors
    /// [`CryptoError::Signature`] for everything that is not the one right signature.
    pub fn verify(&self, hash: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let len = self.rsa.size() as usize;
        if hash.is_empty() || hash.len() + PADDING > len || signature.len() != len {
            return Err(CryptoError::Signature);
        }
        let mut block = vec![0; len];
        let n = self
            .rsa
            .public_encrypt(signature, &mut block, Padding::NONE)
            .map_err(|_| CryptoError::Signature)?;
        let mut want = vec![0xff; len - hash.len() - 1];
        want[..2].copy_from_slice(&[0, 1]);
        want.push(0);
        want.extend_from_slice(hash);
        match n == len && block == want {
            true => Ok(()),
            false => Err(CryptoError::Signature),
        }
    }
}

/// An RSA private key that has been checked.
#[derive(Clone)]
pub struct RsaPrivate {
    rsa: Rsa<Private>,
    public: RsaPublic,
}

impl std::fmt::Debug for RsaPrivate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RsaPrivate({} bits)", self.public.bits())
    }
}

impl RsaPrivate {
    pub(crate) fn of(rsa: Rsa<Private>) -> Result<Self, CryptoError> {
        let bytes = |n: Option<&BigNumRef>| n.map(|n| SecretBytes::new(n.to_vec())).unwrap_or_default();
        let numbers = RsaNumbers {
            n: bytes(Some(rsa.n())),
            e: bytes(Some(rsa.e())),
            d: bytes(Some(rsa.d())),
            p: bytes(rsa.p()),
            q: bytes(rsa.q()),
            dp: bytes(rsa.dmp1()),
            dq: bytes(rsa.dmq1()),
            qinv: bytes(rsa.iqmp()),
        };
        Self::from_numbers(&numbers)
    }

    /// From the numbers of an `RSA { … }` block.
    ///
    /// # Errors
    /// Numbers that do not belong together, in Openswan's words.
    pub fn from_numbers(k: &RsaNumbers) -> Result<Self, CryptoError> {
        let public = RsaPublic::new(k.n.expose(), k.e.expose())?;
        if k.d.is_empty() {
            return Err(CryptoError::unusable("no PrivateExponent: the private key is kept elsewhere"));
        }
        if let Some(why) = rsa::defect(k)? {
            return Err(CryptoError::unusable(why));
        }
        let number = |b: &SecretBytes| -> Result<BigNum, CryptoError> {
            let mut n = BigNum::new_secure()?;
            n.copy_from_slice(b.expose())?;
            n.set_const_time();
            Ok(n)
        };
        let builder = RsaPrivateKeyBuilder::new(
            BigNum::from_slice(&public.n)?,
            BigNum::from_slice(&public.e)?,
            number(&k.d)?,
        )?;
        let builder = builder.set_factors(number(&k.p)?, number(&k.q)?)?;
        let rsa = builder.set_crt_params(number(&k.dp)?, number(&k.dq)?, number(&k.qinv)?)?.build();
        Ok(RsaPrivate { rsa, public })
    }

    /// The public half.
    pub fn public(&self) -> &RsaPublic {
        &self.public
    }

    pub(crate) fn inner(&self) -> &Rsa<Private> {
        &self.rsa
    }

    /// The raw signature of `hash`, as long as the modulus.
    ///
    /// # Errors
    /// A hash that is empty or too long for the key.
    pub fn sign(&self, hash: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let len = self.rsa.size() as usize;
        if hash.is_empty() || hash.len() + PADDING > len {
            return Err(CryptoError::Length {
                what: "hash to be signed",
                got: hash.len(),
                want: len - PADDING,
            });
        }
        let mut out = vec![0; len];
        let n = self.rsa.private_encrypt(hash, &mut out, Padding::PKCS1)?;
        out.truncate(n);
        Ok(out)
    }
}
