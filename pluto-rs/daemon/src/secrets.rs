//! The secrets in `ipsec.secrets`; the pre-shared keys among them.

use std::path::Path;

use ike::PskLookup;
use ipsec_conf::diag::Diagnostic;
use ipsec_types::auth::{PskRecord, SecretRecord};
use ipsec_types::{Id, SecretBytes};

/// The records of the file.
pub(crate) struct Secrets(pub Vec<PskRecord>);

impl PskLookup for Secrets {
    fn lookup(&self, me: &Id, him: &Id) -> Vec<SecretBytes> {
        ipsec_conf::secrets::lookup(&self.0, me, him).into_iter().cloned().collect()
    }
}

/// Reads the file; what is wrong with a record costs that record.
pub(crate) fn load(path: &Path) -> (Vec<SecretRecord>, Vec<Diagnostic>) {
    ipsec_conf::secrets::load_all(path)
}

/// The pre-shared keys of a file that has been read.
pub(crate) fn psks(records: &[SecretRecord]) -> Secrets {
    Secrets(ipsec_conf::secrets::psks(records))
}
