//! What crosses the boundary of the engine: [`Input`] in, [`Output`] out. Plain data.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use crate::config::LnsConfig;

/// Source of all randomness: ids and challenges.
pub trait Entropy {
    /// Fills `out` with random octets.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// Where a datagram came from and to, and where its answers go.
///
/// The peer's address, port and mark are the identity of a tunnel: what comes from elsewhere never touches it. The
/// mark tells apart peers behind one NAT, each of which has its own pair of IPsec SAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Our address the datagram was sent to; answers leave from it.
    pub local: Ipv4Addr,
    /// The peer.
    pub peer: SocketAddrV4,
    /// Mark of the IPsec SA pair, 0 for none.
    pub mark: u32,
}

impl Path {
    pub(crate) fn key(&self) -> PeerKey {
        (*self.peer.ip(), self.peer.port(), self.mark)
    }
}

/// The identity of a peer.
pub(crate) type PeerKey = (Ipv4Addr, u16, u32);

/// Names a call for as long as the daemon runs: our ids, and a number that is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Our tunnel id.
    pub tunnel: u16,
    /// Our session id.
    pub session: u16,
    /// Distinguishes calls that had the same ids at different times.
    pub generation: u64,
}

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram of the L2TP port.
    Datagram {
        /// Its way.
        path: Path,
        /// It came in clear to an endpoint where only IPsec may speak: an SCCRQ is refused without an answer.
        refuse_clear: bool,
        /// All of it.
        data: &'a [u8],
    },
    /// A time [`crate::Endpoint::poll_timeout`] named has come.
    Timeout,
    /// PPP of a call was started by this process.
    CallStarted {
        /// Which.
        call: CallId,
        /// Process id of pppd.
        pid: u32,
    },
    /// PPP of a call has ended, or could not be started.
    CallEnded {
        /// Which.
        call: CallId,
        /// Why.
        end: CallEnd,
    },
    /// Hang a call up.
    HangUp(CallId),
    /// Close a tunnel with a StopCCN and these words.
    CloseTunnel {
        /// Our tunnel id.
        tunnel: u16,
        /// Words for the peer and the log.
        text: &'static str,
    },
    /// The pair of IPsec SAs with this mark is gone: what came through it ends, and nobody is told, for a message
    /// could only leave in clear.
    PathGone {
        /// [`Path::mark`] of the tunnels; nothing happens for 0.
        mark: u32,
    },
    /// Close every tunnel: the daemon ends.
    Shutdown,
}

/// How PPP ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// pppd's exit status.
    Exit(i32),
    /// pppd died of this signal.
    Signal(i32),
    /// It could not be started; the cause in words.
    NotStarted(String),
}

/// What must be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// From where to where.
        path: Path,
        /// All of it.
        data: Vec<u8>,
    },
    /// Write a log line.
    Log {
        /// Its weight.
        level: Level,
        /// xl2tpd's words.
        text: String,
    },
    /// Start PPP for a call and answer with [`Input::CallStarted`] or [`Input::CallEnded`].
    StartCall(CallStart),
    /// End PPP of a call; [`Input::CallEnded`] is to follow when it has ended.
    StopCall(CallId),
    /// A PPP frame from the peer, without flags and FCS.
    Payload {
        /// For which call.
        call: CallId,
        /// The frame.
        frame: Vec<u8>,
    },
}

/// What PPP of a new call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStart {
    /// Which.
    pub call: CallId,
    /// The peer's way.
    pub path: Path,
    /// The section that serves it.
    pub lns: Arc<LnsConfig>,
    /// Our PPP address.
    pub local_ip: Option<Ipv4Addr>,
    /// The peer's PPP address; `None` when it is not assigned here.
    pub remote_ip: Option<Ipv4Addr>,
    /// Calling Number AVP, printable.
    pub calling_number: Option<String>,
}

/// Weight of a log line, named as in syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "syslog's names")]
pub enum Level {
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

/// Why the engine wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerReason {
    /// A control message is not acknowledged.
    Retransmit,
    /// The peer has been silent for the HELLO interval.
    Hello,
    /// A closed tunnel need not answer repetitions any more.
    Forget,
}
