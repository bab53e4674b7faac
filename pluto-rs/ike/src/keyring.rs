//! Private keys: which one is ours for an identity. Made by the shell out of `ipsec.secrets` and the files it names; the
//! engine only reads it.

use std::sync::Arc;

use ipsec_crypto::{PrivateKey, PublicKey};
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
}

/// All keys.
#[derive(Debug, Default)]
pub struct Keyring {
    /// Private keys, in the order of the file.
    pub own: Vec<OwnKey>,
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
}
