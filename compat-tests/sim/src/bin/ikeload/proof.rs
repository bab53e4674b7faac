//! How the road warriors prove who they are.

use std::sync::Arc;

use ike::Keyring;
use ipsec_crypto::PrivateKey;
use ipsec_types::auth::{AuthBy, PublicKeySpec};
use ipsec_types::{ConnSpec, Id};

/// One proof for all of them.
pub(crate) enum Proof {
    /// The pre-shared key.
    Psk(Vec<u8>),
    /// Raw RSA keys: our private one, the responder's public one.
    Rsa { own: Arc<PrivateKey>, peer: PublicKeySpec },
}

impl Proof {
    /// From the files of our key and of the responder's.
    pub(crate) fn rsa(own: &str, peer: &str) -> Result<Proof, String> {
        let read = |file: &str| {
            let data = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
            PrivateKey::from_file(&data, None).map_err(|e| format!("{file}: {e}"))
        };
        Ok(Proof::Rsa { own: Arc::new(read(own)?), peer: sim::keys::written(&read(peer)?) })
    }

    /// `psk` or `rsa`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Proof::Psk(_) => "psk",
            Proof::Rsa { .. } => "rsa",
        }
    }

    pub(crate) fn secrets(&self) -> sim::Keys {
        match self {
            Proof::Psk(key) => sim::Keys::new(&[key]),
            Proof::Rsa { .. } => sim::Keys::default(),
        }
    }

    pub(crate) fn ring(&self) -> Arc<Keyring> {
        Arc::new(match self {
            Proof::Psk(_) => Keyring::default(),
            Proof::Rsa { own, .. } => Keyring { own: vec![sim::keys::own(own)], ..Keyring::default() },
        })
    }

    /// Makes a conn with a pre-shared key one of this kind.
    pub(crate) fn prepare(&self, conn: &mut ConnSpec) {
        let Proof::Rsa { peer, .. } = self else { return };
        conn.authby = AuthBy { rsasig: true, ..AuthBy::NONE };
        conn.left.id = Id::Fqdn("peer".into());
        conn.right.id = Id::Fqdn("server".into());
        conn.right.public_keys = vec![peer.clone()];
    }
}
