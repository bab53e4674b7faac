//! `inactivity=` (strongSwan's): a Child SA through which nothing goes is deleted. The kernel is asked for its counters a few
//! times in that span, never per packet; conns without the word cost nothing.

use std::collections::HashMap;
use std::time::Duration;

use ipsec_types::Instant;
use ipsec_types::kernel::{KernelError, KernelReply, KernelRequest};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::endpoint::KernelWait;
use crate::sa::Serial;
use crate::timer::TimerKind;

/// How often in the span the kernel is asked: the SA goes a quarter of it late at most.
const LOOKS: u32 = 4;

/// What is known of the SAs that are watched.
pub(crate) type Watched = HashMap<Serial, Seen>;

/// Octets through an SA, both ways, and since when they are so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    octets: u64,
    since: Instant,
    /// Of the look under way, whose other answer is still to come.
    half: Option<u64>,
}

impl Endpoint {
    /// A Child SA is up: it is watched if its conn wants that.
    pub(crate) fn watch_traffic(&mut self, child: Serial) {
        if self.inactivity(child) > 0 {
            self.watched.insert(child, Seen { octets: 0, since: self.now.mono, half: None });
            self.look_later(child);
        }
    }

    /// Seconds; 0 is never.
    fn inactivity(&self, child: Serial) -> u32 {
        let conn = self.children.get(&child).and_then(|c| self.conns.get(c.conn));
        conn.map_or(0, |c| c.spec.inactivity)
    }

    fn look_later(&mut self, child: Serial) {
        let at = self.after(Duration::from_secs(self.inactivity(child).into()) / LOOKS);
        self.timers.set(child, TimerKind::Idle, at);
    }

    /// Time to look.
    pub(crate) fn on_idle(&mut self, child: Serial) {
        // A successor's outbound SA waits for the switch.
        let used = self.children.get(&child).filter(|c| c.is_up() && c.switch.is_none());
        let sas = used.and_then(|c| Some([c.in_sa?, c.out_sa?]));
        match (sas, self.watched.get_mut(&child)) {
            (Some(sas), Some(seen)) => {
                seen.half = None;
                for id in sas {
                    self.kernel(KernelRequest::QuerySa(id), Some(KernelWait::Idle(child)));
                }
            }
            (None, Some(_)) if self.children.contains_key(&child) => self.look_later(child),
            _ => {}
        }
    }

    /// One of the kernel's two answers; an SA that is gone has carried nothing.
    pub(crate) fn on_idle_usage(&mut self, child: Serial, result: Result<KernelReply, KernelError>) {
        let octets = match result {
            Ok(KernelReply::Usage(u)) => u.bytes,
            _ => 0,
        };
        let (now, span) = (self.now.mono, self.inactivity(child));
        let Some(seen) = self.watched.get_mut(&child) else { return };
        let Some(half) = seen.half.take() else {
            seen.half = Some(octets);
            return;
        };
        let octets = octets.saturating_add(half);
        if octets != seen.octets {
            (seen.octets, seen.since) = (octets, now);
        }
        if now - seen.since < Duration::from_secs(span.into()) {
            return self.look_later(child);
        }
        self.log_sa(child, rc::LOG, &format!("deleting IPsec SA after {span} seconds of inactivity"));
        // auto=keep would bring it up again at once.
        let conn = self.children.get(&child).map(|c| c.conn);
        if let Some(c) = conn.and_then(|conn| self.conns.get_mut(conn)) {
            c.up = false;
        }
        self.delete_child(child, true);
    }
}
