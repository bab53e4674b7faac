//! RSA keys for simulated hosts, always the same ones.

use std::sync::{Arc, OnceLock};

use ike::{EntropySource, OwnKey};
use ipsec_crypto::rsa;
use ipsec_crypto::rsa_key::RsaPrivate;
use ipsec_crypto::{CryptoError, PrivateKey};
use ipsec_types::auth::PublicKeySpec;

use crate::host::Entropy;

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
        PrivateKey::Ec(_) => PublicKeySpec::Cert,
    }
}
