//! Incoming calls (RFC 2661 §5.2): ICRQ, ICRP, ICCN. Their end is in `hangup`.
//!
//! ```text
//!   LAC                                            LNS
//!   ICRQ: session id, serial number        ──►           an address is taken from the pool
//!                                          ◄──  ICRP: session id
//!   ICCN: speed, framing                   ──►           pppd is started
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use ipsec_types::Instant;

use crate::auth::digest;
use crate::avp::attr;
use crate::call::{Call, CallState};
use crate::config::Section;
use crate::endpoint::Endpoint;
use crate::hangup::{error, result};
use crate::io::{CallId, Event, Level, Role, TimerReason};
use crate::limit::Topic;
use crate::message::{Message, MessageType};
use crate::tunnel::TunnelState;

/// How long ICRQ to ICCN, or OCRQ to OCCN, may take: long enough for a number to be dialled.
pub(crate) const CALL_SETUP: Duration = Duration::from_secs(60);

impl Endpoint {
    /// The call is connected, or over.
    pub(crate) fn call_is_set_up(&mut self, since: Instant, session: u16) {
        self.timers.remove(&(since + CALL_SETUP, session, TimerReason::CallSetup));
    }

    pub(crate) fn icrq(&mut self, now: Instant, tunnel: u16, m: Message) {
        let Some(t) = self.tunnels.get(&tunnel) else { return };
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
        if t.section.lns().is_none() {
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
        let icrp = self
            .call_body(tunnel, MessageType::ICRP)
            .secret(attr::ASSIGNED_SESSION_ID, &id.session.to_be_bytes());
        if let Some(t) = self.tunnels.get_mut(&tunnel) {
            t.transport.push(peer_session, icrp.done());
        }
    }

    /// Whether one more call fits.
    pub(crate) fn room_for_call(&mut self, now: Instant, tunnel: u16) -> bool {
        let limits = self.cfg.limits;
        let Some(t) = self.tunnels.get(&tunnel) else { return false };
        let ip = *t.path.peer.ip();
        let text = if t.calls.len() >= limits.calls_per_tunnel {
            self.counters.limit_calls_per_tunnel += 1;
            format!(
                "control_finish: Too many calls on tunnel {tunnel} from {ip} ({})",
                limits.calls_per_tunnel
            )
        } else if self.calls.len() >= limits.calls {
            self.counters.limit_calls += 1;
            format!("control_finish: Too many calls ({}), refusing one from {ip}", limits.calls)
        } else {
            return true;
        };
        self.log_limited(now, Topic::Limit, Level::Warning, text);
        false
    }

    /// Makes a call of a request of the peer, with an address; refuses it with a CDN when that cannot be.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        tunnel: u16,
        peer_session: u16,
        m: &Message,
    ) -> Option<CallId> {
        let t = self.tunnels.get(&tunnel)?;
        let (section, peer_tunnel) = (t.section.clone(), t.peer_id);
        if t.by_peer_session.contains_key(&peer_session) {
            let text =
                format!("control_finish: Peer requested call {peer_session} twice, ignoring second one.");
            self.log_limited(now, Topic::Duplicate, Level::Debug, text);
            return None;
        }
        let caller = caller_key(&t.peer_host, m.calling_number.as_deref());
        let refuse = |e: &mut Self, code, error, text| {
            e.send_cdn_without_call(tunnel, peer_session, code, error, text);
            None
        };
        if !self.room_for_call(now, tunnel) {
            return refuse(self, result::NO_FACILITIES_NOW, error::NONE, "Too many calls");
        }
        let Some(session) = self.free_session_id() else {
            return refuse(self, result::GENERAL_ERROR, error::RESOURCES, "No session IDs left");
        };
        let id = CallId { tunnel, session, generation: self.generation() };
        let mut call = Call::new(id, Role::Lns, CallState::ExpectIccn, now);
        match &section {
            Section::Lns(l) => {
                call.local_ip = l.local_ip;
                if !l.no_assign {
                    let before = caller.and_then(|c| self.leases.last_of(c));
                    let own = |a| Some(a) == l.local_ip || self.own.contains(&a);
                    call.remote_lease = self.leases.take(&l.pool, own, caller);
                    call.remote_ip = call.remote_lease;
                    if let (Some(caller), Some(addr)) =
                        (caller, call.remote_lease.filter(|_| call.remote_lease != before))
                    {
                        self.event(Event::AddressGiven { caller, addr });
                    }
                    if call.remote_ip.is_none() {
                        self.counters.pool_empty += 1;
                        let text = format!("control_finish: Out of IP addresses on tunnel {peer_tunnel}!");
                        self.log_limited(now, Topic::Limit, Level::Warning, text);
                        return refuse(
                            self,
                            result::GENERAL_ERROR,
                            error::RESOURCES,
                            "No available IP address",
                        );
                    }
                }
            }
            Section::Lac(l) => (call.local_ip, call.remote_ip) = (l.local_ip, l.remote_ip),
        }
        call.peer_session = peer_session;
        call.serial = m.serial.unwrap_or(0);
        call.calling_number.clone_from(&m.calling_number);
        call.called_number.clone_from(&m.called_number);
        self.add_call(call);
        if let Some(t) = self.tunnels.get_mut(&tunnel) {
            t.calls.insert(session);
            t.by_peer_session.insert(peer_session, session);
        }
        Some(id)
    }

