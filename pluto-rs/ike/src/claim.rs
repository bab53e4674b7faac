//! What a peer claims with a signature, and what a worker finds out about it. Nothing here looks at a conn: which identity
//! may come to which conn is decided by the engine, with what is found here.

use ipsec_crypto::PublicKey;
use ipsec_types::Id;

/// A signature to be checked.
#[derive(Debug)]
pub struct Claim {
    /// Who the peer says it is.
    pub id: Id,
    /// HASH_I or HASH_R.
    pub hash: Vec<u8>,
    /// SIG_I or SIG_R.
    pub signature: Vec<u8>,
    /// Keys that are configured for this identity.
    pub keys: Vec<PublicKey>,
}

/// What is known of a peer that has proved itself with a signature.
#[derive(Clone, Debug)]
pub struct Proved {
    /// Its key.
    pub key: PublicKey,
}

/// What became of a claim.
#[derive(Debug, Default)]
pub enum Verdict {
    /// There was none.
    #[default]
    None,
    /// It is true.
    Proved(Box<Proved>),
    /// It is not, and why, for the log.
    Refused(Vec<String>),
}

impl Claim {
    /// Checks it. Takes as long as a few public-key operations do.
    pub(crate) fn judge(&self) -> Verdict {
        if self.keys.is_empty() {
            return Verdict::Refused(vec![format!("no RSA public key known for '{}'", self.id)]);
        }
        let right = self.keys.iter().find(|k| k.verify(&self.hash, &self.signature).is_ok());
        match right {
            Some(key) => Verdict::Proved(Box::new(Proved { key: key.clone() })),
            None => {
                let tried: String = self.keys.iter().map(|k| format!(" *{}", k.keyid())).collect();
                let text = format!("Signature check (on {}) failed (wrong key?); tried{tried}", self.id);
                Verdict::Refused(vec![text])
            }
        }
    }
}
