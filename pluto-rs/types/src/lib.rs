//! Vocabulary shared by the IPsec crates: plain data that crosses crate boundaries.
//!
//! This crate must not do input or output, read a clock, or hold logic that can fail at run time beyond parsing
//! a word. Names are the RFCs'; the text forms users see are Openswan's.
//!
//! * **IKE SA** (RFC 2409 calls it ISAKMP SA): the protected channel two daemons speak over.
//! * **Child SA** (IPsec SA): one pair of ESP SAs, one per direction, negotiated by a Quick Mode.
//! * **Selector**: addresses, protocol and ports that a policy applies to (RFC 4301 §4.4.1).
//! * **Conn**: a `conn` section of `ipsec.conf`; **end**: one of its two sides.

pub mod algo;
pub mod auth;
pub mod conn;
pub mod der;
pub mod dn;
pub mod id;
pub mod kernel;
pub mod limits;
pub mod marks;
pub mod modecfg;
pub mod secret;
pub mod time;
pub mod whack;

pub use conn::{ConnSpec, EndSpec, HostSpec, Port, ProtoPort};
pub use id::Id;
pub use limits::Limits;
pub use secret::SecretBytes;
pub use time::{Instant, Now};
