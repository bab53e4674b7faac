//! Certificates in phase 1: CERT and CERTREQ payloads (RFC 2408 §3.9, §3.10), `leftcert=`, `leftsendcert=`, `leftca=`.
//!
//! ```text
//!  <-- HDR, KE, Nr, CERTREQ [, NAT-D, NAT-D]         MR2: the responder asks
//!  --> HDR*, IDii, CERT*, SIG_I, CERTREQ             MI3: the initiator shows its own, and asks
//!  <-- HDR*, IDir, CERT*, SIG_R                      MR3
//! ```
//! Other peers ask in other messages: a CERTREQ is heard wherever it stands. Which CAs a peer asks for does not matter: we have
//! one certificate on a conn, or none.

use ipsec_crypto::{Certificate, CryptoError};
use ipsec_types::auth::{CaSpec, PublicKeySpec, SendCert};
use ipsec_types::conn::{ConnSpec, EndSpec};
use ipsec_types::whack::rc;
use ipsec_types::{Id, dn};

use super::auth_method::Proof;
use crate::claim::{Proved, SentCert, X509};
use crate::conn::Connection;
use crate::io::ClientId;
use crate::sa::{Role, Serial};
use crate::wire::MessageWriter;
use crate::wire::payload::{Chain, Kind};
use crate::{Endpoint, Keyring};

/// Most certificates of one message that are looked at.
const MAX_CERTS: usize = 32;
/// Most CAs that are named in requests, and octets of their names: more are asked for as "any".
const MAX_REQUESTS: usize = 16;

/// The certificates of a message.
pub(crate) fn sent(chain: &Chain<'_>) -> Vec<SentCert> {
    let read = |body: &[u8]| {
        let (encoding, data) = body.split_first()?;
        Some(SentCert { encoding: *encoding, data: data.to_vec() })
    };
    chain.all(Kind::Cert).filter_map(read).take(MAX_CERTS).collect()
}

impl Endpoint {
    /// A certificate of `leftcert=`, as the shell has read it for a conn that comes next. It is kept until
    /// [`Output::ForgetCert`](crate::Output::ForgetCert).
    pub fn set_cert(&mut self, name: String, cert: Result<Certificate, CryptoError>) {
        self.certs.insert(name, cert);
    }

    /// The same, read again for the conns there are: if none of them names it any more, it is not kept.
    pub fn renew_cert(&mut self, name: &str, cert: Result<Certificate, CryptoError>) {
        if let Some(old) = self.certs.get_mut(name) {
            *old = cert;
        }
    }

    /// Whether such a certificate was read and can be used.
    pub fn has_cert(&self, name: &str) -> bool {
        self.certs.get(name).is_some_and(Result::is_ok)
    }

    /// The words of every `leftcert=` that was read.
    pub fn cert_names(&self) -> Vec<String> {
        self.certs.keys().cloned().collect()
    }

    /// The certificate an end names.
    pub(crate) fn cert_of(&self, end: &EndSpec) -> Option<&Certificate> {
        self.certs.get(end.cert.as_ref()?)?.as_ref().ok()
    }

    /// Our certificate on a conn: the one it names, or the one that a PKCS#12 container has for our identity.
    pub(crate) fn our_cert(&self, c: &Connection) -> Option<&Certificate> {
        let own = || self.keyring.own.iter().filter_map(|k| k.cert.as_ref());
        self.cert_of(c.this()).or_else(|| own().find(|cert| cert.names_id(&c.our_id())))
    }

    /// Reads what the ends say about certificates when the conn is loaded: an end that names one is who the certificate
    /// says. One that cannot be read costs the conn the certificate, not itself.
    pub(crate) fn resolve_certs(&mut self, client: ClientId, spec: &mut ConnSpec) {
        for (side, right) in [("left", false), ("right", true)] {
            let end = if right { &mut spec.right } else { &mut spec.left };
            let Some(name) = end.cert.clone() else { continue };
            let cert = match self.certs.get(&name) {
                Some(Ok(cert)) => cert.clone(),
                Some(Err(why)) => {
                    end.cert = None;
                    let text = format!("  could not open host cert file '{name}': {why}");
                    self.log_plain(Some(client), rc::LOG, &text);
                    let text = format!("can not load certificate file {name}");
                    self.log_plain(Some(client), rc::FATAL, &text);
                    continue;
                }
                None => {
                    end.cert = None;
                    let text = format!("{side}cert={name}: no such certificate was read");
                    self.log_plain(Some(client), rc::FATAL, &text);
                    continue;
                }
            };
            let text = match &end.id {
                Id::None => None,
                id if cert.names_id(id) => match id {
                    // The peer compares octets, perhaps.
                    Id::Dn(_) if cert_subject_is(&cert, id) => {
                        end.id = Id::Dn(cert.subject().to_vec());
                        continue;
                    }
                    _ => continue,
                },
                id => Some(format!("  no subjectAltName matches ID '{id}', replaced by subject DN")),
            };
            end.id = Id::Dn(cert.subject().to_vec());
            if let Some(text) = text {
                self.log_plain(Some(client), rc::LOG, &text);
            }
        }
    }

