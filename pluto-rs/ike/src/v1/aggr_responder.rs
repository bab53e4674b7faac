//! Aggressive Mode as responder (RFC 2409 §5.4). It costs the identities their protection and, with a pre-shared key, shows
//! whoever asks under a known name a hash to guess the key from: only a conn with `aggrmode=yes` is served, and nothing at
//! all is sent to a peer whom no conn names (CVE-2002-1623).
//!
//! ```text
//!  --> HDR, SA, KE, Ni, IDii, VIDs                              AI1
//!  <-- HDR, SA, KE, Nr, IDir, HASH_R, VIDs [, NAT-D, NAT-D]     AR1
//!  --> HDR*, HASH_I [, NAT-D, NAT-D] [, N]                      AI2
//! ```
//! With signatures (§5.1) HASH is `CERT*, SIG`, and CERTREQ may stand in AI1 and AR1. AI2 may come in clear (§5.1 and §5.4
//! draw it so, a CERT with it): then anybody on the way may have sent it. What the proof does not cover, a notification, is
//! not believed in it; a proof that is wrong changes nothing, and the right one may still come.
//!
//! The group is settled by the first message: its KE payload must be of the group of the chosen transform.

use std::net::SocketAddr;

use ipsec_crypto::dh;
use ipsec_types::algo::IkeSuite;
use ipsec_types::whack::rc;
use ipsec_types::{Id, SecretBytes};

use super::auth_method::{Proof, methods};
use super::first::{First, Taken};
use super::main_responder::{key_and_nonce, says_initial_contact};
use super::message::{NONCE_LEN, NONCE_RANGE, header, open};
use super::{Continuation, Fail, authenticate, certs, natt};
use crate::Endpoint;
use crate::claim::Verdict;
use crate::io::{CryptoJob, CryptoResult, KeyExchange};
use crate::sa::{AggrR1, Digest, Exchanged, Phase1, Role, Serial, StateName};
use crate::timer::TimerKind;
use crate::wire::ident::{self, IdPayload};
use crate::wire::notify::NotifyType;
use crate::wire::payload::{Chain, Kind};
use crate::wire::{Exchange, Header, MessageWriter, SaPayload};

/// Signatures in AI2s in clear that are looked at for one SA: each costs as much as a public key does.
const CLEAR_SIGNATURES: u8 = 3;

#[derive(Debug)]
pub(crate) struct AfterAi1 {
    sa_i: Vec<u8>,
    answer: Vec<u8>,
    g_xi: Vec<u8>,
    ni: Vec<u8>,
    id_b: Vec<u8>,
    id: Id,
    /// With the methods that have one.
    psk: Option<SecretBytes>,
}

/// AR1 but for its proof.
#[derive(Debug)]
pub(crate) struct BeforeR1 {
    r1: AggrR1,
    answer: Vec<u8>,
    our_id: Vec<u8>,
}

/// AI2 has come.
#[derive(Debug)]
pub(crate) struct GotI2 {
    r1: Box<AggrR1>,
    /// Of the message after it.
    iv: Vec<u8>,
    natt: natt::NatT,
    /// What is to be said of NAT.
    text: Option<String>,
    remote: SocketAddr,
    local: SocketAddr,
    initial_contact: bool,
    /// If it came in clear, the digest of what was acted upon before.
    in_clear: Option<Option<Digest>>,
}

/// What is read of AI1 before anything is kept of it.
struct Ai1<'a> {
    sa_b: &'a [u8],
    sa: SaPayload<'a>,
    ke_len: usize,
    id_b: &'a [u8],
    id: Id,
}

fn read<'a>(chain: &Chain<'a>) -> Result<Ai1<'a>, String> {
    let missing = "message ignored because it is missing payload(s) of the initial Aggressive Mode message";
    let [sa_b, ke, nonce, id_b] =
        [Kind::Sa, Kind::KeyExchange, Kind::Nonce, Kind::Id].map(|kind| chain.first(kind));
    let (Some(sa_b), Some(ke), Some(nonce), Some(id_b)) = (sa_b, ke, nonce, id_b) else {
        return Err(missing.into());
    };
    if !NONCE_RANGE.contains(&nonce.len()) {
        return Err(format!("Nonce length {} not between 8 and 256", nonce.len()));
    }
    let malformed = |e: crate::wire::DecodeError| format!("{e}; malformed payload in packet");
    let sa = SaPayload::parse(sa_b).map_err(malformed)?;
    let id = IdPayload::parse(id_b).and_then(|p| p.identity()).map_err(malformed)?;
    Ok(Ai1 { sa_b, sa, ke_len: ke.len(), id_b, id })
}

