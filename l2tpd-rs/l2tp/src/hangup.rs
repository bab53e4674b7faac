//! The end of calls: CDN from either side, the end of PPP.
//!
//! ```text
//!   either side                                     the other
//!   CDN: result code, session id           ──►             PPP is stopped, the address goes back
//!                                          ◄──  ZLB
//! ```

use ipsec_types::Instant;

use crate::avp::attr;
use crate::endpoint::Endpoint;
use crate::io::{CallEnd, CallId, Event, Level, Output, TimerReason};
use crate::lac::News;
use crate::limit::Topic;
use crate::message::{Body, Message, MessageType};

/// Result codes of a CDN (RFC 2661 §4.4.2).
pub(crate) mod result {
    pub(crate) const LOST_CARRIER: u16 = 1;
    pub(crate) const GENERAL_ERROR: u16 = 2;
    pub(crate) const ADMINISTRATIVE: u16 = 3;
    pub(crate) const NO_FACILITIES_NOW: u16 = 4;
    pub(crate) const NO_FACILITIES: u16 = 5;
}
/// General error codes (RFC 2661 §4.4.2).
pub(crate) mod error {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const RESOURCES: u16 = 4;
    pub(crate) const VENDOR: u16 = 6;
}

impl Endpoint {
    pub(crate) fn call_ended(&mut self, now: Instant, call: CallId, end: CallEnd) {
        let standing = self.calls.get(&call.session).filter(|c| c.id == call).map(|c| c.peer_session);
        let Some(peer_session) = self.ended.remove(&call.generation).or(standing) else { return };
        match &end {
            CallEnd::Exit(n) => {
                self.log(
                    Level::Debug,
                    format!("child_handler : pppd exited for call {peer_session} with code {n}"),
                );
                if let Some(words) = exit_words(*n) {
                    self.log(Level::Notice, format!("child_handler : call {}: {words}", call.session));
                }
            }
            CallEnd::Signal(n) => {
                self.log(Level::Debug, format!("pppd terminated for call {peer_session} by signal {n}"));
            }
            CallEnd::NotStarted(why) => self.log(Level::Warning, format!("start_pppd: {why}")),
        }
        if standing.is_none() {
            return;
        }
        let (code, error, text) = cdn_reason(&end);
        let words = exit_words_of(&end, text);
        self.disconnect_as(call, code, error, text, words);
        // Its PPP has ended already.
        self.ended.remove(&call.generation);
        self.flush(now, call.tunnel);
        self.rearm(call.tunnel);
    }

    pub(crate) fn hang_up(&mut self, now: Instant, call: CallId) {
        if self.calls.get(&call.session).is_some_and(|c| c.id == call) {
            self.disconnect(call, result::ADMINISTRATIVE, error::NONE, "Goodbye!");
            self.flush(now, call.tunnel);
            self.rearm(call.tunnel);
        }
    }

    /// The peer hangs a call up. The header names it, or on session 0 the Assigned Session ID AVP does; some peers
    /// put our id there instead of theirs.
    pub(crate) fn cdn(&mut self, now: Instant, tunnel: u16, session: u16, m: Message) {
        let Some(t) = self.tunnels.get(&tunnel) else { return };
        let ip = *t.path.peer.ip();
        let named =
            m.assigned_session.and_then(|s| t.by_peer_session.get(&s).copied().or(t.calls.get(&s).copied()));
        let session = if t.calls.contains(&session) { Some(session) } else { named.filter(|_| session == 0) };
        let r = m.result.unwrap_or_default();
        self.note_swapped(&r);
        let Some(c) = session.and_then(|s| self.calls.get(&s)) else {
            let text = format!("control_finish: CDN for an unknown call on tunnel {tunnel}, ignoring it.");
            return self.log_limited(now, Topic::Junk, Level::Debug, text);
        };
        let (id, serial) = (c.id, c.serial);
        let words = format!("the peer has hung up: {} ({})", r.code, r.text);
        self.log(
            Level::Info,
            format!("control_finish: Connection closed to {ip}, serial {serial} ({})", r.text),
        );
        self.release(id, words);
    }

    /// Refuses what a message asks for a call, or ends that call.
    #[expect(clippy::too_many_arguments, reason = "the fields of a CDN and where it goes")]
    pub(crate) fn refuse_call(
        &mut self,
        _now: Instant,
        tunnel: u16,
        session: u16,
        peer_session: Option<u16>,
        code: u16,
        error: u16,
        text: &str,
    ) {
        let known = self.calls.get(&session).filter(|c| c.id.tunnel == tunnel).map(|c| c.id);
        match (known, peer_session) {
            (Some(id), _) => self.disconnect(id, code, error, text),
            (None, Some(p)) if p != 0 => self.send_cdn_without_call(tunnel, p, code, error, text),
            _ => {}
        }
    }

    /// Tells the peer that there will be no call; the id we would have given it is one that is free. Who acknowledges nothing is
    /// told nothing more: each of these holds an id until then.
    pub(crate) fn send_cdn_without_call(
        &mut self,
        tunnel: u16,
        peer_session: u16,
        code: u16,
        error: u16,
        text: &str,
    ) {
        if self.tunnels.get(&tunnel).is_some_and(|t| t.transport.is_behind()) {
            return;
        }
        let Some(session) = self.free_session_id() else { return };
        self.push_cdn(tunnel, session, peer_session, code, error, text);
    }

