//! Aggressive Mode as initiator (RFC 2409 §5.4); the messages are drawn in `aggr_responder`.

use std::net::SocketAddr;

use ipsec_crypto::dh;
use ipsec_types::whack::rc;
use ipsec_types::{Id, SecretBytes};

use super::auth_method::{Proof, methods};
use super::main_responder::key_and_nonce;
use super::message::{NONCE_LEN, header, seal};
use super::{Continuation, Fail, authenticate, certs, first, natt, phase1};
use crate::Endpoint;
use crate::claim::Verdict;
use crate::conn::ConnId;
use crate::io::{ClientId, CryptoJob, CryptoResult, KeyExchange};
use crate::sa::{AggrI1, Exchanged, IkeSa, Phase1, Phase1Keys, Role, Serial, StateName};
use crate::wire::ident::{self, IdPayload};
use crate::wire::payload::Kind;
use crate::wire::{Exchange, Header, MessageWriter, SaPayload};

#[derive(Debug)]
pub(crate) struct BeforeAi1 {
    secret: SecretBytes,
}

#[derive(Debug)]
pub(crate) struct AfterAr1 {
    i1: Box<AggrI1>,
    /// First payload's type and all payloads of AR1.
    next: u8,
    body: Vec<u8>,
    g_xr: Vec<u8>,
    nr: Vec<u8>,
}

/// AR1 has come, and the secret was computed.
#[derive(Debug)]
pub(crate) struct GotR1 {
    x: Exchanged,
    keys: Phase1Keys,
    /// Of [`AggrI1`].
    secret: SecretBytes,
    id_b: Vec<u8>,
    next: u8,
    body: Vec<u8>,
    /// Whom the peer says it is.
    id: Id,
}

/// AI2 but for its proof.
#[derive(Debug)]
pub(crate) struct BeforeI2 {
    keys: Phase1Keys,
}

impl Endpoint {
    /// Begins phase 1 of `conn`, in the mode it asks for. Quick Modes of `pending` follow when it is up.
    pub(crate) fn phase1_start(
        &mut self,
        conn: ConnId,
        pending: Vec<ConnId>,
        whack: Option<ClientId>,
        tries: u32,
        replaces: Option<Serial>,
    ) -> Option<Serial> {
        match self.conns.get(conn)?.spec.aggressive {
            true => self.aggr_start(conn, pending, whack, tries, replaces),
            false => self.main_send_i1(conn, pending, whack, tries, replaces),
        }
    }

    /// Lets a worker make our public value, which the first message carries.
    fn aggr_start(
        &mut self,
        conn: ConnId,
        pending: Vec<ConnId>,
        whack: Option<ClientId>,
        tries: u32,
        replaces: Option<Serial>,
    ) -> Option<Serial> {
        let c = self.conns.get(conn)?;
        let (local, remote, spec) = (c.our_addr()?, c.peer?, c.spec.clone());
        let Some(group) = spec.ike.first().map(|s| s.group) else {
            let text = "no IKE proposal policy specified in config!  Can not initiate aggressive mode.  Set ike= to \
                        what the peer takes, with one group";
            self.log_conn(conn, whack, rc::AGGRALGO, text);
            return None;
        };
        let Some(best) = self.usable_methods(c, Role::Initiator, remote).first().copied() else {
            self.nothing_to_prove_with(conn, whack, pending);
            return None;
        };
        let (local, remote) = (SocketAddr::new(local, self.ike_port()), SocketAddr::new(remote, 500));
        let cookies = (self.random(), [0; 8]);
        let state = Phase1::Suspended(StateName::AggrI1);
        let mut sa = IkeSa::new(conn, Role::Initiator, cookies, local, remote, state);
        sa.aggressive = true;
        // What the responder is asked for in the first message; it will choose.
        sa.auth = best;
        sa.lifetime = spec.ike_lifetime;
        (sa.tries, sa.later.whack, sa.later.pending) = (tries, whack, pending);
        let serial = self.new_serial();
        self.by_icookie.insert(sa.icookie, serial);
        self.ikes.insert(serial, sa);
        self.conn_ref(conn);
        let replace = replaces.map_or_else(String::new, |r| format!(" to replace {r}"));
        let text = format!("initiating Aggressive Mode {serial}{replace}, connection \"{}\"", spec.name);
        self.log_sa(serial, rc::LOG, &text);
        if spec.ike.iter().any(|s| s.group != group) {
            let text =
                format!("Aggressive Mode has one group: of ike=, those with {} are offered", group.name());
            self.log_sa(serial, rc::LOG, &text);
        }
        let secret = SecretBytes::new(self.random_vec(dh::secret_len(group)));
        let job =
            CryptoJob::KeyExchange(KeyExchange { group, secret: secret.clone(), public: true, peer: None });
        self.compute(serial, job, Continuation::AggrI1(Box::new(BeforeAi1 { secret })));
        Some(serial)
    }

