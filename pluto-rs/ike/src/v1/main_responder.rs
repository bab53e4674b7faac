//! Main Mode as responder (RFC 2409 §5.4).
//!
//! ```text
//!  --> HDR, SA, VIDs                      MI1
//!  <-- HDR, SA, VIDs                      MR1
//!  --> HDR, KE, Ni [, NAT-D, NAT-D]       MI2
//!  <-- HDR, KE, Nr [, NAT-D, NAT-D]       MR2
//!  --> HDR*, IDii, HASH_I [, N]           MI3
//!  <-- HDR*, IDir, HASH_R                 MR3
//! ```

use std::net::SocketAddr;

use ipsec_crypto::{dh, hash};
use ipsec_types::algo::HashAlg;
use ipsec_types::whack::rc;
use ipsec_types::{Id, SecretBytes};

use super::auth_method::Proof;
use super::first::{First, Taken};
use super::message::{NONCE_LEN, NONCE_RANGE, header, open, seal};
use super::{Continuation, Fail, authenticate, certs, natt};
use crate::Endpoint;
use crate::claim::{SentCert, Verdict};
use crate::io::{CryptoJob, CryptoResult, KeyExchange};
use crate::sa::{Digest, Exchanged, IkeSa, Phase1, Phase1Keys, Role, Serial, StateName};
use crate::timer::TimerKind;
use crate::wire::ident::{self, IdPayload};
use crate::wire::notify::{Notification, NotifyType};
use crate::wire::payload::{Chain, Kind};
use crate::wire::{Exchange, Header, MessageWriter, SaPayload};

#[derive(Debug)]
pub(crate) struct AfterMi2 {
    sa_i: Vec<u8>,
    g_xi: Vec<u8>,
    ni: Vec<u8>,
}

/// MI3 has come; MR3 is being made.
#[derive(Debug)]
pub(crate) struct GotI3 {
    x: Box<Exchanged>,
    i3: TriedI3,
    remote: SocketAddr,
    local: SocketAddr,
    /// Our identity, once the conn is chosen.
    id_b: Vec<u8>,
}

impl Endpoint {
    /// `--> HDR, SA, VIDs` from a stranger.
    pub(crate) fn main_in_i1(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        digest: Digest,
    ) {
        let chain = match self.chain(h.next, body) {
            Ok(c) => c,
            Err(e) => return self.log_packet(remote, &format!("{e}; malformed payload in packet")),
        };
        let sa_body = match (h.encrypted(), chain.first(Kind::Sa)) {
            (false, Some(b)) => b,
            (true, _) => return self.log_packet(remote, "initial Main Mode message is encrypted; ignored"),
            (_, None) => {
                return self.log_packet(
                    remote,
                    "message ignored because it is missing payload(s) SA for the initial Main Mode message",
                );
            }
        };
        let sa = match SaPayload::parse(sa_body) {
            Ok(sa) => sa,
            Err(e) => return self.log_packet(remote, &format!("{e}; malformed payload in packet")),
        };
        let Some(template) = self.conn_for_stranger(local, remote, &sa) else { return };
        let template = self.conn_for_offer(template, local, remote, &sa);
        let state = Phase1::MainR1 { sa_i: sa_body.to_vec() };
        let first = First { local, remote, icookie: h.icookie, digest };
        let Some((serial, known)) = self.respond_to(first, template, false, state) else { return };
        self.note_vendor_ids(serial, &chain);
        self.log_responding(serial, known);
        if let Err(fail) = self.main_send_r1(serial, &sa) {
            self.failed(serial, fail);
        }
    }

