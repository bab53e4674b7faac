//! Keys and certificates, read from files: the folders of `/etc/ipsec.d`, and in [`private`] the `RSA { … }` blocks of
//! `ipsec.secrets` and the key files its records name. What is wrong with a file costs that file, and is told with its name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ike::Keyring;
use ipsec_crypto::crl::{Crl, MAX_CRL};
use ipsec_crypto::key::MAX_FILE;
use ipsec_crypto::ocsp::Answer;
use ipsec_crypto::trust::{Points, Trust, Wanted};
use ipsec_crypto::{Certificate, CryptoError};
use ipsec_types::auth::Authority;
use ipsec_types::whack::Reread;

mod private;

pub(crate) use private::{Holder, Locked, Own, Refused};

/// What is told while reading: a line for the log, and whether it is about a fault.
pub(crate) type Remark = (bool, String);

/// Most files of a folder.
const MAX_FILES: usize = 1000;
/// Most lists and answers that are kept of what was fetched.
const MAX_FETCHED: usize = 1000;

/// Most CAs that are taken from a file of `leftcert=`.
const MAX_ABOVE: usize = 16;

/// All that is read, by where it comes from.
pub(crate) struct Keys {
    ipsecdir: PathBuf,
    /// As its [`Holder`] had it last.
    own: Own,
    /// What stands behind our own certificates in files of `leftcert=`, by their names.
    above: BTreeMap<String, Vec<Certificate>>,
    authorities: Vec<Certificate>,
    /// The `ca` sections.
    sections: Vec<Authority>,
    /// The certificates of those, where they lie outside of `cacerts`, and their addresses.
    section_certs: Vec<Certificate>,
    points: Vec<Points>,
    attribute_authorities: Vec<Certificate>,
    ocsp_signers: Vec<Certificate>,
    crls: Vec<(Crl, String)>,
    /// From a network, with the address, and what they were wanted for.
    fetched: Vec<(Crl, String, Wanted)>,
    answers: Vec<Arc<Answer>>,
}

/// Reads a file that must not be longer than `limit`.
fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let text = |e: std::io::Error| e.to_string();
    let mut data = Vec::new();
    File::open(path).map_err(text)?.take(limit as u64 + 1).read_to_end(&mut data).map_err(text)?;
    match data.len() > limit {
        true => Err(format!("longer than {limit} octets")),
        false => Ok(data),
    }
}

impl Keys {
    /// Nothing read yet; the folders are below `ipsecdir`.
    pub(crate) fn new(ipsecdir: PathBuf) -> Self {
        Keys {
            ipsecdir,
            own: Own::default(),
            above: BTreeMap::new(),
            authorities: Vec::new(),
            sections: Vec::new(),
            section_certs: Vec::new(),
            points: Vec::new(),
            attribute_authorities: Vec::new(),
            ocsp_signers: Vec::new(),
            crls: Vec::new(),
            fetched: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// A snapshot for the engine, made at second `now`.
    pub(crate) fn ring(&self, now: u64) -> Keyring {
        let mut intermediates = self.own.intermediates.clone();
        for cert in self.above.values().flatten() {
            if !intermediates.contains(cert) {
                intermediates.push(cert.clone());
            }
        }
        Keyring {
            own: self.own.keys.clone(),
            intermediates,
            trust: Arc::new(self.trust()),
            attribute_authorities: self.attribute_authorities.clone(),
            made: now,
        }
    }

    /// Whom we trust.
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            authorities: self.authorities.iter().chain(&self.section_certs).cloned().collect(),
            ocsp_signers: self.ocsp_signers.clone(),
            crls: self
                .crls
                .iter()
                .cloned()
                .chain(self.fetched.iter().map(|f| (f.0.clone(), f.1.clone())))
                .collect(),
            ocsp: self.answers.clone(),
            points: self.points.clone(),
        }
    }