    fn push_cdn(&mut self, tunnel: u16, session: u16, peer_session: u16, code: u16, error: u16, text: &str) {
        let Some(t) = self.tunnels.get_mut(&tunnel) else { return };
        let body = Body::new(MessageType::CDN)
            .result(code, error, text)
            .must(attr::ASSIGNED_SESSION_ID, &session.to_be_bytes())
            .done();
        t.retired.insert(session);
        self.retired.insert(session);
        t.transport.push_last(peer_session, body, session);
    }

    /// Ends a call and tells the peer.
    pub(crate) fn disconnect(&mut self, id: CallId, code: u16, error: u16, text: &str) {
        self.disconnect_as(id, code, error, text, text.to_string());
    }

    /// As [`Endpoint::disconnect`], with other words for us than for the peer.
    fn disconnect_as(&mut self, id: CallId, code: u16, error: u16, text: &str, words: String) {
        let Some(peer_session) = self.calls.get(&id.session).map(|c| c.peer_session) else { return };
        self.release(id, words);
        self.push_cdn(id.tunnel, id.session, peer_session, code, error, text);
    }

    /// Ends all calls of a tunnel without telling the peer, which knows or will be told with a StopCCN.
    pub(crate) fn end_calls(&mut self, tunnel: u16, words: &str) {
        let calls: Vec<u16> =
            self.tunnels.get(&tunnel).map(|t| t.calls.iter().copied().collect()).unwrap_or_default();
        for id in calls.iter().filter_map(|s| self.calls.get(s)).map(|c| c.id).collect::<Vec<_>>() {
            self.release(id, words.to_string());
        }
    }

    /// The one place where a call ends: its addresses go back, its PPP is stopped, its ids are free.
    pub(crate) fn release(&mut self, id: CallId, words: String) {
        let Some(c) = self.calls.remove(&id.session) else { return };
        let peer = self.tunnels.get_mut(&id.tunnel).map(|t| {
            t.calls.remove(&id.session);
            t.by_peer_session.remove(&c.peer_session);
            t.path.peer
        });
        if let Some(peer) = peer {
            self.log(Level::Info, format!("call_close: Call {} to {} disconnected", id.session, peer.ip()));
        }
        self.leases_back([c.remote_lease, c.local_lease]);
        self.news.extend(c.lac.map(|slot| News::CallOver { slot, call: id }));
        if let Some(at) = c.reorder.as_ref().and_then(|r| r.deadline()) {
            self.timers.remove(&(at, id.session, TimerReason::Reorder));
        }
        self.counters.data_lost += c.reorder.as_ref().map_or(0, |r| r.lost);
        self.call_is_set_up(c.since, id.session);
        if c.has_ppp() {
            self.ended.insert(id.generation, c.peer_session);
            if let Some(peer) = peer {
                self.event(Event::CallDown { call: c.status().into(), peer, words });
            }
            self.out.push_back(Output::StopCall(id));
        }
    }

    pub(crate) fn leases_back(&mut self, addrs: [Option<std::net::Ipv4Addr>; 2]) {
        for a in addrs.into_iter().flatten() {
            self.leases.give_back(a);
        }
    }
}

fn exit_words_of(end: &CallEnd, text: &str) -> String {
    match end {
        CallEnd::Exit(n) => exit_words(*n).unwrap_or("PPP has ended").to_string(),
        CallEnd::Signal(n) => format!("pppd was ended by signal {n}"),
        CallEnd::NotStarted(why) if why.is_empty() => text.to_string(),
        CallEnd::NotStarted(why) => why.clone(),
    }
}

/// What a pppd exit status means, in words (pppd(8), EXIT STATUS); `None` for an orderly end.
fn exit_words(code: i32) -> Option<&'static str> {
    Some(match code {
        0 | 5 | 16 => return None,
        1 => "pppd had a fatal error; its own log says which",
        2 => "pppd did not like its options; see the pppoptfile and pppd's own log",
        3 => "pppd is not allowed to run: it is not root",
        4 => "the kernel has no PPP support (modprobe ppp_generic, /dev/ppp)",
        6 => "pppd could not lock the tty",
        7 => "pppd could not open the tty",
        8 => "pppd's connect script failed",
        9 => "pppd's pty command failed",
        10 => "PPP negotiation failed: no network protocol came up",
        11 => "authentication failed: the peer did not prove who it is",
        12 => "the link was idle for too long",
        13 => "the link was up for as long as it may be",
        14 => "the peer is to be called back",
        15 => "the peer does not answer PPP echo requests any more",
        17 => "the link is looped back",
        18 => "pppd's init script failed",
        19 => "authentication failed: the peer did not accept ours",
        20 => "the traffic limit was reached",
        21 => "too many authentication attempts",
        _ => "pppd ended for a reason this version does not know",
    })
}

fn cdn_reason(end: &CallEnd) -> (u16, u16, &'static str) {
    match end {
        CallEnd::Exit(0 | 5 | 10 | 14 | 15 | 16 | 17) | CallEnd::Signal(_) => {
            (result::LOST_CARRIER, error::NONE, "")
        }
        CallEnd::Exit(11 | 19) => (result::ADMINISTRATIVE, error::NONE, "PPP authentication failed"),
        CallEnd::Exit(12) => (result::ADMINISTRATIVE, error::NONE, "Idle timeout"),
        CallEnd::Exit(13 | 20 | 21) => (result::ADMINISTRATIVE, error::NONE, "Limit reached"),
        CallEnd::Exit(_) | CallEnd::NotStarted(_) => {
            (result::GENERAL_ERROR, error::VENDOR, "PPP could not be started")
        }
    }
}
