//! Deadlines of all SAs in one ordered set.

use std::collections::{BTreeMap, BTreeSet};

use ipsec_types::Instant;

use crate::sa::Serial;

/// Why an SA wakes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// Send the last message again, or give up.
    Retransmit,
    /// A half-open responder that went silent is forgotten (`EVENT_SO_DISCARD`).
    Discard,
    /// Negotiate a successor.
    Replace,
    /// The end of its life.
    Expire,
    /// Keep the NAT's mapping.
    NatKeepalive,
    /// Dead peer detection: probe, or declare dead.
    Dpd,
    /// A conn that is to be up, and is not, is brought up again.
    Revive,
    /// The outbound SA of a successor takes over.
    Switch,
    /// See what has gone through a Child SA with `inactivity=`.
    Idle,
    /// See whether the peer's packets pass the integrity check.
    Truncation,
    /// A host that did not answer is left alone no longer.
    Shunt,
    /// See whether lists of revoked certificates grow old.
    CrlCheck,
}

impl TimerKind {
    /// The word in `ipsec auto --status`.
    pub fn event(self) -> &'static str {
        match self {
            TimerKind::Retransmit => "EVENT_RETRANSMIT",
            TimerKind::Discard => "EVENT_SO_DISCARD",
            TimerKind::Replace => "EVENT_SA_REPLACE",
            TimerKind::Expire => "EVENT_SA_EXPIRE",
            TimerKind::NatKeepalive => "EVENT_NAT_T_KEEPALIVE",
            TimerKind::Dpd => "EVENT_DPD",
            TimerKind::Revive => "EVENT_REVIVE_CONNS",
            TimerKind::Shunt => "EVENT_SHUNT_SCAN",
            TimerKind::CrlCheck => "EVENT_CHECK_CRLS",
            TimerKind::Switch => "EVENT_SA_SWITCH",
            TimerKind::Idle => "EVENT_SA_IDLE",
            TimerKind::Truncation => "EVENT_SA_TRUNCATION",
        }
    }
}

/// All deadlines; an SA has at most one of each kind.
#[derive(Debug, Default)]
pub(crate) struct TimerQueue {
    order: BTreeSet<(Instant, Serial, TimerKind)>,
    // A tree: what is under way has the last numbers, which lie together, however many SAs are held.
    due: BTreeMap<(Serial, TimerKind), Instant>,
}

impl TimerQueue {
    pub(crate) fn set(&mut self, serial: Serial, kind: TimerKind, at: Instant) {
        self.clear(serial, kind);
        self.order.insert((at, serial, kind));
        self.due.insert((serial, kind), at);
    }

    pub(crate) fn clear(&mut self, serial: Serial, kind: TimerKind) {
        if let Some(at) = self.due.remove(&(serial, kind)) {
            self.order.remove(&(at, serial, kind));
        }
    }

    pub(crate) fn clear_all(&mut self, serial: Serial) {
        use TimerKind::{Discard, Dpd, Expire, Idle, NatKeepalive, Replace, Retransmit, Switch, Truncation};
        for kind in [Retransmit, Discard, Replace, Expire, NatKeepalive, Dpd, Switch, Idle, Truncation] {
            self.clear(serial, kind);
        }
    }

    pub(crate) fn get(&self, serial: Serial, kind: TimerKind) -> Option<Instant> {
        self.due.get(&(serial, kind)).copied()
    }

    /// Whether anything but a NAT keep-alive, which ends nothing, will wake this SA.
    pub(crate) fn has(&self, serial: Serial) -> bool {
        use TimerKind::{Discard, Dpd, Expire, Replace, Retransmit};
        [Retransmit, Discard, Replace, Expire, Dpd].into_iter().any(|k| self.due.contains_key(&(serial, k)))
    }

    pub(crate) fn next(&self) -> Option<(Instant, TimerKind)> {
        self.order.first().map(|(at, _, kind)| (*at, *kind))
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Serial, TimerKind)> {
        let &(at, serial, kind) = self.order.first()?;
        if at > now {
            return None;
        }
        self.clear(serial, kind);
        Some((serial, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rearming_replaces_and_clearing_forgets() {
        let (mut q, s) = (TimerQueue::default(), Serial(1));
        q.set(s, TimerKind::Retransmit, Instant(10));
        q.set(s, TimerKind::Retransmit, Instant(30));
        q.set(s, TimerKind::Expire, Instant(20));
        assert_eq!(q.pop(Instant(15)), None);
        assert_eq!(q.pop(Instant(25)), Some((s, TimerKind::Expire)));
        assert_eq!(q.next(), Some((Instant(30), TimerKind::Retransmit)));
        q.clear_all(s);
        assert_eq!(q.next(), None);
    }
}