    /// Reads the folders that `what` is about.
    pub(crate) fn reread(&mut self, what: Reread, remarks: &mut Vec<Remark>) {
        let all = what == Reread::All;
        if all || what == Reread::CaCerts {
            self.authorities = self.certificates("cacerts", "CA", remarks);
            self.read_sections(remarks);
        }
        if all || what == Reread::AaCerts {
            self.attribute_authorities = self.certificates("aacerts", "AA", remarks);
        }
        if all || what == Reread::OcspCerts {
            self.ocsp_signers = self.certificates("ocspcerts", "OCSP", remarks);
        }
        if all || what == Reread::Crls {
            self.crls = Vec::new();
            for (name, data) in self.files("crls", MAX_CRL, remarks) {
                match Crl::from_file(&data) {
                    Ok(crl) => {
                        remarks.push((false, format!("  loaded crl file '{name}' ({} bytes)", data.len())));
                        self.crls
                            .push((crl, format!("file:{}", self.ipsecdir.join("crls").join(name).display())));
                    }
                    Err(e) => remarks.push((true, format!("  error in crl file '{name}': {e}"))),
                }
            }
        }
        if what == Reread::PurgeOcsp {
            self.answers.clear();
        }
    }

    /// These are our private keys from now on.
    pub(crate) fn set_own(&mut self, own: Own) {
        self.own = own;
    }

    /// The `ca` sections are these from now on. True if that changes something.
    pub(crate) fn set_sections(&mut self, sections: &[Authority], remarks: &mut Vec<Remark>) -> bool {
        let (used, more) = sections.split_at(sections.len().min(MAX_FILES));
        if self.sections == used {
            return false;
        }
        self.sections = used.to_vec();
        if !more.is_empty() {
            remarks.push((true, format!("more than {MAX_FILES} ca sections: the others are left out")));
        }
        self.read_sections(remarks);
        true
    }

    /// Reads the certificates of the `ca` sections. One that is not in `cacerts` is trusted like those that are.
    fn read_sections(&mut self, remarks: &mut Vec<Remark>) {
        (self.section_certs, self.points) = (Vec::new(), Vec::new());
        for section in &self.sections {
            let path = self.ipsecdir.join("cacerts").join(&section.cert);
            let read = read_bounded(&path, MAX_FILE)
                .and_then(|data| Certificate::from_file(&data).map_err(|e| e.to_string()));
            let ca = match read {
                Ok(mut certs) => certs.remove(0),
                Err(e) => {
                    let text = format!(
                        "  could not load CA cert file '{}' of ca {}: {e}",
                        path.display(),
                        section.name
                    );
                    remarks.push((true, text));
                    continue;
                }
            };
            if !self.authorities.contains(&ca) && !self.section_certs.contains(&ca) {
                remarks.push((
                    false,
                    format!("  loaded CA cert file '{}' of ca {}", path.display(), section.name),
                ));
                self.section_certs.push(ca.clone());
            }
            let (crl_uris, ocsp_uris) = (section.crl_uris.clone(), section.ocsp_uris.clone());
            self.points.push(Points { ca, crl_uris, ocsp_uris });
        }
    }

