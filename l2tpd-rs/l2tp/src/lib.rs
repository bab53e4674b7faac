//! L2TPv2 (RFC 2661) as a sans-IO engine: datagrams and events go in, datagrams, log lines and orders come out.
//!
//! The engine is deterministic. It must not open a socket, read a clock, an environment variable or a file, start a
//! thread or draw a random number by itself: the time is an argument of every call and randomness comes from the
//! [`Entropy`] it was made with. The same inputs with the same seed give the same outputs, byte for byte.
//!
//! ```text
//!   datagram, pppd gone, timer ──► Endpoint::handle(now, Input)
//!                                  Endpoint::poll_output()  ──► Transmit, Log, StartCall, StopCall, Payload
//!                                  Endpoint::poll_timeout() ──► when to come back, and why
//! ```
//!
//! * **LNS**: L2TP network server, the side that ends PPP; **LAC**: the side that brings a caller.
//! * **Tunnel** (control connection): the reliable channel between the two, opened by SCCRQ, SCCRP, SCCCN.
//! * **Call** (session): one PPP link inside a tunnel, opened by ICRQ, ICRP, ICCN.
//! * **ZLB**: a control header without a message, which acknowledges only.
//!
//! Both roles are here, with incoming and outgoing calls; the words of the log lines are xl2tpd's, because people and programs search for them.
#![forbid(unsafe_code)]

mod audit;
pub mod auth;
pub mod avp;
mod body;
pub mod call;
pub mod config;
mod control;
mod data;
mod dial;
pub mod endpoint;
mod hangup;
pub mod hdlc;
pub mod header;
pub mod io;
mod lac;
mod limit;
mod liveness;
pub mod message;
mod path_gone;
mod place;
pub mod pool;
pub mod reorder;
pub mod secrets;
mod sessions;
mod setup;
pub mod status;
mod table;
mod teardown;
pub mod transport;
mod tunnel;

pub use call::Counter;
pub use config::{EndpointConfig, LacConfig, Limits, LnsAddress, LnsConfig, PppOptions, Section};
pub use endpoint::Endpoint;
pub use io::{
    CallEnd, CallId, CallStart, Credentials, DialId, Entropy, Event, Input, Level, Output, Path, Role,
    TimerReason,
};
pub use ipsec_types::{Instant, SecretBytes};
pub use pool::{AddrRange, RangeRule};
pub use secrets::SecretTable;
pub use status::{CallStatus, Counters, LacState, LacStatus, TunnelStatus};
