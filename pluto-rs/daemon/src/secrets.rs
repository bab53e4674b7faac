//! Secrets from `ipsec.secrets`.

use std::path::Path;

use ike::{PskLookup, SecretLine};
use ipsec_conf::diag::Diagnostic;
use ipsec_conf::secrets;
use ipsec_types::auth::{KeyFileKind, PskRecord, Secret, SecretRecord};
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

    fn list(&self) -> Vec<SecretLine> {
        let line = |r: &SecretRecord| {
            let kind = match &r.secret {
                Secret::Psk(_) => "PSK",
                Secret::Xauth(_) => "XAUTH",
                Secret::Rsa(_) | Secret::KeyFile { kind: KeyFileKind::Rsa, .. } => "RSA",
                Secret::KeyFile { kind: KeyFileKind::Ecdsa, .. } => "ECDSA",
                Secret::KeyFile { kind: KeyFileKind::Pkcs12, .. } => "P12",
                Secret::KeyFile { kind: KeyFileKind::Any, .. } => "PRIVATE",
                Secret::Pin { .. } => "PIN",
                Secret::Other(word) => word,
            };
            let (file, kind) = (r.file.display().to_string(), kind.to_string());
            SecretLine { file, line: r.line, kind, ids: r.ids.clone() }
        };
        self.all.iter().map(line).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_records_and_holds_no_secret() {
        let text = ": PSK \"hush\"\n@a @b : PSK \"hush\"\n@joe : XAUTH \"hush\"\n: RSA host.key \"hush\"\n: PIN %smartcard1 \"hush\"\n";
        let (all, remarks) = secrets::parse_all(Path::new("/s"), text.as_bytes(), &|_| None);
        assert_eq!(all.len(), 5, "{remarks:?}");
        let list = Secrets::from(all).list();
        let words: Vec<(u32, &str)> = list.iter().map(|l| (l.line, l.kind.as_str())).collect();
        assert_eq!(words, [(1, "PSK"), (2, "PSK"), (3, "XAUTH"), (4, "RSA"), (5, "PIN")]);
        assert_eq!(list[1].ids.len(), 2);
        assert!(!format!("{list:?}").contains("hush"));
    }
}
