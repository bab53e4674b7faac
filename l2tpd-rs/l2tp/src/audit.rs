//! What must hold between any two inputs: whatever is allocated has an owner and a timer that ends it, and the indexes
//! say what the tables say. For tests and fuzzers; it changes nothing, and the daemon has no use for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::io::TimerReason;
use crate::sessions::CALL_SETUP;
use crate::tunnel::{Tunnel, TunnelState};

fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

impl Endpoint {
    /// Looks at everything that is held.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn audit(&self) -> Result<(), String> {
        self.tunnels.iter().try_for_each(|(id, t)| self.audit_tunnel(*id, t))?;
        self.calls.iter().try_for_each(|(id, c)| self.audit_call(*id, c))?;
        self.audit_timers()?;
        self.audit_leases()?;
        self.audit_dials()?;
        self.audit_indexes()
    }

    fn audit_tunnel(&self, id: u16, t: &Tunnel) -> Result<(), String> {
        let has = |what: &str, holds| must(holds, || format!("tunnel {id} ({:?}): {what}", t.state));
        has("its id", id != 0 && t.id == id)?;
        has("a timer", t.armed.is_some_and(|(at, why)| self.timers.contains(&(at, id, why))))?;
        has("its window", t.transport.is_sound())?;
        has("its calls", t.calls.iter().all(|s| self.calls.get(s).is_some_and(|c| c.id.tunnel == id)))?;
        let connected = t.by_peer_session.iter();
        has(
            "the peer's session ids",
            connected.into_iter().all(|(peer, s)| self.calls.get(s).is_some_and(|c| c.peer_session == *peer)),
        )?;
        let over = matches!(t.state, TunnelState::Closing | TunnelState::Stopped);
        has("no call after its end", !over || t.calls.is_empty())?;
        let dialling = t.state == TunnelState::ExpectSccrp;
        has("its place among the dials", !dialling || self.dialling.contains(&id))?;
        has("its mark", t.path.mark == 0 || self.by_mark.get(&t.path.mark).is_some_and(|s| s.contains(&id)))?;
        has("the ids of its farewells", t.retired == t.transport.to_free().collect() || over)?;
        has("them in all", t.retired.is_subset(&self.retired))
    }

    fn audit_call(&self, id: u16, c: &Call) -> Result<(), String> {
        let has = |what: &str, holds| must(holds, || format!("call {id} ({:?}): {what}", c.state));
        has("its id", id != 0 && c.id.session == id && !self.retired.contains(&id))?;
        has("its tunnel", self.tunnels.get(&c.id.tunnel).is_some_and(|t| t.calls.contains(&id)))?;
        has("PPP or a timer", c.has_ppp() || self.timers.contains(&setup_timer(c)))?;
        let gap = c.reorder.as_ref().and_then(|r| r.deadline());
        has("a timer for a gap", gap.is_none_or(|at| self.timers.contains(&(at, id, TimerReason::Reorder))))?;
        has("a generation of its own", !self.ended.contains_key(&c.id.generation))
    }

    fn audit_timers(&self) -> Result<(), String> {
        for timer @ &(at, id, why) in &self.timers {
            let call = self.calls.get(&id);
            let owned = match why {
                TimerReason::Redial => self.redials_at(id, at),
                TimerReason::CallSetup => call.is_some_and(|c| !c.has_ppp() && setup_timer(c) == *timer),
                TimerReason::Reorder => {
                    call.is_some_and(|c| c.reorder.as_ref().and_then(|r| r.deadline()) == Some(at))
                }
                _ => self.tunnels.get(&id).is_some_and(|t| t.armed == Some((at, why))),
            };
            must(owned, || format!("timer {timer:?}: an owner"))?;
        }
        Ok(())
    }

    fn audit_leases(&self) -> Result<(), String> {
        let of_calls: Vec<_> =
            self.calls.values().flat_map(|c| [c.remote_lease, c.local_lease]).flatten().collect();
        let given = self.leases.given();
        must(of_calls.len() == given.len() && of_calls.iter().all(|a| given.contains(a)), || {
            format!("the pool: {given:?} given, calls have {of_calls:?}")
        })
    }

    fn audit_indexes(&self) -> Result<(), String> {
        let mut half_open = BTreeMap::new();
        for t in self.tunnels.values().filter(|t| t.state == TunnelState::ExpectScccn) {
            *half_open.entry(*t.path.peer.ip()).or_insert(0) += 1;
        }
        let all: usize = half_open.values().sum();
        must(half_open == self.half_open && all == self.half_open_all, || {
            format!(
                "half-open tunnels: {half_open:?}, counted {:?} and {}",
                self.half_open, self.half_open_all
            )
        })?;
        let known =
            |key, peer, id| self.tunnels.get(id).is_some_and(|t| (t.path.key(), t.peer_id) == (key, peer));
        must(self.by_peer.iter().all(|(&(key, peer), id)| known(key, peer, id)), || {
            format!("tunnels by peer: {:?}", self.by_peer)
        })?;
        let marked = |mark, ids: &BTreeSet<u16>| {
            !ids.is_empty() && ids.iter().all(|id| self.tunnels.get(id).is_some_and(|t| t.path.mark == mark))
        };
        must(self.by_mark.iter().all(|(m, ids)| marked(*m, ids)), || {
            format!("tunnels by mark: {:?}", self.by_mark)
        })?;
        must(self.dialling.iter().all(|id| self.tunnels.contains_key(id)), || {
            format!("dials: {:?}", self.dialling)
        })?;
        let retired: usize = self.tunnels.values().map(|t| t.retired.len()).sum();
        must(retired == self.retired.len(), || format!("farewells: {:?}, {retired} of tunnels", self.retired))
    }
}

fn setup_timer(c: &Call) -> (ipsec_types::Instant, u16, TimerReason) {
    (c.since + CALL_SETUP, c.id.session, TimerReason::CallSetup)
}
