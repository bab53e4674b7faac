//! Tokens behind a PKCS#11 module (PKCS #11 v2.40), a library that is loaded when the first token is named.
//!
//! One session a token is held open; to be logged in is a matter of the token and lasts as long as that session. A key signs
//! through it, one signature at a time. Nothing is written to a token.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use ipsec_crypto::key::RemoteKey;
use ipsec_crypto::{Certificate, CryptoError, PrivateKey, PublicKey};
use ipsec_types::SecretBytes;

use super::{NoKeys, TokenKey, TokenName};

/// The module if `pkcs11module=` names none: p11-kit's, which knows all that are installed.
const DEFAULT_MODULE: &str = "p11-kit-proxy.so";
/// Most slots, and most objects of a kind on a token, that are looked at.
const MAX_SLOTS: usize = 64;
const MAX_OBJECTS: usize = 64;

type Shared = Arc<Mutex<Session>>;

/// The module, and the tokens that were used.
#[derive(Default)]
pub(crate) struct Tokens {
    path: Option<String>,
    module: Option<Pkcs11>,
    sessions: HashMap<u64, Shared>,
    /// The last PIN that was wrong, by slot: secrets are read again and again, and a card counts.
    wrong: HashMap<u64, SecretBytes>,
}

impl Tokens {
    /// None used yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// `pkcs11module=`: the library. One that is loaded already stays until the daemon ends, as its keys may be in use.
    pub(crate) fn set_module(&mut self, path: Option<&str>) {
        self.path = path.map(str::to_string);
    }

    /// The private keys that `name` means. Without a PIN only a token is asked that is logged in, or that wants none. A PIN
    /// that was wrong is not tried again before the token was taken out.
    ///
    /// # Errors
    /// Why there is none: a PIN that is missing or wrong, no such token or key.
    pub(crate) fn keys(
        &mut self,
        name: &TokenName,
        pin: Option<&SecretBytes>,
    ) -> Result<Vec<TokenKey>, NoKeys> {
        let other = |e: Error| NoKeys::Other(text(&e));
        let slots = self.slots(name).map_err(NoKeys::Other)?;
        // Three wrong PINs lock a card: none is tried on a token that may not be meant.
        let [slot] = slots.as_slice() else {
            let all: String = slots.iter().map(|s| format!(" {}", s.id())).collect();
            return Err(NoKeys::Other(format!("several tokens are there: name one of the slots{all}")));
        };
        let shared = self.session(*slot).map_err(other)?;
        let session = shared.lock().map_err(|e| NoKeys::Other(e.to_string()))?;
        let open = is_open(&session).map_err(other)?;
        if !open && pin.is_some() && pin == self.wrong.get(&slot.id()) {
            return Err(NoKeys::Other("the PIN is wrong, as it was before: it was not tried again".into()));
        }
        if let Some(pin) = pin.filter(|_| !open) {
            match log_in(&session, pin) {
                Ok(()) => drop(self.wrong.remove(&slot.id())),
                Err(e) => {
                    if matches!(e, Error::Pkcs11(RvError::PinIncorrect, _)) {
                        self.wrong.insert(slot.id(), pin.clone());
                    }
                    return Err(other(e));
                }
            }
        }
        match private_keys(&session, &shared, name).map_err(other)? {
            found if !found.is_empty() => Ok(found),
            _ if !open && pin.is_none() => Err(NoKeys::Pin),
            _ => Err(NoKeys::Other("no private key that can be used is there".into())),
        }
    }

    /// The certificate that `name` means; of several the first.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn certificate(&mut self, name: &TokenName) -> Result<Certificate, String> {
        for slot in self.slots(name)? {
            let shared = self.session(slot).map_err(|e| text(&e))?;
            let Ok(session) = shared.lock() else { continue };
            if let Some(cert) =
                certificates(&session, name.id.as_deref()).map_err(|e| text(&e))?.into_iter().next()
            {
                return Ok(cert);
            }
        }
        Err("no certificate is there; one that is private shows only after the secrets were read".into())
    }

    /// The slots that `name` may mean, with a token in them.
    fn slots(&mut self, name: &TokenName) -> Result<Vec<Slot>, String> {
        let all = self.module()?.get_slots_with_initialized_token().map_err(|e| text(&e))?;
        let slots: Vec<Slot> =
            all.into_iter().filter(|s| name.slot.is_none_or(|n| n == s.id())).take(MAX_SLOTS).collect();
        match slots.is_empty() {
            true => Err("no such token is there".into()),
            false => Ok(slots),
        }
    }

    fn module(&mut self) -> Result<&Pkcs11, String> {
        if self.module.is_none() {
            let path = self.path.as_deref().unwrap_or(DEFAULT_MODULE);
            let why = |e: Error| format!("pkcs11module={path}: {}", text(&e));
            let module = Pkcs11::new(path).map_err(why)?;
            match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
                Err(e) => return Err(why(e)),
            }
            self.module = Some(module);
        }
        self.module.as_ref().ok_or_else(|| "no PKCS#11 module".into())
    }

    /// The session of a slot; one that has gone with its token is opened anew.
    fn session(&mut self, slot: Slot) -> Result<Shared, Error> {
        if let Some(open) = self.sessions.get(&slot.id())
            && open.lock().is_ok_and(|s| s.get_session_info().is_ok())
        {
            return Ok(open.clone());
        }
        let module = self.module.as_ref().ok_or(Error::NotSupported)?;
        let session = Arc::new(Mutex::new(module.open_ro_session(slot)?));
        self.sessions.insert(slot.id(), session.clone());
        self.wrong.remove(&slot.id());
        Ok(session)
    }
}

