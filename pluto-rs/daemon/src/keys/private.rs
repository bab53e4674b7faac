//! The private keys of `ipsec.secrets`: its `RSA { … }` blocks, and the key files its records name, below `private/`.
//!
//! A file with `%prompt` that is encrypted stays closed until somebody gives its passphrase. The passphrase is not kept; the
//! key is, as long as a record names the file and the file is the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ike::OwnKey;
use ipsec_crypto::key::{Container, MAX_FILE, open_pkcs12};
use ipsec_crypto::rsa_key::RsaPrivate;
use ipsec_crypto::{Certificate, CryptoError, PrivateKey};
use ipsec_types::auth::{KeyFileKind, Passphrase, Secret, SecretRecord};
use ipsec_types::{Id, SecretBytes};

use super::{Keys, Remark, read_bounded};

/// A key file with `%prompt` whose passphrase is not known.
#[derive(Debug)]
pub(crate) struct Locked {
    /// Number of its record.
    record: usize,
    ids: Vec<Id>,
    kind: KeyFileKind,
    data: SecretBytes,
    /// `"/etc/ipsec.secrets" line 7`.
    pub(crate) place: String,
    /// The file.
    pub(crate) path: PathBuf,
}

/// One that has been opened.
pub(super) struct Opened {
    path: PathBuf,
    data: SecretBytes,
    contents: Contents,
}

/// What a key file holds.
#[derive(Clone)]
struct Contents {
    key: Arc<PrivateKey>,
    cert: Option<Certificate>,
    /// CAs above that.
    others: Vec<Certificate>,
}

/// Why a file is not open.
enum Closed {
    /// These octets want a passphrase.
    Locked(SecretBytes),
    /// Something is wrong.
    Refused(String),
}

/// Why a passphrase does not open a file.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Its passphrase is wrong, or missing.
    Passphrase(String),
    /// Something else is wrong.
    Other(String),
}

impl Refused {
    fn of(path: &Path, e: &CryptoError) -> Self {
        let text = format!("'{}': {e}", path.display());
        match e {
            CryptoError::Passphrase(_) => Refused::Passphrase(text),
            _ => Refused::Other(text),
        }
    }
}

fn open(data: &SecretBytes, kind: KeyFileKind, pass: Option<&SecretBytes>) -> Result<Contents, CryptoError> {
    if kind != KeyFileKind::Pkcs12 {
        let key = Arc::new(PrivateKey::from_file(data.expose(), pass)?);
        return Ok(Contents { key, cert: None, others: Vec::new() });
    }
    let Container { key, cert, others } = open_pkcs12(data.expose(), pass)?;
    Ok(Contents {
        key: Arc::new(key),
        cert: cert.as_deref().map(Certificate::from_der).transpose()?,
        others: others.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>()?,
    })
}

fn loaded(path: &Path, data: &SecretBytes) -> String {
    format!("  loaded private key file '{}' ({} bytes)", path.display(), data.len())
}

impl Keys {
    /// Takes the private keys of `records`. Relative file names are below `private/`. Returns those that a passphrase must be
    /// asked for.
    pub(crate) fn take_secrets(
        &mut self,
        records: &[SecretRecord],
        remarks: &mut Vec<Remark>,
    ) -> Vec<Locked> {
        self.own = Vec::new();
        let opened = std::mem::take(&mut self.opened);
        let mut locked = Vec::new();
        for (number, record) in records.iter().enumerate() {
            let place = format!("\"{}\" line {}", record.file.display(), record.line);
            match &record.secret {
                Secret::Rsa(numbers) => match RsaPrivate::from_numbers(numbers).map(PrivateKey::Rsa) {
                    Ok(key) => {
                        let contents = Contents { key: Arc::new(key), cert: None, others: Vec::new() };
                        self.add(number, &record.ids, contents);
                    }
                    Err(e) => remarks.push((true, format!("{place}: error in RSA private key: {e}"))),
                },
                Secret::KeyFile { file, kind, passphrase } => {
                    let path = self.ipsecdir.join("private").join(file);
                    match self.key_file(&path, *kind, passphrase, &opened, remarks) {
                        Ok(contents) => self.add(number, &record.ids, contents),
                        Err(Closed::Locked(data)) => {
                            let (ids, kind) = (record.ids.clone(), *kind);
                            locked.push(Locked { record: number, ids, kind, data, place, path });
                        }
                        Err(Closed::Refused(why)) => {
                            let text = format!("{place}: error loading RSA private key file: {why}");
                            remarks.push((true, text));
                        }
                    }
                }
                _ => {}
            }
        }
        locked
    }

    fn key_file(
        &mut self,
        path: &Path,
        kind: KeyFileKind,
        passphrase: &Passphrase,
        before: &[Opened],
        remarks: &mut Vec<Remark>,
    ) -> Result<Contents, Closed> {
        let data = read_bounded(path, MAX_FILE).map(SecretBytes::new).map_err(|why| {
            remarks.push((true, format!("  could not open private key file '{}'", path.display())));
            Closed::Refused(why)
        })?;
        let prompt = *passphrase == Passphrase::Prompt;
        let given = match passphrase {
            Passphrase::Text(text) => Some(text),
            Passphrase::None | Passphrase::Prompt => None,
        };
        let contents = match before.iter().find(|o| prompt && o.path == path && o.data == data) {
            Some(o) => {
                let (path, contents) = (path.to_path_buf(), o.contents.clone());
                self.opened.push(Opened { path, data: data.clone(), contents: contents.clone() });
                contents
            }
            None => match open(&data, kind, given) {
                Ok(contents) => contents,
                Err(CryptoError::Passphrase(_)) if prompt => return Err(Closed::Locked(data)),
                Err(e) => return Err(Closed::Refused(format!("'{}': {e}", path.display()))),
            },
        };
        remarks.push((false, loaded(path, &data)));
        Ok(contents)
    }

    /// Opens a key file with its passphrase, and takes the key. Returns the line for the log.
    ///
    /// # Errors
    /// Why it stays closed.
    pub(crate) fn unlock(&mut self, locked: &Locked, passphrase: &SecretBytes) -> Result<String, Refused> {
        let Locked { record, ids, kind, data, path, .. } = locked;
        let contents = open(data, *kind, Some(passphrase)).map_err(|e| Refused::of(path, &e))?;
        self.add(*record, ids, contents.clone());
        self.opened.push(Opened { path: path.clone(), data: data.clone(), contents });
        Ok(loaded(path, data))
    }

    /// Takes a key, and the CAs that came with it.
    fn add(&mut self, record: usize, ids: &[Id], contents: Contents) {
        let Contents { key, cert, others } = contents;
        for other in others {
            if !self.intermediates.contains(&other) {
                self.intermediates.push(other);
            }
        }
        let public = key.public();
        self.own.push((record, OwnKey { ids: ids.to_vec(), key, public, cert }));
        self.own.sort_by_key(|(record, _)| *record);
    }
}