    /// `<-- HDR, SA, VIDs`.
    fn main_send_r1(&mut self, serial: Serial, offer: &SaPayload<'_>) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let usable = self.usable_methods(c, sa.role, sa.remote.ip());
        let him = match c.wanted_id() {
            Id::None => Id::Addr(sa.remote.ip()),
            id => id,
        };
        let Taken { offered, lifetime, answer } = self.take_offer(sa, c, offer, &usable, &him, |_| true)?;
        let mut w = MessageWriter::new(header(sa, Exchange::Main, 0));
        w.payload(Kind::Sa, &answer);
        self.answer_vendor_ids(&mut w, sa, c);
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.suite = Some(offered.suite);
            sa.auth = offered.auth;
            sa.lifetime = lifetime;
        }
        self.log_transition(serial, StateName::MainR0, StateName::MainR1);
        self.send_phase1(serial, w.finish());
        self.log_state(serial, StateName::MainR1, "");
        let until = self.after(self.setup.limits.half_open_life);
        self.timers.set(serial, TimerKind::Discard, until);
        Ok(())
    }

    /// `--> HDR, KE, Ni [, NAT-D, NAT-D]`.
    pub(crate) fn main_in_i2(&mut self, serial: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        if h.encrypted() {
            return Err(Fail::ignore("packet rejected: should not have been encrypted"));
        }
        let chain = self.chain(h.next, body)?;
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let Some(suite) = sa.suite else { return Ok(()) };
        let (g_xi, ni) = key_and_nonce(&chain, suite.group.public_len())?;
        let wish = self.conns.get(sa.conn).map(|c| natt::Wish::from(&*c.spec)).unwrap_or_default();
        let (natt, text) = natt::detect(sa, suite.hash, &chain, wish, (sa.local, sa.remote))?;
        sa.natt = natt;
        sa.peer_nat_d = natt.method.and_then(|m| chain.first(m.nat_d())).map(Box::from);
        let Phase1::MainR1 { sa_i } = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::MainR1))
        else {
            return Ok(());
        };
        self.note_cert_requests(serial, &chain);
        self.half_open.proved(serial);
        if let Some(text) = text {
            self.log_sa(serial, rc::LOG_SERIOUS, &text);
        }
        let secret = SecretBytes::new(self.random_vec(dh::secret_len(suite.group)));
        let job = CryptoJob::KeyExchange(KeyExchange {
            group: suite.group,
            secret,
            public: true,
            peer: Some(g_xi.clone()),
        });
        self.compute(serial, job, Continuation::MainR2(Box::new(AfterMi2 { sa_i, g_xi, ni })));
        Ok(())
    }

    /// `<-- HDR, KE, Nr [, NAT-D, NAT-D]`.
    pub(crate) fn main_send_r2(
        &mut self,
        serial: Serial,
        was: AfterMi2,
        done: CryptoResult,
    ) -> Result<(), Fail> {
        let nr = self.random_vec(NONCE_LEN);
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let Some(suite) = sa.suite else { return Ok(()) };
        let wish = self.conns.get(sa.conn).map(|c| natt::Wish::from(&*c.spec)).unwrap_or_default();
        let mut w = MessageWriter::new(header(sa, Exchange::Main, 0));
        w.payload(Kind::KeyExchange, &done.public).payload(Kind::Nonce, &nr);
        self.add_cert_requests(&mut w, serial);
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        for (kind, body) in natt::payloads(sa, suite.hash, wish)? {
            w.payload(kind, &body);
        }
        sa.peer_nat_d = None;
        sa.state = Phase1::MainR2(Box::new(Exchanged {
            sa_i: was.sa_i,
            g_xi: was.g_xi,
            g_xr: done.public,
            ni: was.ni,
            nr,
            shared: done.shared,
        }));
        self.log_transition(serial, StateName::MainR1, StateName::MainR2);
        self.send_phase1(serial, w.finish());
        self.log_state(serial, StateName::MainR2, "");
        let until = self.after(self.setup.limits.half_open_life);
        self.timers.set(serial, TimerKind::Discard, until);
        Ok(())
    }

    /// `--> HDR*, IDii, HASH_I [, N]`, answered with `<-- HDR*, IDir, HASH_R`.
    pub(crate) fn main_in_i3(
        &mut self,
        serial: Serial,
        remote: SocketAddr,
        local: SocketAddr,
        h: &Header,
        body: &[u8],
    ) -> Result<(), Fail> {
        if !h.encrypted() {
            return Err(Fail::ignore("packet rejected: should have been encrypted"));
        }
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let (Phase1::MainR2(x), Some(c)) = (&sa.state, self.conns.get(sa.conn)) else { return Ok(()) };
        // Every secret that fits equally well is tried; the hash tells which one the peer has.
        let mut defect = None;
        let mut found = None;
        let candidates: Vec<Option<SecretBytes>> = match sa.auth.proof(Role::Initiator) {
            Proof::Psk => self.psk_candidates(sa, c).into_iter().map(Some).collect(),
            Proof::Signature | Proof::Later => vec![None],
        };
        for psk in candidates {
            match self.try_i3(sa, x, psk.as_ref(), h, body) {
                Ok(ok) => {
                    found = Some(ok);
                    break;
                }
                Err(e) => defect = Some(e),
            }
        }
        let Some(i3) = found else {
            return Err(Fail {
                text: vec![defect.unwrap_or_default(), authenticate::doubt(sa)],
                notify: Some(NotifyType::PayloadMalformed),
                fatal: false,
            });
        };
        let mut i3 = i3;
        let (id, signed) = (i3.id.clone(), i3.signed.take());
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        sa.cert_asked |= i3.cert_asked;
        let was = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::MainR2));
        let Phase1::MainR2(x) = was else { return Ok(()) };
        let got = Box::new(GotI3 { x, i3, remote, local, id_b: Vec::new() });
        match signed {
            Some((hash, signature, certs)) => {
                self.verify(serial, id, hash, (signature, certs), Continuation::MainI3Verified(got));
                Ok(())
            }
            None => self.main_accept_i3(serial, *got),
        }
    }

    /// What a worker says of SIG_I.
    pub(crate) fn main_i3_verified(
        &mut self,
        serial: Serial,
        got: GotI3,
        verdict: Verdict,
    ) -> Result<(), Fail> {
        self.take_verdict(serial, &got.i3.id, verdict)?;
        self.main_accept_i3(serial, got)
    }

    /// The peer has proved that it is who it says: which conn is its, and what is our proof on it?
    fn main_accept_i3(&mut self, serial: Serial, mut got: GotI3) -> Result<(), Fail> {
        self.log_peer_id(serial, &got.i3.id);
        let conn = self.accept_identity(serial, &got.i3.id, got.remote)?;
        let our_id = self.conns.get(conn).map_or(Id::None, |c| c.our_id());
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        got.id_b = ident::emit(&our_id, 0, 0);
        let hash_r = authenticate::auth_hash(sa, sa.role, &got.x, &got.i3.keys.skeyid, &got.id_b)?;
        match sa.auth.proof(sa.role) {
            Proof::Signature => self.sign(serial, hash_r, Continuation::MainR3Signed(Box::new(got))),
            Proof::Psk | Proof::Later => self.main_finish_r3(serial, got, (Kind::Hash, hash_r)),
        }
    }

    /// `<-- HDR*, IDir, HASH_R or SIG_R`, now that the proof is made.
    pub(crate) fn main_finish_r3(
        &mut self,
        serial: Serial,
        got: GotI3,
        (kind, proof): (Kind, Vec<u8>),
    ) -> Result<(), Fail> {
        let GotI3 { i3, remote, local, id_b, .. } = got;
        let Some(natt) = self.ikes.get(&serial).map(|s| s.natt) else { return Ok(()) };
        let moved = self.follow_initiator(serial, local, remote, natt);
        let Some((sa, suite)) = self.ikes.get(&serial).and_then(|s| Some((s, s.suite?))) else {
            return Ok(());
        };
        let mut w = MessageWriter::new(header(sa, Exchange::Main, 0));
        w.payload(Kind::Id, &id_b);
        self.add_certs(&mut w, serial);
        w.payload(kind, &proof);
        let mut keys = i3.keys;
        let message = seal(w, suite, &keys.cipher_key, &mut keys.iv)?;
        let up = keys.up(message.clone());
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.state = up;
        }
        if let Some(text) = moved {
            self.log_sa(serial, rc::LOG, &text);
        }
        self.opened_by_phase1(serial);
        self.forget_first(serial);
        self.log_transition(serial, StateName::MainR2, StateName::MainR3);
        self.send_phase1(serial, message);
        self.ike_established(serial, i3.initial_contact);
        Ok(())
    }

    fn try_i3(
        &self,
        sa: &IkeSa,
        x: &Exchanged,
        psk: Option<&SecretBytes>,
        h: &Header,
        body: &[u8],
    ) -> Result<TriedI3, String> {
        let suite = sa.suite.ok_or("no suite")?;
        let text = |f: Fail| f.text.join("; ");
        let mut keys = authenticate::derive_keys(sa, x, psk).map_err(|e| e.to_string())?;
        let plain = open(body, suite, &keys.cipher_key, &mut keys.iv).map_err(text)?;
        let chain = self.chain(h.next, &plain).map_err(|e| e.to_string())?;
        let by_signature = sa.auth.proof(Role::Initiator) == Proof::Signature;
        let kind = if by_signature { Kind::Signature } else { Kind::Hash };
        let (Some(id_b), Some(proof)) = (chain.first(Kind::Id), chain.first(kind)) else {
            return Err(format!("message is missing the ID payload or the {}", kind.name()));
        };
        let signed = match by_signature {
            true => {
                let hash = authenticate::auth_hash(sa, Role::Initiator, x, &keys.skeyid, id_b);
                Some((hash.map_err(|e| e.to_string())?, proof.to_vec(), certs::sent(&chain)))
            }
            false => None,
        };
        if !by_signature && !self.check_proof(&chain, sa, x, &keys.skeyid, id_b).map_err(text)? {
            return Err("received Hash Payload does not match computed value".into());
        }
        let payload = IdPayload::parse(id_b).map_err(|e| e.to_string())?;
        let id = payload.identity().map_err(|e| e.to_string())?;
        Ok(TriedI3 {
            keys,
            id,
            signed,
            cert_asked: chain.first(Kind::CertRequest).is_some(),
            initial_contact: says_initial_contact(&chain),
        })
    }
}

