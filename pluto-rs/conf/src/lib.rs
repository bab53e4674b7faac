//! `ipsec.conf` and `ipsec.secrets`, from text to typed configuration.
pub mod algs;
pub mod diag;
pub mod glob;
pub mod net;
pub mod parse;
pub mod secrets;
pub mod source;
