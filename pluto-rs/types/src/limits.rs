//! Bounds on what strangers and peers can make the daemon hold or do: a keyword of `config setup` for each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// All of them. None is ever 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// `max-halfopen-per-peer=`: half-open IKE SAs from one address (IPv6: one /64). A peer that a conn names has four
    /// times as many.
    pub half_open_per_peer: usize,
    /// `max-halfopen-ike=`: half-open IKE SAs in all.
    pub half_open: usize,
    /// `halfopen-timeout=`: life of a half-open responder.
    pub half_open_life: Duration,
    /// `max-quick-modes=`: Quick Modes under way in one IKE SA.
    pub exchanges: usize,
    /// `max-duplicates=`: answers to repetitions of one message.
    pub duplicates: u32,
    /// `max-malformed-notify=`: `PAYLOAD_MALFORMED` notifications of one IKE SA.
    pub malformed: u32,
    /// `max-payloads=`: payloads of one message.
    pub payloads: usize,
    /// `max-fragments=`: fragments of one message.
    pub fragments: usize,
    /// `max-fragment-octets=`: octets of all fragments of one message.
    pub fragment_octets: usize,
    /// `max-fragment-memory=`: octets of the fragments of all unfinished messages.
    pub fragment_octets_all: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            half_open_per_peer: 10,
            half_open: 1000,
            half_open_life: Duration::from_secs(30),
            exchanges: 16,
            duplicates: 8,
            malformed: 16,
            payloads: 64,
            fragments: 64,
            fragment_octets: 65_536,
            fragment_octets_all: 4 << 20,
        }
    }
}