/// What MI3 says.
#[derive(Debug)]
pub(crate) struct TriedI3 {
    keys: Phase1Keys,
    id: Id,
    /// HASH_I, SIG_I and the certificates, if there is a signature: it is still to be checked.
    signed: Option<(Vec<u8>, Vec<u8>, Vec<SentCert>)>,
    cert_asked: bool,
    initial_contact: bool,
}

pub(crate) fn says_initial_contact(chain: &Chain<'_>) -> bool {
    chain
        .all(Kind::Notify)
        .any(|n| Notification::parse(n).is_ok_and(|n| n.kind == NotifyType::InitialContact))
}

/// KE and nonce of a message, checked for size.
pub(crate) fn key_and_nonce(chain: &Chain<'_>, public_len: usize) -> Result<(Vec<u8>, Vec<u8>), Fail> {
    let (Some(ke), Some(nonce)) = (chain.first(Kind::KeyExchange), chain.first(Kind::Nonce)) else {
        return Err(Fail::ignore("message ignored because it is missing payload(s) KE or NONCE"));
    };
    if ke.len() != public_len {
        return Err(Fail::ignore(format!("KE has {} byte DH public value; {public_len} required", ke.len())));
    }
    if !NONCE_RANGE.contains(&nonce.len()) {
        return Err(Fail::ignore(format!("Nonce length {} not between 8 and 256", nonce.len())));
    }
    Ok((ke.to_vec(), nonce.to_vec()))
}

/// Of a message as it came.
pub(crate) fn digest(message: &[u8]) -> Option<Digest> {
    hash(HashAlg::Sha256, &[message]).ok()?.try_into().ok()
}
