//! The cryptography of IKEv1: hashes, the PRF, CBC ciphers, Diffie-Hellman, the key derivation of RFC 2409, signatures
//! and certificates.
//!
//! This is the only crate that names OpenSSL. It holds no state (but for the tables of `power_of_two`, which are constants
//! made when first needed), reads no clock (times are given), opens no file and
//! logs nothing. It draws no random numbers (every secret comes from the caller, so that a negotiation can be replayed)
//! except for ECDSA signatures and for blinding, which the library makes with its own. Every function may be called from any
//! thread. Input from the network or a file yields an error, never a panic.

#![forbid(unsafe_code)]

pub mod cert;
pub mod cipher;
pub mod crl;
pub mod dh;
mod digest;
pub mod ecdsa;
pub mod error;
pub mod key;
pub mod keymat;
pub mod ocsp;
mod pem;
mod power_of_two;
pub mod rsa;
pub mod rsa_key;
pub mod trust;

pub use cert::Certificate;
pub use digest::{hash, hmac};
pub use error::CryptoError;
pub use key::{PrivateKey, PublicKey};
