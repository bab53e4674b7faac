//! Calls that we place: incoming (RFC 2661 §5.2.1, we are the LAC that brings it) and outgoing (§5.2.2); and the
//! answer to an outgoing call that the peer places.
//!
//! ```text
//!   we                                             peer
//!   ICRQ: session id, serial, bearer       ──►
//!                                          ◄──  ICRP: session id
//!   ICCN: speed, framing                   ──►
//!
//!   OCRQ: session id, serial, number       ──►
//!                                          ◄──  OCRP: session id
//!                                          ◄──  OCCN: speed, framing
//! ```

use ipsec_types::Instant;

use crate::avp::attr;
use crate::call::{Call, CallState};
use crate::config::Section;
use crate::endpoint::Endpoint;
use crate::hangup::{error, result};
use crate::io::{CallId, CallStart, Credentials, Level, Output, Role};
use crate::lac::News;
use crate::limit::Topic;
use crate::message::{Body, Message, MessageType};
use crate::tunnel::TunnelState;

/// Minimum and Maximum BPS of an OCRQ, xl2tpd's.
const BPS: (u32, u32) = (10_000, 10_000_000);

impl Endpoint {
    /// Places a call on a tunnel that stands; an outgoing one when there is a `number`.
    pub(crate) fn place_call(
        &mut self,
        now: Instant,
        tunnel: u16,
        slot: Option<u16>,
        number: Option<String>,
        credentials: Credentials,
    ) -> Option<CallId> {
        let t = self.tunnels.get(&tunnel).filter(|t| t.state == TunnelState::Established)?;
        let Section::Lac(cfg) = t.section.clone() else {
            self.log(Level::Warning, format!("lac_call: tunnel {tunnel} was not opened by us"));
            return None;
        };
        if !self.room_for_call(now, tunnel) {
            return None;
        }
        let session = self.free_session_id()?;
        self.log(Level::Notice, format!("Calling on tunnel {tunnel}"));
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let id = CallId { tunnel, session, generation: self.generation() };
        let (kind, state) = match number {
            Some(_) => (MessageType::OCRQ, CallState::ExpectOcrp),
            None => (MessageType::ICRQ, CallState::ExpectIcrp),
        };
        let mut call = Call::new(id, Role::Lac, state, now);
        (call.serial, call.lac, call.credentials) = (serial, slot, credentials);
        (call.local_ip, call.remote_ip) = (cfg.local_ip, cfg.remote_ip);
        let mut body = self
            .call_body(tunnel, kind)
            .secret(attr::ASSIGNED_SESSION_ID, &session.to_be_bytes())
            .secret(attr::CALL_SERIAL_NUMBER, &serial.to_be_bytes());
        if let Some(n) = &number {
            body = body
                .secret(attr::MINIMUM_BPS, &BPS.0.to_be_bytes())
                .secret(attr::MAXIMUM_BPS, &BPS.1.to_be_bytes())
                .secret(attr::BEARER_TYPE, &[0; 4])
                .secret(attr::FRAMING_TYPE, &self.framing(tunnel))
                .secret(attr::CALLED_NUMBER, n.as_bytes());
        } else {
            body = body.secret(attr::BEARER_TYPE, &[0; 4]);
        }
        call.called_number.clone_from(&number);
        call.number = number;
        self.add_call(call);
        if let Some(t) = self.tunnels.get_mut(&tunnel) {
            t.calls.insert(session);
            t.transport.push(0, body.done());
        }
        self.flush(now, tunnel);
        self.rearm(tunnel);
        Some(id)
    }

    /// Starts a message about a call, whose AVPs are hidden where that was asked for and the peer has the secret.
    pub(crate) fn call_body(&mut self, tunnel: u16, kind: MessageType) -> Body {
        let hide = self.tunnels.get(&tunnel).filter(|t| t.authenticated && t.section.hidden_bit());
        let secret = hide.and_then(|t| t.secret.clone());
        let with = secret.map(|s| (s, self.random()));
        Body::new(kind).hiding(with)
    }

    /// Framing Type: synchronous if the peer takes that.
    fn framing(&self, tunnel: u16) -> [u8; 4] {
        let sync = self.tunnels.get(&tunnel).is_some_and(|t| t.sync_framing);
        if sync { [0, 0, 0, 1] } else { [0, 0, 0, 2] }
    }

    /// The peer's session id of a call of ours, from its ICRP or OCRP. False when there is none.
    fn adopt(&mut self, tunnel: u16, session: u16, m: &Message) -> bool {
        let Some(peer_session) = m.assigned_session.filter(|s| *s != 0) else { return false };
        let Some(t) = self.tunnels.get_mut(&tunnel) else { return false };
        if t.by_peer_session.contains_key(&peer_session) {
            return false;
        }
        t.by_peer_session.insert(peer_session, session);
        if let Some(c) = self.calls.get_mut(&session) {
            c.peer_session = peer_session;
        }
        true
    }

    /// The call, if that is its state.
    pub(crate) fn awaiting(&self, tunnel: u16, session: u16, state: CallState) -> Option<CallId> {
        self.calls.get(&session).filter(|c| c.id.tunnel == tunnel && c.state == state).map(|c| c.id)
    }

