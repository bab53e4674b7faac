//! The private keys of `ipsec.secrets`: its `RSA { … }` blocks, the key files its records name, below `private/`, and the
//! tokens.
//!
//! A file with `%prompt` that is encrypted stays closed until somebody gives its passphrase. The passphrase is not kept; the
//! key is, as long as a record names the file and the file is the same. A token stays open by itself.
//!
//! To decrypt a file or to open a token may take as long as it likes: the event loop must not wait for anything here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ike::OwnKey;
use ipsec_crypto::key::{Container, MAX_FILE, open_pkcs12};
use ipsec_crypto::rsa_key::RsaPrivate;
use ipsec_crypto::{Certificate, CryptoError, PrivateKey};
use ipsec_types::auth::{KeyFileKind, Passphrase, Secret, SecretRecord};
use ipsec_types::{Id, SecretBytes};

use super::{Remark, read_bounded};
use crate::tokens::{NoKeys, TokenKey, TokenName, Tokens};

/// A key with `%prompt` whose passphrase or PIN is not known.
#[derive(Debug)]
pub(crate) struct Locked {
    /// Number of the reading that found it, and of its record there.
    reading: u64,
    record: usize,
    ids: Vec<Id>,
    behind: Behind,
    /// `"/etc/ipsec.secrets" line 7: error …`, without the reason.
    pub(crate) failing: String,
    /// The file, or the name of the token.
    pub(crate) path: PathBuf,
}

/// What wants a passphrase.
#[derive(Debug)]
enum Behind {
    /// A file with these octets.
    File(KeyFileKind, SecretBytes),
    /// A token.
    Token(TokenName),
}

