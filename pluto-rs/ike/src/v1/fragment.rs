//! IKE fragmentation (Cisco's and Microsoft's): pieces that come are put together, long messages are cut.
//!
//! Pieces are taken for an SA that is known, whether the peer announced them or not (Apple's clients do not always).
//! What is held is bounded in pieces and octets a message, in octets in all, and in age, so that neither a peer nor
//! somebody who sees its cookies can make us hold or search more than that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use ipsec_types::Instant;
use ipsec_types::conn::Fragmentation;

use crate::Endpoint;
use crate::io::Output;
use crate::sa::Serial;
use crate::wire::{Fragment, Header, fragment};

/// How long an unfinished message is kept.
const LIFE: Duration = Duration::from_secs(30);
/// Packet sizes, IP header included: what every path of today takes, and what every host must take (RFC 791).
const WIDE: usize = 1280;
const NARROW: usize = 576;
/// From this repetition on, pieces are small.
const NARROW_FROM: u32 = 2;

/// What an IKE SA knows about fragmentation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sending {
    /// The peer said that it takes fragments.
    pub peer: bool,
    last_id: u16,
}

/// Why a piece was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More pieces than a message may have.
    Count,
    /// More octets than a message may have.
    Octets,
    /// More octets than all unfinished messages together may have.
    All,
}

/// Bounds of [`Reassemblies`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub count: usize,
    pub octets: usize,
    pub all: usize,
}

#[derive(Debug)]
struct Message {
    id: u16,
    began: Instant,
    pieces: BTreeMap<u8, Vec<u8>>,
    last: Option<u8>,
    octets: usize,
}

/// Unfinished messages, at most one for an SA.
#[derive(Debug, Default)]
pub(crate) struct Reassemblies {
    messages: BTreeMap<Serial, Message>,
    /// By age.
    ages: BTreeSet<(Instant, Serial)>,
    octets: usize,
}

impl Reassemblies {
    /// Octets held.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Forgets what is held for an SA.
    pub(crate) fn remove(&mut self, serial: Serial) {
        if let Some(m) = self.messages.remove(&serial) {
            self.ages.remove(&(m.began, serial));
            self.octets -= m.octets;
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((_, serial)) = self.ages.first().copied().filter(|(began, _)| *began + LIFE <= now) {
            self.remove(serial);
        }
    }

    /// Takes a piece; the whole message if it was the missing one.
    ///
    /// A piece that comes again replaces the earlier one: peers that number all messages alike begin a new one that
    /// way, and the octets of the old are not needed any more.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        serial: Serial,
        f: Fragment<'_>,
        bounds: Bounds,
    ) -> Result<Option<Vec<u8>>, Refused> {
        self.forget_old(now);
        if usize::from(f.number) > bounds.count {
            self.remove(serial);
            return Err(Refused::Count);
        }
        let another = |m: &Message| m.id != f.id || m.last.is_some_and(|l| f.number > l);
        if self.messages.get(&serial).is_some_and(another) {
            self.remove(serial);
        }
        let message = self.messages.entry(serial).or_insert_with(|| {
            self.ages.insert((now, serial));
            Message { id: f.id, began: now, pieces: BTreeMap::new(), last: None, octets: 0 }
        });
        let gone = |p: Option<Vec<u8>>| p.map_or(0, |p| p.len());
        let mut freed = gone(message.pieces.remove(&f.number));
        if f.last {
            message.last = Some(f.number);
            freed += message.pieces.split_off(&f.number).into_values().map(|p| p.len()).sum::<usize>();
        }
        message.octets -= freed;
        self.octets -= freed;
        let refused = if message.octets + f.data.len() > bounds.octets {
            Some(Refused::Octets)
        } else if self.octets + f.data.len() > bounds.all {
            Some(Refused::All)
        } else {
            None
        };
        if let Some(refused) = refused {
            self.remove(serial);
            return Err(refused);
        }
        message.pieces.insert(f.number, f.data.to_vec());
        message.octets += f.data.len();
        self.octets += f.data.len();
        if message.last.is_none_or(|l| message.pieces.len() < usize::from(l)) {
            return Ok(None);
        }
        let whole = message.pieces.values().flatten().copied().collect();
        self.remove(serial);
        Ok(Some(whole))
    }
}