impl Endpoint {
    /// `--> HDR, SA, KE, Ni, IDii, VIDs` from a stranger.
    pub(crate) fn aggr_in_i1(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        digest: Digest,
    ) {
        if h.encrypted() {
            return self.log_packet(remote, "initial Aggressive Mode message is encrypted; ignored");
        }
        let chain = match self.chain(h.next, body) {
            Ok(c) => c,
            Err(e) => return self.log_packet(remote, &format!("{e}; malformed payload in packet")),
        };
        let first = match read(&chain) {
            Ok(first) => first,
            Err(e) => return self.log_packet(remote, &e),
        };
        let Some(template) = self.conn_for_aggressive(local, remote, &first.id, &first.sa) else { return };
        let state = Phase1::Suspended(StateName::AggrR0);
        let ai1 = First { local, remote, icookie: h.icookie, digest };
        let Some((serial, known)) = self.respond_to(ai1, template, true, state) else { return };
        self.note_vendor_ids(serial, &chain);
        self.note_cert_requests(serial, &chain);
        self.log_peer_id(serial, &first.id);
        self.log_responding(serial, known);
        let until = self.after(self.setup.limits.half_open_life);
        self.timers.set(serial, TimerKind::Discard, until);
        if let Err(fail) = self.aggr_choose(serial, &chain, first) {
            self.failed(serial, fail);
        }
    }

