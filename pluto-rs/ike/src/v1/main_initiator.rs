//! Main Mode as initiator (RFC 2409 §5.4); the messages are drawn in `main_responder`.

use std::net::SocketAddr;

use ipsec_crypto::dh;
use ipsec_types::conn::ConnSpec;
use ipsec_types::whack::rc;
use ipsec_types::{Id, SecretBytes};

use super::auth_method::{Proof, methods};
use super::main_responder::{key_and_nonce, says_initial_contact};
use super::message::{NONCE_LEN, header, open, seal};
use super::{Continuation, Fail, authenticate, certs, first, natt, phase1};
use crate::Endpoint;
use crate::claim::Verdict;
use crate::conn::ConnId;
use crate::io::{ClientId, CryptoJob, CryptoResult, KeyExchange};
use crate::sa::{Exchanged, IkeSa, MainI2, MainI3, Phase1, Phase1Keys, Role, Serial, StateName};
use crate::wire::ident::{self, IdPayload};
use crate::wire::payload::Kind;
use crate::wire::{Exchange, Header, MessageWriter, SaPayload};

#[derive(Debug)]
pub(crate) struct AfterMr1 {
    sa_i: Vec<u8>,
    secret: SecretBytes,
}

#[derive(Debug)]
pub(crate) struct AfterMr2 {
    i2: Box<MainI2>,
    g_xr: Vec<u8>,
    nr: Vec<u8>,
}

/// MI3 but for its proof.
#[derive(Debug)]
pub(crate) struct BeforeI3 {
    x: Exchanged,
    keys: Phase1Keys,
    id_b: Vec<u8>,
}

/// What MR3 says.
#[derive(Debug)]
pub(crate) struct GotR3 {
    /// Of the message after it.
    iv: Vec<u8>,
    id: Id,
    initial_contact: bool,
}

impl Endpoint {
    /// Starts Main Mode: `--> HDR, SA, VIDs`. Quick Modes of `pending` follow when it is up.
    pub(crate) fn main_send_i1(
        &mut self,
        conn: ConnId,
        pending: Vec<ConnId>,
        whack: Option<ClientId>,
        tries: u32,
        replaces: Option<Serial>,
    ) -> Option<Serial> {
        let serial = self.new_serial();
        let cookies = (self.random(), [0; 8]);
        let c = self.conns.get(conn)?;
        let (local, remote) = (c.our_addr()?, c.peer?);
        let methods = self.usable_methods(c, Role::Initiator, remote);
        if methods.is_empty() {
            self.nothing_to_prove_with(conn, whack, pending);
            return None;
        }
        let sa_i = phase1::offer(&c.spec, &methods);
        let (local, remote) = (SocketAddr::new(local, self.ike_port()), SocketAddr::new(remote, 500));
        let first = Phase1::MainI1 { sa_i: sa_i.clone() };
        let mut sa = IkeSa::new(conn, Role::Initiator, cookies, local, remote, first);
        sa.lifetime = c.spec.ike_lifetime;
        sa.tries = tries;
        sa.later.whack = whack;
        sa.later.pending = pending;
        let mut w = MessageWriter::new(header(&sa, Exchange::Main, 0));
        w.payload(Kind::Sa, &sa_i);
        self.offer_vendor_ids(&mut w, c);
        self.by_icookie.insert(sa.icookie, serial);
        self.ikes.insert(serial, sa);
        self.conn_ref(conn);
        let replace = replaces.map_or_else(String::new, |r| format!(" to replace {r}"));
        self.log_sa(serial, rc::LOG, &format!("initiating Main Mode{replace}"));
        self.send_phase1(serial, w.finish());
        self.log_sa(serial, StateName::MainI1.code(), "STATE_MAIN_I1: initiate");
        self.arm_retransmit(serial);
        Some(serial)
    }

