//! What crosses the boundary of the engine: [`Input`] in, [`Output`] out. Plain data.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ipsec_types::SecretBytes;

use crate::config::{LnsAddress, Section};
use crate::status::CallStatus;

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
    /// Frames of this tunnel's peer have come that did not come through here, but through the kernel.
    Heard {
        /// Our id.
        tunnel: u16,
    },
    /// The user PPP has authenticated, for the status.
    CallUser {
        /// Which.
        call: CallId,
        /// Who.
        user: String,
    },
    /// The address PPP has agreed on with the peer of a call: pppd knows users with addresses of their own.
    CallAddress {
        /// Which.
        call: CallId,
        /// The peer's.
        addr: Ipv4Addr,
    },
    /// Dial every `[lac]` section with `autodial` that is not dialled (at the start, after a reload).
    Autodial,
    /// Dial a `[lac]` section: open a tunnel if it has none, and place a call. Its count of redials starts anew.
    Dial {
        /// The section's name, in any case of letters.
        lac: &'a str,
        /// Outgoing call (OCRQ) to this number instead of an incoming one.
        number: Option<String>,
        /// From the control pipe.
        credentials: Credentials,
    },
    /// Open a tunnel that belongs to no section, and place no call on it.
    OpenTunnel(LnsAddress),
    /// Place a call on a tunnel that we have opened.
    PlaceCall {
        /// Our tunnel id.
        tunnel: u16,
        /// As in [`Input::Dial`].
        number: Option<String>,
        /// As in [`Input::Dial`].
        credentials: Credentials,
    },
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// As it was asked.
        dial: DialId,
        /// In order of preference; empty when there is no such host.
        addrs: Vec<Ipv4Addr>,
    },
    /// End a `[lac]` section's tunnel and calls, or its attempts to have them, and do not redial.
    DisconnectLac {
        /// The section's name, in any case of letters.
        lac: &'a str,
    },
    /// Close every tunnel: the daemon ends.
    Shutdown,
}

/// What the control pipe gives along with a dial, for pppd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// pppd's `name`, instead of the section's.
    pub user: Option<String>,
    /// For pppd's `passwordfd`.
    pub password: Option<SecretBytes>,
}

/// Names one attempt to reach a server; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

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
    /// Look a host name up, without keeping anybody waiting, and answer with [`Input::Resolved`].
    Resolve {
        /// To be given back.
        dial: DialId,
        /// Name or dotted quad.
        host: String,
    },
    /// Something a watcher or a data path wants to know; nothing needs to be done.
    Event(Event),
}

/// What has become of tunnels, calls and dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A control connection stands.
    TunnelUp {
        /// Our tunnel id.
        tunnel: u16,
        /// The peer's.
        peer_tunnel: u16,
        /// The peer's way.
        path: Path,
    },
    /// The peer's address or port has changed, which it has proved.
    TunnelMoved {
        /// Our tunnel id.
        tunnel: u16,
        /// The new way.
        path: Path,
    },
    /// A tunnel of a [`Event::TunnelUp`] is over.
    TunnelDown {
        /// Our tunnel id.
        tunnel: u16,
        /// Why, for people.
        words: String,
    },
    /// PPP of a call runs.
    CallUp {
        /// Which.
        call: CallId,
        /// Ours.
        role: Role,
    },
    /// A call for which PPP was asked for is over; comes before its [`Output::StopCall`].
    CallDown {
        /// As it was at its end.
        call: Box<CallStatus>,
        /// The peer.
        peer: SocketAddrV4,
        /// Why, for people.
        words: String,
    },
    /// A caller gets another address than it had last, or its first: to be kept over a restart and given back with
    /// [`crate::Endpoint::remember`].
    AddressGiven {
        /// The caller's key, of [`crate::Endpoint::remembered`].
        caller: u64,
        /// What it gets.
        addr: Ipv4Addr,
    },
    /// The ACCM of a LAC (RFC 2661 §6.14), which a PPP that escapes by itself has to heed.
    LinkInfo {
        /// Which.
        call: CallId,
        /// For what we send.
        send_accm: u32,
        /// For what we receive.
        recv_accm: u32,
    },
    /// A `[lac]` section will be dialled again.
    Redial {
        /// The section's name.
        lac: String,
        /// After this.
        wait: Duration,
    },
    /// A `[lac]` section is given up: no `redial`, or `max redials` reached.
    GivenUp {
        /// The section's name.
        lac: String,
    },
}

/// Our part in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The peer called, we serve: addresses come from the pool.
    Lns,
    /// We called.
    Lac,
}

/// What PPP of a new call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStart {
    /// Which.
    pub call: CallId,
    /// The peer's tunnel id.
    pub peer_tunnel: u16,
    /// The peer's session id.
    pub peer_session: u16,
    /// The peer's way.
    pub path: Path,
    /// Our part.
    pub role: Role,
    /// The section that serves or has placed it.
    pub section: Section,
    /// The number of an outgoing call that we have placed.
    pub number: Option<String>,
    /// From the control pipe.
    pub credentials: Credentials,
    /// We number our data messages.
    pub send_numbers: bool,
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
    /// A `[lac]` section is to be dialled again.
    Redial,
    /// A numbered data message is missing for too long.
    Reorder,
    /// A call is asked for and not connected.
    CallSetup,
}
