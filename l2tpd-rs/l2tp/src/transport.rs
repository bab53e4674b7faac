//! Reliable delivery of control messages (RFC 2661 §5.8): sequence numbers, window, acknowledgement, repetition.
//!
//! One [`Transport`] per tunnel. It knows neither AVPs nor tunnel states. All comparisons are modulo 65536.

use std::collections::VecDeque;
use std::time::Duration;

use ipsec_types::Instant;

use crate::header;

/// Messages to a peer that does not acknowledge them: more than all calls of a tunnel cause at once.
const BACKLOG: usize = 256;

/// How often and how patiently a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Transmissions in all before the tunnel is given up; at least 1.
    pub max: u32,
    /// Upper bound of the interval; zero is none.
    pub cap: Duration,
}

impl Retries {
    /// The wait after the `n`th transmission (from 1): 1, 2, 4, ... seconds, capped.
    fn interval(self, n: u32) -> Duration {
        let d = Duration::from_secs(1 << (n.saturating_sub(1)).min(16));
        if self.cap.is_zero() { d } else { d.min(self.cap) }
    }
}

/// What to do with a received message, by its Ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The one expected: process it.
    Next,
    /// Seen before: acknowledge again, do not process.
    Duplicate,
    /// Ahead, but within our window: keep it until the gap is filled.
    Early,
    /// Further ahead than our window: drop.
    Beyond,
}

/// What the retransmission timer found.
#[derive(Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Send these again.
    Resend(Vec<Vec<u8>>),
    /// The peer has not answered `max` transmissions.
    GivenUp,
}

#[derive(Debug)]
struct Pending {
    session: u16,
    body: Vec<u8>,
    /// Transmissions after which it is only waited for (an SCCRP to an unverified peer).
    max_sends: u32,
    /// Our session id that is free again once this is acknowledged (a CDN).
    frees: Option<u16>,
}

/// The state of one control connection's numbers.
#[derive(Debug)]
pub struct Transport {
    /// The peer's tunnel id, which goes into every header.
    peer_tunnel: u16,
    /// Oldest number not acknowledged: that of the front of `queue`.
    una: u16,
    next_nr: u16,
    /// Sent and not acknowledged (`in_flight` of them), then waiting for room in the peer's window.
    queue: VecDeque<Pending>,
    in_flight: u16,
    peer_window: u16,
    our_window: u16,
    /// Messages that came ahead of a gap: Ns, session id, body. Bounded by `our_window`, which is small.
    early: Vec<(u16, u16, Box<[u8]>)>,
    retries: Retries,
    sends: u32,
    deadline: Option<Instant>,
    /// Session id for the ZLB that is owed, when one is.
    ack_owed: Option<u16>,
}

impl Transport {
    /// Starts at 0/0. Windows are in messages; RFC 2661 §4.4.3: an absent Receive Window Size means 4.
    pub fn new(peer_tunnel: u16, peer_window: Option<u16>, our_window: u16, retries: Retries) -> Self {
        Transport {
            peer_tunnel,
            una: 0,
            next_nr: 0,
            queue: VecDeque::new(),
            in_flight: 0,
            peer_window: peer_window.unwrap_or(4).clamp(1, 0x4000),
            our_window: our_window.clamp(1, 0x4000),
            early: Vec::new(),
            retries,
            sends: 0,
            deadline: None,
            ack_owed: None,
        }
    }

    /// Next sequence number to be sent.
    pub fn ns(&self) -> u16 {
        self.una.wrapping_add(self.in_flight)
    }

    /// How many messages the peer has acknowledged, modulo 65536.
    pub fn acknowledged(&self) -> u16 {
        self.una
    }

    /// Sequence number expected from the peer.
    pub fn nr(&self) -> u16 {
        self.next_nr
    }

    /// Whether every message has been acknowledged.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The peer has answered: its tunnel id, and its window if it told one.
    pub fn set_peer(&mut self, tunnel: u16, window: Option<u16>) {
        self.peer_tunnel = tunnel;
        self.peer_window = window.unwrap_or(4).clamp(1, 0x4000);
    }

    /// Whether a received Nr is one this side has earned: not older than the last, not of what was never sent.
    pub fn plausible(&self, nr: u16) -> bool {
        nr.wrapping_sub(self.una) <= self.in_flight
    }

    /// Messages that are not acknowledged, those not sent yet included.
    pub fn unacknowledged(&self) -> usize {
        self.queue.len()
    }

    /// Whether so many are that the peer is to acknowledge some before it is given more to acknowledge.
    pub fn is_behind(&self) -> bool {
        self.queue.len() >= BACKLOG
    }

