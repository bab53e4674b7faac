//! Whether a peer is there (RFC 2661 §5.5). Whatever comes from it shows that; a HELLO is the last resort.

use std::time::Duration;

use ipsec_types::Instant;

use crate::endpoint::Endpoint;
use crate::io::{CallId, TimerReason};
use crate::message::{Body, Message, MessageType};
use crate::tunnel::TunnelState;

impl Endpoint {
    /// Calls of peers that will soon be asked whether they are there, or will soon be given up: their timers are due. To
    /// be called before [`Input::Timeout`] where frames do not come through here; see [`Input::Heard`].
    pub fn suspects(&self, now: Instant) -> Vec<CallId> {
        self.timers
            .iter()
            .take_while(|(at, ..)| *at <= now)
            .filter(|(.., why)| matches!(why, TimerReason::Hello | TimerReason::Retransmit))
            .filter_map(|(_, id, _)| self.tunnels.get(id))
            .filter(|t| t.state == TunnelState::Established)
            .flat_map(|t| t.calls.iter().filter_map(|c| Some(self.calls.get(c)?.id)))
            .collect()
    }

    /// Something came from the peer that has not come through here.
    pub(crate) fn heard(&mut self, now: Instant, id: u16) {
        if let Some(t) = self.tunnels.get_mut(&id) {
            t.last_heard = now;
        }
        self.rearm(id);
    }

    /// Nothing came from the peer for the HELLO interval.
    pub(crate) fn hello(&mut self, now: Instant, id: u16) {
        let interval = self.cfg.hello_interval;
        let Some(t) = self.tunnels.get_mut(&id) else { return };
        if t.state != TunnelState::Established || now.since(t.last_heard) < interval {
            return;
        }
        t.hello_sent = Some(now);
        if t.transport.is_idle() {
            t.transport.push(0, Body::new(MessageType::HELLO).done());
        }
        self.flush(now, id);
    }

    /// Whether a peer that does not acknowledge our HELLO has been heard since it was sent: some Androids never do. It is
    /// asked again then, when it has been silent as long as before the first time.
    pub(crate) fn is_there_nevertheless(&mut self, now: Instant, id: u16) -> bool {
        let interval = self.cfg.hello_interval;
        let Some(t) = self.tunnels.get_mut(&id) else { return false };
        let oldest = t.transport.oldest().and_then(|b| Message::decode(b, None).kind);
        let heard = t.hello_sent.is_some_and(|at| t.last_heard > at);
        if t.state != TunnelState::Established || oldest != Some(MessageType::HELLO) || !heard {
            return false;
        }
        t.hello_sent = Some(now);
        let silent = t.last_heard + interval;
        t.transport.begin_again(silent.max(now + Duration::from_secs(1)));
        true
    }
}
