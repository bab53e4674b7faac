//! What the `ipsec` command reads that others wrote, and what it leaves out of it. None of it may panic, hang or grow.

#![forbid(unsafe_code)]

pub mod censor;
pub mod firewall;
pub mod xfrm;
