//! The state of one call; what happens to it is in `sessions`.

use std::net::Ipv4Addr;

use ipsec_types::Instant;

use crate::io::{CallId, Role};

/// Named after what is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallState {
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
    /// Taken from `local ip range`.
    pub(crate) local_lease: Option<Ipv4Addr>,
    pub(crate) calling_number: Option<String>,
    pub(crate) called_number: Option<String>,
    pub(crate) user: Option<String>,
    /// Number of the next data message, when the peer asked for numbers.
    pub(crate) data_ns: Option<u16>,
    /// Frames that came before the ICCN, at most [`EARLY_FRAMES`].
    pub(crate) early: Vec<Vec<u8>>,
    pub(crate) pid: Option<u32>,
    pub(crate) rx: Counter,
    pub(crate) tx: Counter,
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