    /// Chooses the transform and the key, and lets a worker compute.
    fn aggr_choose(&mut self, serial: Serial, chain: &Chain<'_>, first: Ai1<'_>) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        // The identity is known: the key may be one of its own.
        let mut keys = self.secrets.lookup(&c.our_id(), &first.id);
        if keys.is_empty() {
            keys = self.psk_candidates(sa, c);
        }
        let psk = keys.into_iter().next();
        let mut usable = methods(c, Role::Responder);
        usable.retain(|m| match m.proof(Role::Responder) {
            Proof::Psk => psk.is_some(),
            Proof::Signature => self.our_key(c, *m).is_some(),
            Proof::Later => true,
        });
        let group = |s: IkeSuite| s.group.public_len() == first.ke_len;
        let Taken { offered, lifetime, answer } =
            self.take_offer(sa, c, &first.sa, &usable, &first.id, group)?;
        let group = offered.suite.group;
        let (g_xi, ni) = key_and_nonce(chain, group.public_len())?;
        if let Some(sa) = self.ikes.get_mut(&serial) {
            (sa.suite, sa.auth, sa.lifetime) = (Some(offered.suite), offered.auth, lifetime);
        }
        let secret = SecretBytes::new(self.random_vec(dh::secret_len(group)));
        let job =
            CryptoJob::KeyExchange(KeyExchange { group, secret, public: true, peer: Some(g_xi.clone()) });
        let (sa_i, id_b) = (first.sa_b.to_vec(), first.id_b.to_vec());
        let after = AfterAi1 { sa_i, answer, g_xi, ni, id_b, id: first.id, psk };
        self.compute(serial, job, Continuation::AggrR1(Box::new(after)));
        Ok(())
    }

    /// All of `<-- HDR, SA, KE, Nr, IDir, HASH_R or SIG_R, VIDs [, NAT-D, NAT-D]` but the proof.
    pub(crate) fn aggr_send_r1(
        &mut self,
        serial: Serial,
        was: AfterAi1,
        done: CryptoResult,
    ) -> Result<(), Fail> {
        let nr = self.random_vec(NONCE_LEN);
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let AfterAi1 { sa_i, answer, g_xi, ni, id_b, id, psk } = was;
        let x = Exchanged { sa_i, g_xi, g_xr: done.public, ni, nr, shared: done.shared };
        let by_key = sa.auth.proof(sa.role) == Proof::Psk;
        let keys = authenticate::derive_keys(sa, &x, psk.as_ref().filter(|_| by_key))?;
        let our_id = ident::emit(&c.our_id(), 0, 0);
        let hash_r = authenticate::auth_hash(sa, sa.role, &x, &keys.skeyid, &our_id)?;
        let by_signature = sa.auth.proof(sa.role) == Proof::Signature;
        let was = BeforeR1 { r1: AggrR1 { x, keys, id_b, id, wrong_in_clear: 0 }, answer, our_id };
        match by_signature {
            true => self.sign(serial, hash_r, Continuation::AggrR1Signed(Box::new(was))),
            false => self.aggr_finish_r1(serial, was, (Kind::Hash, hash_r)),
        }
    }

    /// Sends AR1, now that the proof is made.
    pub(crate) fn aggr_finish_r1(
        &mut self,
        serial: Serial,
        was: BeforeR1,
        (kind, proof): (Kind, Vec<u8>),
    ) -> Result<(), Fail> {
        let BeforeR1 { r1, answer, our_id } = was;
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let mut w = MessageWriter::new(header(sa, Exchange::Aggressive, 0));
        w.payload(Kind::Sa, &answer)
            .payload(Kind::KeyExchange, &r1.x.g_xr)
            .payload(Kind::Nonce, &r1.x.nr)
            .payload(Kind::Id, &our_id);
        self.add_certs(&mut w, serial);
        w.payload(kind, &proof);
        self.add_cert_requests(&mut w, serial);
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let (Some(suite), Some(c)) = (sa.suite, self.conns.get(sa.conn)) else { return Ok(()) };
        self.answer_vendor_ids(&mut w, sa, c);
        for (kind, body) in natt::payloads(sa, suite.hash, natt::Wish::from(&*c.spec))? {
            w.payload(kind, &body);
        }
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.state = Phase1::AggrR1(Box::new(r1));
        }
        self.log_transition(serial, StateName::AggrR0, StateName::AggrR1);
        self.send_phase1(serial, w.finish());
        self.log_state(serial, StateName::AggrR1, "");
        Ok(())
    }

    /// `--> HDR*, HASH_I or SIG_I [, NAT-D, NAT-D] [, N]`, or all of it in clear.
    pub(crate) fn aggr_in_i2(
        &mut self,
        serial: Serial,
        remote: SocketAddr,
        local: SocketAddr,
        h: &Header,
        body: &[u8],
    ) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let (Phase1::AggrR1(r1), Some(suite)) = (&sa.state, sa.suite) else { return Ok(()) };
        let by_signature = sa.auth.proof(Role::Initiator) == Proof::Signature;
        let mut iv = r1.keys.iv.clone();
        let plain = match h.encrypted() {
            true => open(body, suite, &r1.keys.cipher_key, &mut iv)?,
            false if by_signature && r1.wrong_in_clear >= CLEAR_SIGNATURES => {
                return Err(Fail::ignore("packet rejected: should have been encrypted"));
            }
            false => body.to_vec(),
        };
        let mismatch = |text: String| Fail {
            text: vec![text, authenticate::doubt(sa)],
            notify: Some(NotifyType::PayloadMalformed),
            fatal: false,
        };
        let chain = self.chain(h.next, &plain).map_err(|e| mismatch(e.to_string()))?;
        let signature = chain.first(Kind::Signature).filter(|_| by_signature).map(<[u8]>::to_vec);
        if by_signature && signature.is_none() {
            return Err(mismatch("message is missing the SIG payload".into()));
        }
        if !by_signature && !self.check_proof(&chain, sa, &r1.x, &r1.keys.skeyid, &r1.id_b)? {
            return Err(mismatch("received Hash Payload does not match computed value".into()));
        }
        let hash_i = authenticate::auth_hash(sa, Role::Initiator, &r1.x, &r1.keys.skeyid, &r1.id_b)?;
        let wish = self.conns.get(sa.conn).map(|c| natt::Wish::from(&*c.spec)).unwrap_or_default();
        let initial_contact = h.encrypted() && says_initial_contact(&chain);
        let in_clear = (!h.encrypted()).then_some(sa.last_received);
        let (natt, text) = natt::detect_moved(sa, suite.hash, &chain, wish, (local, remote))?;
        let id = r1.id.clone();
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let Phase1::AggrR1(r1) = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::AggrR1))
        else {
            return Ok(());
        };
        let got = GotI2 { r1, iv, natt, text, remote, local, initial_contact, in_clear };
        match signature {
            Some(signature) => {
                let then = Continuation::AggrI2Verified(Box::new(got));
                self.verify(serial, id, hash_i, (signature, certs::sent(&chain)), then);
                Ok(())
            }
            None => self.aggr_accept_i2(serial, got),
        }
    }

    /// What a worker says of SIG_I.
    pub(crate) fn aggr_i2_verified(
        &mut self,
        serial: Serial,
        got: GotI2,
        verdict: Verdict,
    ) -> Result<(), Fail> {
        match (self.take_verdict(serial, &got.r1.id, verdict), got.in_clear) {
            (Ok(()), _) => self.aggr_accept_i2(serial, got),
            (Err(fail), None) => Err(fail),
            (Err(fail), Some(before)) => {
                let mut r1 = got.r1;
                r1.wrong_in_clear += 1;
                if let Some(sa) = self.ikes.get_mut(&serial) {
                    (sa.state, sa.last_received) = (Phase1::AggrR1(r1), before);
                }
                Err(Fail { notify: None, fatal: false, ..fail })
            }
        }
    }

    /// The peer has proved that it is who it says.
    fn aggr_accept_i2(&mut self, serial: Serial, got: GotI2) -> Result<(), Fail> {
        let GotI2 { r1, iv, natt, text, remote, local, initial_contact, .. } = got;
        self.accept_identity(serial, &r1.id, remote)?;
        let moved = self.follow_initiator(serial, local, remote, natt);
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let mut keys = r1.keys;
        keys.iv = iv;
        sa.state = keys.up(Vec::new());
        for text in [text, moved].into_iter().flatten() {
            self.log_sa(serial, rc::LOG, &text);
        }
        self.opened_by_phase1(serial);
        self.forget_first(serial);
        self.log_transition(serial, StateName::AggrR1, StateName::AggrR2);
        self.ike_established(serial, initial_contact);
        Ok(())
    }
}