    /// `--> HDR, SA, KE, Ni, IDii, VIDs`.
    pub(crate) fn aggr_send_i1(
        &mut self,
        serial: Serial,
        was: BeforeAi1,
        done: CryptoResult,
    ) -> Result<(), Fail> {
        let ni = self.random_vec(NONCE_LEN);
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let methods = self.usable_methods(c, Role::Initiator, sa.remote.ip());
        let sa_i = phase1::offer(&phase1::one_group(&c.spec), &methods);
        let id_b = ident::emit(&c.our_id(), 0, 0);
        let mut w = MessageWriter::new(header(sa, Exchange::Aggressive, 0));
        w.payload(Kind::Sa, &sa_i)
            .payload(Kind::KeyExchange, &done.public)
            .payload(Kind::Nonce, &ni)
            .payload(Kind::Id, &id_b);
        self.add_cert_requests(&mut w, serial);
        let Some(c) = self.ikes.get(&serial).and_then(|sa| self.conns.get(sa.conn)) else { return Ok(()) };
        self.offer_vendor_ids(&mut w, c);
        let i1 = AggrI1 { sa_i, secret: was.secret, g_xi: done.public, ni, id_b };
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.state = Phase1::AggrI1(Box::new(i1));
        }
        self.send_phase1(serial, w.finish());
        self.log_sa(serial, StateName::AggrI1.code(), "STATE_AGGR_I1: initiate");
        self.arm_retransmit(serial);
        Ok(())
    }

    /// `<-- HDR, SA, KE, Nr, IDir, HASH_R, VIDs [, NAT-D, NAT-D]`.
    pub(crate) fn aggr_in_r1(&mut self, serial: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        if h.encrypted() {
            return Err(Fail::ignore("packet rejected: should not have been encrypted"));
        }
        let chain = self.chain(h.next, body)?;
        let sa_r = chain.first(Kind::Sa).ok_or_else(|| Fail::ignore("message is missing payload(s) SA"))?;
        let sa_r = SaPayload::parse(sa_r)?;
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let chosen = first::chosen_of(&sa_r, &phase1::one_group(&c.spec), &methods(c, Role::Initiator))?;
        let group = chosen.suite.group;
        let (g_xr, nr) = key_and_nonce(&chain, group.public_len())?;
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let Phase1::AggrI1(i1) = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::AggrI1))
        else {
            return Ok(());
        };
        sa.rcookie = h.rcookie;
        (sa.suite, sa.auth) = (Some(chosen.suite), chosen.auth);
        sa.lifetime = chosen.life.map_or(sa.lifetime, |l| l.min(sa.lifetime));
        self.stop_retransmit(serial);
        let job = CryptoJob::KeyExchange(KeyExchange {
            group,
            secret: i1.secret.clone(),
            public: false,
            peer: Some(g_xr.clone()),
        });
        let after = AfterAr1 { i1, next: h.next, body: body.to_vec(), g_xr, nr };
        self.compute(serial, job, Continuation::AggrI2(Box::new(after)));
        Ok(())
    }

    /// Checks the proof in AR1, or has a worker check it.
    pub(crate) fn aggr_send_i2(
        &mut self,
        serial: Serial,
        was: AfterAr1,
        done: CryptoResult,
    ) -> Result<(), Fail> {
        let AfterAr1 { i1, next, body, g_xr, nr } = was;
        let chain = self.chain(next, &body)?;
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let psk = self.psk_candidates(sa, c).into_iter().next();
        if psk.is_none() && sa.auth.proof(sa.role) == Proof::Psk {
            return Err(Fail::fatal(authenticate::no_psk(c, &c.wanted_id())));
        }
        let AggrI1 { sa_i, secret, g_xi, ni, id_b } = *i1;
        let x = Exchanged { sa_i, g_xi, g_xr, ni, nr, shared: done.shared };
        let keys = authenticate::derive_keys(sa, &x, psk.as_ref())?;
        let id_r = chain.first(Kind::Id).unwrap_or_default();
        let id = IdPayload::parse(id_r).and_then(|p| p.identity()).unwrap_or(Id::None);
        let hash_r = authenticate::auth_hash(sa, Role::Responder, &x, &keys.skeyid, id_r)?;
        let (signature, proved) = match sa.auth.proof(Role::Responder) {
            Proof::Signature => (chain.first(Kind::Signature).map(<[u8]>::to_vec), false),
            Proof::Psk | Proof::Later => (None, self.check_proof(&chain, sa, &x, &keys.skeyid, id_r)?),
        };
        let sent = certs::sent(&chain);
        let got = GotR1 { x, keys, secret, id_b, next, body: body.clone(), id: id.clone() };
        if id == Id::None {
            return Err(self.aggr_wait_for_another(
                serial,
                got,
                vec!["message is missing the ID payload".into()],
            ));
        }
        match signature {
            Some(signature) => {
                let then = Continuation::AggrR1Verified(Box::new(got));
                self.verify(serial, id, hash_r, (signature, sent), then);
                Ok(())
            }
            None if proved => self.aggr_accept_r1(serial, got),
            None => {
                let mut text = vec!["received Hash Payload does not match computed value".into()];
                match psk {
                    Some(_) => {
                        text.push("probable authentication failure (mismatch of preshared secrets?)".into())
                    }
                    None => text = vec!["message is missing the payload that proves the peer".into()],
                }
                Err(self.aggr_wait_for_another(serial, got, text))
            }
        }
    }

    /// What a worker says of SIG_R.
    pub(crate) fn aggr_r1_verified(
        &mut self,
        serial: Serial,
        got: GotR1,
        verdict: Verdict,
    ) -> Result<(), Fail> {
        match self.take_verdict(serial, &got.id, verdict) {
            Ok(()) => self.aggr_accept_r1(serial, got),
            Err(fail) => Err(self.aggr_wait_for_another(serial, got, fail.text)),
        }
    }

    /// Anybody on the way can have sent that AR1: the right one may still come.
    fn aggr_wait_for_another(&mut self, serial: Serial, got: GotR1, text: Vec<String>) -> Fail {
        let GotR1 { x, secret, id_b, .. } = got;
        let i1 = AggrI1 { sa_i: x.sa_i, secret, g_xi: x.g_xi, ni: x.ni, id_b };
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.state = Phase1::AggrI1(Box::new(i1));
            (sa.rcookie, sa.last_received) = ([0; 8], None);
        }
        self.arm_retransmit(serial);
        Fail { text, notify: None, fatal: false }
    }

    /// The peer has proved that it is who it says: is it whom we want? If so, it is our turn, from port 4500 if there is a
    /// NAT (RFC 3947 §4).
    fn aggr_accept_r1(&mut self, serial: Serial, got: GotR1) -> Result<(), Fail> {
        let GotR1 { x, keys, id_b, next, body, id, .. } = got;
        let chain = self.chain(next, &body)?;
        self.note_vendor_ids(serial, &chain);
        self.note_cert_requests(serial, &chain);
        self.log_peer_id(serial, &id);
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let (Some(suite), Some(c)) = (sa.suite, self.conns.get(sa.conn)) else { return Ok(()) };
        self.wants_peer(c, serial, &id)?;
        let (wish, nat_port) = (natt::Wish::from(&*c.spec), self.nat_port());
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let (natt, text) = natt::detect(sa, suite.hash, &chain, wish, (sa.local, sa.remote))?;
        sa.natt = natt;
        if natt.detected() {
            sa.local.set_port(nat_port);
            sa.remote.set_port(4500);
            sa.natt.floated = true;
        }
        let (icookie, rcookie) = (sa.icookie, sa.rcookie);
        self.by_icookie.remove(&icookie);
        self.by_cookies.insert((icookie, rcookie), serial);
        if let Some(text) = text {
            self.log_sa(serial, rc::LOG_SERIOUS, &text);
        }
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let hash_i = authenticate::auth_hash(sa, sa.role, &x, &keys.skeyid, &id_b)?;
        let by_signature = sa.auth.proof(sa.role) == Proof::Signature;
        let was = BeforeI2 { keys };
        match by_signature {
            true => self.sign(serial, hash_i, Continuation::AggrI2Signed(Box::new(was))),
            false => self.aggr_finish_i2(serial, was, (Kind::Hash, hash_i)),
        }
    }

    /// `--> HDR*, HASH_I or SIG_I [, NAT-D, NAT-D] [, N]`, now that the proof is made.
    pub(crate) fn aggr_finish_i2(
        &mut self,
        serial: Serial,
        was: BeforeI2,
        (kind, proof): (Kind, Vec<u8>),
    ) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let (Some(suite), Some(c)) = (sa.suite, self.conns.get(sa.conn)) else { return Ok(()) };
        let wish = natt::Wish::from(&*c.spec);
        let mut keys = was.keys;
        let mut w = MessageWriter::new(header(sa, Exchange::Aggressive, 0));
        self.add_certs(&mut w, serial);
        w.payload(kind, &proof);
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        for (kind, body) in natt::payloads(sa, suite.hash, wish)? {
            w.payload(kind, &body);
        }
        self.add_initial_contact(&mut w, sa);
        let message = seal(w, suite, &keys.cipher_key, &mut keys.iv)?;
        let up = keys.up(Vec::new());
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.state = up;
        }
        self.log_transition(serial, StateName::AggrI1, StateName::AggrI2);
        self.send_phase1(serial, message);
        // Nothing answers AI2: it is sent again until the peer says something under the new keys.
        self.arm_retransmit(serial);
        self.ike_established(serial, false);
        Ok(())
    }
}