impl Endpoint {
    /// `HDR, fragment`: a piece of a message of an SA we know.
    pub(super) fn on_fragment(&mut self, local: SocketAddr, remote: SocketAddr, h: &Header, body: &[u8]) {
        let fragment = match Fragment::parse(body) {
            Ok(f) => f,
            Err(e) => return self.log_packet(remote, &format!("{e}; fragment ignored")),
        };
        let Some(serial) = self.find_ike(h) else {
            return self.log_packet(remote, "IKE fragment is for a non-existent (expired?) ISAKMP SA");
        };
        let bounds = Bounds {
            count: self.setup.limits.fragments,
            octets: self.setup.limits.fragment_octets,
            all: self.setup.limits.fragment_octets_all,
        };
        let whole = match self.fragments.take(self.now.mono, serial, fragment, bounds) {
            Ok(None) => return,
            Ok(Some(whole)) => whole,
            Err(why) => {
                match why {
                    Refused::Count => self.refused.fragments += 1,
                    Refused::Octets => self.refused.fragment_octets += 1,
                    Refused::All => self.refused.fragment_memory += 1,
                }
                let text = match why {
                    Refused::Count => format!("more than {} fragments of one message", bounds.count),
                    Refused::Octets => format!("more than {} octets of one message", bounds.octets),
                    Refused::All => format!("more than {} octets of fragments in all", bounds.all),
                };
                return self.log_packet(remote, &format!("{text}; IKE fragment dropped"));
            }
        };
        let inner = Header::parse(&whole);
        let same = |i: &Header| {
            i.icookie == h.icookie
                && i.rcookie == h.rcookie
                && i.version == h.version
                && i.next != fragment::FRAGMENT
        };
        match inner {
            Ok((inner, body)) if same(&inner) => self.on_v1(local, remote, &inner, body, &whole),
            Ok(_) => {
                self.log_packet(remote, "the fragments of a message are not a message of their SA; ignored")
            }
            Err(e) => self.log_packet(remote, &format!("the fragments of a message make none: {e}")),
        }
    }

    /// Notes what the peer said with a FRAGMENTATION vendor ID.
    pub(super) fn peer_takes_fragments(&mut self, serial: Serial) {
        if let Some(sa) = self.ikes.get_mut(&serial) {
            sa.fragments.peer = true;
        }
    }

