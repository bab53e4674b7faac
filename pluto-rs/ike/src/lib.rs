//! The sans-IO IKE engine.
//!
//! Deterministic: no sockets, no clock, no threads, no files, no environment. Everything enters through
//! [`Endpoint::handle`] as one [`Input`], everything leaves through [`Endpoint::poll_output`] as one [`Output`]; time is
//! passed in and randomness comes from the [`EntropySource`] given at the start, so a run with the same inputs is the
//! same bit for bit. Heavy arithmetic leaves as [`Output::Crypto`] and comes back as [`Input::CryptoDone`]; kernel
//! work likewise. No function here may block, and no input may make one panic.
//!
//! The caller drains `poll_output` after every `handle`, and calls `handle` with [`Input::Timeout`] when the time that
//! `poll_timeout` names has come.

#![forbid(unsafe_code)]

mod algorithms;
mod cert_users;
mod child;
mod child_sa;
mod claim;
mod conn;
mod conn_table;
mod crl_check;
mod endpoint;
mod given;
mod groups;
mod guard;
mod idle;
mod install;
mod io;
mod keyring;
mod later;
mod life;
mod limits;
mod lists;
mod log;
mod matching;
mod moved;
mod pools;
mod reload;
mod route;
mod sa;
mod scripts;
mod show;
mod spd;
mod state_name;
mod status;
mod table;
mod timer;
mod truncation;
mod undelivered;
mod unresolved;
mod updown;
mod v1;
mod wanted;
mod whack;
pub mod wire;

pub use claim::{Claim, Proved, SentCert, Verdict};
pub use endpoint::{Endpoint, EndpointConfig};
pub use io::{
    ClientId, CryptoJob, CryptoResult, CryptoToken, EntropySource, Input, Interface, KeyExchange, Output,
    PasswordCheck, PasswordToken, PasswordVerdict, Protected, PskLookup, Record, SecretLine, Updown,
    UpdownEnd, UpdownResult, UpdownToken, run_crypto,
};
pub use ipsec_types::Limits;
pub use keyring::{Keyring, OwnKey};
pub use timer::TimerKind;
