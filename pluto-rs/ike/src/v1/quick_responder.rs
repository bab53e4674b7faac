//! Quick Mode as responder (RFC 2409 §5.5).
//!
//! ```text
//!  --> HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr] [, NAT-OA, NAT-OA]     QI1
//!  <-- HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]                        QR1
//!  --> HDR*, HASH(3)                                                      QI2
//! ```

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ipsec_crypto::{dh, hmac, keymat};
use ipsec_types::algo::DhGroup;
use ipsec_types::conn::ConnType;
use ipsec_types::kernel::Mode;
use ipsec_types::whack::rc;
use ipsec_types::{Id, SecretBytes};

use super::message::{NONCE_LEN, NONCE_RANGE, Phase2Message, first_iv, open, same};
use super::{Continuation, Fail, phase2};
use crate::Endpoint;
use crate::child::Stage;
use crate::conn::{ConnId, ConnKind};
use crate::io::{CryptoJob, CryptoResult};
use crate::log::end_text;
use crate::matching::{self, Match, Proposed};
use crate::sa::{EspKeys, IkeSa, Phase2, QuickR1, Role, Serial, StateName, WaitingForSpi};
use crate::spd::Flow;
use crate::wire::ident::{FQDN, IdPayload, parse_nat_oa};
use crate::wire::notify::NotifyType;
use crate::wire::payload::{Chain, Kind};
use crate::wire::sa::PROTO_ESP;
use crate::wire::{Exchange, Header, SaPayload};

/// Message IDs remembered per IKE SA.
const MSGIDS: usize = 256;
/// Where our SPI stands in the body of an SA payload with one proposal: after DOI, situation and proposal header.
const SPI_AT: std::ops::Range<usize> = 16..20;

/// What QR1 needs.
#[derive(Debug)]
pub(crate) struct AfterQi1 {
    answer: Vec<u8>,
    ids: Vec<Vec<u8>>,
    ni: Vec<u8>,
    pfs: Option<(DhGroup, Vec<u8>)>,
}

impl Endpoint {
    /// A Quick Mode message for an IKE SA we know.
    pub(crate) fn on_quick(
        &mut self,
        ike: Serial,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
        digest: Vec<u8>,
    ) {
        let Some(sa) = self.ikes.get(&ike) else { return };
        if sa.up().is_none() {
            let text = "Quick Mode message is unacceptable because it is for an incomplete ISAKMP SA";
            return self.log_packet(remote, text);
        }
        if !h.encrypted() || h.msgid == 0 {
            return self.log_packet(
                remote,
                "Quick Mode message is invalid because it is in clear or has a Message ID of 0",
            );
        }
        let limit = self.limits.duplicates;
        let child = self.by_msgid.get(&(ike, h.msgid)).copied();
        let outcome = match child.and_then(|c| self.children.get(&c).map(|x| (c, x))) {
            None if sa.used_msgids.contains(&h.msgid) => Err(Fail::ignore(format!(
                "Quick Mode I1 message is unacceptable because it uses a previously used Message ID 0x{:08x} (perhaps \
                 this is a duplicated packet)",
                h.msgid
            ))),
            None if sa.open_children.len() >= self.limits.exchanges => {
                Err(Fail::ignore("too many Quick Modes under way in one ISAKMP SA; message dropped"))
            }
            None => match self.quick_in_i1(ike, h, body) {
                Ok(child) => {
                    self.follow_peer(ike, local, remote);
                    if let Some(c) = self.children.get_mut(&child) {
                        c.last_received = Some(digest);
                    }
                    Ok(())
                }
                Err(e) => Err(e),
            },
            Some((child, c)) if c.last_received.as_ref() == Some(&digest) => {
                // QI1 or QR1 again. An initiator that is up answers with QI2, a responder that waits with QR1.
                let again = c.last_sent.clone();
                if !again.is_empty()
                    && !matches!(c.state, Phase2::Suspended(_))
                    && c.answered_duplicates < limit
                {
                    let text = format!(
                        "retransmitting in response to duplicate packet; already {}",
                        c.name().label()
                    );
                    self.transmit(ike, &again);
                    if let Some(c) = self.children.get_mut(&child) {
                        c.answered_duplicates += 1;
                    }
                    self.log_sa(child, rc::RETRANSMISSION, &text);
                }
                return;
            }
            Some((child, c)) => {
                let outcome = match c.state {
                    Phase2::QuickI1(_) => self.quick_in_r1(child, h, body),
                    Phase2::QuickR1(_) => self.quick_in_i2(child, h, body),
                    Phase2::Suspended(_) | Phase2::Up => Err(Fail::ignore(format!(
                        "discarding duplicate packet; already {}",
                        c.name().label()
                    ))),
                };
                return match outcome {
                    Ok(()) => {
                        self.follow_peer(ike, local, remote);
                        if let Some(c) = self.children.get_mut(&child) {
                            c.last_received = Some(digest);
                        }
                    }
                    Err(fail) => self.failed(child, fail),
                };
            }
        };
        if let Err(mut fail) = outcome {
            // There is no Child SA yet; the IKE SA stays whatever a proposal was.
            fail.fatal = false;
            self.failed(ike, fail);
        }
    }