    /// Sends a message of an IKE SA to where its peer is, for the `repeated`-th time again, in pieces where that is
    /// due: at once if it does not fit [`WIDE`] packets, into [`NARROW`] ones when it has been sent in vain before.
    pub(super) fn transmit_again(&mut self, serial: Serial, message: &[u8], repeated: u32) {
        let Some(sa) = self.ikes.get_mut(&serial) else { return };
        let wanted = match self.conns.get(sa.conn).map_or(Fragmentation::No, |c| c.spec.fragmentation) {
            Fragmentation::No => false,
            Fragmentation::Yes => sa.fragments.peer,
            // Without the responder's cookie nobody can put them together.
            Fragmentation::Force => sa.rcookie != [0; 8],
        };
        let marker: &[u8] = if sa.natt.floated { &[0; 4] } else { &[] };
        let (packet, ip) = match (sa.remote, repeated >= NARROW_FROM) {
            (SocketAddr::V4(_), true) => (NARROW, 20),
            (SocketAddr::V4(_), false) => (WIDE, 20),
            (SocketAddr::V6(_), _) => (WIDE, 40),
        };
        let id = sa.fragments.last_id.wrapping_add(1).max(1);
        let pieces = if wanted { fragment::cut(message, id, packet - ip - 8 - marker.len()) } else { None };
        if pieces.is_some() {
            sa.fragments.last_id = id;
        }
        let (local, remote) = (sa.local, sa.remote);
        for piece in pieces.unwrap_or_else(|| vec![message.to_vec()]) {
            let data = [marker, &piece].concat();
            self.out.push_back(Output::Transmit { local, remote, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { count: 4, octets: 40, all: 60 };
    const ONE: Serial = Serial(1);

    fn piece(number: u8, last: bool, data: &[u8]) -> Fragment<'_> {
        Fragment { id: 1, number, last, data }
    }

    #[test]
    fn any_order_makes_the_message_once() {
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 1, 2]] {
            let mut r = Reassemblies::default();
            let mut whole = Vec::new();
            for n in order.into_iter().flat_map(|n| [n, n]) {
                whole.extend(r.take(Instant(0), ONE, piece(n, n == 3, &[n; 3]), BOUNDS).unwrap());
            }
            assert_eq!(whole, [vec![1, 1, 1, 2, 2, 2, 3, 3, 3]], "{order:?}");
            // The second copy of the missing piece began another message.
            assert_eq!(r.octets(), 3);
            r.remove(ONE);
            assert_eq!(r.octets(), 0);
        }
    }

    #[test]
    fn pieces_octets_and_the_sum_have_limits() {
        let now = Instant(0);
        let mut r = Reassemblies::default();
        for n in [3, 4] {
            assert_eq!(r.take(now, ONE, piece(n, false, b"x"), BOUNDS), Ok(None));
        }
        assert_eq!(r.take(now, ONE, piece(5, false, b"x"), BOUNDS), Err(Refused::Count));
        assert_eq!(r.octets(), 0);

        for (second, want) in [(19, Ok(None)), (20, Ok(None)), (21, Err(Refused::Octets))] {
            assert_eq!(r.take(now, ONE, piece(1, false, &[1; 20]), BOUNDS), Ok(None));
            assert_eq!(r.take(now, ONE, piece(2, false, &vec![2; second]), BOUNDS), want);
            r.remove(ONE);
        }
        for (third, want) in [(19, Ok(None)), (20, Ok(None)), (21, Err(Refused::All))] {
            for s in [1, 2] {
                assert_eq!(r.take(now, Serial(s), piece(1, false, &[1; 20]), BOUNDS), Ok(None));
            }
            assert_eq!(r.take(now, Serial(3), piece(1, false, &vec![1; third]), BOUNDS), want);
            // What the others have is left alone.
            assert!(r.octets() >= 40);
            (1..=3).for_each(|s| r.remove(Serial(s)));
        }
        assert_eq!(r.octets(), 0);
    }

    #[test]
    fn what_is_old_makes_room() {
        let mut r = Reassemblies::default();
        let later = Instant(0) + LIFE;
        for s in 0..3 {
            assert_eq!(r.take(Instant(0), Serial(s), piece(1, false, &[1; 20]), BOUNDS), Ok(None));
        }
        assert_eq!(r.take(Instant(1), Serial(9), piece(1, false, b"x"), BOUNDS), Err(Refused::All));
        assert_eq!(r.take(later, Serial(9), piece(1, false, b"x"), BOUNDS), Ok(None));
        assert_eq!((r.octets(), r.ages.len()), (1, 1));
    }

    /// libreswan gives every message the number 1.
    #[test]
    fn a_new_message_of_the_same_number_displaces_an_unfinished_one() {
        let mut r = Reassemblies::default();
        for (n, data) in [(1, b"old"), (2, b"old"), (1, b"new")] {
            assert_eq!(r.take(Instant(0), ONE, piece(n, false, data), BOUNDS), Ok(None));
        }
        assert_eq!(r.take(Instant(0), ONE, piece(2, true, b"er"), BOUNDS), Ok(Some(b"newer".to_vec())));
        assert_eq!(r.octets(), 0);
    }
}
