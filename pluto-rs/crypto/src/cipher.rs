//! CBC without padding: the encryption of IKEv1 messages (RFC 2409 appendix B; the caller pads).

use std::sync::OnceLock;

use ipsec_types::SecretBytes;
use ipsec_types::algo::IkeCipher;
use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;

use crate::CryptoError;

/// Names in the library.
const NAMES: [&str; 7] = [
    "DES-EDE3-CBC",
    "AES-128-CBC",
    "AES-192-CBC",
    "AES-256-CBC",
    "CAMELLIA-128-CBC",
    "CAMELLIA-192-CBC",
    "CAMELLIA-256-CBC",
];

/// The library's implementation, which is looked up once.
fn library_cipher(c: IkeCipher) -> Result<&'static CipherRef, CryptoError> {
    static FOUND: [OnceLock<Cipher>; NAMES.len()] = [const { OnceLock::new() }; NAMES.len()];
    let at = match c {
        IkeCipher::Des | IkeCipher::TripleDes => 0,
        IkeCipher::Aes(128) => 1,
        IkeCipher::Aes(192) => 2,
        IkeCipher::Aes(256) => 3,
        IkeCipher::Camellia(128) => 4,
        IkeCipher::Camellia(192) => 5,
        IkeCipher::Camellia(256) => 6,
        IkeCipher::Aes(bits) | IkeCipher::Camellia(bits) => return Err(CryptoError::KeySize(bits)),
    };
    let (Some(found), Some(name)) = (FOUND.get(at), NAMES.get(at)) else {
        return Err(CryptoError::KeySize(0));
    };
    if let Some(cipher) = found.get() {
        return Ok(cipher);
    }
    let cipher = Cipher::fetch(None, name, None)?;
    Ok(found.get_or_init(|| cipher))
}

#[derive(Clone, Copy)]
enum Mode {
    Encrypt,
    Decrypt,
}

fn check_len(what: &'static str, got: usize, want: usize) -> Result<(), CryptoError> {
    if got == want { Ok(()) } else { Err(CryptoError::Length { what, got, want }) }
}

fn crypt(mode: Mode, c: IkeCipher, key: &[u8], iv: &[u8], data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let cipher = library_cipher(c)?;
    let block = c.block_len();
    check_len("key", key.len(), c.key_len())?;
    check_len("iv", iv.len(), block)?;
    if data.is_empty() || !data.len().is_multiple_of(block) {
        return Err(CryptoError::Blocks { got: data.len(), block });
    }
    // OpenSSL 3 has no DES without its legacy provider; 3DES with one key three times is the same.
    let tripled = if c == IkeCipher::Des { SecretBytes::new(key.repeat(3)) } else { SecretBytes::default() };
    let key = if c == IkeCipher::Des { tripled.expose() } else { key };
    let mut ctx = CipherCtx::new()?;
    match mode {
        Mode::Encrypt => ctx.encrypt_init(Some(cipher), Some(key), Some(iv))?,
        Mode::Decrypt => ctx.decrypt_init(Some(cipher), Some(key), Some(iv))?,
    }
    ctx.set_padding(false);
    // The library asks for one block more than it writes.
    let mut out = vec![0; data.len() + block];
    let written = ctx.cipher_update(data, Some(&mut out))?;
    let rest = ctx.cipher_final(out.get_mut(written..).unwrap_or_default())?;
    out.truncate(written + rest);
    Ok(out)
}

/// Encrypts `data`. The next IV of the exchange is the last `block_len` bytes of the result.
///
/// # Errors
/// A key, IV or data length that does not fit the cipher; `data` must be a non-zero multiple of the block length.
pub fn encrypt(c: IkeCipher, key: &[u8], iv: &[u8], data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    crypt(Mode::Encrypt, c, key, iv, data)
}

/// Decrypts `data`. The next IV of the exchange is the last `block_len` bytes of `data`.
///
/// # Errors
/// As for [`encrypt`]. A wrong key is no error here: CBC cannot tell.
pub fn decrypt(c: IkeCipher, key: &[u8], iv: &[u8], data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    crypt(Mode::Decrypt, c, key, iv, data)
}