    /// `--> HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr] [, NAT-OA, NAT-OA]`.
    fn quick_in_i1(&mut self, ike: Serial, h: &Header, body: &[u8]) -> Result<Serial, Fail> {
        let Some((sa, up, suite)) = self.ikes.get(&ike).and_then(|s| Some((s, s.up()?, s.suite?))) else {
            return Err(Fail::ignore("ISAKMP SA not established"));
        };
        let mut iv = first_iv(sa, h.msgid)?;
        let plain = open(body, suite, &up.cipher_key, &mut iv)?;
        let chain = Chain::parse(h.next, &plain)?;
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

        self.remember_msgid(ike, msgid);
        let proposed = self.proposed(ike, &ids, nat_oa)?;
        let conn = self.conn_for_proposal(ike, &proposed)?;
        let Some(c) = self.conns.get(conn) else { return Err(Fail::ignore("the connection is gone")) };
        let spec = c.spec.clone();
        let refuse = |e: &mut Endpoint, text: String| {
            e.reap_unused(conn);
            Fail { text: vec![text], notify: Some(NotifyType::NoProposalChosen), fatal: false }
        };
        let (proposal, transform, chosen) = match phase2::choose(&offer, &spec, natt) {
            Ok(x) => x,
            Err(why) => {
                let text = format!("no acceptable Proposal in IPsec SA: {}", why.join("; "));
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
        let own = if spec.rekey { spec.sa_lifetime } else { u32::MAX };
        let child = self.new_child(ike, conn, Role::Responder, msgid, iv, flow, chosen.mode);
        if let Some(c) = self.children.get_mut(&child) {
            c.suite = Some(chosen.suite);
            c.pfs = chosen.group;
            c.spi_out = chosen.spi;
            c.nat_oa = nat_oa;
            c.lifetime = chosen.life.map_or(spec.sa_lifetime, |l| l.min(own));
            c.state = Phase2::Suspended(StateName::QuickR0);
            c.waiting = Some(WaitingForSpi::Responder(Box::new(AfterQi1 {
                answer: proposal.emit_choice(transform, &[0; 4]),
                ids,
                ni,
                pfs,
            })));
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
            if sa.used_msgids.len() == MSGIDS {
                sa.used_msgids.pop_front();
            }
            sa.used_msgids.push_back(msgid);
        }
    }

    /// The clients of both ends out of the ID payloads; without any, the two hosts.
    fn proposed(&mut self, ike: Serial, ids: &[Vec<u8>], nat_oa: Option<IpAddr>) -> Result<Proposed, Fail> {
        let Some(sa) = self.ikes.get(&ike) else { return Err(Fail::ignore("ISAKMP SA is gone")) };
        let mut p = Proposed {
            ours: IpNet::from(sa.local.ip()),
            our_proto: 0,
            our_port: 0,
            theirs: IpNet::from(sa.remote.ip()),
            their_proto: 0,
            their_port: 0,
            peer: sa.remote.ip(),
            peer_natted: sa.natt.peer,
            we_natted: sa.natt.us,
        };
        let (ci, cr) = match ids {
            [] => return Ok(p),
            [ci, cr] => (IdPayload::parse(ci)?, IdPayload::parse(cr)?),
            _ => return Err(Fail::ignore("Quick Mode message has one ID payload, or more than two")),
        };
        let unsupported = |n: u8| Fail {
            text: vec![format!("unsupported ID type {n} in Quick Mode ID payload")],
            notify: Some(NotifyType::InvalidIdInformation),
            fatal: false,
        };
        // Windows behind a NAT may send its name instead of its address (MS-818043); CVE-2023-38711 is about the
        // other end doing so, which stays refused.
        let workaround = ci.kind == FQDN;
        p.theirs = match (workaround, ci.network()) {
            (true, _) => IpNet::from(nat_oa.unwrap_or(sa.remote.ip())),
            (false, Some(n)) => n,
            (false, None) => return Err(unsupported(ci.kind)),
        };
        p.ours = cr.network().ok_or_else(|| unsupported(cr.kind))?;
        (p.their_proto, p.their_port) = (ci.proto, ci.port);
        (p.our_proto, p.our_port) = (cr.proto, cr.port);
        if workaround {
            self.log_sa(ike, rc::LOG, "peer client type is FQDN");
            self.log_sa(ike, rc::LOG, "Applying workaround for MS-818043 NAT-T bug");
        }
        let text = format!(
            "the peer proposed: {}:{}/{} -> {}:{}/{}",
            p.ours, p.our_proto, p.our_port, p.theirs, p.their_proto, p.their_port
        );
        self.log_sa(ike, rc::LOG, &text);
        Ok(p)
    }

    /// The conn a proposal belongs to: the current one, else another for this peer, made an instance.
    fn conn_for_proposal(&mut self, ike: Serial, p: &Proposed) -> Result<ConnId, Fail> {
        let Some(sa) = self.ikes.get(&ike) else { return Err(Fail::ignore("ISAKMP SA is gone")) };
        let (current, local, remote) = (sa.conn, sa.local.ip(), sa.remote.ip());
        let vp = self.setup.virtual_private.clone();
        let mut refusal = None;
        let mut judge = |e: &Endpoint, id: ConnId, is_current: bool| match e
            .conns
            .get(id)
            .map(|c| matching::fits(c, p, &vp, is_current))
        {
            Some(Match::Yes) => true,
            Some(Match::Virtual(why)) => {
                refusal = Some(why);
                false
            }
            _ => false,
        };
        let mut conn = judge(self, current, true).then_some(current);
        if conn.is_none() {
            let peer_id = self.conns.get(current).map_or(Id::None, |c| c.peer_id.clone());
            let template = self.conns.get(current).and_then(|c| c.template);
            let other = self.conns.for_peer(local, remote).into_iter().find(|id| {
                Some(*id) != template
                    && self
                        .conns
                        .get(*id)
                        .is_some_and(|c| c.spec.authby.psk && c.wanted_id().matches(&peer_id))
                    && judge(self, *id, false)
            });
            conn = match other {
                Some(id) if self.conns.get(id).is_some_and(|c| c.kind == ConnKind::Template) => {
                    let known = self.conns.instance_of(id, remote, &peer_id, current);
                    let made = known.or_else(|| self.conns.instantiate(id, remote));
                    if let Some(c) = made.and_then(|m| self.conns.get_mut(m)) {
                        c.peer_id = peer_id;
                    }
                    made
                }
                other => other,
            };
        }
        let Some(conn) = conn else {
            if let Some(why) = refusal {
                self.log_sa(ike, rc::LOG, "peer proposal was reject in a virtual connection policy because:");
                self.log_sa(ike, rc::LOG, &format!("  {why}"));
            }
            let id = self.conns.get(current).map_or(Id::None, |c| c.peer_id.clone());
            let bracket =
                if id == Id::None || id == Id::Addr(remote) { String::new() } else { format!("[{id}]") };
            let ours = end_text(p.ours, local, p.our_proto, p.our_port);
            let theirs_pp = if p.their_proto == 0 {
                String::new()
            } else {
                format!(":{}/{}", p.their_proto, p.their_port)
            };
            let net =
                if p.theirs == IpNet::from(remote) { String::new() } else { format!("==={}", p.theirs) };
            return Err(Fail {
                text: vec![format!(
                    "cannot respond to IPsec SA request because no connection is known for {ours}...{remote}{bracket}{theirs_pp}{net}"
                )],
                notify: Some(NotifyType::InvalidIdInformation),
                fatal: false,
            });
        };
        if let Some(c) = self.conns.get_mut(conn).filter(|c| c.template.is_some()) {
            c.peer_port = Some(p.their_port);
        }
        Ok(conn)
    }

    /// An instance that was made and is not needed after all.
    pub(super) fn reap_unused(&mut self, conn: ConnId) {
        self.conn_ref(conn);
        self.conn_unref(conn);
    }

    /// What the kernel will see of this child: in transport mode outer addresses, as a NAT may stand between.
    fn flow_of(&self, conn: ConnId, p: &Proposed, mode: Mode) -> Flow {
        let c = self.conns.get(conn);
        let transport = mode == Mode::Transport && c.is_none_or(|c| c.spec.conn_type == ConnType::Transport);
        let host = c.and_then(|c| c.our_addr()).map_or(p.ours, IpNet::from);
        Flow {
            ours: if transport { host } else { p.ours },
            our_port: p.our_port,
            theirs: if transport { IpNet::from(p.peer) } else { p.theirs },
            their_port: p.their_port,
            proto: p.our_proto,
        }
    }

    /// The kernel has an SPI for us: compute if PFS asks for it, else go on.
    pub(crate) fn quick_have_spi_responder(&mut self, child: Serial, was: AfterQi1) -> Result<(), Fail> {
        let Some((group, peer)) = was.pfs.clone() else {
            return self.quick_install_responder(child, was, None);
        };
        let secret = SecretBytes::new(self.random_vec(dh::secret_len(group)));
        let job = CryptoJob { group, secret, public: true, peer: Some(peer) };
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
        let mut answer = was.answer;
        if let Some(room) = answer.get_mut(SPI_AT) {
            room.copy_from_slice(&c.spi_in.to_be_bytes());
        }
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
    fn quick_in_i2(&mut self, child: Serial, h: &Header, body: &[u8]) -> Result<(), Fail> {
        let Some(c) = self.children.get(&child) else { return Ok(()) };
        let Phase2::QuickR1(r1) = &c.state else { return Ok(()) };
        let Some((up, suite)) = self.ikes.get(&c.ike).and_then(|s| Some((s.up()?, s.suite?))) else {
            return Ok(());
        };
        let mut iv = c.iv.clone();
        let plain = open(body, suite, &up.cipher_key, &mut iv)?;
        let chain = Chain::parse(h.next, &plain)?;
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

/// Keys of one direction (RFC 2409 §5.5: KEYMAT, encryption key first).
pub(crate) fn esp_keys(
    alg: ipsec_types::algo::HashAlg,
    skeyid_d: &SecretBytes,
    shared: Option<&SecretBytes>,
    c: &crate::sa::ChildSa,
    spi: u32,
    ni: &[u8],
    nr: &[u8],
) -> Result<EspKeys, Fail> {
    let suite = c.suite.ok_or_else(|| Fail::fatal("no ESP suite chosen"))?;
    let (cipher_len, integ_len) = (suite.cipher.key_len(), suite.integ.key_len());
    let all = keymat::keymat(alg, skeyid_d, shared, PROTO_ESP, spi, ni, nr, cipher_len + integ_len)?;
    let (cipher, integ) =
        all.expose().split_at_checked(cipher_len).ok_or_else(|| Fail::fatal("KEYMAT is too short"))?;
    Ok(EspKeys { cipher: cipher.into(), integ: integ.into() })
}

/// The first payload must be the HASH, with this value.
pub(crate) fn check_hash(chain: &Chain<'_>, want: &[u8]) -> Result<(), Fail> {
    let ok = chain.payloads.first().is_some_and(|p| p.kind == Kind::Hash && same(p.body, want));
    if ok {
        return Ok(());
    }
    // Openswan's words; nothing else of the message is looked at (CVE-2019-10155, CVE-2004-0164).
    Err(Fail::ignore("received Hash Payload does not match computed value"))
}

impl IkeSa {
    /// Whether `child` is one of the Quick Modes under way.
    pub(crate) fn close_exchange(&mut self, child: Serial) {
        self.open_children.retain(|c| *c != child);
    }
}
