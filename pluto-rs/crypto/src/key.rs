//! Private and public keys of any kind we sign with, and the files they come in.
//!
//! ```text
//! PEM or DER   PKCS#1 (RSA PRIVATE KEY), SEC 1 (EC PRIVATE KEY), PKCS#8, each plain or with a passphrase
//! PKCS#12      a key with its certificate and the CAs above it
//! ```

use std::sync::Arc;

use ipsec_types::SecretBytes;
use ipsec_types::der::{Reader, tag};
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{Id as KeyKind, PKey, PKeyRef, Private, Public};

use crate::CryptoError;
use crate::ecdsa::{EcPrivate, EcPublic};
use crate::pem;
use crate::rsa_key::{RsaPrivate, RsaPublic};

/// Longest key file, in octets.
pub const MAX_FILE: usize = 1 << 20;

/// What signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA.
    Rsa(RsaPublic),
    /// ECDSA.
    Ec(EcPublic),
}

impl PublicKey {
    pub(crate) fn of(key: &PKeyRef<Public>) -> Result<Self, CryptoError> {
        match key.id() {
            KeyKind::RSA => {
                let rsa = key.rsa()?;
                RsaPublic::new(&rsa.n().to_vec(), &rsa.e().to_vec()).map(PublicKey::Rsa)
            }
            KeyKind::EC => EcPublic::of(key.ec_key()?).map(PublicKey::Ec),
            _ => Err(CryptoError::unusable("key is neither RSA nor EC")),
        }
    }

    /// An RSA key of its modulus and exponent, big-endian.
    ///
    /// # Errors
    /// As [`RsaPublic::new`].
    pub fn from_rsa(n: &[u8], e: &[u8]) -> Result<Self, CryptoError> {
        RsaPublic::new(n, e).map(PublicKey::Rsa)
    }

    /// An EC key as PKCS#11 has it: DER of the curve's name, and of an OCTET STRING with the point.
    ///
    /// # Errors
    /// Another curve, no point of it.
    pub fn from_ec_point(curve: &[u8], point: &[u8]) -> Result<Self, CryptoError> {
        let bad = || CryptoError::unusable("no point of a curve");
        let mut reader = Reader::new(point);
        let point = reader.expect(tag::OCTET_STRING).filter(|_| reader.is_empty()).ok_or_else(bad)?;
        let oid = Reader::new(curve).expect(tag::OID).ok_or_else(bad)?;
        EcPublic::from_point(oid, point).map(PublicKey::Ec)
    }

    /// From a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    ///
    /// # Errors
    /// No such thing, or a key of another kind.
    pub fn from_der(der: &[u8]) -> Result<Self, CryptoError> {
        let key = PKey::public_key_from_der(der).map_err(|_| CryptoError::unusable("no public key"))?;
        Self::of(&key)
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// [`CryptoError::Signature`] if it is not that of `hash`.
    pub fn verify(&self, hash: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        match self {
            PublicKey::Rsa(k) => k.verify(hash, signature),
            PublicKey::Ec(k) => k.verify(hash, signature),
        }
    }

    /// `2048 RSA Key AwEAAcPoz`, as the lists have it.
    pub fn describe(&self) -> String {
        match self {
            PublicKey::Rsa(k) => format!("{:4} RSA Key {}", k.bits(), k.keyid()),
            PublicKey::Ec(k) => format!("{:4} ECDSA Key {}", k.curve().bits(), self.keyid()),
        }
    }

    /// SHA-256 of its encoding: what stands for the key where only equality counts, in 32 octets.
    pub fn fingerprint(&self) -> [u8; 32] {
        match self {
            PublicKey::Rsa(k) => openssl::sha::sha256(&k.to_rfc3110()),
            PublicKey::Ec(k) => openssl::sha::sha256(k.point()),
        }
    }

    /// Nine characters that name the key.
    pub fn keyid(&self) -> String {
        match self {
            PublicKey::Rsa(k) => k.keyid(),
            PublicKey::Ec(k) => {
                let mut text = openssl::base64::encode_block(k.point().get(..9).unwrap_or(k.point()));
                text.truncate(9);
                text
            }
        }
    }
}

/// What we sign with.
#[derive(Clone, Debug)]
pub enum PrivateKey {
    /// RSA.
    Rsa(RsaPrivate),
    /// ECDSA.
    Ec(EcPrivate),
    /// One that does not leave the device it is on.
    Remote(Arc<dyn RemoteKey>),
}

/// A private key on a device, of which only its owner knows how to talk to it.
pub trait RemoteKey: std::fmt::Debug + Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// The signature of `hash`, in the form [`PublicKey::verify`] takes. It may last as long as the device wants.
    ///
    /// # Errors
    /// Why there is none.
    fn sign(&self, hash: &[u8]) -> Result<Vec<u8>, CryptoError>;
}

impl PrivateKey {
    fn of(key: &PKeyRef<Private>) -> Result<Self, CryptoError> {
        match key.id() {
            KeyKind::RSA => RsaPrivate::of(key.rsa()?).map(PrivateKey::Rsa),
            KeyKind::EC => EcPrivate::of(key.ec_key()?).map(PrivateKey::Ec),
            _ => Err(CryptoError::unusable("private key is neither RSA nor EC")),
        }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        match self {
            PrivateKey::Rsa(k) => PublicKey::Rsa(k.public().clone()),
            PrivateKey::Ec(k) => PublicKey::Ec(k.public().clone()),
            PrivateKey::Remote(k) => k.public().clone(),
        }
    }

