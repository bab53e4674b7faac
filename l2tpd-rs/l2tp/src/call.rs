//! The state of one call; what happens to it is in `sessions`.

use std::net::Ipv4Addr;

use ipsec_types::Instant;

use crate::io::{CallId, Credentials, Role};
use crate::reorder::Reorder;

/// Named after what is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallState {
    /// Sent ICRQ, expecting ICRP.
    ExpectIcrp,
    /// Sent OCRQ, expecting OCRP.
    ExpectOcrp,
    /// Received OCRP, expecting OCCN.
    ExpectOccn,
    /// Sent ICRP, expecting ICCN.
    ExpectIccn,
    /// PPP was asked for, expecting word that it runs.
    Starting,
    /// PPP runs.
    Up,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    /// Chosen by the peer.
    pub(crate) peer_session: u16,
    pub(crate) state: CallState,
    pub(crate) role: Role,
    pub(crate) since: Instant,
    pub(crate) serial: u32,
    pub(crate) local_ip: Option<Ipv4Addr>,
    pub(crate) remote_ip: Option<Ipv4Addr>,
    /// Taken from `ip range`.
    pub(crate) remote_lease: Option<Ipv4Addr>,
    /// Taken from `local ip range`.
    pub(crate) local_lease: Option<Ipv4Addr>,
    pub(crate) calling_number: Option<String>,
    pub(crate) called_number: Option<String>,
    pub(crate) user: Option<String>,
    /// Number of the next data message, when the peer asked for numbers.
    pub(crate) data_ns: Option<u16>,
    /// The order of what the peer numbers; made with its first number.
    pub(crate) reorder: Option<Box<Reorder>>,
    /// The number of an outgoing call that we have placed.
    pub(crate) number: Option<String>,
    /// From the control pipe.
    pub(crate) credentials: Credentials,
    /// The dial that has placed it.
    pub(crate) lac: Option<u16>,
    /// Frames that came before the ICCN, at most [`EARLY_FRAMES`].
    pub(crate) early: Vec<Vec<u8>>,
    pub(crate) pid: Option<u32>,
    pub(crate) rx: Counter,
    pub(crate) tx: Counter,
}

impl Call {
    /// A call of which nothing is known but its ids.
    pub(crate) fn new(id: CallId, role: Role, state: CallState, since: Instant) -> Self {
        Call {
            id,
            peer_session: 0,
            state,
            role,
            since,
            serial: 0,
            local_ip: None,
            remote_ip: None,
            local_lease: None,
            remote_lease: None,
            calling_number: None,
            called_number: None,
            user: None,
            data_ns: None,
            reorder: None,
            number: None,
            credentials: Credentials::default(),
            lac: None,
            early: Vec::new(),
            pid: None,
            rx: Counter::default(),
            tx: Counter::default(),
        }
    }

    /// Whether PPP was asked for.
    pub(crate) fn has_ppp(&self) -> bool {
        matches!(self.state, CallState::Starting | CallState::Up)
    }
}

/// A peer may send its first LCP frames before its ICCN gets through; this many are kept.
pub(crate) const EARLY_FRAMES: usize = 4;

/// Frames and octets of PPP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Octets of the frames, without L2TP header.
    pub bytes: u64,
}

impl Counter {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}