    /// Adds CERT payloads if they are due, before our signature.
    pub(crate) fn add_certs(&mut self, w: &mut MessageWriter, serial: Serial) {
        let Some(sa) = self.ikes.get(&serial) else { return };
        let Some(c) = self.conns.get(sa.conn) else { return };
        let due = match c.this().send_cert {
            SendCert::Always => true,
            SendCert::IfAsked => sa.cert_asked,
            SendCert::Never => false,
        };
        let cert = self.our_cert(c).filter(|_| due && sa.auth.proof(sa.role) == Proof::Signature);
        let Some(cert) = cert else { return };
        let path = self.keyring.path_of(cert);
        for cert in std::iter::once(cert).chain(&path) {
            w.payload(Kind::Cert, &[&[X509], cert.der()].concat());
        }
        self.log_sa(serial, rc::LOG, "I am sending my cert");
    }

    /// Adds CERTREQ payloads if the peer is to prove itself with a certificate.
    pub(crate) fn add_cert_requests(&mut self, w: &mut MessageWriter, serial: Serial) {
        let Some(sa) = self.ikes.get(&serial) else { return };
        let Some(c) = self.conns.get(sa.conn) else { return };
        let his = match sa.role {
            Role::Initiator => sa.auth.proof(Role::Responder),
            Role::Responder => sa.auth.proof(Role::Initiator),
        };
        let wanted = his == Proof::Signature && !self.setup.no_cr_send && takes_certs(self, c);
        if !wanted || self.keyring.trust.authorities.is_empty() {
            return;
        }
        let names: Vec<Vec<u8>> = match self.wanted_ca(c) {
            Some(ca) => vec![ca],
            None => self.keyring.trust.authorities.iter().map(|a| a.subject().to_vec()).collect(),
        };
        match names.len() <= MAX_REQUESTS {
            true => names.iter().for_each(|name| {
                w.payload(Kind::CertRequest, &[&[X509], name.as_slice()].concat());
            }),
            false => {
                w.payload(Kind::CertRequest, &[X509]);
            }
        }
        self.log_sa(serial, rc::LOG, "I am sending a certificate request");
    }

    /// The peer asks for our certificate.
    pub(crate) fn note_cert_requests(&mut self, serial: Serial, chain: &Chain<'_>) {
        if chain.first(Kind::CertRequest).is_some()
            && let Some(sa) = self.ikes.get_mut(&serial)
        {
            sa.cert_asked = true;
        }
    }

    /// `rightca=`, or with `%same` the CA of our own certificate.
    fn wanted_ca(&self, c: &Connection) -> Option<Vec<u8>> {
        match &c.that().ca {
            CaSpec::Any => None,
            CaSpec::Same => self.our_cert(c).map(|cert| cert.issuer().to_vec()),
            CaSpec::Dn(name) => Some(name.clone()),
        }
    }

    /// Whether a conn's words on keys and CAs take a peer that has proved itself like this.
    pub(crate) fn trusts(&self, c: &Connection, proved: &Proved) -> bool {
        if self.keys_of_end(c.that()).iter().any(|k| k.fingerprint() == proved.key) {
            return true;
        }
        if proved.issuers.is_empty() || !takes_certs(self, c) {
            return false;
        }
        match (&c.that().ca, self.wanted_ca(c)) {
            (CaSpec::Any, _) => true,
            (_, Some(ca)) => proved.issuers.iter().any(|i| dn::matches(&ca, i)),
            // `%same`, and we have none.
            (_, None) => false,
        }
    }
}

/// Whether the peer of a conn may come with a certificate: unless its keys are written down and `%cert` is not among them.
fn takes_certs(e: &Endpoint, c: &Connection) -> bool {
    let by_word = |k: &PublicKeySpec| matches!(k, PublicKeySpec::Cert | PublicKeySpec::Dns);
    let that = c.that();
    that.public_keys.iter().any(by_word) && e.cert_of(that).is_none() || e.keys_of_end(that).is_empty()
}

fn cert_subject_is(cert: &Certificate, id: &Id) -> bool {
    matches!(id, Id::Dn(der) if dn::matches(cert.subject(), der))
}

impl Keyring {
    /// Whether a certificate is one of ours that can be signed for.
    pub(crate) fn has_private_of(&self, cert: &Certificate) -> bool {
        cert.key().is_ok_and(|k| self.has_private(k))
    }
}
