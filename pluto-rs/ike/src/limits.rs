//! Half-open IKE SAs of strangers, and what of their messages was refused: the daemon's limits at work.
//!
//! When there are too many half-open SAs in all, a new one takes the place of the oldest whose peer has not shown that
//! it receives what we send: an attacker with forged addresses fills the places again and again, and a peer that answers
//! within the time he needs for that gets through.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use ipsec_types::whack::rc;
use serde_json::{Value, json};

use crate::Endpoint;
use crate::sa::Serial;
use crate::wire::DecodeError;
use crate::wire::payload::Chain;

/// How many more half-open SAs an address may have that a conn names.
const NAMED: usize = 4;

/// Half-open responders.
#[derive(Debug, Default)]
pub(crate) struct HalfOpen {
    // The address is the peer's choice: std's keyed hasher.
    by_peer: HashMap<IpAddr, u32>,
    all: usize,
    /// Those whose peer has sent one message only, oldest first.
    unproved: BTreeSet<Serial>,
}

impl HalfOpen {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all
    }

    /// A first message has made this SA.
    pub(crate) fn came(&mut self, serial: Serial) {
        self.unproved.insert(serial);
    }

    /// Its peer has answered to what we sent it, or it is gone.
    pub(crate) fn proved(&mut self, serial: Serial) {
        self.unproved.remove(&serial);
    }

    /// Whether it is one that anybody could have made from any address.
    pub(crate) fn is_unproved(&self, serial: Serial) -> bool {
        self.unproved.contains(&serial)
    }
}

/// How often each limit was met.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) per_peer: u64,
    pub(crate) displaced: u64,
    pub(crate) timed_out: u64,
    pub(crate) exchanges: u64,
    pub(crate) duplicates: u64,
    pub(crate) malformed: u64,
    pub(crate) fragments: u64,
    pub(crate) fragment_octets: u64,
    pub(crate) fragment_memory: u64,
    // Parsing borrows the engine.
    payloads: Cell<u64>,
}

/// What counts as one address: a host may take any of a /64.
fn place(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from(u128::from(a) >> 64 << 64)),
    }
}

impl Endpoint {
    /// Adds a half-open responder to the counts; false if there are too many.
    pub(crate) fn admit_half_open(&mut self, peer: IpAddr) -> bool {
        let limits = self.setup.limits;
        let named = if self.conns.names_peer(peer) { NAMED } else { 1 };
        let n = self.half_open.by_peer.get(&place(peer)).map_or(0, |n| *n as usize);
        if n >= limits.half_open_per_peer.saturating_mul(named) {
            self.refused.per_peer += 1;
            return false;
        }
        while self.half_open.all >= limits.half_open {
            self.refused.displaced += 1;
            let Some(oldest) = self.half_open.unproved.first().copied() else { return false };
            self.delete_ike(oldest, false);
        }
        *self.half_open.by_peer.entry(place(peer)).or_default() += 1;
        self.half_open.all += 1;
        true
    }

    /// Takes a responder out of the counts: it is established or gone.
    pub(crate) fn leave_half_open(&mut self, peer: IpAddr) {
        let peer = place(peer);
        if let Some(n) = self.half_open.by_peer.get_mut(&peer) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.half_open.by_peer.remove(&peer);
            }
            self.half_open.all = self.half_open.all.saturating_sub(1);
        }
    }

    /// The payloads of a message, no more than there may be.
    pub(crate) fn chain<'a>(&self, next: u8, body: &'a [u8]) -> Result<Chain<'a>, DecodeError> {
        let chain = Chain::parse_within(next, body, self.setup.limits.payloads);
        if matches!(chain, Err(DecodeError::TooMany { what: "payloads", .. })) {
            self.refused.payloads.set(self.refused.payloads.get() + 1);
        }
        chain
    }

    /// An answer to a message that came again: `n` is how many there were. Whether there may be another.
    pub(crate) fn answers_duplicate(&mut self, n: u32) -> bool {
        let may = n < self.setup.limits.duplicates;
        self.refused.duplicates += u64::from(!may);
        may
    }

    /// Keyword, limit, what is held now where that is one number, and how often the limit was met.
    fn limit_rows(&self) -> [(&'static str, u64, Option<usize>, u64); 10] {
        let (l, r) = (&self.setup.limits, &self.refused);
        let n = |n: usize| n as u64;
        let half_open = Some(self.half_open.all);
        [
            ("max-halfopen-ike", n(l.half_open), half_open, r.displaced),
            ("max-halfopen-per-peer", n(l.half_open_per_peer), None, r.per_peer),
            ("halfopen-timeout", l.half_open_life.as_secs(), None, r.timed_out),
            ("max-quick-modes", n(l.exchanges), None, r.exchanges),
            ("max-duplicates", l.duplicates.into(), None, r.duplicates),
            ("max-malformed-notify", l.malformed.into(), None, r.malformed),
            ("max-payloads", n(l.payloads), None, r.payloads.get()),
            ("max-fragments", n(l.fragments), None, r.fragments),
            ("max-fragment-octets", n(l.fragment_octets), None, r.fragment_octets),
            (
                "max-fragment-memory",
                n(l.fragment_octets_all),
                Some(self.fragments.octets()),
                r.fragment_memory,
            ),
        ]
    }

    /// The lines of the status.
    pub(crate) fn limit_lines(&self) -> Vec<String> {
        let line = |(name, limit, held, refused): (&str, u64, Option<usize>, u64)| {
            let held = held.map_or_else(String::new, |h| format!("{h} held, "));
            format!("limit {name}={limit}: {held}{refused} refused")
        };
        self.limit_rows().into_iter().map(line).collect()
    }

    /// The same, by keyword.
    pub(crate) fn limits_json(&self) -> Value {
        let object = |(name, limit, held, refused): (&str, u64, Option<usize>, u64)| {
            (name.to_string(), json!({ "limit": limit, "held": held, "refused": refused }))
        };
        Value::Object(self.limit_rows().into_iter().map(object).collect())
    }

    /// `config setup` has changed. What is held already stays.
    pub(crate) fn set_setup(&mut self, client: crate::ClientId, setup: ipsec_types::whack::SetupSpec) {
        if setup.limits != self.setup.limits {
            self.log_plain(Some(client), rc::LOG, "limits have changed; what is held already stays");
        }
        let every = self.setup.crl_check_interval;
        self.setup = setup;
        if self.setup.crl_check_interval != every {
            self.set_crl_check();
        }
    }
}
