//! The state of one tunnel; what happens in it is in `control` and `sessions`.

use std::collections::{BTreeMap, BTreeSet};

use ipsec_types::{Instant, SecretBytes};

use crate::config::Section;
use crate::io::{Path, TimerReason};
use crate::transport::Transport;

/// Named after what is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelState {
    /// Sent SCCRQ, expecting SCCRP.
    ExpectSccrp,
    /// Sent SCCRP, expecting SCCCN.
    ExpectScccn,
    /// SCCCN came: calls may be placed.
    Established,
    /// Sent StopCCN, expecting its acknowledgement.
    Closing,
    /// Received StopCCN: only repetitions of it are answered, for a while.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) id: u16,
    /// Chosen by the peer.
    pub(crate) peer_id: u16,
    pub(crate) path: Path,
    pub(crate) section: Section,
    pub(crate) state: TunnelState,
    pub(crate) transport: Transport,
    pub(crate) peer_host: String,
    /// Our challenge, while it is not answered.
    pub(crate) challenge: Option<[u8; 16]>,
    pub(crate) secret: Option<SecretBytes>,
    /// The secret was proved, by either side: the peer has it for certain, and hidden AVPs will be understood.
    pub(crate) authenticated: bool,
    /// The peer takes synchronous framing (Framing Capabilities).
    pub(crate) sync_framing: bool,
    /// Of the SCCRQ that opens it, if that has one.
    pub(crate) tie_breaker: Option<u64>,
    /// The dial that has opened it.
    pub(crate) lac: Option<u16>,
    /// [`crate::Event::TunnelUp`] was told, and [`crate::Event::TunnelDown`] is owed.
    pub(crate) announced: bool,
    /// Digest of the SCCRQ, which tells a repetition from a new attempt with the same id.
    pub(crate) sccrq: u64,
    /// Octets that may still be sent to a peer that has not shown itself.
    pub(crate) credit: usize,
    /// Octets of the SCCRP.
    pub(crate) sccrp_size: usize,
    /// The established tunnel of the same peer and peer id that this one takes the place of.
    pub(crate) replaces: Option<u16>,
    /// Our session ids.
    pub(crate) calls: BTreeSet<u16>,
    /// Peer's session id (the peer chooses the key) to ours.
    pub(crate) by_peer_session: BTreeMap<u16, u16>,
    /// Session ids of ended calls whose CDN is not acknowledged.
    pub(crate) retired: BTreeSet<u16>,
    pub(crate) since: Instant,
    pub(crate) last_heard: Instant,
    /// A HELLO is under way.
    pub(crate) hello_sent: Option<Instant>,
    pub(crate) forget_at: Option<Instant>,
    /// What stands in the endpoint's timer set for this tunnel.
    pub(crate) armed: Option<(Instant, TimerReason)>,
}

impl Tunnel {
    /// A tunnel whose peer is not known yet.
    pub(crate) fn new(
        id: u16,
        path: Path,
        section: Section,
        state: TunnelState,
        transport: Transport,
        now: Instant,
    ) -> Self {
        Tunnel {
            id,
            peer_id: 0,
            path,
            section,
            state,
            transport,
            peer_host: String::new(),
            challenge: None,
            secret: None,
            authenticated: false,
            sync_framing: false,
            tie_breaker: None,
            lac: None,
            announced: false,
            sccrq: 0,
            credit: 0,
            sccrp_size: 0,
            replaces: None,
            calls: BTreeSet::new(),
            by_peer_session: BTreeMap::new(),
            retired: BTreeSet::new(),
            since: now,
            last_heard: now,
            hello_sent: None,
            forget_at: None,
            armed: None,
        }
    }
}
