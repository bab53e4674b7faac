//! Quick Mode as responder (RFC 2409 §5.5).
//!
//! ```text
//!  --> HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr] [, NAT-OA, NAT-OA]     QI1
//!  <-- HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]                        QR1
//!  --> HDR*, HASH(3)                                                      QI2
//! ```

use std::net::IpAddr;

use ipsec_crypto::{dh, hmac};
use ipsec_types::SecretBytes;
use ipsec_types::algo::DhGroup;
use ipsec_types::whack::rc;

use super::message::{NONCE_LEN, NONCE_RANGE, Phase2Message, first_iv, open};
use super::quick::{check_hash, esp_keys};
use super::{Continuation, Fail, phase2, refusal};
use crate::Endpoint;
use crate::conn::ConnId;
use crate::install::Stage;
use crate::io::{CryptoJob, CryptoResult, KeyExchange};
use crate::log::end_text;
use crate::sa::{Phase2, QuickR1, Role, Serial, StateName, WaitingForSpi};
use crate::wire::ident::parse_nat_oa;
use crate::wire::notify::NotifyType;
use crate::wire::payload::Kind;
use crate::wire::{Exchange, Header, SaPayload};

/// Message IDs remembered per IKE SA.
const MSGIDS: usize = 256;

/// What QR1 needs.
#[derive(Debug)]
pub(crate) struct AfterQi1 {
    answer: phase2::Answer,
    ids: Vec<Vec<u8>>,
    ni: Vec<u8>,
    pfs: Option<(DhGroup, Vec<u8>)>,
}

impl Endpoint {
    /// `--> HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr] [, NAT-OA, NAT-OA]`.
    pub(super) fn quick_in_i1(&mut self, ike: Serial, h: &Header, body: &[u8]) -> Result<Serial, Fail> {
        let Some((sa, up, suite)) = self.ikes.get(&ike).and_then(|s| Some((s, s.up()?, s.suite?))) else {
            return Err(Fail::ignore("ISAKMP SA not established"));
        };
        let mut iv = first_iv(sa, h.msgid)?;
        let plain = open(body, suite, &up.cipher_key, &mut iv)?;
        let chain = self.chain(h.next, &plain)?;
        let id = h.msgid.to_be_bytes();
        let want = hmac(suite.hash, up.keys.a.expose(), &[&id, chain.behind_first()])?;
        check_hash(&chain, &want)?;
        let (Some(sa_b), Some(ni)) = (chain.first(Kind::Sa), chain.first(Kind::Nonce)) else {
            return Err(Fail::ignore("message ignored because it is missing payload(s) SA or NONCE"));
        };
        if !NONCE_RANGE.contains(&ni.len()) {
            return Err(Fail::ignore(format!("Nonce length {} not between 8 and 256", ni.len())));
        }
        let offer = SaPayload::parse(sa_b)?;
        let ids: Vec<Vec<u8>> = chain.all(Kind::Id).map(<[u8]>::to_vec).collect();
        let nat_oa = sa
            .natt
            .method
            .and_then(|m| chain.first(m.nat_oa()))
            .and_then(parse_nat_oa)
            .filter(|_| sa.natt.peer);
        let (ni, ke) = (ni.to_vec(), chain.first(Kind::KeyExchange).map(<[u8]>::to_vec));
        let (natt, remote, msgid) = (sa.natt, sa.remote, h.msgid);
        let looks_like = sa.looks_like;

        self.remember_msgid(ike, msgid);
        let proposed = self.proposed(ike, &ids, nat_oa)?;
        let conn = self.conn_for_proposal(ike, &proposed)?;
        let Some(c) = self.conns.get(conn) else { return Err(Fail::ignore("the connection is gone")) };
        let spec = c.spec.clone();
        let refuse = |e: &mut Endpoint, text: String| {
            e.reap_unused(conn);
            Fail { text: vec![text], notify: Some(NotifyType::NoProposalChosen), fatal: false }
        };
        let (answer, chosen) = match phase2::choose(&offer, &spec, natt) {
            Ok(x) => x,
            Err(why) => {
                let text = refusal::of_phase2(&offer, &spec, looks_like, &why);
                let text = format!("no acceptable Proposal in IPsec SA: {text}");
                return Err(refuse(self, text));
            }
        };
        let pfs = match (chosen.group, ke) {
            (None, _) if spec.pfs => {
                let text = "we require PFS but Quick I1 SA specifies no GROUP_DESCRIPTION".into();
                return Err(refuse(self, text));
            }
            (None, _) => None,
            (Some(_), None) => {
                self.reap_unused(conn);
                return Err(Fail::ignore("missing KE payload in Quick Mode I1 message"));
            }
            (Some(g), Some(ke)) if ke.len() == g.public_len() => Some((g, ke)),
            (Some(g), Some(ke)) => {
                self.reap_unused(conn);
                let text = format!("KE has {} byte DH public value; {} required", ke.len(), g.public_len());
                return Err(Fail::ignore(text));
            }
        };
        let flow = self.flow_of(conn, &proposed, chosen.mode);
        if let Err(fail) = self.settle_overlap(conn, &flow, chosen.mode) {
            self.reap_unused(conn);
            return Err(fail);
        }
        let own = if spec.rekey { spec.sa_lifetime } else { u32::MAX };
        let child = self.new_child(ike, conn, Role::Responder, msgid, iv, flow, chosen.mode, chosen.layers);
        if let Some(c) = self.children.get_mut(&child) {
            c.suite = Some(chosen.suite);
            c.pfs = chosen.group;
            (c.spi_out, c.cpi_out) = (chosen.spi, chosen.cpi);
            c.nat_oa = nat_oa;
            c.life_bytes = phase2::smaller_life(spec.life_bytes, chosen.life_bytes);
            c.lifetime = chosen.life.map_or(spec.sa_lifetime, |l| l.min(own));
            c.state = Phase2::Suspended(StateName::QuickR0);
            c.waiting = Some(WaitingForSpi::Responder(Box::new(AfterQi1 { answer, ids, ni, pfs })));
        }
        self.log_sa(child, rc::LOG, &format!("responding to Quick Mode proposal {{msgid:{msgid:08x}}}"));
        let ours = self.conns.get(conn).and_then(|c| c.our_addr()).unwrap_or(IpAddr::V4([0, 0, 0, 0].into()));
        let us = end_text(flow.ours, ours, flow.proto, flow.our_port);
        let them = end_text(proposed.theirs, remote.ip(), flow.proto, flow.their_port);
        self.log_sa(child, rc::LOG, &format!("    us: {us}"));
        self.log_sa(child, rc::LOG, &format!("  them: {them}"));
        self.request_spi(child);
        Ok(child)
    }