    pub(crate) fn add_call(&mut self, call: Call) {
        self.timers.insert((call.since + CALL_SETUP, call.id.session, TimerReason::CallSetup));
        self.calls.insert(call.id.session, Box::new(call));
    }

    /// A peer that asks for a call or answers one and then does not connect it: the call's address is wanted elsewhere.
    pub(crate) fn call_setup_timeout(&mut self, now: Instant, session: u16) {
        let overdue = |c: &&Call| !c.has_ppp() && now.since(c.since) >= CALL_SETUP;
        let Some(id) = self.calls.get(&session).map(|c| &**c).filter(overdue).map(|c| c.id) else { return };
        self.disconnect(id, result::GENERAL_ERROR, error::VENDOR, "The call was not connected in time");
        self.flush(now, id.tunnel);
        self.rearm(id.tunnel);
    }

    /// Our own address of a call from `local ip range`, where there is one; refuses the call when none is left.
    pub(crate) fn lease_local(&mut self, now: Instant, id: CallId) -> bool {
        let Some(t) = self.tunnels.get(&id.tunnel) else { return false };
        let peer_tunnel = t.peer_id;
        let Some(lns) = t.section.lns().filter(|l| !l.local_pool.is_empty()).cloned() else { return true };
        let lease = self.leases.take(&lns.local_pool, |_| false, None);
        if let Some(c) = self.calls.get_mut(&id.session) {
            (c.local_lease, c.local_ip) = (lease, lease);
        }
        if lease.is_none() {
            self.counters.pool_empty += 1;
            let text = format!("get_local_addr: Out of local IP addresses on tunnel {peer_tunnel}!");
            self.log_limited(now, Topic::Limit, Level::Warning, text);
            self.disconnect(id, result::GENERAL_ERROR, error::RESOURCES, "No available local IP addresses");
        }
        lease.is_some()
    }

    pub(crate) fn iccn(&mut self, now: Instant, tunnel: u16, session: u16, m: Message) {
        let Some(id) = self.awaiting(tunnel, session, CallState::ExpectIccn) else { return };
        self.numbering(tunnel, session, &m);
        if !self.lease_local(now, id) {
            return;
        }
        if m.tx_speed.unwrap_or(0) == 0 {
            self.log(Level::Debug, "control_finish: Warning: Peer did not specify transmit speed");
        }
        self.start_ppp(id);
    }

    /// The peer tells which characters its PPP wants escaped (RFC 2661 §6.14).
    pub(crate) fn sli(&mut self, tunnel: u16, session: u16, m: &Message) {
        let call = self.calls.get(&session).filter(|c| c.id.tunnel == tunnel && c.has_ppp()).map(|c| c.id);
        if let (Some(call), Some((send_accm, recv_accm))) = (call, m.accm) {
            self.event(Event::LinkInfo { call, send_accm, recv_accm });
        }
    }

    /// PPP has agreed on an address: where it is not the one of the pool, that one goes back and this one is in use.
    pub(crate) fn call_address(&mut self, call: CallId, addr: Ipv4Addr) {
        let served = self.tunnels.get(&call.tunnel).is_some_and(|t| t.section.lns().is_some());
        let Some(c) = self.calls.get_mut(&call.session).filter(|c| c.id == call && served) else { return };
        if c.remote_ip.replace(addr) == Some(addr) {
            return;
        }
        if let Some(old) = c.remote_lease.take() {
            self.leases.give_back(old);
        }
        c.remote_lease = self.leases.claim(addr).then_some(addr);
    }

    pub(crate) fn call_started(&mut self, now: Instant, call: CallId, pid: u32) {
        let Some(c) = self.calls.get_mut(&call.session).filter(|c| c.id == call) else { return };
        let Some(t) = self.tunnels.get(&call.tunnel) else { return };
        c.state = CallState::Up;
        c.pid = Some(pid);
        let role = c.role;
        let (ip, local, remote, serial) = (t.path.peer.ip(), call.session, c.peer_session, c.serial);
        let text = match role {
            Role::Lns => format!(
                "Call established with {ip}, PID: {pid}, Local: {local}, Remote: {remote}, Serial: {serial}"
            ),
            Role::Lac => format!(
                "Call established with {ip}, Local: {local}, Remote: {remote}, Serial: {serial} (ref=0/0)"
            ),
        };
        self.event(Event::CallUp { call, role });
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