    /// The files of a folder in the order of their names.
    fn files(&self, folder: &str, limit: usize, remarks: &mut Vec<Remark>) -> Vec<(String, Vec<u8>)> {
        let dir = self.ipsecdir.join(folder);
        let Ok(list) = fs::read_dir(&dir) else {
            remarks.push((false, format!("Could not change to directory '{}'", dir.display())));
            return Vec::new();
        };
        remarks.push((false, format!("Changing to directory '{}'", dir.display())));
        let mut names: Vec<String> = list
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|n| !n.starts_with('.') && !n.ends_with('~'))
            .collect();
        names.sort();
        if names.len() > MAX_FILES {
            remarks.push((true, format!("  more than {MAX_FILES} files: the others are left out")));
            names.truncate(MAX_FILES);
        }
        let mut out = Vec::new();
        for name in names {
            let path = dir.join(&name);
            if !path.is_file() {
                continue;
            }
            match read_bounded(&path, limit) {
                Ok(data) => out.push((name, data)),
                Err(e) => remarks.push((true, format!("  could not open file '{}': {e}", path.display()))),
            }
        }
        out
    }

    fn certificates(&self, folder: &str, kind: &str, remarks: &mut Vec<Remark>) -> Vec<Certificate> {
        let mut out: Vec<Certificate> = Vec::new();
        for (name, data) in self.files(folder, MAX_FILE, remarks) {
            match Certificate::from_file(&data) {
                Ok(certs) => {
                    let text = format!("  loaded {kind} cert file '{name}' ({} bytes)", data.len());
                    remarks.push((false, text));
                    for cert in certs {
                        if !out.contains(&cert) {
                            out.push(cert);
                        }
                    }
                }
                Err(e) => remarks.push((true, format!("  error in {kind} cert file '{name}': {e}"))),
            }
        }
        out
    }

    /// The certificate that `leftcert=name` means. What stands behind it in the file are the CAs above it.
    pub(crate) fn read_cert(&mut self, name: &str) -> Result<Certificate, CryptoError> {
        self.above.remove(name);
        let path = self.ipsecdir.join("certs").join(name);
        let data = read_bounded(&path, MAX_FILE).map_err(CryptoError::Unusable)?;
        let mut certs = Certificate::from_file(&data)?;
        let cert = certs.remove(0);
        certs.truncate(MAX_ABOVE);
        if !certs.is_empty() {
            self.above.insert(name.into(), certs);
        }
        Ok(cert)
    }

    /// No conn names a certificate any more. True if CAs stood behind it.
    pub(crate) fn forget_cert(&mut self, name: &str) -> bool {
        self.above.remove(name).is_some()
    }

    /// A list from a network; an older one from there goes.
    pub(crate) fn add_crl(&mut self, crl: Crl, from: String, wanted: Wanted) {
        self.fetched.retain(|f| f.1 != from);
        if self.fetched.len() >= MAX_FETCHED {
            self.fetched.remove(0);
        }
        self.fetched.push((crl, from, wanted));
    }

    /// What those lists that came from a network were wanted for, which will be old at second `then`.
    pub(crate) fn old_at(&self, then: u64) -> Vec<Wanted> {
        let old = |t: Option<i64>| t.is_some_and(|t| t < i64::try_from(then).unwrap_or(i64::MAX));
        self.fetched.iter().filter(|f| old(f.0.next_update())).map(|f| f.2.clone()).collect()
    }

    /// An answer about a certificate; an older one about it goes.
    pub(crate) fn add_answer(&mut self, answer: Answer) {
        self.answers.retain(|a| a.cert() != answer.cert());
        if self.answers.len() >= MAX_FETCHED {
            self.answers.remove(0);
        }
        self.answers.push(Arc::new(answer));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pki(name: &str) -> Vec<u8> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../compat-tests/sim/tests/pki");
        fs::read(Path::new(dir).join(name)).unwrap()
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        ["cacerts", "private"].iter().for_each(|d| fs::create_dir(dir.path().join(d)).unwrap());
        dir
    }

    #[test]
    fn ca_sections_name_certificates_and_addresses() {
        let dir = folder();
        fs::write(dir.path().join("cacerts/ca.pem"), pki("ca.pem")).unwrap();
        let elsewhere = dir.path().join("elsewhere.pem").display().to_string();
        fs::write(&elsewhere, pki("ecca.pem")).unwrap();
        let mut keys = Keys::new(dir.path().to_path_buf());
        let mut remarks = Vec::new();
        keys.reread(Reread::All, &mut remarks);
        assert_eq!(keys.trust().authorities.len(), 1);
        let section = |name: &str, cert: &str| Authority {
            name: name.into(),
            cert: cert.into(),
            crl_uris: vec![format!("http://{name}/")],
            ocsp_uris: Vec::new(),
        };
        let sections = [section("a", "ca.pem"), section("b", &elsewhere), section("c", "missing.pem")];
        remarks.clear();
        assert!(keys.set_sections(&sections, &mut remarks));
        let missing = dir.path().join("cacerts/missing.pem");
        let said = format!("  could not load CA cert file '{}' of ca c: No such file", missing.display());
        assert!(remarks.len() == 2 && remarks[1].0 && remarks[1].1.starts_with(&said), "{remarks:?}");
        let trust = keys.trust();
        assert_eq!(trust.authorities.len(), 2, "the one that lies elsewhere is trusted too");
        let points: Vec<_> = trust.points.iter().map(|p| (p.ca.clone(), p.crl_uris[0].as_str())).collect();
        assert_eq!(points[0], (trust.authorities[0].clone(), "http://a/"));
        assert_eq!(points[1], (trust.authorities[1].clone(), "http://b/"));
        assert_eq!(points.len(), 2);
        // The same again changes nothing; the file comes, and is read with the others.
        assert!(!keys.set_sections(&sections, &mut remarks));
        fs::write(missing, pki("other.pem")).unwrap();
        keys.reread(Reread::CaCerts, &mut remarks);
        assert_eq!(keys.trust().points.len(), 3);
        assert!(keys.set_sections(&[], &mut remarks));
        assert_eq!((keys.trust().points.len(), keys.trust().authorities.len()), (0, 2));
    }

    /// Without the feature a token costs its record, not the file.
    #[cfg(not(feature = "pkcs11"))]
    #[test]
    fn tokens_are_refused_with_the_reason() {
        let dir = folder();
        fs::write(dir.path().join("private/server.key"), pki("server.key")).unwrap();
        let mut holder = Holder::new(dir.path().to_path_buf());
        let mut remarks = Vec::new();
        let text = b": PIN %smartcard:45 %prompt\n: RSA server.key\n";
        let (records, _) = ipsec_conf::secrets::parse_all(Path::new("s"), text, &|_| None);
        assert_eq!(holder.take_secrets(&records, &mut remarks).len(), 0);
        let why = "keys on tokens need a pluto that was built with the feature pkcs11";
        let line = "\"s\" line 1: error loading private key of token";
        assert_eq!(remarks[0], (true, format!("{line}: '%smartcard:45': {why}")));
        assert_eq!(holder.own().keys.len(), 1);
        assert_eq!(holder.certificate("%smartcard"), Err(CryptoError::Unusable(why.into())));
    }

    /// However often the files are read: what stood in one is forgotten with it.
    #[test]
    fn intermediates_are_those_of_the_files_there_are() {
        let dir = folder();
        fs::create_dir(dir.path().join("certs")).unwrap();
        let file = dir.path().join("certs/us.pem");
        let mut keys = Keys::new(dir.path().to_path_buf());
        let text = |above: &str| [pki("server.pem"), pki(above)].concat();
        for above in ["ca.pem", "ecca.pem", "other.pem"] {
            fs::write(&file, text(above)).unwrap();
            for _ in 0..2 {
                keys.read_cert("us.pem").unwrap();
            }
            let ca = Certificate::from_file(&pki(above)).unwrap();
            assert_eq!(keys.ring(0).intermediates, ca, "{above}");
        }
        // The same CA in two files is one, and stays until both are gone.
        fs::write(dir.path().join("certs/second.pem"), text("other.pem")).unwrap();
        keys.read_cert("second.pem").unwrap();
        assert_eq!(keys.ring(0).intermediates.len(), 1);
        fs::write(&file, pki("server.pem")).unwrap();
        keys.read_cert("us.pem").unwrap();
        assert_eq!(keys.ring(0).intermediates.len(), 1);
        fs::remove_file(dir.path().join("certs/second.pem")).unwrap();
        assert!(keys.read_cert("second.pem").is_err());
        assert!(keys.ring(0).intermediates.is_empty());
        // Nor is anything left of a file that no conn names.
        fs::write(&file, text("ca.pem")).unwrap();
        keys.read_cert("us.pem").unwrap();
        assert!(keys.forget_cert("us.pem") && !keys.forget_cert("us.pem"));
        assert!(keys.ring(0).intermediates.is_empty() && keys.above.is_empty());
        // No more than sixteen of one file.
        for n in [15, 16, 17] {
            let many = std::iter::once(pki("server.pem")).chain(vec![pki("ca.pem"); n]).collect::<Vec<_>>();
            fs::write(&file, many.concat()).unwrap();
            keys.read_cert("us.pem").unwrap();
            assert_eq!(keys.above["us.pem"].len(), n.min(16));
        }
    }

    #[test]
    fn a_thousand_ca_sections_at_most() {
        let dir = folder();
        for n in [MAX_FILES - 1, MAX_FILES, MAX_FILES + 1] {
            let mut keys = Keys::new(dir.path().to_path_buf());
            let mut remarks = Vec::new();
            let sections = vec![Authority::default(); n];
            keys.set_sections(&sections, &mut remarks);
            assert_eq!(keys.sections.len(), n.min(MAX_FILES));
            let told = remarks.iter().any(|r| r.1.starts_with("more than 1000 ca sections"));
            assert_eq!(told, n > MAX_FILES);
        }
    }
}
