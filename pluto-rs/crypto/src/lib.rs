//! The cryptography of IKEv1: hashes, the PRF, CBC ciphers, Diffie-Hellman and the key derivation of RFC 2409.
//!
//! This is the only crate that names OpenSSL. It holds no state, draws no random numbers (every secret comes from
//! the caller, so that a negotiation can be replayed), reads no clock and logs nothing. Every function may be called
//! from any thread. Input from the network yields an error, never a panic.

#![forbid(unsafe_code)]

pub mod cipher;
pub mod dh;
mod digest;
pub mod error;
pub mod keymat;
pub mod rsa;

pub use digest::{hash, hmac};
pub use error::CryptoError;
