//! Engines in one process: a virtual clock, a bad network with NATs between them, and a kernel that only remembers.
//!
//! Everything a run does follows from one number, so a run that went wrong can be had again bit for bit. Nothing here
//! opens a socket, reads a clock or starts a thread; the load tools beside it do, and are programs of their own.
//!
//! [`Pair`] is the world: host 0 is the server, host 1 the first client. [`Pair::step`] lets everybody say what they
//! have to say, then jumps to the next moment at which something happens.

#![forbid(unsafe_code)]

mod check;
mod conns;
mod host;
pub mod impair;
pub mod keys;
pub mod message;
pub mod meter;
mod net;
mod pair;
pub mod spy;
pub mod targets;

pub use check::{Outcome, clean, outcome, settled};
pub use conns::{CLIENT, PSK, SERVER, client_conn, server_conn, setup};
pub use host::{Entropy, Host, Keys};
pub use net::{Datagram, Link, Nat, Network};
pub use pair::{Filter, Pair, PairConfig, Tamper};