/// The library's words, without its Rust names.
fn text(e: &Error) -> String {
    match e {
        Error::Pkcs11(RvError::PinIncorrect, _) => "the PIN is wrong".into(),
        Error::Pkcs11(RvError::PinLocked, _) => "the PIN is locked".into(),
        Error::LibraryLoading(e) => e.to_string(),
        e => e.to_string(),
    }
}

/// Whether somebody has logged in.
fn is_open(session: &Session) -> Result<bool, Error> {
    let state = session.get_session_info()?.session_state();
    Ok(matches!(state, SessionState::RoUser | SessionState::RwUser))
}

fn log_in(session: &Session, pin: &SecretBytes) -> Result<(), Error> {
    let pin = RawAuthPin::new(Box::new(pin.expose().to_vec()));
    match session.login_with_raw(UserType::User, &pin) {
        Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        end => end,
    }
}

fn template(class: ObjectClass, id: Option<&[u8]>) -> Vec<Attribute> {
    let mut wanted = vec![Attribute::Class(class), Attribute::Token(true)];
    wanted.extend(id.map(|id| Attribute::Id(id.to_vec())));
    wanted
}

fn objects(session: &Session, class: ObjectClass, id: Option<&[u8]>) -> Result<Vec<ObjectHandle>, Error> {
    let mut found = session.find_objects(&template(class, id))?;
    found.truncate(MAX_OBJECTS);
    Ok(found)
}

fn certificates(session: &Session, id: Option<&[u8]>) -> Result<Vec<Certificate>, Error> {
    let mut found = Vec::new();
    for object in objects(session, ObjectClass::CERTIFICATE, id)? {
        for attribute in session.get_attributes(object, &[AttributeType::Value])? {
            if let Attribute::Value(der) = attribute {
                found.extend(Certificate::from_der(&der).ok());
            }
        }
    }
    Ok(found)
}

/// The keys to sign with, each whose public half can be found out.
fn private_keys(session: &Session, shared: &Shared, name: &TokenName) -> Result<Vec<TokenKey>, Error> {
    let mut found = Vec::new();
    for object in objects(session, ObjectClass::PRIVATE_KEY, name.id.as_deref())? {
        let (mut id, mut kind) = (Vec::new(), None);
        for attribute in session.get_attributes(object, &[AttributeType::Id, AttributeType::KeyType])? {
            match attribute {
                Attribute::Id(i) => id = i,
                Attribute::KeyType(k) => kind = Some(k),
                _ => {}
            }
        }
        if !matches!(kind, Some(KeyType::RSA | KeyType::EC)) {
            continue;
        }
        let cert = match id.is_empty() {
            true => None,
            false => certificates(session, Some(&id))?.into_iter().next(),
        };
        let public = match cert.as_ref().and_then(|c| c.key().ok().cloned()) {
            Some(key) => Some(key),
            None => public_key(session, object, &id)?,
        };
        let Some(public) = public else { continue };
        let key = Key { session: shared.clone(), object, public };
        found.push(TokenKey { key: PrivateKey::Remote(Arc::new(key)), cert });
    }
    Ok(found)
}

/// The public half of a private key without a certificate: an RSA key has it in itself, else it is an object beside it.
fn public_key(session: &Session, private: ObjectHandle, id: &[u8]) -> Result<Option<PublicKey>, Error> {
    let beside = match id.is_empty() {
        true => Vec::new(),
        false => objects(session, ObjectClass::PUBLIC_KEY, Some(id))?,
    };
    let wanted = [
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::EcParams,
        AttributeType::EcPoint,
    ];
    for object in std::iter::once(private).chain(beside) {
        let (mut n, mut e, mut curve, mut point) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for attribute in session.get_attributes(object, &wanted)? {
            match attribute {
                Attribute::Modulus(v) => n = v,
                Attribute::PublicExponent(v) => e = v,
                Attribute::EcParams(v) => curve = v,
                Attribute::EcPoint(v) => point = v,
                _ => {}
            }
        }
        let rsa = PublicKey::from_rsa(&n, &e).ok();
        if let Some(key) = rsa.or_else(|| PublicKey::from_ec_point(&curve, &point).ok()) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// A private key on a token.
struct Key {
    session: Shared,
    object: ObjectHandle,
    public: PublicKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.public.keyid())
    }
}

impl RemoteKey for Key {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, hash: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = |why: String| CryptoError::Unusable(format!("token does not sign: {why}"));
        let session = self.session.lock().map_err(|e| failed(e.to_string()))?;
        // Both take the hash as it is: IKEv1's signatures have no DigestInfo.
        let mechanism = match self.public {
            PublicKey::Rsa(_) => Mechanism::RsaPkcs,
            PublicKey::Ec(_) => Mechanism::Ecdsa,
        };
        session
            .sign(&mechanism, self.object, hash)
            .map_err(|e| failed(format!("{}; if it was taken out: ipsec auto --rereadsecrets", text(&e))))
    }
}
