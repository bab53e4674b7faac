//! The control connection: the dispatch of its messages. Its set-up is in `setup`, its end in `teardown`.

use ipsec_types::Instant;

use crate::endpoint::Endpoint;
use crate::header::{self, Control};
use crate::io::{Event, Level, Path};
use crate::limit::Topic;
use crate::message::{Message, MessageType};
use crate::transport::Verdict;
use crate::tunnel::TunnelState;

/// Octets that are kept of a half-open tunnel's messages whose turn has not come.
const EARLY_OF_STRANGERS: usize = 256;

impl Endpoint {
    /// A control message for a tunnel of ours.
    pub(crate) fn control(&mut self, now: Instant, path: Path, refuse_clear: bool, c: Control<'_>) {
        self.follow(now, &path, &c);
        let Some(t) = self.tunnels.get_mut(&c.tunnel).filter(|t| t.path.key() == path.key()) else {
            self.counters.unknown_tunnel += 1;
            if !refuse_clear {
                self.acknowledge_stray_stopccn(path, c);
            }
            self.log_limited(
                now,
                Topic::UnknownTunnel,
                Level::Info,
                format!("Can not find tunnel {} (refhim=0)", c.tunnel),
            );
            let text = format!(
                "network_thread: unable to find call or tunnel to handle packet.  call = {}, tunnel = {} Dumping.",
                c.session, c.tunnel
            );
            return self.log_limited(now, Topic::UnknownTunnel, Level::Debug, text);
        };
        let id = t.id;
        t.last_heard = now;
        for session in t.transport.acknowledge(now, c.nr) {
            t.retired.remove(&session);
            self.retired.remove(&session);
        }
        // SCCRQ and SCCCN.
        if t.transport.acknowledged() >= 2 {
            self.dialling.remove(&id);
        }
        if t.transport.is_idle() {
            t.hello_sent = None;
            if t.state == TunnelState::Closing {
                return self.remove_tunnel(id);
            }
        }
        if !c.body.is_empty() {
            self.numbered(now, id, c);
        }
        self.flush(now, id);
        self.rearm(id);
        if self.tunnels.get(&id).is_some_and(|t| t.forget_at == Some(now)) {
            self.remove_tunnel(id);
        }
    }

    /// A StopCCN for a tunnel that is gone, because this daemon was started anew or its first acknowledgement was
    /// lost: with an acknowledgement the peer is done with it, too. Nothing is kept, and the answer is smaller.
    fn acknowledge_stray_stopccn(&mut self, path: Path, c: Control<'_>) {
        let m = Message::decode(c.body, None);
        if let (Some(MessageType::STOPCCN), Some(peer_id @ 1..)) = (m.kind, m.assigned_tunnel) {
            self.transmit(path, vec![header::control(peer_id, 0, c.nr, c.ns.wrapping_add(1), &[])]);
        }
    }

    /// Takes a peer's new address or port when it has proved to be the same.
    ///
    /// A server may answer an SCCRQ from another port (RFC 2661 §8.1), and through an SA whose mark we could not know:
    /// any answer from its address will do. Later only the other end of the same pair of IPsec SAs is believed, with
    /// the right numbers, when its NAT has moved it.
    fn follow(&mut self, now: Instant, path: &Path, c: &Control<'_>) {
        let Some(t) = self
            .tunnels
            .get_mut(&c.tunnel)
            .filter(|t| t.path.key() != path.key() || t.path.local != path.local)
        else {
            return;
        };
        let first = t.state == TunnelState::ExpectSccrp
            && t.path.peer.ip() == path.peer.ip()
            && t.transport.plausible(c.nr)
            && c.ns == 0;
        if first {
            return self.set_path(c.tunnel, *path);
        }
        let proved = t.state == TunnelState::Established
            && t.path.key() != path.key()
            && t.path.mark != 0
            && t.path.mark == path.mark
            && !c.body.is_empty()
            && t.transport.judge(c.ns) == Verdict::Next
            && t.transport.plausible(c.nr);
        if proved {
            let (old, id) = (t.path.peer, t.id);
            self.counters.moved += 1;
            let text = format!("network_thread: peer of tunnel {id} has moved from {old} to {}", path.peer);
            self.log_limited(now, Topic::Moved, Level::Notice, text);
            self.set_path(c.tunnel, *path);
            self.event(Event::TunnelMoved { tunnel: id, path: *path });
        }
    }

