//! What the `pluto` daemon needs of the operating system besides the kernel's IPsec: IKE sockets, the list of
//! addresses, the clock, random numbers, syslog, small files over HTTP, and the steps of becoming a daemon.
//!
//! Nothing here knows what a packet means or decides anything about a negotiation. No call blocks, but for
//! [`daemon::daemonize`] in the process that is left behind, [`http::fetch`] and [`program::run`].

#![deny(unsafe_code)]

pub mod clock;
pub mod daemon;
pub mod entropy;
pub mod http;
pub mod ifaces;
pub mod pidfile;
pub mod program;
pub mod syslog;
pub mod udp;

pub use daemon::daemonize;
pub use entropy::OsEntropy;
pub use syslog::Syslog;
pub use udp::IkeSocket;
