//! What a daemon needs of the operating system: UDP sockets, the interface list, the clock, randomness, syslog, the
//! pid file, going into the background.
//!
//! Nothing here knows IKE. No function blocks but [`daemon::daemonize`], which waits for its child.

#![deny(unsafe_code)]

pub mod clock;
pub mod daemon;
pub mod entropy;
pub mod ifaces;
pub mod pidfile;
pub mod syslog;
pub mod udp;
