//! Private keys and certificates: which ones are ours for an identity, and whom we trust. Made by the shell out of
//! `ipsec.secrets`, the files it names and those of `/etc/ipsec.d`; the engine only reads it.

use std::sync::Arc;

use ipsec_crypto::trust::Trust;
use ipsec_crypto::{Certificate, PrivateKey, PublicKey};
use ipsec_types::Id;

/// A private key and who may sign with it.
#[derive(Clone, Debug)]
pub struct OwnKey {
    /// The indices of its record in `ipsec.secrets`; empty is everybody.
    pub ids: Vec<Id>,
    /// The key.
    pub key: Arc<PrivateKey>,
    /// Its public half.
    pub public: PublicKey,
    /// The certificate that came with it in a PKCS#12 container.
    pub cert: Option<Certificate>,
}

/// All keys, and all certificates but those of `leftcert=`.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// Private keys, in the order of the file.
    pub own: Vec<OwnKey>,
    /// Intermediate CAs that came with our own certificates: they are sent, and trusted no more than others.
    pub intermediates: Vec<Certificate>,
    /// Whom we trust.
    pub trust: Arc<Trust>,
    /// `aacerts`, for the list.
    pub attribute_authorities: Vec<Certificate>,
    /// When it was made, in seconds since 1970, for the lists.
    pub made: u64,
}

impl Keyring {
    /// The key to sign with as `me`: the one with a public half among `wanted`, else the one that is most clearly for `me`
    /// (Openswan's order: named, named with others, anybody's), else the first.
    pub(crate) fn own_key(
        &self,
        me: &Id,
        wanted: &[PublicKey],
        usable: impl Fn(&PublicKey) -> bool,
    ) -> Option<&OwnKey> {
        let usable = || self.own.iter().filter(|k| usable(&k.public));
        let score = |k: &OwnKey| {
            let named = k.ids.iter().any(|i| *i != Id::None && i.matches(me));
            let anybody = k.ids.is_empty() || k.ids.contains(&Id::None);
            match (named, anybody) {
                (true, _) if k.ids.len() == 1 => 3,
                (true, _) => 2,
                (false, true) => 1,
                (false, false) => 0,
            }
        };
        let exact = usable().find(|k| wanted.contains(&k.public));
        exact.or_else(|| usable().rev().filter(|k| score(k) > 0).max_by_key(|k| score(k)))
    }

    /// Whether we have the private half of a key.
    pub(crate) fn has_private(&self, key: &PublicKey) -> bool {
        self.own.iter().any(|k| k.public == *key)
    }

    /// CAs that may stand between `cert` and its root, to be sent with it.
    pub(crate) fn path_of(&self, cert: &Certificate) -> Vec<Certificate> {
        let known: Vec<Certificate> =
            self.intermediates.iter().chain(&self.trust.authorities).cloned().collect();
        ipsec_crypto::trust::path_to_send(cert, &known)
    }
}
