//! Quick Mode as initiator (RFC 2409 §5.5); the messages are drawn in `quick_responder`.

use ipnet::IpNet;
use ipsec_crypto::{dh, hmac};
use ipsec_types::SecretBytes;
use ipsec_types::algo::DhGroup;
use ipsec_types::conn::{ClientSpec, Port};
use ipsec_types::kernel::{KernelRequest, Mode};
use ipsec_types::whack::rc;

use super::message::{NONCE_LEN, NONCE_RANGE, Phase2Message, first_iv, open};
use super::quick::{check_hash, esp_keys};
use super::{Continuation, Fail, phase2};
use crate::Endpoint;
use crate::conn::{ConnId, Connection};
use crate::groups::everything;
use crate::install::Stage;
use crate::io::{ClientId, CryptoJob, CryptoResult, KeyExchange};
use crate::route::mode_of;
use crate::sa::{Phase2, QuickI1, Role, Serial, StateName, WaitingForSpi};
use crate::spd::Flow;
use crate::wire::ident;
use crate::wire::payload::Kind;
use crate::wire::{Exchange, Header, SaPayload};

#[derive(Debug)]
pub(crate) struct BeforeQi1 {
    secret: SecretBytes,
}

#[derive(Debug)]
pub(crate) struct AfterQr1 {
    ni: Vec<u8>,
    nr: Vec<u8>,
}

fn port(p: Port) -> u16 {
    match p {
        Port::Number(n) => n,
        Port::All | Port::Any => 0,
    }
}

/// What a conn protects when we begin; `None` where the peer is not known.
pub(crate) fn flow_of_conn(c: &Connection) -> Option<Flow> {
    let net = |client: &ClientSpec, host: Option<std::net::IpAddr>| match client {
        ClientSpec::Net(n) => Some(n.trunc()),
        ClientSpec::Host | ClientSpec::Virtual { .. } => host.map(IpNet::from),
    };
    let (this, that) = (c.this(), c.that());
    let whoever = c.our_addr().filter(|_| c.is_opportunistic()).map(everything);
    Some(Flow {
        ours: match (c.rare.our_lease, &this.client) {
            (Some(lease), _) => IpNet::from(lease),
            (None, client) => net(client, c.our_addr())?,
        },
        our_port: port(this.protoport.port),
        theirs: match c.rare.their_lease {
            Some(lease) => IpNet::from(lease),
            None => net(&that.client, c.peer).or(whoever)?,
        },
        their_port: c.peer_port.unwrap_or(port(that.protoport.port)),
        proto: this.protoport.proto,
    })
}

impl Endpoint {
    /// Begins a Quick Mode for `conn` in an established IKE SA.
    pub(crate) fn quick_start(
        &mut self,
        ike: Serial,
        conn: ConnId,
        whack: Option<ClientId>,
        tries: u32,
        replaces: Option<Serial>,
    ) -> Option<Serial> {
        let (c, sa) = (self.conns.get(conn)?, self.ikes.get(&ike)?);
        let suite = sa.suite?;
        let mode = mode_of(c);
        // A successor protects what its predecessor did: a road warrior's choice is not in the conn.
        let old = replaces.and_then(|r| self.children.get(&r)).map(|o| (o.flow, o.mode));
        let (flow, mode) = match old {
            Some(old) => old,
            None => (flow_of_conn(c)?, mode),
        };
        let (flow, lifetime, spec) = (flow, c.spec.sa_lifetime, c.spec.clone());
        let layers = phase2::layers(&spec);
        let pfs = spec.pfs.then(|| spec.pfs_group.unwrap_or(suite.group));
        let msgid = loop {
            let id = u32::from_be_bytes(self.random());
            if id != 0 && !self.by_msgid.contains_key(&(ike, id)) {
                break id;
            }
        };
        let iv = first_iv(self.ikes.get(&ike)?, msgid).ok()?;
        // Keys and hashes are the same in both directions: our own QI1 must not come back as the peer's.
        self.remember_msgid(ike, msgid);
        let child = self.new_child(ike, conn, Role::Initiator, msgid, iv, flow, mode, layers);
        if let Some(x) = self.children.get_mut(&child) {
            x.pfs = pfs;
            x.lifetime = lifetime;
            x.whack = whack;
            x.tries = tries;
            x.state = Phase2::Suspended(StateName::QuickI1);
            x.waiting = Some(WaitingForSpi::Initiator);
        }
        let group = pfs.map_or_else(
            || "no-pfs".into(),
            |g: DhGroup| format!("OAKLEY_GROUP_{}", g.name().to_uppercase()),
        );
        let replace = replaces.map_or_else(String::new, |r| format!(" to replace {r}"));
        let text = format!(
            "initiating Quick Mode {}{replace} {{using isakmp{ike} msgid:{msgid:08x} proposal={} pfsgroup={group}}}",
            crate::status::policy_words(&spec, true),
            phase2::words(&spec)
        );
        self.log_sa(child, rc::LOG, &text);
        self.request_spi(child);
        Some(child)
    }

