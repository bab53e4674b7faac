//! The Informational exchange (RFC 2409 §5.7): notifications, Delete, dead peer detection.
//!
//! ```text
//!  <-> HDR*, HASH(1), N/D     HASH(1) = prf(SKEYID_a, M-ID | N/D)
//! ```

use std::net::SocketAddr;

use ipsec_crypto::hmac;
use ipsec_types::Id;
use ipsec_types::kernel::SaProto;
use ipsec_types::whack::rc;

use super::Fail;
use super::message::{Phase2Message, first_iv, header, open};
use super::phase2;
use super::quick::check_hash;
use crate::Endpoint;
use crate::conn::{ConnId, Connection};
use crate::conn_table::is_hidden;
use crate::route::REVIVE;
use crate::sa::{IkeSa, Role, Serial, StateName};
use crate::wire::notify::{Delete, Notification, NotifyType, emit_delete, emit_notification};
use crate::wire::payload::{Chain, Kind, Payload};
use crate::wire::sa::PROTO_ISAKMP;
use crate::wire::{Exchange, Header, MessageWriter};

/// Message IDs remembered per IKE SA.
const MSGIDS: usize = 256;

fn is_probe(p: &Payload<'_>) -> bool {
    p.kind == Kind::Notify && Notification::parse(p.body).is_ok_and(|n| n.kind == NotifyType::RUThere)
}

impl Endpoint {
    pub(crate) fn on_informational(
        &mut self,
        ike: Serial,
        local: SocketAddr,
        remote: SocketAddr,
        h: &Header,
        body: &[u8],
    ) {
        if !h.encrypted() {
            // Anybody can send these; they change nothing (CVE-2004-0164, CVE-2019-10155).
            if let Ok(n) = self.chain(h.next, body).map(|c| c.first(Kind::Notify).map(Notification::parse)) {
                let what = match n {
                    Some(Ok(n)) => {
                        format!("ignoring informational payload, type {} msgid=00000000", n.kind.name())
                    }
                    _ => "ignoring Delete SA payload: not encrypted".into(),
                };
                self.log_sa(ike, rc::LOG_SERIOUS, &what);
                self.log_sa(ike, rc::LOG, "received and ignored informational message");
            }
            return;
        }
        match self.open_informational(ike, h, body) {
            Ok(plain) => {
                // Anybody on the path can send one again: the peer has not moved, and nothing is done twice. Only a
                // probe is answered, towards the peer, as some peers repeat theirs octet by octet.
                let again = self.seen_informational(ike, h.msgid);
                if !again {
                    self.follow_peer(ike, local, remote);
                }
                // Parsed once more, as what it borrows has moved; it parsed a moment ago.
                if let Ok(mut chain) = self.chain(h.next, &plain) {
                    if again {
                        chain.payloads.retain(|p| is_probe(p));
                    }
                    self.obey(ike, &chain, h.msgid);
                }
            }
            Err(fail) => {
                for line in fail.text {
                    self.log_sa(ike, rc::LOG_SERIOUS, &line);
                }
            }
        }
    }

    /// Whether this message ID has been used in this IKE SA; remembers it.
    fn seen_informational(&mut self, ike: Serial, msgid: u32) -> bool {
        let Some(sa) = self.ikes.get_mut(&ike) else { return true };
        if sa.later.informational_msgids.contains(&msgid) {
            return true;
        }
        if sa.later.informational_msgids.len() == MSGIDS {
            sa.later.informational_msgids.pop_front();
        }
        sa.later.informational_msgids.push_back(msgid);
        false
    }

    fn open_informational(&self, ike: Serial, h: &Header, body: &[u8]) -> Result<Vec<u8>, Fail> {
        let Some((sa, up, suite)) = self.ikes.get(&ike).and_then(|s| Some((s, s.up()?, s.suite?))) else {
            return Err(Fail::ignore(
                "Informational Exchange message for an ISAKMP SA that is not established; ignored",
            ));
        };
        let mut iv = first_iv(sa, h.msgid)?;
        let plain = open(body, suite, &up.cipher_key, &mut iv)?;
        let chain = self.chain(h.next, &plain)?;
        let want = hmac(suite.hash, up.keys.a.expose(), &[&h.msgid.to_be_bytes(), chain.behind_first()])?;
        check_hash(&chain, &want)?;
        Ok(plain)
    }

    /// An authenticated message. A Delete may take the IKE SA away, so what follows looks it up anew
    /// (CVE-2023-38712).
    fn obey(&mut self, ike: Serial, chain: &Chain<'_>, msgid: u32) {
        for p in &chain.payloads {
            let outcome = match p.kind {
                Kind::Notify => Notification::parse(p.body).map(|n| self.on_notification(ike, &n, msgid)),
                Kind::Delete => Delete::parse(p.body).map(|d| self.on_delete(ike, &d)),
                _ => Ok(()),
            };
            if let Err(e) = outcome {
                self.log_sa(ike, rc::LOG_SERIOUS, &e.to_string());
            }
            if !self.ikes.contains_key(&ike) {
                return;
            }
        }
    }