    pub(crate) fn icrp(&mut self, tunnel: u16, session: u16, m: &Message) {
        let Some(id) = self.awaiting(tunnel, session, CallState::ExpectIcrp) else { return };
        if !self.adopt(tunnel, session, m) {
            return self.disconnect(
                id,
                result::GENERAL_ERROR,
                error::VENDOR,
                "Specify your assigned session ID",
            );
        }
        self.connected(id, MessageType::ICCN);
        self.start_ppp(id);
    }

    pub(crate) fn ocrp(&mut self, tunnel: u16, session: u16, m: &Message) {
        let Some(id) = self.awaiting(tunnel, session, CallState::ExpectOcrp) else { return };
        if !self.adopt(tunnel, session, m) {
            return self.disconnect(
                id,
                result::GENERAL_ERROR,
                error::VENDOR,
                "Specify your assigned session ID",
            );
        }
        if let Some(c) = self.calls.get_mut(&session) {
            c.state = CallState::ExpectOccn;
        }
    }

    pub(crate) fn occn(&mut self, tunnel: u16, session: u16, m: &Message) {
        let Some(id) = self.awaiting(tunnel, session, CallState::ExpectOccn) else { return };
        self.numbering(tunnel, session, m);
        self.start_ppp(id);
    }

    /// Sends ICCN or OCCN.
    fn connected(&mut self, id: CallId, kind: MessageType) {
        let section = self.tunnels.get(&id.tunnel).map(|t| t.section.clone());
        let (tx, rx) = section.as_ref().and_then(Section::lac).map_or((0, 0), |l| (l.tx_bps, l.rx_bps));
        let framing = self.framing(id.tunnel);
        let sequencing = section.is_some_and(|s| s.sequencing());
        let mut body = self
            .call_body(id.tunnel, kind)
            .secret(attr::TX_CONNECT_SPEED, &tx.to_be_bytes())
            .secret(attr::FRAMING_TYPE, &framing);
        if rx != 0 {
            // Watchguard breaks on it, so it is only sent when it says something.
            body = body.may(attr::RX_CONNECT_SPEED, &rx.to_be_bytes());
        }
        if sequencing {
            body = body.must(attr::SEQUENCING_REQUIRED, &[]);
        }
        let Some(c) = self.calls.get_mut(&id.session) else { return };
        c.data_ns = sequencing.then_some(0);
        let peer_session = c.peer_session;
        if let Some(t) = self.tunnels.get_mut(&id.tunnel) {
            t.transport.push(peer_session, body.done());
        }
    }

    /// RFC 2661 §4.4.4: a peer that requires sequence numbers gets them; so does one where we are told to.
    pub(crate) fn numbering(&mut self, tunnel: u16, session: u16, m: &Message) {
        let ours = self.tunnels.get(&tunnel).is_some_and(|t| t.section.sequencing());
        if let Some(c) = self.calls.get_mut(&session) {
            c.data_ns = (m.sequencing_required || ours).then_some(0);
        }
    }

    /// Answers an outgoing call that the peer places, as if the number had been dialled.
    pub(crate) fn ocrq(&mut self, now: Instant, tunnel: u16, m: Message) {
        let Some(t) = self.tunnels.get(&tunnel) else { return };
        let section = t.section.clone();
        let Some(peer_session) = m.assigned_session.filter(|s| *s != 0) else {
            let text = format!(
                "control_finish: Peer did not specify a session ID on tunnel {tunnel}, ignoring its call."
            );
            return self.log_limited(now, Topic::Junk, Level::Warning, text);
        };
        if t.state != TunnelState::Established || !section.accept_outgoing() {
            let text = "This tunnel cannot accept calls";
            return self.send_cdn_without_call(
                tunnel,
                peer_session,
                result::NO_FACILITIES,
                error::NONE,
                text,
            );
        }
        let Some(id) = self.accept(now, tunnel, peer_session, &m) else { return };
        let ocrp = self
            .call_body(tunnel, MessageType::OCRP)
            .secret(attr::ASSIGNED_SESSION_ID, &id.session.to_be_bytes());
        if let Some(t) = self.tunnels.get_mut(&tunnel) {
            t.transport.push(peer_session, ocrp.done());
        }
        if !self.lease_local(now, id) {
            return;
        }
        self.connected(id, MessageType::OCCN);
        self.start_ppp(id);
    }

    /// Asks for PPP, and hands on what came for it too early.
    pub(crate) fn start_ppp(&mut self, id: CallId) {
        let Some(t) = self.tunnels.get(&id.tunnel) else { return };
        let Some(c) = self.calls.get_mut(&id.session).filter(|c| c.id == id) else { return };
        c.state = CallState::Starting;
        let early = std::mem::take(&mut c.early);
        self.news.extend(c.lac.map(|slot| News::CallUp { slot, call: id }));
        self.out.push_back(Output::StartCall(CallStart {
            call: id,
            peer_tunnel: t.peer_id,
            peer_session: c.peer_session,
            path: t.path,
            role: c.role,
            section: t.section.clone(),
            number: c.number.clone(),
            credentials: c.credentials.clone(),
            send_numbers: c.data_ns.is_some(),
            local_ip: c.local_ip,
            remote_ip: c.remote_ip,
            calling_number: c.calling_number.clone(),
        }));
        let since = c.since;
        self.call_is_set_up(since, id.session);
        self.counters.calls_up += 1;
        self.out.extend(early.into_iter().map(|frame| Output::Payload { call: id, frame }));
    }
}