    /// The kernel has an SPI for us.
    pub(crate) fn quick_have_spi_initiator(&mut self, child: Serial) -> Result<(), Fail> {
        match self.children.get(&child).and_then(|c| c.pfs) {
            None => self.quick_send_i1(
                child,
                BeforeQi1 { secret: SecretBytes::default() },
                CryptoResult::default(),
            ),
            Some(group) => {
                let secret = SecretBytes::new(self.random_vec(dh::secret_len(group)));
                let job = CryptoJob::KeyExchange(KeyExchange {
                    group,
                    secret: secret.clone(),
                    public: true,
                    peer: None,
                });
                self.compute(child, job, Continuation::QuickI1(Box::new(BeforeQi1 { secret })));
                Ok(())
            }
        }
    }

    /// `--> HDR*, HASH(1), SA, Ni [, KE], IDci, IDcr [, NAT-OA, NAT-OA]`.
    pub(crate) fn quick_send_i1(
        &mut self,
        child: Serial,
        was: BeforeQi1,
        done: CryptoResult,
    ) -> Result<(), Fail> {
        let ni = self.random_vec(NONCE_LEN);
        let Some(c) = self.children.get(&child) else { return Ok(()) };
        let (Some(sa), Some(conn)) = (self.ikes.get(&c.ike), self.conns.get(c.conn)) else {
            return Err(Fail::fatal("ISAKMP SA is gone"));
        };
        let suite = sa.suite.ok_or_else(|| Fail::fatal("ISAKMP SA not established"))?;
        let mut m = Phase2Message::new(sa, Exchange::Quick, c.msgid, suite.hash.len());
        m.payload(Kind::Sa, &phase2::offer(&conn.spec, c.mode, sa.natt, c.pfs, c.spi_in, c.cpi_in))
            .payload(Kind::Nonce, &ni);
        if c.pfs.is_some() {
            m.payload(Kind::KeyExchange, &done.public);
        }
        let f = c.flow;
        m.payload(Kind::Id, &ident::emit_network(f.ours, f.proto, f.our_port));
        m.payload(Kind::Id, &ident::emit_network(f.theirs, f.proto, f.their_port));
        if let Some(method) = sa.natt.method.filter(|_| sa.natt.us && c.mode == Mode::Transport) {
            m.payload(method.nat_oa(), &ident::emit_nat_oa(sa.local.ip()));
            m.payload(method.nat_oa(), &ident::emit_nat_oa(sa.remote.ip()));
        }
        let mut iv = c.iv.clone();
        let message = m.seal(sa, &[], &mut iv)?;
        let (ike, secret) = (c.ike, c.pfs.map(|_| was.secret));
        if let Some(c) = self.children.get_mut(&child) {
            c.iv = iv;
            c.last_sent = message.clone();
            c.state = Phase2::QuickI1(Box::new(QuickI1 { ni, secret }));
        }
        self.transmit(ike, &message);
        self.log_sa(child, StateName::QuickI1.code(), "STATE_QUICK_I1: initiate");
        self.arm_retransmit(child);
        Ok(())
    }

