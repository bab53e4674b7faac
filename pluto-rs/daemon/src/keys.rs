//! Private keys: the `RSA { … }` blocks of `ipsec.secrets` and the files its records name. What is wrong with one costs that
//! one, and is told with its file and line.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ike::{Keyring, OwnKey};
use ipsec_crypto::key::{MAX_FILE, open_pkcs12};
use ipsec_crypto::rsa_key::RsaPrivate;
use ipsec_crypto::{CryptoError, PrivateKey};
use ipsec_types::SecretBytes;
use ipsec_types::auth::{KeyFileKind, Passphrase, Secret, SecretRecord};

/// What is told while reading: a line for the log, and whether it is about a fault.
pub(crate) type Remark = (bool, String);

/// Reads a file that must not be longer than `limit`.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let text = |e: std::io::Error| e.to_string();
    let mut data = Vec::new();
    File::open(path).map_err(text)?.take(limit as u64 + 1).read_to_end(&mut data).map_err(text)?;
    match data.len() > limit {
        true => Err(format!("longer than {limit} octets")),
        false => Ok(data),
    }
}

/// The private keys of `records`. Relative file names are below `private/` of `ipsecdir`.
pub(crate) fn load(records: &[SecretRecord], ipsecdir: &Path) -> (Keyring, Vec<Remark>) {
    let mut ring = Keyring::default();
    let mut remarks = Vec::new();
    for record in records {
        let key = match &record.secret {
            Secret::Rsa(numbers) => {
                RsaPrivate::from_numbers(numbers).map(PrivateKey::Rsa).map_err(|e| e.to_string())
            }
            Secret::KeyFile { file, kind, passphrase } => {
                let path = ipsecdir.join("private").join(file);
                from_file(&path, *kind, passphrase, &mut remarks)
            }
            _ => continue,
        };
        match key {
            Ok(key) => {
                let public = key.public();
                ring.own.push(OwnKey { ids: record.ids.clone(), key: Arc::new(key), public });
            }
            Err(why) => {
                let place = format!("\"{}\" line {}", record.file.display(), record.line);
                let what = match &record.secret {
                    Secret::KeyFile { .. } => "error loading RSA private key file",
                    _ => "error in RSA private key",
                };
                remarks.push((true, format!("{place}: {what}: {why}")));
            }
        }
    }
    (ring, remarks)
}

fn from_file(
    path: &Path,
    kind: KeyFileKind,
    passphrase: &Passphrase,
    remarks: &mut Vec<Remark>,
) -> Result<PrivateKey, String> {
    let data = read_bounded(path, MAX_FILE).map(SecretBytes::new).inspect_err(|_| {
        remarks.push((true, format!("  could not open private key file '{}'", path.display())));
    })?;
    let pass = match passphrase {
        Passphrase::None => None,
        Passphrase::Text(text) => Some(text),
        Passphrase::Prompt => {
            return Err(
                "the passphrase cannot be asked for: write it into the record instead of %prompt".into()
            );
        }
    };
    let text = |e: CryptoError| format!("'{}': {e}", path.display());
    let key = match kind {
        KeyFileKind::Pkcs12 => open_pkcs12(data.expose(), pass).map(|c| c.key),
        KeyFileKind::Rsa | KeyFileKind::Ecdsa | KeyFileKind::Any => {
            PrivateKey::from_file(data.expose(), pass)
        }
    };
    let key = key.map_err(text)?;
    remarks.push((false, format!("  loaded private key file '{}' ({} bytes)", path.display(), data.len())));
    Ok(key)
}
