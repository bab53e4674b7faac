//! SHA2-256 with the other truncation. RFC 4868 cuts it to 128 bits; Android to version 7, and kernels of vendors, to 96, and
//! nothing in the negotiation tells. Whoever cuts otherwise than we do is let in all the same: his packets fail our check, and
//! none passes.
//!
//! ```text
//!  up ──► look after 1, 2, 4, 8, 16 s ──┬─ a packet has passed: it is right, and holds for the successors
//!                                       ├─ packets have failed, none has passed: both SAs get the other truncation, once
//!                                       └─ nothing has come: look again
//! ```
//! One packet that fails is anybody's. If the other truncation helps nothing before the looks end, the first comes back.

use std::collections::HashMap;
use std::time::Duration;

use ipsec_types::algo::EspInteg;
use ipsec_types::kernel::{KernelError, KernelReply, KernelRequest, SaProto};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::endpoint::KernelWait;
use crate::sa::{ChildSa, Serial};
use crate::timer::TimerKind;

/// The first look after an SA is up; each further one waits twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// Looks at one truncation.
const LOOKS: u32 = 5;

/// Packets that fail before anything is changed.
const FAILURES: u32 = 2;

/// SAs of which nothing has passed yet.
pub(crate) type Unproved = HashMap<Serial, Looks>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    done: u32,
    /// What the SAs have now.
    integ: EspInteg,
    /// It is not what they began with.
    changed: bool,
}

impl Endpoint {
    /// A Child SA is up.
    pub(crate) fn watch_truncation(&mut self, child: Serial) {
        let Some(c) = self.children.get(&child) else { return };
        let esp = c.in_sa.is_some_and(|sa| sa.proto == SaProto::Esp);
        let suite = c.suite.filter(|s| esp && s.integ == EspInteg::Sha256);
        let Some((conn, suite)) = self.conns.get(c.conn).zip(suite) else { return };
        let integ = of_cut(conn.cuts_sha256(suite.cipher));
        self.unproved.insert(child, Looks { done: 0, integ, changed: false });
        self.look_at_truncation(child, 0);
    }

    fn look_at_truncation(&mut self, child: Serial, done: u32) {
        let at = self.after(FIRST * (1 << done.min(LOOKS)));
        self.timers.set(child, TimerKind::Truncation, at);
    }

    /// Time to look.
    pub(crate) fn on_truncation(&mut self, child: Serial) {
        if let Some(id) = self.children.get(&child).and_then(|c| c.in_sa) {
            self.kernel(KernelRequest::QuerySa(id), Some(KernelWait::Truncation(child)));
        }
    }

    /// The kernel has counted.
    pub(crate) fn on_truncation_usage(&mut self, child: Serial, result: Result<KernelReply, KernelError>) {
        let Some(looks) = self.unproved.get_mut(&child) else { return };
        looks.done += 1;
        let Looks { done, integ, changed } = *looks;
        let Ok(KernelReply::Usage(usage)) = result else { return self.truncation_settled(child) };
        if usage.packets > 0 {
            self.truncation_settled(child);
            if changed {
                self.truncation_is(child, integ);
            }
            return;
        }
        let fails = usage.integrity_failed >= FAILURES;
        if done < LOOKS && !(fails && (!changed || done > 1)) {
            return self.look_at_truncation(child, done);
        }
        let other = of_cut(integ == EspInteg::Sha256);
        if changed {
            self.truncation_settled(child);
            self.set_truncation(child, other);
            let text = "the peer's packets fail the integrity check with either truncation of SHA2-256, or there are none";
            self.log_sa(child, rc::LOG_SERIOUS, text);
        } else if fails {
            self.unproved.insert(child, Looks { done: 0, integ: other, changed: true });
            self.set_truncation(child, other);
            let (bits, word) = (other.trunc_bits(), if other == EspInteg::Sha256 { "no" } else { "yes" });
            let text = format!(
                "the peer's packets fail the integrity check: SHA2-256 is cut to {bits} bits for it now, as with sha2-truncbug={word}"
            );
            self.log_sa(child, rc::LOG_SERIOUS, &text);
            self.look_at_truncation(child, 0);
        } else {
            self.truncation_settled(child);
        }
    }

    fn truncation_settled(&mut self, child: Serial) {
        self.unproved.remove(&child);
        self.timers.clear(child, TimerKind::Truncation);
    }

    /// The peer has shown which it is: so it is for the SAs to come.
    fn truncation_is(&mut self, child: Serial, integ: EspInteg) {
        let of = |c: &ChildSa| Some((c.conn, c.suite?.cipher));
        let Some((conn, cipher)) = self.children.get(&child).and_then(of) else { return };
        if let Some(c) = self.conns.get_mut(conn)
            && of_cut(c.cuts_sha256(cipher)) != integ
        {
            c.rare.other_truncation = !c.rare.other_truncation;
        }
    }

    /// Gives both SAs this truncation; the outbound one of a successor that waits for the switch is not there yet.
    fn set_truncation(&mut self, child: Serial, integ: EspInteg) {
        let of = |c: &ChildSa| [c.in_sa, c.out_sa.filter(|_| c.switch.is_none())];
        for id in self.children.get(&child).map(of).into_iter().flatten().flatten() {
            self.kernel(KernelRequest::SetIntegrity { id, integ }, Some(KernelWait::Integrity(child)));
        }
    }

    /// The kernel did not take it: a pair whose halves differ carries nothing.
    pub(crate) fn on_integrity_set(&mut self, child: Serial, result: Result<KernelReply, KernelError>) {
        if let Err(e) = result
            && self.children.contains_key(&child)
        {
            self.log_sa(child, rc::LOG_SERIOUS, &format!("{e}; deleting the IPsec SA"));
            self.delete_child(child, true);
        }
    }
}

fn of_cut(cut: bool) -> EspInteg {
    if cut { EspInteg::Sha256Trunc96 } else { EspInteg::Sha256 }
}
