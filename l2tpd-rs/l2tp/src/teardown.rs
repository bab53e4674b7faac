//! The end of a control connection (RFC 2661 §5.7): StopCCN, a peer that does not answer.
//!
//! ```text
//!   either side                                     the other
//!   StopCCN: tunnel id, result code        ──►             all calls end
//!                                          ◄──  ZLB
//! ```

use ipsec_types::Instant;

use crate::avp::attr;
use crate::endpoint::{Endpoint, FORGET_AFTER};
use crate::io::{Event, Level};
use crate::lac::News;
use crate::limit::Topic;
use crate::message::{Body, Message, MessageType, ResultCode};
use crate::tunnel::TunnelState;

impl Endpoint {
    /// Ends a tunnel whose peer has forgotten it.
    pub(crate) fn drop_silently(&mut self, id: u16) {
        let Some(t) = self.tunnels.get(&id) else { return };
        let text = format!(
            "Connection {} closed to {}, port {} (peer has started anew)",
            t.peer_id,
            t.path.peer.ip(),
            t.path.peer.port()
        );
        self.end_calls(id, "the peer has started anew");
        self.log(Level::Info, text);
        self.tunnel_down(id, "the peer has started anew", false);
        self.remove_tunnel(id);
    }

    /// A tunnel is over, of whatever state and whoever's doing: those who were told of it are told. `retry`: another
    /// address of the server may do better.
    pub(crate) fn tunnel_down(&mut self, id: u16, words: &str, retry: bool) {
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        self.dialling.remove(&id);
        let slot = t.lac.take();
        self.news.extend(slot.map(|slot| News::TunnelOver { slot, tunnel: id, retry }));
        if std::mem::take(&mut t.announced) {
            self.event(Event::TunnelDown { tunnel: id, words: words.into() });
        }
    }

    /// Closes a tunnel because the administrator says so.
    pub(crate) fn goodbye(&mut self, now: Instant, tunnel: u16, text: &str) {
        let Some(t) = self.tunnels.get(&tunnel) else { return };
        // We have no id of the peer's before its SCCRP.
        let dialling = t.peer_id == 0;
        let line = format!("Disconnecting from {}, Local: {}, Remote: {}", t.path.peer.ip(), t.id, t.peer_id);
        self.log(Level::Info, line);
        if dialling {
            // The peer may not even exist, and its id is not known: there is nobody to tell.
            self.tunnel_down(tunnel, text, false);
            return self.remove_tunnel(tunnel);
        }
        self.close_tunnel(now, tunnel, 1, 0, text);
    }

    pub(crate) fn stopccn(&mut self, now: Instant, id: u16, m: Message) {
        let Some(t) = self.tunnels.get(&id) else { return };
        let (ip, port, peer_id, state) = (*t.path.peer.ip(), t.path.peer.port(), t.peer_id, t.state);
        let r = m.result.unwrap_or_default();
        self.note_swapped(&r);
        self.log(
            Level::Info,
            format!(
                "control_finish: Connection closed to {ip}, port {port} ({}), Local: {id}, Remote: {peer_id}",
                r.text
            ),
        );
        let words = format!("closed by the peer: {} ({})", r.code, r.text);
        self.end_calls(id, &words);
        self.tunnel_down(id, &words, true);
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        // A refusal in answer to our SCCRQ comes before we know the peer's id, which the acknowledgement needs.
        if let (0, Some(p)) = (t.peer_id, m.assigned_tunnel) {
            t.transport.set_peer(p, None);
        }
        t.transport.abandon();
        // A peer that never showed an SCCCN gets its acknowledgement and nothing is kept for it.
        t.forget_at = Some(if state == TunnelState::ExpectScccn { now } else { now + FORGET_AFTER });
        t.state = TunnelState::Stopped;
        if state == TunnelState::ExpectScccn {
            self.half_open_done(ip);
        }
    }

    pub(crate) fn note_swapped(&mut self, r: &ResultCode) {
        if r.swapped {
            let text = format!(
                "result_code_avp: result code endianness fix for buggy Apple client. network={}, le={}",
                r.code.swap_bytes(),
                r.code
            );
            self.log(Level::Debug, text);
        }
    }

    /// Ends the calls of a tunnel and tells the peer with a StopCCN.
    pub(crate) fn close_tunnel(&mut self, now: Instant, id: u16, result: u16, error: u16, text: &str) {
        let Some(t) = self.tunnels.get(&id) else { return };
        let (state, path, peer_id) = (t.state, t.path, t.peer_id);
        if matches!(state, TunnelState::Closing | TunnelState::Stopped) {
            return;
        }
        self.log(
            Level::Info,
            format!("Connection {peer_id} closed to {}, port {} ({text})", path.peer.ip(), path.peer.port()),
        );
        self.end_calls(id, text);
        self.tunnel_down(id, text, true);
        let body = Body::new(MessageType::STOPCCN)
            .must(attr::ASSIGNED_TUNNEL_ID, &id.to_be_bytes())
            .result(result, error, text)
            .done();
        if state == TunnelState::ExpectScccn {
            self.half_open_done(*path.peer.ip());
        }
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        for session in t.transport.drop_unsent() {
            t.retired.remove(&session);
            self.retired.remove(&session);
        }
        t.state = TunnelState::Closing;
        t.transport.push(0, body);
        self.flush(now, id);
        self.rearm(id);
    }

    /// The peer acknowledged none of the transmissions of a message.
    pub(crate) fn give_up(&mut self, now: Instant, id: u16) {
        let Some(t) = self.tunnels.get(&id) else { return };
        let (state, path, peer_id) = (t.state, t.path, t.peer_id);
        let unacked = t
            .transport
            .oldest()
            .and_then(|b| Message::decode(b, None).kind)
            .map_or("message", MessageType::name);
        if state == TunnelState::Closing {
            self.log(
                Level::Debug,
                format!("Unable to deliver closing message for tunnel {id}. Destroying anyway."),
            );
            return self.remove_tunnel(id);
        }
        let unverified = state == TunnelState::ExpectScccn;
        let text =
            format!("Maximum retries exceeded for tunnel {id}.  Closing. ({unacked} was not acknowledged)");
        match unverified {
            // Anyone can cause this one with a forged address.
            true => self.log_limited(now, Topic::Limit, Level::Notice, text),
            false => self.log(Level::Notice, text),
        }
        if unverified {
            return self.remove_tunnel(id);
        }
        self.log(
            Level::Info,
            format!("Connection {peer_id} closed to {}, port {} (Timeout)", path.peer.ip(), path.peer.port()),
        );
        if state == TunnelState::ExpectSccrp {
            self.tunnel_down(id, "no answer", true);
            return self.remove_tunnel(id);
        }
        self.end_calls(id, "the peer does not answer");
        self.tunnel_down(id, "the peer does not answer", true);
        // The peer is told once, in case only our half of the way was dead, and not waited for.
        let body = Body::new(MessageType::STOPCCN)
            .must(attr::ASSIGNED_TUNNEL_ID, &id.to_be_bytes())
            .result(1, 0, "Timeout")
            .done();
        if let Some(t) = self.tunnels.get_mut(&id) {
            let list = t.transport.last_word(&body);
            self.transmit(path, list);
        }
        self.remove_tunnel(id);
    }
}
