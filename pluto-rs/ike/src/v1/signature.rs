//! Proof by signature (RFC 2409 §5.1, RFC 4754): which key we sign with, which keys may be the peer's. The work itself is
//! done by workers.

use std::net::IpAddr;
use std::sync::Arc;

use ipsec_crypto::rsa_key::RsaPublic;
use ipsec_crypto::{Certificate, PrivateKey, PublicKey};
use ipsec_types::Id;
use ipsec_types::auth::PublicKeySpec;
use ipsec_types::conn::EndSpec;
use ipsec_types::whack::rc;

use super::auth_method::{AuthMethod, Proof, methods};
use super::{Continuation, Fail};
use crate::Endpoint;
use crate::claim::{Claim, SentCert, Verdict};
use crate::conn::{Connection, secrets_for};
use crate::io::{CryptoJob, Output};
use crate::sa::{Role, Serial};
use crate::wire::notify::NotifyType;

/// The RSA keys that are written in `leftrsasigkey=`. What cannot be read was told of when the conn was loaded.
pub(crate) fn written_keys(end: &EndSpec) -> Vec<PublicKey> {
    let key = |k: &PublicKeySpec| match k {
        PublicKeySpec::Rsa(blob) => RsaPublic::from_rfc3110(blob).ok().map(PublicKey::Rsa),
        PublicKeySpec::Cert | PublicKeySpec::Dns => None,
    };
    end.public_keys.iter().filter_map(key).collect()
}

/// We have nothing to sign with.
pub(crate) fn no_private_key(c: &Connection) -> String {
    format!("unable to locate my private key for RSA Signature of '{}'", c.our_id())
}

impl Endpoint {
    /// What we sign with on a conn when `method` is agreed.
    pub(crate) fn our_key(&self, c: &Connection, method: AuthMethod) -> Option<Arc<PrivateKey>> {
        let mut wanted = self.keys_of_end(c.this());
        let cert = self.our_cert(c);
        wanted.extend(cert.and_then(|c| c.key().ok()).cloned());
        let found = self.keyring.own_key(&c.our_id(), &wanted, |k| method.takes(k))?;
        // A certificate that does not fit the key proves nothing.
        let fits = |cert: &Certificate| cert.key().is_ok_and(|k| *k == found.public);
        cert.is_none_or(fits).then(|| found.key.clone())
    }

    /// The keys an end names: those that are written down, and that of its `leftcert=`.
    pub(crate) fn keys_of_end(&self, end: &EndSpec) -> Vec<PublicKey> {
        let mut keys = written_keys(end);
        keys.extend(self.cert_of(end).and_then(|c| c.key().ok()).cloned());
        keys
    }

    /// The methods of a conn for which we have what it takes, best first.
    pub(crate) fn usable_methods(&self, c: &Connection, role: Role, remote: IpAddr) -> Vec<AuthMethod> {
        let mut list = methods(c, role);
        let usable = |m: &AuthMethod| match m.proof(role) {
            Proof::Psk => !secrets_for(c, remote, &*self.secrets).is_empty(),
            Proof::Signature => self.our_key(c, *m).is_some(),
            Proof::Later => true,
        };
        list.retain(usable);
        list
    }

    /// Keys of the peer `id`: those of conns between these hosts that name it, and of the conn that was found by address; and
    /// those that whack gave.
    fn keys_of_peer(&self, serial: Serial, id: &Id) -> Vec<PublicKey> {
        let Some(sa) = self.ikes.get(&serial) else { return Vec::new() };
        let conns = self.conns.for_peer(sa.local.ip(), sa.remote.ip());
        let mut keys = Vec::new();
        for c in std::iter::once(sa.conn).chain(conns).filter_map(|c| self.conns.get(c)) {
            if c.wanted_id().matches(id) {
                for key in self.keys_of_end(c.that()) {
                    if sa.auth.takes(&key) && !keys.contains(&key) {
                        keys.push(key);
                    }
                }
            }
        }
        for key in self.given.of(id) {
            if sa.auth.takes(key) && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// Has a worker sign `hash` with our key for the conn of `serial`.
    pub(crate) fn sign(&mut self, serial: Serial, hash: Vec<u8>, then: Continuation) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let Some(key) = self.our_key(c, sa.auth) else {
            return Err(Fail::refuse(NotifyType::AuthenticationFailed, no_private_key(c)));
        };
        self.compute(serial, CryptoJob::Sign { key, hash }, then);
        Ok(())
    }

    /// Has a worker check the peer's signature.
    pub(crate) fn verify(
        &mut self,
        serial: Serial,
        id: Id,
        hash: Vec<u8>,
        (signature, certs): (Vec<u8>, Vec<SentCert>),
        then: Continuation,
    ) {
        let keys = self.keys_of_peer(serial, &id);
        let curve = self.ikes.get(&serial).and_then(|sa| sa.auth.curve());
        let trust = self.keyring.trust.clone();
        let (strict, now) = (self.setup.strict_crl, self.now.wall);
        let claim = Claim { id, hash, signature, curve, keys, certs, trust, strict, now };
        self.compute(serial, CryptoJob::Verify(Box::new(claim)), then);
    }

    /// Keeps what a worker found out about the peer, for the choice of the conn.
    pub(crate) fn take_verdict(&mut self, serial: Serial, id: &Id, verdict: Verdict) -> Result<(), Fail> {
        if !verdict.wanted.is_empty() {
            self.out.push_back(Output::Fetch(verdict.wanted));
        }
        let Some(mut proved) = verdict.proved else {
            let notify = Some(NotifyType::InvalidKeyInformation);
            return Err(Fail { text: verdict.remarks, notify, fatal: true });
        };
        for remark in &verdict.remarks {
            self.log_sa(serial, rc::LOG, remark);
        }
        if let Some(cert) = proved.cert.take() {
            self.learn(id, cert);
        }
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.later.proved = Some(proved);
        }
        Ok(())
    }

    /// Whether a conn takes a peer with this identity that has proved itself as `serial` has.
    pub(crate) fn takes_peer(&self, c: &Connection, serial: Serial, id: &Id) -> bool {
        let Some(sa) = self.ikes.get(&serial) else { return false };
        let method = methods(c, sa.role).contains(&sa.auth);
        let proof = match (sa.auth.proof(super::authenticate::other(sa.role)), &sa.later.proved) {
            (Proof::Signature, Some(proved)) => {
                self.given.of(id).any(|key| key.fingerprint() == proved.key) || self.trusts(c, proved)
            }
            (Proof::Signature, None) => false,
            (Proof::Psk | Proof::Later, _) => true,
        };
        method && proof && c.wanted_id().matches(id)
    }
}

impl Endpoint {
    /// Tells of keys in a conn that cannot be used; each costs itself only.
    pub(crate) fn check_written_keys(
        &mut self,
        client: crate::ClientId,
        name: &str,
        side: &str,
        end: &EndSpec,
    ) {
        for (n, key) in (1..).zip(&end.public_keys) {
            if let PublicKeySpec::Rsa(blob) = key
                && let Err(e) = RsaPublic::from_rfc3110(blob)
            {
                let text = format!("conn {name}/{side}: rsakey{n} malformed [{e}]");
                self.log_plain(Some(client), rc::LOG_SERIOUS, &text);
            }
        }
    }
}