    fn numbered(&mut self, now: Instant, id: u16, c: Control<'_>) {
        let ack_session = self.ack_session(id, c.session);
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        let verdict = t.transport.judge(c.ns);
        if verdict != Verdict::Next {
            let text = format!(
                "check_control: Received out of order control packet on tunnel {} (got {}, expected {})",
                t.peer_id,
                c.ns,
                t.transport.nr()
            );
            match verdict {
                Verdict::Duplicate => t.transport.acknowledge_again(ack_session),
                // Of one who has not shown that it is where it says, no more than an ICRQ or two.
                Verdict::Early
                    if t.state == TunnelState::ExpectScccn
                        && t.transport.early_octets() + c.body.len() > EARLY_OF_STRANGERS => {}
                Verdict::Early => t.transport.keep_early(c.ns, c.session, c.body),
                _ => {}
            }
            return self.log_limited(now, Topic::Order, Level::Debug, text);
        }
        // Each of these is answered with a message: who acknowledges none has to wait, as if it had not been received.
        let asks = |body: &[u8]| {
            matches!(Message::decode(body, None).kind, Some(MessageType::ICRQ | MessageType::OCRQ))
        };
        if t.transport.is_behind() && asks(c.body) {
            let text =
                format!("control_finish: Too many messages to tunnel {} are not acknowledged", t.peer_id);
            return self.log_limited(now, Topic::Limit, Level::Warning, text);
        }
        t.transport.received(ack_session);
        self.message(now, id, c.session, c.body);
        while let Some((session, body)) = self.tunnels.get_mut(&id).and_then(|t| t.transport.take_early()) {
            let ack_session = self.ack_session(id, session);
            let Some(t) = self.tunnels.get_mut(&id) else { return };
            if t.transport.is_behind() && asks(&body) {
                return;
            }
            t.transport.received(ack_session);
            self.message(now, id, session, &body);
        }
    }

    /// xl2tpd's peers get the acknowledgement of a call's message on that call, with their own id: xl2tpd as a LAC
    /// frees a call it has hung up only on such a one.
    fn ack_session(&self, id: u16, session: u16) -> u16 {
        self.calls.get(&session).filter(|c| c.id.tunnel == id).map_or(0, |c| c.peer_session)
    }

    pub(crate) fn debug_message(&mut self, m: &Message) {
        if let (true, Some(k)) = (self.cfg.debug_avp, m.kind) {
            self.log(Level::Debug, format!("message_type_avp: message type is {} ({})", k.0, k.name()));
        }
    }

    /// One message, in order and for the first time.
    fn message(&mut self, now: Instant, id: u16, session: u16, body: &[u8]) {
        let Some(t) = self.tunnels.get(&id) else { return };
        let m = Message::decode(body, t.secret.as_ref());
        if matches!(t.state, TunnelState::Stopped) {
            return;
        }
        let first = match t.state {
            TunnelState::ExpectScccn => Some(MessageType::SCCCN),
            TunnelState::ExpectSccrp => Some(MessageType::SCCRP),
            _ => None,
        };
        self.debug_message(&m);
        let Some(kind) = m.kind else {
            return self.log_limited(
                now,
                Topic::Junk,
                Level::Debug,
                "handle_avps: First AVP must be message type".into(),
            );
        };
        if let Some(e) = m.malformed {
            let text = format!("handle_avps: {e} in {} on tunnel {id}", kind.name());
            self.log_limited(now, Topic::Junk, Level::Warning, text);
        }
        match kind {
            MessageType::STOPCCN => return self.stopccn(now, id, m),
            MessageType::CDN => return self.cdn(now, id, session, m),
            _ => {}
        }
        // Who has not answered our SCCRP, or our SCCRQ, may be anybody: nothing else of it is heeded, or refused with more octets.
        if let Some(first) = first.filter(|f| *f != kind) {
            let text = format!(
                "control_finish: {} before {} on tunnel {id}, ignoring it.",
                kind.name(),
                first.name()
            );
            return self.log_limited(now, Topic::Junk, Level::Debug, text);
        }
        // RFC 2661 §4.1: an unknown mandatory AVP ends the call the message is about, or else the tunnel.
        if let Some((vendor, attribute)) = m.unknown_mandatory
            && !(kind == MessageType::SCCRP && m.still_hidden)
        {
            let text = cannot_handle(vendor, attribute);
            return match kind {
                MessageType::SCCRQ | MessageType::SCCRP | MessageType::SCCCN | MessageType::HELLO => {
                    self.close_tunnel(now, id, 2, 8, &text)
                }
                // An answer about a call that is gone costs nothing.
                _ => self.refuse_call(now, id, session, m.assigned_session, 2, 8, &text),
            };
        }
        match kind {
            MessageType::SCCCN => self.scccn(now, id, m),
            MessageType::SCCRP => self.sccrp(now, id, m, body),
            MessageType::HELLO | MessageType::WEN => {}
            MessageType::SLI => self.sli(id, session, &m),
            MessageType::ICRQ => self.icrq(now, id, m),
            MessageType::ICRP => self.icrp(id, session, &m),
            MessageType::ICCN => self.iccn(now, id, session, m),
            MessageType::OCRQ => self.ocrq(now, id, m),
            MessageType::OCRP => self.ocrp(id, session, &m),
            MessageType::OCCN => self.occn(id, session, &m),
            _ if !kind.known() && m.kind_mandatory => {
                // RFC 2661 §4.4.1.
                let text = format!("message type {} cannot be handled", kind.0);
                match self.calls.contains_key(&session) {
                    true => self.refuse_call(now, id, session, None, 2, 8, &text),
                    false => self.close_tunnel(now, id, 2, 8, &text),
                }
            }
            _ => {
                let text =
                    format!("control_finish: {} not expected on tunnel {id}, ignoring it.", kind.name());
                self.log_limited(now, Topic::Junk, Level::Debug, text);
            }
        }
    }
}

pub(crate) fn cannot_handle(vendor: u16, attribute: u16) -> String {
    match vendor {
        0 => format!("mandatory attribute {attribute} cannot be handled"),
        v => format!("mandatory attribute {attribute} of vendor {v} cannot be handled"),
    }
}
