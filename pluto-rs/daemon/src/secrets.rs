//! Secrets from `ipsec.secrets`.

use std::path::Path;

use ike::PskLookup;
use ipsec_conf::diag::Diagnostic;
use ipsec_conf::secrets;
use ipsec_types::auth::{PskRecord, SecretRecord};
use ipsec_types::{Id, SecretBytes};

/// The records of the file, and the pre-shared keys among them.
#[derive(Default)]
pub(crate) struct Secrets {
    all: Vec<SecretRecord>,
    psks: Vec<PskRecord>,
}

impl PskLookup for Secrets {
    fn lookup(&self, me: &Id, him: &Id) -> Vec<SecretBytes> {
        secrets::lookup(&self.psks, me, him).into_iter().cloned().collect()
    }

    fn xauth(&self, user: &str) -> Option<SecretBytes> {
        secrets::xauth_password(&self.all, user).cloned()
    }
}

/// Reads the file; what is wrong with a record costs that record.
pub(crate) fn load(path: &Path) -> (Vec<SecretRecord>, Vec<Diagnostic>) {
    secrets::load_all(path)
}

impl From<Vec<SecretRecord>> for Secrets {
    fn from(all: Vec<SecretRecord>) -> Self {
        let psks = secrets::psks(&all);
        Secrets { all, psks }
    }
}