    /// Signs a hash in the form IKEv1 has.
    ///
    /// # Errors
    /// The hash does not fit the key, or a device does not sign, or wrongly.
    pub fn sign(&self, hash: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match self {
            PrivateKey::Rsa(k) => k.sign(hash),
            PrivateKey::Ec(k) => k.sign(hash),
            PrivateKey::Remote(k) => {
                let signature = k.sign(hash)?;
                // A wrong one could tell of the key.
                k.public().verify(hash, &signature)?;
                Ok(signature)
            }
        }
    }

    /// Reads a key file, PEM or DER.
    ///
    /// # Errors
    /// Why it cannot be used: no key in it, a passphrase that is missing or wrong, numbers that do not fit.
    pub fn from_file(data: &[u8], passphrase: Option<&SecretBytes>) -> Result<Self, CryptoError> {
        if data.len() > MAX_FILE {
            return Err(CryptoError::unusable("file too large for a private key"));
        }
        // An empty one, so that the library does not ask on a terminal.
        let pass = passphrase.map_or(&[][..], SecretBytes::expose);
        let opened = |e: openssl::error::ErrorStack, encrypted: bool| match (encrypted, passphrase) {
            (true, None) => CryptoError::Passphrase("private key is encrypted and has no passphrase"),
            (true, Some(_)) => CryptoError::Passphrase(
                "private key cannot be decrypted: wrong passphrase, or a cipher that is not offered",
            ),
            (false, _) => CryptoError::Unusable(format!("no private key: {e}")),
        };
        let key = if pem::is_pem(data) {
            let encrypted = data.windows(9).any(|w| w == b"ENCRYPTED");
            PKey::private_key_from_pem_passphrase(data, pass).map_err(|e| opened(e, encrypted))?
        } else {
            match PKey::private_key_from_der(data) {
                Ok(key) => key,
                Err(plain) => {
                    let encrypted = is_encrypted_pkcs8(data);
                    if !encrypted {
                        return Err(opened(plain, false));
                    }
                    PKey::private_key_from_pkcs8_passphrase(data, pass).map_err(|e| opened(e, true))?
                }
            }
        };
        Self::of(&key)
    }

    /// The key as PKCS#8 PEM, without a passphrase.
    ///
    /// # Errors
    /// The library has no memory, or the key is on a device.
    pub fn to_pem(&self) -> Result<SecretBytes, CryptoError> {
        let key = match self {
            PrivateKey::Rsa(k) => PKey::from_rsa(k.inner().clone())?,
            PrivateKey::Ec(k) => PKey::from_ec_key(k.inner().clone())?,
            PrivateKey::Remote(_) => return Err(CryptoError::unusable("the key does not leave its device")),
        };
        Ok(SecretBytes::new(key.private_key_to_pem_pkcs8()?))
    }
}

/// `SEQUENCE { SEQUENCE { OID … } OCTET STRING }`: EncryptedPrivateKeyInfo (RFC 5208 §6).
fn is_encrypted_pkcs8(data: &[u8]) -> bool {
    let inside = |data| {
        let mut outer = Reader::new(data).inside(tag::SEQUENCE)?;
        outer.expect(tag::SEQUENCE)?;
        outer.expect(tag::OCTET_STRING)?;
        outer.is_empty().then_some(())
    };
    inside(data).is_some()
}

/// What a PKCS#12 container holds.
#[derive(Debug)]
pub struct Container {
    /// The key.
    pub key: PrivateKey,
    /// DER of its certificate.
    pub cert: Option<Vec<u8>>,
    /// DER of the other certificates.
    pub others: Vec<Vec<u8>>,
}

/// Most certificates taken from a container.
const MAX_OTHERS: usize = 32;

/// Opens a PKCS#12 container.
///
/// # Errors
/// No container, a wrong passphrase, no key in it.
pub fn open_pkcs12(data: &[u8], passphrase: Option<&SecretBytes>) -> Result<Container, CryptoError> {
    if data.len() > MAX_FILE {
        return Err(CryptoError::unusable("file too large for a PKCS#12 container"));
    }
    let p12 = Pkcs12::from_der(data).map_err(|_| CryptoError::unusable("not a PKCS#12 container"))?;
    let pass = passphrase.map_or(&[][..], SecretBytes::expose);
    // The library takes a C string.
    let pass = std::str::from_utf8(pass).ok().filter(|p| !p.contains('\0'));
    let pass = pass.ok_or_else(|| CryptoError::unusable("a PKCS#12 passphrase is text"))?;
    let parsed = p12.parse2(pass).map_err(|_| {
        CryptoError::Passphrase(
            "PKCS#12 container cannot be opened: wrong passphrase, or a cipher that is not offered",
        )
    })?;
    let key = parsed.pkey.ok_or_else(|| CryptoError::unusable("PKCS#12 container without a private key"))?;
    let cert = parsed.cert.map(|c| c.to_der()).transpose()?;
    let others = parsed.ca.iter().flatten().take(MAX_OTHERS).map(|c| c.to_der());
    Ok(Container { key: PrivateKey::of(&key)?, cert, others: others.collect::<Result<_, _>>()? })
}