    /// The session ids that acknowledgements will free.
    pub(crate) fn to_free(&self) -> impl Iterator<Item = u16> + '_ {
        self.queue.iter().filter_map(|p| p.frees)
    }

    /// Whether no more is under way than the peer's window allows nor kept than ours does, and what is under way has
    /// its timer.
    pub(crate) fn is_sound(&self) -> bool {
        self.in_flight <= self.peer_window
            && usize::from(self.in_flight) <= self.queue.len()
            && self.early.len() <= usize::from(self.our_window)
            && (self.in_flight > 0) == self.deadline.is_some()
    }

    /// When the oldest unacknowledged message must be looked at.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Queues a message for the peer's session `session`. [`Transport::flush`] sends it.
    pub fn push(&mut self, session: u16, body: Vec<u8>) {
        self.queue.push_back(Pending { session, body, max_sends: u32::MAX, frees: None });
    }

    /// As [`Transport::push`], but repeated by the timer only until it was sent `max_sends` times.
    pub fn push_limited(&mut self, body: Vec<u8>, max_sends: u32) {
        self.queue.push_back(Pending { session: 0, body, max_sends, frees: None });
    }

    /// As [`Transport::push`]; its acknowledgement returns `frees` from [`Transport::acknowledge`].
    pub fn push_last(&mut self, session: u16, body: Vec<u8>, frees: u16) {
        self.queue.push_back(Pending { session, body, max_sends: u32::MAX, frees: Some(frees) });
    }

    /// Drops what the peer has not been sent yet. Returns the session ids those messages would have freed.
    pub fn drop_unsent(&mut self) -> Vec<u16> {
        self.queue.drain(usize::from(self.in_flight)..).filter_map(|p| p.frees).collect()
    }

    /// Takes a received Nr; values outside what is in flight are ignored. Returns the session ids that are free now.
    pub fn acknowledge(&mut self, now: Instant, nr: u16) -> Vec<u16> {
        let n = nr.wrapping_sub(self.una);
        if n == 0 || n > self.in_flight {
            return Vec::new();
        }
        self.una = nr;
        self.in_flight -= n;
        self.sends = 1;
        self.deadline = (self.in_flight > 0).then(|| now + self.retries.interval(1));
        self.queue.drain(..usize::from(n)).filter_map(|p| p.frees).collect()
    }

    /// Judges a received Ns.
    pub fn judge(&self, ns: u16) -> Verdict {
        match ns.wrapping_sub(self.next_nr) {
            0 => Verdict::Next,
            d if d >= 0x8000 => Verdict::Duplicate,
            d if d < self.our_window => Verdict::Early,
            _ => Verdict::Beyond,
        }
    }

    /// Counts the expected message as received; its acknowledgement will carry `session`, the peer's id.
    pub fn received(&mut self, session: u16) {
        self.next_nr = self.next_nr.wrapping_add(1);
        self.ack_owed = Some(session);
    }

    /// Owes the peer another acknowledgement, for a duplicate.
    pub fn acknowledge_again(&mut self, session: u16) {
        self.ack_owed.get_or_insert(session);
    }

    /// Keeps a message that came ahead of a gap.
    pub fn keep_early(&mut self, ns: u16, session: u16, body: &[u8]) {
        if !self.early.iter().any(|(n, ..)| *n == ns) {
            // One at a time: most gaps are of one message.
            self.early.reserve_exact(1);
            self.early.push((ns, session, body.into()));
        }
    }

    /// Octets of the messages that are kept ahead of a gap.
    pub fn early_octets(&self) -> usize {
        self.early.iter().map(|(.., body)| body.len()).sum()
    }

    /// The kept message that is expected now: (our session id it is for, body).
    pub fn take_early(&mut self) -> Option<(u16, Box<[u8]>)> {
        let at = self.early.iter().position(|(ns, ..)| *ns == self.next_nr)?;
        let (_, session, body) = self.early.swap_remove(at);
        Some((session, body))
    }

    fn datagram(&self, index: u16) -> Option<Vec<u8>> {
        let p = self.queue.get(usize::from(index))?;
        Some(header::control(
            self.peer_tunnel,
            p.session,
            self.una.wrapping_add(index),
            self.next_nr,
            &p.body,
        ))
    }

    /// The datagrams to send now: new messages the peer's window has room for, or the ZLB that is owed.
    pub fn flush(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while self.in_flight < self.peer_window {
            let Some(d) = self.datagram(self.in_flight) else { break };
            out.push(d);
            self.in_flight += 1;
            if self.deadline.is_none() {
                self.sends = 1;
                self.deadline = Some(now + self.retries.interval(1));
            }
        }
        if let Some(session) = self.ack_owed.take()
            && out.is_empty()
        {
            out.push(header::control(self.peer_tunnel, session, self.ns(), self.next_nr, &[]));
        }
        out
    }

    /// What is in flight, once more, because the peer asked for it again; the timer then owes one repetition less.
    pub fn repeat(&mut self) -> Vec<Vec<u8>> {
        self.ack_owed = None;
        if let Some(p) = self.queue.front_mut() {
            p.max_sends = p.max_sends.min(self.sends);
        }
        (0..self.in_flight).filter_map(|i| self.datagram(i)).collect()
    }

    /// To be called when [`Transport::deadline`] has passed.
    pub fn expire(&mut self, now: Instant) -> Expiry {
        if self.in_flight == 0 {
            self.deadline = None;
            return Expiry::Resend(Vec::new());
        }
        if self.sends >= self.retries.max.max(1) {
            self.deadline = None;
            return Expiry::GivenUp;
        }
        self.sends += 1;
        self.deadline = Some(now + self.retries.interval(self.sends));
        let sends = self.sends;
        let again = |i: &u16| self.queue.get(usize::from(*i)).is_some_and(|p| sends <= p.max_sends);
        let out: Vec<_> = (0..self.in_flight).filter(again).filter_map(|i| self.datagram(i)).collect();
        if !out.is_empty() {
            self.ack_owed = None;
        }
        Expiry::Resend(out)
    }

    /// Starts the transmissions of what is in flight afresh, at this time: the peer is there, it only does not acknowledge.
    pub fn begin_again(&mut self, at: Instant) {
        self.sends = 0;
        self.deadline = Some(at);
    }

    /// Forgets all that was not acknowledged: the peer has closed the tunnel.
    pub fn abandon(&mut self) {
        self.una = self.ns();
        self.in_flight = 0;
        self.queue.clear();
        self.early.clear();
        self.deadline = None;
    }

    /// A message that is sent once, after everything else was given up.
    pub fn last_word(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        vec![header::control(self.peer_tunnel, 0, self.ns(), self.next_nr, body)]
    }

    /// The oldest message the peer has not acknowledged, for a log line.
    pub fn oldest(&self) -> Option<&[u8]> {
        self.queue.front().map(|p| &p.body[..])
    }
}

#[cfg(test)]
mod tests;
