//! The shell around [`l2tp_proto`]: configuration, sockets, ptys, pppd, control pipe, signals, log.
//!
//! Everything that talks to the kernel is here, and nothing that knows the protocol. One thread, one epoll; no call in
//! the loop blocks. The binaries are `xl2tpd` (`l2tpd` by its other name) and `xl2tpd-control`.

pub mod args;
pub mod check;
pub mod conf;
pub mod control_pipe;
pub mod daemon;
pub mod datapath;
pub mod inner;
pub mod interfaces;
pub mod kernel;
pub mod lease_file;
pub mod log;
pub mod mtu;
pub mod optfile;
pub mod outgoing;
pub mod pidfile;
pub mod ppp_db;
pub mod ppp_secrets;
pub mod pppd;
pub mod protected;
pub mod pty;
pub mod resolver;
pub mod sa_watch;
pub mod secrets;
pub mod show;
pub mod signals;
mod spawn;
pub mod status;
pub mod time;
pub mod udp;
