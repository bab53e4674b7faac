//! RSA keys for simulated hosts, always the same ones.

use std::sync::{Arc, OnceLock};

use ike::{EntropySource, Keyring, OwnKey};
use ipsec_crypto::rsa;
use ipsec_crypto::rsa_key::RsaPrivate;
use ipsec_crypto::{CryptoError, PrivateKey};
use ipsec_types::Id;
use ipsec_types::auth::{AuthBy, PublicKeySpec};

use crate::host::{Entropy, Keys};
use crate::pair::PairConfig;

fn make(seed: u64) -> Result<PrivateKey, CryptoError> {
    let mut entropy = Entropy::new(seed, 0);
    let numbers = rsa::generate(1024, &mut |out| {
        entropy.fill(out);
        Ok(())
    })?;
    RsaPrivate::from_numbers(&numbers).map(PrivateKey::Rsa)
}

/// Three keys.
pub fn rsa_keys() -> &'static [Arc<PrivateKey>; 3] {
    static KEYS: OnceLock<[Arc<PrivateKey>; 3]> = OnceLock::new();
    #[expect(clippy::expect_used, reason = "the seeds give keys")]
    KEYS.get_or_init(|| [1, 2, 3].map(|seed| Arc::new(make(seed).expect("seeds give keys"))))
}

/// A key as a record of `ipsec.secrets` without an index gives it.
pub fn own(key: &Arc<PrivateKey>) -> OwnKey {
    OwnKey { ids: Vec::new(), key: key.clone(), public: key.public(), cert: None }
}

/// The key as `leftrsasigkey=` has it.
pub fn written(key: &PrivateKey) -> PublicKeySpec {
    match key {
        PrivateKey::Rsa(key) => PublicKeySpec::Rsa(key.public().to_rfc3110()),
        PrivateKey::Ec(_) | PrivateKey::Remote(_) => PublicKeySpec::Cert,
    }
}

/// The same, but that `@server` and `@client` prove themselves with signatures: key 0 and key 1, each written down in
/// the other's conn.
pub fn by_raw_keys(mut config: PairConfig) -> PairConfig {
    let [a, b, _] = rsa_keys();
    let id = |name: &str| Id::Fqdn(name.into());
    let server = config.server.iter_mut().map(|c| (c, ("server", a), ("client", b)));
    for (c, (us, ours), (them, theirs)) in server.chain([(&mut config.client, ("client", b), ("server", a))])
    {
        c.authby = AuthBy { rsasig: true, ..AuthBy::NONE };
        (c.left.id, c.left.public_keys) = (id(us), vec![written(ours)]);
        (c.right.id, c.right.public_keys) = (id(them), vec![written(theirs)]);
    }
    let ring = |key| Keys::of_ring(Keyring { own: vec![own(key)], ..Keyring::default() });
    (config.server_keys, config.client_keys) = (ring(a), ring(b));
    config
}