/// One that has been opened.
struct Opened {
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

impl From<CryptoError> for Refused {
    fn from(e: CryptoError) -> Self {
        match e {
            CryptoError::Passphrase(why) => Refused::Passphrase(why.into()),
            e => Refused::Other(e.to_string()),
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

/// The token that a record is about, as written, and its PIN: `PIN %smartcard…`, `RSA %smartcard…`.
fn token_of(secret: &Secret) -> Option<(String, &Passphrase)> {
    match secret {
        Secret::Pin { token, pin } => Some((token.clone(), pin)),
        Secret::KeyFile { file, passphrase, .. } => {
            let token = file.to_str().filter(|f| TokenName::is_one(f))?;
            Some((token.to_string(), passphrase))
        }
        _ => None,
    }
}

fn loaded(path: &Path, data: &SecretBytes) -> String {
    format!("  loaded private key file '{}' ({} bytes)", path.display(), data.len())
}

/// Our private keys, and what came with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    /// In the order of the records.
    pub(crate) keys: Vec<OwnKey>,
    /// Intermediate CAs out of containers.
    pub(crate) intermediates: Vec<Certificate>,
}

/// One of our keys, by the number of its record.
struct Held {
    record: usize,
    own: OwnKey,
    /// CAs that came with it.
    others: Vec<Certificate>,
}

/// Who has the private keys.
pub(crate) struct Holder {
    ipsecdir: PathBuf,
    /// How often the secrets have been read.
    readings: u64,
    /// In the order of the records.
    held: Vec<Held>,
    /// Those that a person has given the passphrase for.
    opened: Vec<Opened>,
    tokens: Tokens,
}

impl Holder {
    /// No key yet; files are below `ipsecdir`.
    pub(crate) fn new(ipsecdir: PathBuf) -> Self {
        Holder { ipsecdir, readings: 0, held: Vec::new(), opened: Vec::new(), tokens: Tokens::new() }
    }

    /// `pkcs11module=`.
    pub(crate) fn set_token_module(&mut self, path: Option<&str>) {
        self.tokens.set_module(path);
    }

    /// The certificate that `leftcert=%smartcard…` means.
    pub(crate) fn certificate(&mut self, name: &str) -> Result<Certificate, CryptoError> {
        let cert = name.parse().and_then(|name| self.tokens.certificate(&name));
        cert.map_err(CryptoError::Unusable)
    }

    /// The keys there are.
    pub(crate) fn own(&self) -> Own {
        let mut own = Own::default();
        for held in &self.held {
            own.keys.push(held.own.clone());
            for other in &held.others {
                if !own.intermediates.contains(other) {
                    own.intermediates.push(other.clone());
                }
            }
        }
        own
    }

    /// Takes the private keys of `records`. Relative file names are below `private/`. Returns those that a passphrase must be
    /// asked for.
    pub(crate) fn take_secrets(
        &mut self,
        records: &[SecretRecord],
        remarks: &mut Vec<Remark>,
    ) -> Vec<Locked> {
        self.readings += 1;
        let reading = self.readings;
        self.held = Vec::new();
        let opened = std::mem::take(&mut self.opened);
        let mut locked = Vec::new();
        for (number, record) in records.iter().enumerate() {
            let place = format!("\"{}\" line {}", record.file.display(), record.line);
            if let Some((token, pin)) = token_of(&record.secret) {
                let failing = format!("{place}: error loading private key of token");
                match self.token(number, &record.ids, &token, pin) {
                    Ok(many) => {
                        let s = if many == 1 { "" } else { "s" };
                        remarks.push((false, format!("  found {many} private key{s} on token '{token}'")));
                    }
                    Err(None) => {
                        // A name that is none is refused before a PIN matters.
                        let behind = Behind::Token(token.parse().unwrap_or_default());
                        let (ids, path) = (record.ids.clone(), PathBuf::from(token));
                        locked.push(Locked { reading, record: number, ids, behind, failing, path });
                    }
                    Err(Some(why)) => remarks.push((true, format!("{failing}: '{token}': {why}"))),
                }
                continue;
            }
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
                            let (ids, behind) = (record.ids.clone(), Behind::File(*kind, data));
                            let failing = format!("{place}: error loading RSA private key file");
                            locked.push(Locked { reading, record: number, ids, behind, failing, path });
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
    /// Why it stays closed; one that an earlier reading of the secrets has found does in any case.
    pub(crate) fn unlock(&mut self, locked: &Locked, passphrase: &SecretBytes) -> Result<String, Refused> {
        let Locked { reading, record, ids, behind, path, .. } = locked;
        if *reading != self.readings {
            return Err(Refused::Other("the secrets were read again meanwhile".into()));
        }
        match behind {
            Behind::File(kind, data) => {
                let contents = open(data, *kind, Some(passphrase))?;
                self.add(*record, ids, contents.clone());
                self.opened.push(Opened { path: path.clone(), data: data.clone(), contents });
                Ok(loaded(path, data))
            }
            // A card counts wrong PINs: there is no second trial.
            Behind::Token(name) => match self.tokens.keys(name, Some(passphrase)) {
                Ok(keys) => {
                    self.add_token(*record, ids, keys);
                    Ok(format!("  opened token '{}'", path.display()))
                }
                Err(NoKeys::Pin) => Err(Refused::Other("it takes no PIN".into())),
                Err(NoKeys::Other(why)) => Err(Refused::Other(why)),
            },
        }
    }

    /// Takes the keys of a token and returns how many. The error is the reason, or nothing if a PIN must be asked for.
    fn token(
        &mut self,
        record: usize,
        ids: &[Id],
        token: &str,
        pin: &Passphrase,
    ) -> Result<usize, Option<String>> {
        let name: TokenName = token.parse().map_err(Some)?;
        let given = match pin {
            Passphrase::Text(text) => Some(text),
            Passphrase::None | Passphrase::Prompt => None,
        };
        match self.tokens.keys(&name, given) {
            Ok(keys) => {
                let many = keys.len();
                self.add_token(record, ids, keys);
                Ok(many)
            }
            Err(NoKeys::Pin) if *pin == Passphrase::Prompt => Err(None),
            Err(NoKeys::Pin) => Err(Some("its PIN stands in no record".into())),
            Err(NoKeys::Other(why)) => Err(Some(why)),
        }
    }

    fn add_token(&mut self, record: usize, ids: &[Id], keys: Vec<TokenKey>) {
        for TokenKey { key, cert } in keys {
            self.add(record, ids, Contents { key: Arc::new(key), cert, others: Vec::new() });
        }
    }

    /// Takes a key, and the CAs that came with it.
    fn add(&mut self, record: usize, ids: &[Id], contents: Contents) {
        let Contents { key, cert, others } = contents;
        let public = key.public();
        let own = OwnKey { ids: ids.to_vec(), key, public, cert };
        let at = self.held.partition_point(|h| h.record <= record);
        self.held.insert(at, Held { record, own, others });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ipsec_conf::secrets;

    use super::*;

    /// Whatever is wrong with a key file: its record, its name and the reason are told, and the others are loaded.
    #[test]
    fn a_file_that_cannot_be_used_costs_its_record() {
        let dir = tempfile::tempdir().unwrap();
        let private = dir.path().join("private");
        fs::create_dir_all(private.join("folder")).unwrap();
        let keys = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys"));
        for name in ["one.key", "plain.key", "three.p12"] {
            fs::copy(keys.join(name), private.join(name)).unwrap();
        }
        fs::write(private.join("junk.key"), "no key\n").unwrap();
        fs::write(private.join("long.key"), vec![b'x'; MAX_FILE + 1]).unwrap();
        let mut holder = Holder::new(dir.path().to_path_buf());
        for (record, told) in [
            ("RSA missing.key", "No such file or directory"),
            ("RSA folder", "Is a directory"),
            ("RSA junk.key", "'FILE': "),
            ("RSA long.key", "longer than"),
            ("RSA one.key", "'FILE': "),
            ("RSA one.key wrong", "'FILE': "),
            ("P12 three.p12 wrong", "'FILE': "),
            ("P12 plain.key", "'FILE': "),
        ] {
            let text = format!("@bad : {record}\n@good : RSA plain.key\n");
            let (records, _) = secrets::parse_all(Path::new("s"), text.as_bytes(), &|_| None);
            let mut remarks = Vec::new();
            assert!(holder.take_secrets(&records, &mut remarks).is_empty());
            let name = record.split(' ').nth(1).unwrap();
            let file = private.join(name).display().to_string();
            let faults: Vec<_> = remarks.iter().filter(|r| r.0).map(|r| r.1.replace(&file, "FILE")).collect();
            let line = format!("\"s\" line 1: error loading RSA private key file: {told}");
            assert!(faults.iter().any(|f| f.starts_with(&line)), "{record}: {faults:?}");
            assert!(faults.iter().any(|f| f.contains("'FILE'")), "{record}: {faults:?}");
            let own = holder.own().keys;
            assert_eq!(own.iter().map(|k| k.ids[0].to_string()).collect::<Vec<_>>(), ["@good"], "{record}");
        }
    }
}
