//! Incoming calls (RFC 2661 §5.2): ICRQ, ICRP, ICCN. Their end is in `hangup`.
//!
//! ```text
//!   LAC                                            LNS
//!   ICRQ: session id, serial number        ──►           an address is taken from the pool
//!                                          ◄──  ICRP: session id
//!   ICCN: speed, framing                   ──►           pppd is started
//! ```

use ipsec_types::Instant;

use crate::auth::digest;
use crate::avp::attr;
use crate::call::{Call, CallState, Counter};
use crate::config::Section;
use crate::endpoint::Endpoint;
use crate::hangup::{error, result};
use crate::io::{CallId, CallStart, Credentials, Level, Output, Role};
use crate::limit::Topic;
use crate::message::{Body, Message, MessageType};
use crate::tunnel::TunnelState;

impl Endpoint {
    pub(crate) fn icrq(&mut self, now: Instant, tunnel: u16, m: Message) {
        let Some(t) = self.tunnels.get(&tunnel) else { return };
        let (path, peer_tunnel) = (t.path, t.peer_id);
        if t.state != TunnelState::Established {
            let text = format!("control_finish: ICRQ before tunnel {tunnel} is established, ignoring it.");
            return self.log_limited(now, Topic::Junk, Level::Debug, text);
        }
        let Some(peer_session) = m.assigned_session.filter(|s| *s != 0) else {
            let text = format!(
                "control_finish: Peer did not specify a session ID on tunnel {tunnel}, ignoring its call."
            );
            return self.log_limited(now, Topic::Junk, Level::Warning, text);
        };
        let Some(lns) = t.section.lns().cloned() else {
            let text = "This tunnel cannot accept calls";
            return self.send_cdn_without_call(
                tunnel,
                peer_session,
                result::NO_FACILITIES,
                error::NONE,
                text,
            );
        };
        if t.by_peer_session.contains_key(&peer_session) {
            let text =
                format!("control_finish: Peer requested call {peer_session} twice, ignoring second one.");
            return self.log_limited(now, Topic::Duplicate, Level::Debug, text);
        }
        let limit = self.cfg.limits.calls_per_tunnel;
        if t.calls.len() >= limit {
            let text = format!(
                "control_finish: Too many calls on tunnel {tunnel} from {} ({limit})",
                path.peer.ip()
            );
            self.log_limited(now, Topic::Limit, Level::Warning, text);
            let text = "Too many calls on this tunnel";
            return self.send_cdn_without_call(
                tunnel,
                peer_session,
                result::NO_FACILITIES_NOW,
                error::NONE,
                text,
            );
        }
        let caller = caller_key(&t.peer_host, m.calling_number.as_deref());
        let remote_ip = match lns.no_assign {
            true => None,
            false => match self.leases.take(&lns.pool, lns.local_ip, caller) {
                Some(a) => Some(a),
                None => {
                    let text = format!("control_finish: Out of IP addresses on tunnel {peer_tunnel}!");
                    self.log_limited(now, Topic::Limit, Level::Warning, text);
                    let text = "No available IP address";
                    return self.send_cdn_without_call(
                        tunnel,
                        peer_session,
                        result::GENERAL_ERROR,
                        error::RESOURCES,
                        text,
                    );
                }
            },
        };
        let Some(session) = self.free_session_id() else {
            self.leases_back([remote_ip, None]);
            let text = "No session IDs left";
            return self.send_cdn_without_call(
                tunnel,
                peer_session,
                result::GENERAL_ERROR,
                error::RESOURCES,
                text,
            );
        };
        let id = CallId { tunnel, session, generation: self.generation() };
        let call = Call {
            id,
            peer_session,
            state: CallState::ExpectIccn,
            role: Role::Lns,
            since: now,
            serial: m.serial.unwrap_or(0),
            local_ip: lns.local_ip,
            remote_ip,
            local_lease: None,
            calling_number: m.calling_number,
            called_number: m.called_number,
            user: None,
            data_ns: None,
            early: Vec::new(),
            pid: None,
            rx: Counter::default(),
            tx: Counter::default(),
        };
        self.calls.insert(session, call);
        if let Some(t) = self.tunnels.get_mut(&tunnel) {
            t.calls.insert(session);
            t.by_peer_session.insert(peer_session, session);
            let icrp = Body::new(MessageType::ICRP).must(attr::ASSIGNED_SESSION_ID, &session.to_be_bytes());
            t.transport.push(peer_session, icrp.done());
        }
    }

    pub(crate) fn iccn(&mut self, now: Instant, tunnel: u16, session: u16, m: Message) {
        let Some(c) = self.calls.get_mut(&session).filter(|c| c.id.tunnel == tunnel) else { return };
        let Some(t) = self.tunnels.get(&tunnel) else { return };
        if c.state != CallState::ExpectIccn {
            return;
        }
        let Some(lns) = t.section.lns().cloned() else { return };
        let (path, peer_tunnel) = (t.path, t.peer_id);
        let local_ip = match lns.local_pool.is_empty() {
            true => lns.local_ip,
            false => {
                c.local_lease = self.leases.take(&lns.local_pool, None, None);
                c.local_lease
            }
        };
        c.local_ip = local_ip;
        c.state = CallState::Starting;
        // RFC 2661 §4.4.4: a peer that requires sequence numbers gets them.
        c.data_ns = m.sequencing_required.then_some(0);
        let (id, remote_ip, calling_number) = (c.id, c.remote_ip, c.calling_number.clone());
        let (peer_session, send_numbers) = (c.peer_session, c.data_ns.is_some());
        let early = std::mem::take(&mut c.early);
        if !lns.local_pool.is_empty() && local_ip.is_none() {
            let text = format!("get_local_addr: Out of local IP addresses on tunnel {peer_tunnel}!");
            self.log_limited(now, Topic::Limit, Level::Warning, text);
            let text = "No available local IP addresses";
            return self.disconnect(id, result::GENERAL_ERROR, error::RESOURCES, text);
        }
        if m.tx_speed.is_none() {
            self.log(Level::Debug, "control_finish: Warning: Peer did not specify transmit speed");
        }
        self.out.push_back(Output::StartCall(CallStart {
            call: id,
            peer_tunnel,
            peer_session,
            path,
            role: Role::Lns,
            section: Section::Lns(lns),
            number: None,
            credentials: Credentials::default(),
            send_numbers,
            local_ip,
            remote_ip,
            calling_number,
        }));
        self.out.extend(early.into_iter().map(|frame| Output::Payload { call: id, frame }));
    }

    pub(crate) fn call_started(&mut self, now: Instant, call: CallId, pid: u32) {
        let Some(c) = self.calls.get_mut(&call.session).filter(|c| c.id == call) else { return };
        let Some(t) = self.tunnels.get(&call.tunnel) else { return };
        c.state = CallState::Up;
        c.pid = Some(pid);
        let text = format!(
            "Call established with {}, PID: {pid}, Local: {}, Remote: {}, Serial: {}",
            t.path.peer.ip(),
            call.session,
            c.peer_session,
            c.serial
        );
        self.log(Level::Notice, text);
        self.rearm(call.tunnel);
        self.flush(now, call.tunnel);
    }
}

/// What a caller is known by from one call to the next. Before PPP nothing better is known than what it calls itself.
fn caller_key(host: &str, number: Option<&str>) -> Option<u64> {
    let number = number.unwrap_or("");
    if number.is_empty() && matches!(host, "" | "anonymous" | "localhost") {
        return None;
    }
    Some(digest(&[host.as_bytes(), number.as_bytes()]))
}