    /// `<-- HDR*, HASH(2), SA, Nr [, KE], IDci, IDcr`.
    pub(crate) fn quick_in_r1(&mut self, child: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        let Some(c) = self.children.get(&child) else { return Ok(()) };
        let Phase2::QuickI1(i1) = &c.state else { return Ok(()) };
        let Some((sa, up, suite)) = self.ikes.get(&c.ike).and_then(|s| Some((s, s.up()?, s.suite?))) else {
            return Err(Fail::fatal("ISAKMP SA is gone"));
        };
        let mut iv = c.iv.clone();
        let plain = open(body, suite, &up.cipher_key, &mut iv)?;
        let chain = self.chain(h.next, &plain)?;
        let want =
            hmac(suite.hash, up.keys.a.expose(), &[&c.msgid.to_be_bytes(), &i1.ni, chain.behind_first()])?;
        check_hash(&chain, &want)?;
        let (Some(sa_b), Some(nr)) = (chain.first(Kind::Sa), chain.first(Kind::Nonce)) else {
            return Err(Fail::ignore("message ignored because it is missing payload(s) SA or NONCE"));
        };
        if !NONCE_RANGE.contains(&nr.len()) {
            return Err(Fail::ignore(format!("Nonce length {} not between 8 and 256", nr.len())));
        }
        let answer = SaPayload::parse(sa_b)?;
        let Some(conn) = self.conns.get(c.conn) else { return Err(Fail::fatal("the connection is gone")) };
        let mut ours = (*conn.spec).clone();
        ours.esp = phase2::offered(&conn.spec);
        let (_, chosen) = phase2::choose(&answer, &ours, sa.natt).map_err(|why| {
            Fail::fatal(format!("the responder chose what we did not offer: {}", why.join("; ")))
        })?;
        if chosen.mode != c.mode || chosen.group != c.pfs {
            return Err(Fail::fatal("the responder changed the mode or the PFS group of our proposal"));
        }
        let peer = match (c.pfs, chain.first(Kind::KeyExchange)) {
            (None, _) => None,
            (Some(g), Some(ke)) if ke.len() == g.public_len() => Some((g, ke.to_vec())),
            (Some(_), _) => return Err(Fail::fatal("missing or wrong KE payload in Quick Mode R1 message")),
        };
        let nr = nr.to_vec();
        let Some(c) = self.children.get_mut(&child) else { return Ok(()) };
        c.iv = iv;
        c.suite = Some(chosen.suite);
        (c.spi_out, c.cpi_out) = (chosen.spi, chosen.cpi);
        let unused = if chosen.layers.comp { None } else { c.comp_in() };
        if unused.is_some() {
            (c.layers.comp, c.cpi_in) = (false, 0);
        }
        c.lifetime = chosen.life.map_or(c.lifetime, |l| l.min(c.lifetime));
        c.life_bytes = phase2::smaller_life(ours.life_bytes, chosen.life_bytes);
        let Phase2::QuickI1(i1) = std::mem::replace(&mut c.state, Phase2::Suspended(StateName::QuickI1))
        else {
            return Ok(());
        };
        if let Some(id) = unused {
            self.kernel(KernelRequest::DelSa(id), None);
        }
        self.stop_retransmit(child);
        let after = AfterQr1 { ni: i1.ni, nr };
        match (peer, i1.secret) {
            (Some((group, peer)), Some(secret)) => {
                let job =
                    CryptoJob::KeyExchange(KeyExchange { group, secret, public: false, peer: Some(peer) });
                self.compute(child, job, Continuation::QuickI2(Box::new(after)));
                Ok(())
            }
            _ => self.quick_install_initiator(child, after, None),
        }
    }

    /// Installs both directions, but a successor's outbound later; QI2 is ready and leaves when the kernel has agreed.
    pub(crate) fn quick_install_initiator(
        &mut self,
        child: Serial,
        was: AfterQr1,
        done: Option<CryptoResult>,
    ) -> Result<(), Fail> {
        let Some(c) = self.children.get(&child) else { return Ok(()) };
        let Some((sa, up, suite)) = self.ikes.get(&c.ike).and_then(|s| Some((s, s.up()?, s.suite?))) else {
            return Err(Fail::fatal("ISAKMP SA is gone"));
        };
        let shared = done.as_ref().map(|d| &d.shared);
        let keys = |spi| esp_keys(suite.hash, &up.keys.d, shared, c, spi, &was.ni, &was.nr);
        let (in_keys, out_keys) = (keys(c.spi_in)?, keys(c.spi_out)?);
        // --> HDR*, HASH(3), where HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni | Nr)
        let hash3 = hmac(suite.hash, up.keys.a.expose(), &[&[0], &c.msgid.to_be_bytes(), &was.ni, &was.nr])?;
        let mut w = crate::wire::MessageWriter::new(super::message::header(sa, Exchange::Quick, c.msgid));
        w.payload(Kind::Hash, &hash3);
        let mut iv = c.iv.clone();
        let message = super::message::seal(w, suite, &up.cipher_key, &mut iv)?;
        if let Some(c) = self.children.get_mut(&child) {
            c.last_sent = message;
        }
        self.install_inbound(child, &in_keys, Stage::InitiatorBoth)?;
        self.install_successor(child, out_keys)
    }

    /// Both SAs are in place: `--> HDR*, HASH(3)`.
    pub(crate) fn quick_send_i2(&mut self, child: Serial) {
        let Some((ike, message)) = self.children.get(&child).map(|c| (c.ike, c.last_sent.clone())) else {
            return;
        };
        self.log_transition(child, StateName::QuickI1, StateName::QuickI2);
        self.transmit(ike, &message);
    }
}
