//! What a peer claims with a signature, and what a worker finds out about it. Nothing here looks at a conn: which identity
//! may come to which conn is decided by the engine, with what is found here.

use std::sync::Arc;

use ipsec_crypto::cert::from_pkcs7;
use ipsec_crypto::ecdsa::Curve;
use ipsec_crypto::trust::{MAX_FROM_PEER, Trust, Wanted};
use ipsec_crypto::{Certificate, PublicKey};
use ipsec_types::Id;
use ipsec_types::auth::StrictCrl;

/// A certificate as a peer sends it: how it is encoded (RFC 2408 §3.9), and its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCert {
    /// 1 is PKCS#7, 4 is X.509 for signatures.
    pub encoding: u8,
    /// Octets.
    pub data: Vec<u8>,
}

/// PKCS#7 wrapped X.509 certificates.
const PKCS7: u8 = 1;
/// X.509 certificate, signature.
pub(crate) const X509: u8 = 4;

/// A signature to be checked.
#[derive(Debug)]
pub struct Claim {
    /// Who the peer says it is.
    pub id: Id,
    /// HASH_I or HASH_R.
    pub hash: Vec<u8>,
    /// SIG_I or SIG_R.
    pub signature: Vec<u8>,
    /// Curve of the key; `None` is RSA.
    pub curve: Option<Curve>,
    /// Keys that are configured for this identity.
    pub keys: Vec<PublicKey>,
    /// Certificates that came along.
    pub certs: Vec<SentCert>,
    /// Whom we trust.
    pub trust: Arc<Trust>,
    /// `strictcrlpolicy=`.
    pub strict: StrictCrl,
    /// Seconds since 1970.
    pub now: u64,
}

/// What is known of a peer that has proved itself with a signature.
#[derive(Clone, Debug)]
pub struct Proved {
    /// Fingerprint of its key.
    pub key: [u8; 32],
    /// Its certificate, if the key is not a configured one.
    pub cert: Option<Certificate>,
    /// DER of the names of the CAs above that, the lowest first.
    pub issuers: Vec<Vec<u8>>,
}

/// What became of a claim.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Who has proved itself; `None` if nobody has.
    pub proved: Option<Box<Proved>>,
    /// For the log: how it was found, or why it is not so.
    pub remarks: Vec<String>,
    /// News about revocation that were missing.
    pub wanted: Vec<Wanted>,
}

impl Claim {
    fn takes(&self, key: &PublicKey) -> bool {
        match (self.curve, key) {
            (None, PublicKey::Rsa(_)) => true,
            (Some(curve), PublicKey::Ec(k)) => k.curve() == curve,
            _ => false,
        }
    }

    fn is_signed_with(&self, key: &PublicKey) -> bool {
        self.takes(key) && key.verify(&self.hash, &self.signature).is_ok()
    }

    /// Checks it. Takes as long as a few public-key operations do.
    pub(crate) fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some(key) = self.keys.iter().find(|k| self.is_signed_with(k)) {
            verdict.proved =
                Some(Box::new(Proved { key: key.fingerprint(), cert: None, issuers: Vec::new() }));
            return verdict;
        }
        let mut tried: Vec<String> = self.keys.iter().map(PublicKey::keyid).collect();
        let certs = self.certificates(&mut verdict.remarks);
        for cert in certs.iter().filter(|c| c.names_id(&self.id)) {
            let Ok(key) = cert.key() else { continue };
            // Who is believed only by a CA must have made the signature first: that is the cheaper question.
            if !self.is_signed_with(key) {
                tried.push(key.keyid());
                continue;
            }
            match self.trust.judge(cert, &certs, self.now, self.strict) {
                Ok(believed) => {
                    verdict.remarks.extend(believed.remarks);
                    verdict.wanted.extend(believed.wanted);
                    let issuers = believed.chain.iter().skip(1).map(|c| c.subject().to_vec()).collect();
                    verdict.proved =
                        Some(Box::new(Proved { key: key.fingerprint(), cert: Some(cert.clone()), issuers }));
                    return verdict;
                }
                Err(doubted) => {
                    verdict.remarks.extend(doubted.remarks);
                    verdict.wanted.extend(doubted.wanted);
                    return verdict;
                }
            }
        }
        if tried.is_empty() {
            for cert in &certs {
                let who = ipsec_types::dn::text(cert.subject());
                verdict.remarks.push(format!("certificate of '{who}' does not name '{}'", self.id));
            }
            let kind = if self.curve.is_some() { "ECDSA" } else { "RSA" };
            verdict.remarks.push(format!("no {kind} public key known for '{}'", self.id));
        } else {
            let tried: String = tried.iter().map(|k| format!(" *{k}")).collect();
            verdict
                .remarks
                .push(format!("Signature check (on {}) failed (wrong key?); tried{tried}", self.id));
        }
        verdict
    }

    /// What can be read of the certificates, each once.
    fn certificates(&self, remarks: &mut Vec<String>) -> Vec<Certificate> {
        let mut found: Vec<Certificate> = Vec::new();
        for sent in self.certs.iter().take(MAX_FROM_PEER) {
            let read = match sent.encoding {
                X509 => Certificate::from_der(&sent.data).map(|c| vec![c]),
                PKCS7 => from_pkcs7(&sent.data),
                n => {
                    remarks.push(format!("ignoring certificate payload of encoding {n}"));
                    continue;
                }
            };
            match read {
                Ok(certs) => certs.into_iter().for_each(|c| {
                    if !found.contains(&c) && found.len() < MAX_FROM_PEER {
                        found.push(c);
                    }
                }),
                Err(e) => remarks.push(format!("ignoring certificate payload: {e}")),
            }
        }
        found
    }
}