    /// `<-- HDR, SA, VIDs`: the responder has chosen.
    pub(crate) fn main_in_r1(&mut self, serial: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        if h.encrypted() {
            return Err(Fail::ignore("packet rejected: should not have been encrypted"));
        }
        let chain = self.chain(h.next, body)?;
        let sa_r = chain.first(Kind::Sa).ok_or_else(|| Fail::ignore("message is missing payload(s) SA"))?;
        let sa_r = SaPayload::parse(sa_r)?;
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let ours = ConnSpec { ike: phase1::offered(&c.spec), ..(*c.spec).clone() };
        let chosen = first::chosen_of(&sa_r, &ours, &methods(c, sa.role))?;
        let secret = SecretBytes::new(self.random_vec(dh::secret_len(chosen.suite.group)));
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let Phase1::MainI1 { sa_i } = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::MainI1))
        else {
            return Ok(());
        };
        sa.rcookie = h.rcookie;
        sa.suite = Some(chosen.suite);
        sa.auth = chosen.auth;
        sa.lifetime = chosen.life.map_or(sa.lifetime, |l| l.min(sa.lifetime));
        let (icookie, rcookie) = (sa.icookie, sa.rcookie);
        self.by_icookie.remove(&icookie);
        self.by_cookies.insert((icookie, rcookie), serial);
        self.note_vendor_ids(serial, &chain);
        if let Some(m) = self.ikes.get(&serial).and_then(|s| s.natt.method) {
            self.log_sa(
                serial,
                rc::LOG,
                &format!("enabling possible NAT-traversal with method {}", m.name()),
            );
        }
        self.stop_retransmit(serial);
        let job = CryptoJob::KeyExchange(KeyExchange {
            group: chosen.suite.group,
            secret: secret.clone(),
            public: true,
            peer: None,
        });
        self.compute(serial, job, Continuation::MainI2(Box::new(AfterMr1 { sa_i, secret })));
        Ok(())
    }

    /// `--> HDR, KE, Ni [, NAT-D, NAT-D]`.
    pub(crate) fn main_send_i2(
        &mut self,
        serial: Serial,
        was: AfterMr1,
        done: CryptoResult,
    ) -> Result<(), Fail> {
        let ni = self.random_vec(NONCE_LEN);
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let Some(suite) = sa.suite else { return Ok(()) };
        let wish = self.conns.get(sa.conn).map(|c| natt::Wish::from(&*c.spec)).unwrap_or_default();
        let mut w = MessageWriter::new(header(sa, Exchange::Main, 0));
        w.payload(Kind::KeyExchange, &done.public).payload(Kind::Nonce, &ni);
        for (kind, body) in natt::payloads(sa, suite.hash, wish)? {
            w.payload(kind, &body);
        }
        sa.state =
            Phase1::MainI2(Box::new(MainI2 { sa_i: was.sa_i, secret: was.secret, g_xi: done.public, ni }));
        self.log_transition(serial, StateName::MainI1, StateName::MainI2);
        self.send_phase1(serial, w.finish());
        self.log_state(serial, StateName::MainI2, "");
        self.arm_retransmit(serial);
        Ok(())
    }

    /// `<-- HDR, KE, Nr [, NAT-D, NAT-D]`.
    pub(crate) fn main_in_r2(&mut self, serial: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        if h.encrypted() {
            return Err(Fail::ignore("packet rejected: should not have been encrypted"));
        }
        let chain = self.chain(h.next, body)?;
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let Some(suite) = sa.suite else { return Ok(()) };
        let (g_xr, nr) = key_and_nonce(&chain, suite.group.public_len())?;
        let wish = self.conns.get(sa.conn).map(|c| natt::Wish::from(&*c.spec)).unwrap_or_default();
        let (natt, text) = natt::detect(sa, suite.hash, &chain, wish, (sa.local, sa.remote))?;
        sa.natt = natt;
        let Phase1::MainI2(i2) = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::MainI2))
        else {
            return Ok(());
        };
        self.stop_retransmit(serial);
        self.note_cert_requests(serial, &chain);
        if let Some(text) = text {
            self.log_sa(serial, rc::LOG_SERIOUS, &text);
        }
        let job = CryptoJob::KeyExchange(KeyExchange {
            group: suite.group,
            secret: i2.secret.clone(),
            public: false,
            peer: Some(g_xr.clone()),
        });
        self.compute(serial, job, Continuation::MainI3(Box::new(AfterMr2 { i2, g_xr, nr })));
        Ok(())
    }

    /// `--> HDR*, IDii, HASH_I [, N(INITIAL-CONTACT)]`, from port 4500 if there is a NAT (RFC 3947 §4).
    pub(crate) fn main_send_i3(
        &mut self,
        serial: Serial,
        was: AfterMr2,
        done: CryptoResult,
    ) -> Result<(), Fail> {
        let nat_port = self.nat_port();
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        if sa.natt.detected() {
            sa.local.set_port(nat_port);
            sa.remote.set_port(4500);
            sa.natt.floated = true;
        }
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(c) = self.conns.get(sa.conn) else { return Ok(()) };
        let psk = self.psk_candidates(sa, c).into_iter().next();
        if psk.is_none() && sa.auth.proof(sa.role) == Proof::Psk {
            return Err(Fail::fatal(authenticate::no_psk(c, &c.wanted_id())));
        }
        let i2 = was.i2;
        let x = Exchanged {
            sa_i: i2.sa_i,
            g_xi: i2.g_xi,
            g_xr: was.g_xr,
            ni: i2.ni,
            nr: was.nr,
            shared: done.shared,
        };
        let keys = authenticate::derive_keys(sa, &x, psk.as_ref())?;
        let id_b = ident::emit(&c.our_id(), 0, 0);
        let hash_i = authenticate::auth_hash(sa, sa.role, &x, &keys.skeyid, &id_b)?;
        let by_signature = sa.auth.proof(sa.role) == Proof::Signature;
        let was = BeforeI3 { x, keys, id_b };
        match by_signature {
            true => self.sign(serial, hash_i, Continuation::MainI3Signed(Box::new(was))),
            false => self.main_finish_i3(serial, was, (Kind::Hash, hash_i)),
        }
    }

    /// `--> HDR*, IDii, HASH_I or SIG_I`, now that the proof is made.
    pub(crate) fn main_finish_i3(
        &mut self,
        serial: Serial,
        was: BeforeI3,
        (kind, proof): (Kind, Vec<u8>),
    ) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let Some(suite) = sa.suite else { return Ok(()) };
        let BeforeI3 { x, mut keys, id_b } = was;
        let mut w = MessageWriter::new(header(sa, Exchange::Main, 0));
        w.payload(Kind::Id, &id_b);
        self.add_certs(&mut w, serial);
        w.payload(kind, &proof);
        self.add_cert_requests(&mut w, serial);
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        self.add_initial_contact(&mut w, sa);
        let message = seal(w, suite, &keys.cipher_key, &mut keys.iv)?;
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.state = Phase1::MainI3(Box::new(MainI3 { x, keys }));
        }
        self.log_transition(serial, StateName::MainI2, StateName::MainI3);
        self.send_phase1(serial, message);
        self.log_state(serial, StateName::MainI3, "");
        self.arm_retransmit(serial);
        Ok(())
    }

    /// `<-- HDR*, IDir, HASH_R`: the peer proves that it has the key.
    pub(crate) fn main_in_r3(&mut self, serial: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        if !h.encrypted() {
            return Err(Fail::ignore("packet rejected: should have been encrypted"));
        }
        let Some(sa) = self.ikes.get(&serial) else { return Ok(()) };
        let (Phase1::MainI3(i3), Some(suite)) = (&sa.state, sa.suite) else { return Ok(()) };
        let mut iv = i3.keys.iv.clone();
        let plain = open(body, suite, &i3.keys.cipher_key, &mut iv)?;
        let malformed =
            |text: String| Fail { text: vec![text, authenticate::doubt(sa)], notify: None, fatal: false };
        let chain = self.chain(h.next, &plain).map_err(|e| malformed(e.to_string()))?;
        let by_signature = sa.auth.proof(Role::Responder) == Proof::Signature;
        let kind = if by_signature { Kind::Signature } else { Kind::Hash };
        let (Some(id_b), Some(proof)) = (chain.first(Kind::Id), chain.first(kind)) else {
            return Err(malformed(format!("message is missing the ID payload or the {}", kind.name())));
        };
        let id = IdPayload::parse(id_b)?.identity()?;
        let got = GotR3 { iv, id: id.clone(), initial_contact: says_initial_contact(&chain) };
        if by_signature {
            let hash = authenticate::auth_hash(sa, Role::Responder, &i3.x, &i3.keys.skeyid, id_b)?;
            let proof = proof.to_vec();
            let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
            let was = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::MainI3));
            let Phase1::MainI3(i3) = was else { return Ok(()) };
            let got = Box::new((i3, got));
            self.verify(serial, id, hash, (proof, certs::sent(&chain)), Continuation::MainR3Verified(got));
            return Ok(());
        }
        if !self.check_proof(&chain, sa, &i3.x, &i3.keys.skeyid, id_b)? {
            return Err(Fail::ignore("received Hash Payload does not match computed value"));
        }
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let was = std::mem::replace(&mut sa.state, Phase1::Suspended(StateName::MainI3));
        let Phase1::MainI3(i3) = was else { return Ok(()) };
        self.main_accept_r3(serial, *i3, got)
    }

    /// What a worker says of SIG_R.
    pub(crate) fn main_r3_verified(
        &mut self,
        serial: Serial,
        (i3, got): (Box<MainI3>, GotR3),
        verdict: Verdict,
    ) -> Result<(), Fail> {
        self.stop_retransmit(serial);
        self.take_verdict(serial, &got.id, verdict)?;
        self.main_accept_r3(serial, *i3, got)
    }

    /// The peer has proved that it is who it says: is it whom we want?
    fn main_accept_r3(&mut self, serial: Serial, i3: MainI3, got: GotR3) -> Result<(), Fail> {
        self.log_peer_id(serial, &got.id);
        let Some(conn) = self.ikes.get(&serial).map(|s| s.conn) else { return Ok(()) };
        let Some(c) = self.conns.get(conn) else { return Ok(()) };
        self.wants_peer(c, serial, &got.id)?;
        let Some(sa) = self.ikes.get_mut(&serial) else { return Ok(()) };
        let mut keys = i3.keys;
        keys.iv = got.iv;
        sa.state = keys.up(Vec::new());
        self.stop_retransmit(serial);
        self.log_transition(serial, StateName::MainI3, StateName::MainI4);
        self.ike_established(serial, got.initial_contact);
        Ok(())
    }
}
