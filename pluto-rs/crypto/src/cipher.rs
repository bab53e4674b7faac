//! CBC without padding: the encryption of IKEv1 messages (RFC 2409 appendix B; the caller pads).

use ipsec_types::SecretBytes;
use ipsec_types::algo::IkeCipher;
use openssl::symm::{Cipher, Crypter, Mode};

use crate::CryptoError;

fn library_cipher(c: IkeCipher) -> Result<Cipher, CryptoError> {
    match c {
        IkeCipher::Des | IkeCipher::TripleDes => Ok(Cipher::des_ede3_cbc()),
        IkeCipher::Aes(128) => Ok(Cipher::aes_128_cbc()),
        IkeCipher::Aes(192) => Ok(Cipher::aes_192_cbc()),
        IkeCipher::Aes(256) => Ok(Cipher::aes_256_cbc()),
        IkeCipher::Camellia(128) => Ok(Cipher::camellia_128_cbc()),
        IkeCipher::Camellia(192) => Ok(Cipher::camellia_192_cbc()),
        IkeCipher::Camellia(256) => Ok(Cipher::camellia_256_cbc()),
        IkeCipher::Aes(bits) | IkeCipher::Camellia(bits) => Err(CryptoError::KeySize(bits)),
    }
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
    let mut crypter = Crypter::new(cipher, mode, key, Some(iv))?;
    crypter.pad(false);
    // The library asks for one block more than it writes.
    let mut out = vec![0; data.len() + block];
    let written = crypter.update(data, &mut out)?;
    let rest = crypter.finalize(out.get_mut(written..).unwrap_or_default())?;
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
