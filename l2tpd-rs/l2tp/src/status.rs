//! What the engine tells of itself: tunnels, calls, dials, counters. Reads, changes nothing.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipsec_types::Instant;

use crate::call::{Call, Counter};
use crate::config::Section;
use crate::endpoint::Endpoint;
use crate::io::{CallId, Role};
use crate::tunnel::{Tunnel, TunnelState};

/// A tunnel as status output shows it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "fields say what they are")]
pub struct TunnelStatus {
    pub id: u16,
    pub peer_id: u16,
    pub local: Ipv4Addr,
    pub peer: SocketAddrV4,
    pub mark: u32,
    pub section: Section,
    /// The peer's Host Name, printable.
    pub peer_host: String,
    /// Since the first message.
    pub since: Instant,
    pub last_heard: Instant,
    pub established: bool,
    pub ns: u16,
    pub nr: u16,
    /// Control messages the peer has not acknowledged or not been sent.
    pub unacknowledged: usize,
    pub calls: Vec<CallStatus>,
}

/// A call as status output shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields say what they are")]
pub struct CallStatus {
    pub id: CallId,
    pub peer_session: u16,
    pub serial: u32,
    pub role: Role,
    /// PPP runs.
    pub up: bool,
    /// Since ICRQ or OCRQ.
    pub since: Instant,
    pub pid: Option<u32>,
    pub local_ip: Option<Ipv4Addr>,
    pub remote_ip: Option<Ipv4Addr>,
    /// What [`crate::Input::CallUser`] told.
    pub user: Option<String>,
    pub calling_number: Option<String>,
    pub called_number: Option<String>,
    pub rx: Counter,
    pub tx: Counter,
    /// Numbered data messages that never came, or came too late.
    pub rx_lost: u64,
}

/// How a `[lac]` section fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LacStatus {
    /// The section's name.
    pub name: String,
    /// What it does.
    pub state: LacState,
    /// Our tunnel id, when it has a tunnel.
    pub tunnel: Option<u16>,
    /// Attempts since the last call, the first not counted.
    pub redials: u32,
}

/// What a `[lac]` section does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LacState {
    /// Not dialled.
    Idle,
    /// On its way to a call.
    Dialling,
    /// Its call stands.
    Up,
    /// Dials again at this time.
    Waiting(Instant),
}

/// What happened since the start. Every limit has its counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields say what they are")]
pub struct Counters {
    pub tunnels_up: u64,
    pub calls_up: u64,
    /// Datagrams that are not L2TPv2 or belong to nothing here.
    pub junk: u64,
    pub unknown_tunnel: u64,
    pub retransmissions: u64,
    /// SCCRQs refused: in clear, by access control, without secret.
    pub denied: u64,
    pub limit_half_open_per_peer: u64,
    pub limit_half_open: u64,
    pub limit_tunnels: u64,
    pub limit_calls_per_tunnel: u64,
    pub limit_calls: u64,
    pub pool_empty: u64,
    /// Numbered data messages lost or too late, all calls.
    pub data_lost: u64,
    pub moved: u64,
}

impl Endpoint {
    /// All tunnels that are not closed, with their calls.
    pub fn status(&self) -> Vec<TunnelStatus> {
        let open = |t: &&Tunnel| !matches!(t.state, TunnelState::Closing | TunnelState::Stopped);
        let mut list: Vec<_> =
            self.tunnels.values().map(|t| &**t).filter(open).map(|t| self.tunnel_status(t)).collect();
        list.sort_unstable_by_key(|t| t.id);
        list
    }

    /// One tunnel, by our id.
    pub fn tunnel(&self, id: u16) -> Option<TunnelStatus> {
        self.tunnels.get(&id).map(|t| self.tunnel_status(t))
    }

    /// A call, by our session id.
    pub fn call(&self, session: u16) -> Option<CallId> {
        self.calls.get(&session).map(|c| c.id)
    }

    /// How many tunnels and calls there are, in whatever state.
    pub fn sizes(&self) -> (usize, usize) {
        (self.tunnels.len(), self.calls.len())
    }

    fn tunnel_status(&self, t: &Tunnel) -> TunnelStatus {
        let calls = t.calls.iter().filter_map(|s| self.calls.get(s)).map(|c| c.status());
        TunnelStatus {
            id: t.id,
            peer_id: t.peer_id,
            local: t.path.local,
            peer: t.path.peer,
            mark: t.path.mark,
            section: t.section.clone(),
            peer_host: t.peer_host.clone(),
            since: t.since,
            last_heard: t.last_heard,
            established: t.state == TunnelState::Established,
            ns: t.transport.ns(),
            nr: t.transport.nr(),
            unacknowledged: t.transport.unacknowledged(),
            calls: calls.collect(),
        }
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether a tunnel has this mark.
    pub fn has_mark(&self, mark: u32) -> bool {
        self.by_mark.contains_key(&mark)
    }

    /// Marks an address as in use by something that is not a call of this process (a pppd that has outlived the last
    /// one); it is not given to callers until [`Endpoint::release_address`].
    pub fn hold_address(&mut self, addr: Ipv4Addr) {
        self.leases.hold(addr);
    }

    /// Undoes [`Endpoint::hold_address`].
    pub fn release_address(&mut self, addr: Ipv4Addr) {
        self.leases.unhold(addr);
    }

    /// Sets which addresses belong to certain users (chap-secrets): others get them only when nothing else is left.
    pub fn keep_addresses(&mut self, addrs: impl IntoIterator<Item = Ipv4Addr>) {
        self.leases.keep(addrs);
    }

    /// Which address a caller had last, by a key of its host name and number; to be kept over a restart.
    pub fn remembered(&self) -> impl Iterator<Item = (u64, Ipv4Addr)> + '_ {
        self.leases.remembered()
    }

    /// Gives back what [`Endpoint::remembered`] told before a restart.
    pub fn remember(&mut self, key: u64, addr: Ipv4Addr) {
        self.leases.remember(key, addr);
    }
}

impl Call {
    /// What there is to tell of it.
    pub(crate) fn status(&self) -> CallStatus {
        CallStatus {
            id: self.id,
            peer_session: self.peer_session,
            serial: self.serial,
            role: self.role,
            up: self.pid.is_some(),
            since: self.since,
            pid: self.pid,
            local_ip: self.local_ip,
            remote_ip: self.remote_ip,
            user: self.user.clone(),
            calling_number: self.calling_number.clone(),
            called_number: self.called_number.clone(),
            rx: self.rx,
            tx: self.tx,
            rx_lost: self.reorder.as_ref().map_or(0, |r| r.lost),
        }
    }
}
