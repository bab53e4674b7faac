//! Pre-shared keys from `ipsec.secrets`.

use std::path::Path;

use ike::PskLookup;
use ipsec_conf::diag::Diagnostic;
use ipsec_types::auth::PskRecord;
use ipsec_types::{Id, SecretBytes};

/// The records of the file.
pub(crate) struct Secrets(pub Vec<PskRecord>);

impl PskLookup for Secrets {
    fn lookup(&self, me: &Id, him: &Id) -> Vec<SecretBytes> {
        ipsec_conf::secrets::lookup(&self.0, me, him).into_iter().cloned().collect()
    }
}

/// Reads the file; what is wrong with a record costs that record.
pub(crate) fn load(path: &Path) -> (Secrets, Vec<Diagnostic>) {
    let (records, diagnostics) = ipsec_conf::secrets::load(path);
    (Secrets(records), diagnostics)
}