    fn on_notification(&mut self, ike: Serial, n: &Notification<'_>, msgid: u32) {
        match n.kind {
            NotifyType::RUThere => self.on_r_u_there(ike, n.data),
            NotifyType::RUThereAck => self.on_r_u_there_ack(ike, n.data),
            NotifyType::InitialContact => self.on_initial_contact(ike),
            kind => {
                let text = format!("ignoring informational payload, type {} msgid={msgid:08x}", kind.name());
                self.log_sa(ike, rc::LOG_SERIOUS, &text);
                self.log_sa(ike, rc::LOG, "received and ignored informational message");
                // The message is authenticated: our only Quick Mode under way is what the peer refuses.
                let open = self.ikes.get(&ike).map(|s| s.later.open_children.clone()).unwrap_or_default();
                if let ([child], 1..=30) = (open.as_slice(), kind.number()) {
                    let child = *child;
                    if self.children.get(&child).is_some_and(|c| c.name() == StateName::QuickI1) {
                        let code =
                            u8::try_from(u16::from(rc::NOTIFICATION) + kind.number()).unwrap_or(rc::FATAL);
                        let text = format!("STATE_QUICK_I1: the peer refuses our proposal: {}", kind.name());
                        self.log_sa(child, code, &text);
                        self.delete_child(child, false);
                    }
                }
            }
        }
    }

    fn on_delete(&mut self, ike: Serial, d: &Delete) {
        let Some((peer, conn)) = self.ikes.get(&ike).map(|s| (s.remote.ip(), s.conn)) else { return };
        match d {
            Delete::Esp(spis) | Delete::Ah(spis) => {
                let (proto, name) = match d {
                    Delete::Ah(_) => (SaProto::Ah, "PROTO_IPSEC_AH"),
                    _ => (SaProto::Esp, "PROTO_IPSEC_ESP"),
                };
                for spi in spis {
                    match self.by_spi_out.get(&(peer, *spi)).copied() {
                        Some(child)
                            if self.children.get(&child).is_some_and(|c| {
                                if c.layers.proto != proto {
                                    return false;
                                }
                                c.ike == ike || c.conn == conn || self.same_ends(c.conn, conn)
                            }) =>
                        {
                            let again = self.revives(child);
                            let what = match again {
                                Some(_) => format!("replace IPSEC State {child} in {REVIVE} seconds"),
                                None => format!("deleting IPSEC State {child}"),
                            };
                            let text = format!("received Delete SA(0x{spi:08x}) payload: {what}");
                            self.log_sa(ike, rc::LOG, &text);
                            self.delete_child(child, false);
                            if let Some(conn) = again {
                                self.revive_later(conn, REVIVE);
                            }
                        }
                        _ => {
                            let text = format!(
                                "ignoring Delete SA payload: {name} SA(0x{spi:08x}) not found (maybe expired)"
                            );
                            self.log_sa(ike, rc::LOG, &text);
                        }
                    }
                }
                self.log_sa(ike, rc::LOG, "received and ignored informational message");
            }
            Delete::Isakmp(cookies) => {
                for c in cookies {
                    let (i, r) = c.split_at(8);
                    let mut key = ([0; 8], [0; 8]);
                    key.0.copy_from_slice(i);
                    key.1.copy_from_slice(r);
                    match self.by_cookies.get(&key).copied() {
                        Some(s) if self.ikes.get(&s).is_some_and(|x| x.conn == conn && x.up().is_some()) => {
                            let text = format!("received Delete SA payload: deleting ISAKMP State {s}");
                            self.log_sa(ike, rc::LOG, &text);
                            self.delete_ike(s, false);
                        }
                        _ => {
                            let text = "ignoring Delete SA payload: ISAKMP SA not found (maybe expired)";
                            self.log_sa(ike, rc::LOG, text);
                        }
                    }
                }
            }
            Delete::Other(n) => {
                self.log_sa(ike, rc::LOG, &format!("ignoring Delete SA payload: unknown Protocol ID ({n})"));
            }
        }
    }