    pub(super) fn remember_msgid(&mut self, ike: Serial, msgid: u32) {
        if let Some(sa) = self.ikes.get_mut(&ike) {
            if sa.later.used_msgids.len() == MSGIDS {
                sa.later.used_msgids.pop_front();
            }
            sa.later.used_msgids.push_back(msgid);
        }
    }

    /// An instance that was made and is not needed after all.
    pub(super) fn reap_unused(&mut self, conn: ConnId) {
        self.conn_ref(conn);
        self.conn_unref(conn);
    }

    /// The kernel has an SPI for us: compute if PFS asks for it, else go on.
    pub(crate) fn quick_have_spi_responder(&mut self, child: Serial, was: AfterQi1) -> Result<(), Fail> {
        let Some((group, peer)) = was.pfs.clone() else {
            return self.quick_install_responder(child, was, None);
        };
        let secret = SecretBytes::new(self.random_vec(dh::secret_len(group)));
        let job = CryptoJob::KeyExchange(KeyExchange { group, secret, public: true, peer: Some(peer) });
        self.compute(child, job, Continuation::QuickR1(Box::new(was)));
        Ok(())
    }

    /// Installs the inbound SA; QR1 is ready and leaves when the kernel has agreed.
    pub(crate) fn quick_install_responder(
        &mut self,
        child: Serial,
        was: AfterQi1,
        done: Option<CryptoResult>,
    ) -> Result<(), Fail> {
        let nr = self.random_vec(NONCE_LEN);
        let Some(c) = self.children.get(&child) else { return Ok(()) };
        let Some((sa, up, suite)) = self.ikes.get(&c.ike).and_then(|s| Some((s, s.up()?, s.suite?))) else {
            return Err(Fail::fatal("ISAKMP SA is gone"));
        };
        let shared = done.as_ref().map(|d| &d.shared);
        let keys = |spi| esp_keys(suite.hash, &up.keys.d, shared, c, spi, &was.ni, &nr);
        let (in_keys, out_keys) = (keys(c.spi_in)?, keys(c.spi_out)?);
        let answer = was.answer.emit(c.spi_in, c.cpi_in);
        let mut m = Phase2Message::new(sa, Exchange::Quick, c.msgid, suite.hash.len());
        m.payload(Kind::Sa, &answer).payload(Kind::Nonce, &nr);
        if let Some(d) = &done {
            m.payload(Kind::KeyExchange, &d.public);
        }
        for id in &was.ids {
            m.payload(Kind::Id, id);
        }
        let mut iv = c.iv.clone();
        let message = m.seal(sa, &was.ni, &mut iv)?;
        if let Some(c) = self.children.get_mut(&child) {
            c.iv = iv;
            c.last_sent = message;
            c.state = Phase2::QuickR1(Box::new(QuickR1 { ni: was.ni, nr, out_keys }));
        }
        self.install_inbound(child, &in_keys, Stage::ResponderInbound)
    }

    /// The inbound SA is in place: `<-- HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]`.
    pub(crate) fn quick_send_r1(&mut self, child: Serial) {
        let Some((ike, message)) = self.children.get(&child).map(|c| (c.ike, c.last_sent.clone())) else {
            return;
        };
        self.log_transition(child, StateName::QuickR0, StateName::QuickR1);
        self.transmit(ike, &message);
        self.log_state(child, StateName::QuickR1, "");
        self.arm_retransmit(child);
    }

    /// `--> HDR*, HASH(3)`: the peer has our nonce, so it is alive; send through the SA from now on.
    pub(super) fn quick_in_i2(&mut self, child: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        let Some(c) = self.children.get(&child) else { return Ok(()) };
        let Phase2::QuickR1(r1) = &c.state else { return Ok(()) };
        let Some((up, suite)) = self.ikes.get(&c.ike).and_then(|s| Some((s.up()?, s.suite?))) else {
            return Ok(());
        };
        let mut iv = c.iv.clone();
        let plain = open(body, suite, &up.cipher_key, &mut iv)?;
        let chain = self.chain(h.next, &plain)?;
        let want = hmac(suite.hash, up.keys.a.expose(), &[&[0], &c.msgid.to_be_bytes(), &r1.ni, &r1.nr])?;
        check_hash(&chain, &want)?;
        let Some(c) = self.children.get_mut(&child) else { return Ok(()) };
        let Phase2::QuickR1(r1) = std::mem::replace(&mut c.state, Phase2::Suspended(StateName::QuickR1))
        else {
            return Ok(());
        };
        c.last_sent = Vec::new();
        self.stop_retransmit(child);
        self.install_outbound(child, &r1.out_keys, Stage::ResponderOutbound)
    }
}
