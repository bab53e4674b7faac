//! SHA2-256 with the other truncation. RFC 4868 cuts it to 128 bits; Android to version 7, and kernels of vendors, to 96, and
//! nothing in the negotiation tells. Whoever cuts otherwise than we do is let in all the same: his packets fail our check, and
//! none passes.
//!
//! ```text
//!  up ──► look after 1, 2, 4, 8, 16 s ──┬─ a packet has passed: it is right
//!                                       ├─ packets have failed, none has passed: both SAs get the other truncation, once
//!                                       └─ nothing has come: look again
//! ```
//! If it was not that, the first truncation comes back. What was found out holds for the successors of the SA.

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

/// SAs of which nothing has passed yet.
pub(crate) type Unproved = HashMap<Serial, Looks>;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    done: u32,
    /// The truncation is not the one the conn asked for.
    changed: bool,
}

impl Endpoint {
    /// A Child SA is up.
    pub(crate) fn watch_truncation(&mut self, child: Serial) {
        let Some(c) = self.children.get(&child) else { return };
        let esp = c.in_sa.is_some_and(|sa| sa.proto == SaProto::Esp);
        if esp && c.suite.is_some_and(|s| s.integ == EspInteg::Sha256) {
            self.unproved.insert(child, Looks::default());
            self.look_at_truncation(child, 0);
        }
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
        let (done, changed) = (looks.done, looks.changed);
        let usage = match result {
            Ok(KernelReply::Usage(u)) => u,
            _ => return self.truncation_settled(child),
        };
        match (usage.packets, usage.integrity_failed, changed) {
            (0, 1.., false) => {
                self.unproved.insert(child, Looks { done: 0, changed: true });
                let bits = self.change_truncation(child);
                let text = format!(
                    "the peer's packets fail the integrity check: SHA2-256 is cut to {bits} bits for it now, as with sha2-truncbug={}",
                    if bits == 96 { "yes" } else { "no" }
                );
                self.log_sa(child, rc::LOG_SERIOUS, &text);
                self.look_at_truncation(child, 0);
            }
            (0, 1.., true) => {
                self.truncation_settled(child);
                self.change_truncation(child);
                let text = "the peer's packets fail the integrity check with either truncation of SHA2-256";
                self.log_sa(child, rc::LOG_SERIOUS, text);
            }
            (0, 0, _) if done < LOOKS => self.look_at_truncation(child, done),
            _ => self.truncation_settled(child),
        }
    }

    pub(crate) fn truncation_settled(&mut self, child: Serial) {
        self.unproved.remove(&child);
        self.timers.clear(child, TimerKind::Truncation);
    }

    /// Gives both SAs, and those to come of the conn, the other truncation; the bits.
    fn change_truncation(&mut self, child: Serial) -> u8 {
        let of = |c: &ChildSa| Some((c.conn, c.suite?.cipher, [c.in_sa, c.out_sa]));
        let Some((conn, cipher, sas)) = self.children.get(&child).and_then(of) else { return 0 };
        let Some(c) = self.conns.get_mut(conn) else { return 0 };
        c.rare.other_truncation = !c.rare.other_truncation;
        let integ = if c.cuts_sha256(cipher) { EspInteg::Sha256Trunc96 } else { EspInteg::Sha256 };
        for id in sas.into_iter().flatten() {
            self.kernel(KernelRequest::SetIntegrity { id, integ }, None);
        }
        if integ == EspInteg::Sha256Trunc96 { 96 } else { 128 }
    }
}