    /// The peer has forgotten all it had with us (RFC 2407 §4.6.3.3): so do we, on every conn between the same identities and
    /// addresses. Where clients of a group share those, or a NAT hides them, only what is this client's goes.
    pub(crate) fn on_initial_contact(&mut self, ike: Serial) {
        let Some((sa, c)) = self.ikes.get(&ike).and_then(|s| Some((s, self.conns.get(s.conn)?))) else {
            return;
        };
        let (conn, him, us) = (sa.conn, c.name_of_peer(), c.our_id());
        let same = |o: &Connection| o.name_of_peer() == him && o.our_id() == us;
        let anybody = him == Id::None || is_hidden(&him, sa.remote.ip());
        let mut conns = match anybody || c.per_client() {
            true => Vec::new(),
            false => self.conns.with_peer(sa.remote.ip()),
        };
        conns.retain(|id| *id != conn && self.conns.get(*id).is_some_and(same));
        conns.push(conn);
        let mut old_ikes: Vec<Serial> = conns.iter().flat_map(|c| self.ikes.of_conn(*c)).collect();
        old_ikes.retain(|s| *s < ike && self.ikes.get(s).is_some_and(|s| s.up().is_some()));
        let mut old: Vec<Serial> = conns.iter().flat_map(|c| self.children.of_conn(*c)).collect();
        old.retain(|c| self.children.get(c).is_some_and(|c| c.ike != ike && c.is_up()));
        for s in old {
            self.log_sa(ike, rc::LOG, &format!("peer says INITIAL_CONTACT: deleting IPSEC State {s}"));
            self.delete_child(s, false);
        }
        for s in old_ikes {
            self.log_sa(ike, rc::LOG, &format!("peer says INITIAL_CONTACT: deleting ISAKMP State {s}"));
            self.delete_ike(s, false);
        }
    }

    /// INITIAL-CONTACT in our last message of phase 1, if `initial-contact=` is on and we have nothing else with that peer,
    /// not even an SA that it is beginning while we call.
    pub(super) fn add_initial_contact(&self, w: &mut MessageWriter, sa: &IkeSa) {
        let Some(c) = self.conns.get(sa.conn).filter(|c| c.spec.initial_contact) else { return };
        let begun = |s: &Serial| {
            let other = self.ikes.get(s).filter(|s| s.icookie != sa.icookie);
            other.is_some_and(|s| s.up().is_some() || s.role == Role::Responder)
        };
        let known = |id: &ConnId| {
            self.conns.get(*id).is_some_and(|c| c.up_children > 0) || self.ikes.of_conn(*id).iter().any(begun)
        };
        if c.peer.is_some_and(|p| !self.conns.with_peer(p).iter().any(known)) {
            let spi = [sa.icookie, sa.rcookie].concat();
            let body = emit_notification(NotifyType::InitialContact, PROTO_ISAKMP, &spi, &[]);
            w.payload(Kind::Notify, &body);
        }
    }

    // ---- sending ----

    /// Sends one payload under the protection of an established IKE SA.
    pub(crate) fn send_informational(&mut self, ike: Serial, kind: Kind, body: &[u8]) {
        let msgid = u32::from_be_bytes(self.random()).max(1);
        // Keys and hashes are the same in both directions: our own message must not come back as the peer's.
        self.seen_informational(ike, msgid);
        let Some((sa, suite)) = self.ikes.get(&ike).and_then(|s| Some((s, s.suite?))) else { return };
        let Ok(mut iv) = first_iv(sa, msgid) else { return };
        let mut m = Phase2Message::new(sa, Exchange::Informational, msgid, suite.hash.len());
        m.payload(kind, body);
        if let Ok(message) = m.seal(sa, &[], &mut iv) {
            self.transmit(ike, &message);
        }
    }

    /// Tells the peer what is wrong: protected if that is possible, else in clear.
    pub(crate) fn send_notification(&mut self, ike: Serial, kind: NotifyType) {
        let body = emit_notification(kind, PROTO_ISAKMP, &[], &[]);
        let Some(sa) = self.ikes.get(&ike) else { return };
        if sa.up().is_some() {
            return self.send_informational(ike, Kind::Notify, &body);
        }
        let mut w = MessageWriter::new(header(sa, Exchange::Informational, 0));
        w.payload(Kind::Notify, &body);
        let message = w.finish();
        self.transmit(ike, &message);
    }

    /// Delete for an IKE SA.
    pub(crate) fn send_delete_ike(&mut self, ike: Serial) {
        let Some(sa) = self.ikes.get(&ike).filter(|s| s.up().is_some()) else { return };
        let spi = [sa.icookie, sa.rcookie].concat();
        self.send_informational(ike, Kind::Delete, &emit_delete(PROTO_ISAKMP, &spi));
    }

    /// Delete for a Child SA, in its own IKE SA or the newest of its conn.
    pub(crate) fn send_delete_child(&mut self, child: Serial) {
        let Some(c) = self.children.get(&child) else { return };
        if let Some(ike) = self.live_ike(c.ike, c.conn) {
            let body = emit_delete(phase2::number(c.layers.proto), &c.spi_in.to_be_bytes());
            self.send_informational(ike, Kind::Delete, &body);
        }
    }

    fn live_ike(&self, first: Serial, conn: ConnId) -> Option<Serial> {
        let newest = self.conns.get(conn).and_then(|c| c.newest_ike);
        [Some(first), newest]
            .into_iter()
            .flatten()
            .find(|s| self.ikes.get(s).is_some_and(|s| s.up().is_some()))
    }
}
