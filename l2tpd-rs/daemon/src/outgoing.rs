//! Datagrams on their way out: one behind the other in one buffer, so that the kernel can take many of a size at once.
//!
//! No socket here; [`crate::udp`] sends.

use std::ops::Range;

use l2tp_proto::Path;

/// Datagrams the kernel takes as one (`UDP_MAX_SEGMENTS` of the kernels that have the fewest).
const MOST: usize = 64;
/// Their octets together, which have to fit in one IP packet.
const MOST_OCTETS: usize = 64_000;
/// Longer ones may not fit a link of Ethernet's size, and have to be cut one by one.
const LONGEST: usize = 1472;
/// Octets of the buffer that are kept when it is emptied.
const KEPT: usize = 256 * 1024;

/// What is to be sent, in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    octets: Vec<u8>,
    list: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    path: Path,
    tos: Option<u8>,
    /// Where in the octets it ends.
    end: usize,
}

/// Datagrams that follow each other, to one peer, of one type of service, and of one size but for the last, which may be
/// shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where to.
    pub path: Path,
    /// Which, by their number.
    pub datagrams: Range<usize>,
    /// Octets of each.
    pub size: usize,
    /// Type of service; `None` for the socket's.
    pub tos: Option<u8>,
    octets: Range<usize>,
}

impl Outgoing {
    /// Adds a datagram.
    pub fn push(&mut self, path: Path, data: &[u8]) {
        self.octets.extend_from_slice(data);
        self.list.push(Item { path, tos: None, end: self.octets.len() });
    }

    /// Adds the datagram that `write` appends, if it says where to.
    pub fn append(&mut self, tos: Option<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<Path>) {
        let before = self.octets.len();
        match write(&mut self.octets) {
            Some(path) => self.list.push(Item { path, tos, end: self.octets.len() }),
            None => self.octets.truncate(before),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.octets.shrink_to(KEPT);
        self.list.clear();
    }

    fn octets_of(&self, n: usize) -> Range<usize> {
        let start = n.checked_sub(1).and_then(|p| self.list.get(p)).map_or(0, |i| i.end);
        start..self.list.get(n).map_or(start, |i| i.end)
    }

    /// The run that begins with datagram `at`; just that one when it goes `alone`, and in every path with a mark: what
    /// IPsec will take one by one cannot be handed over together.
    pub fn run(&self, at: usize, alone: impl FnOnce(&Path) -> bool) -> Option<Run> {
        let Item { path, tos, .. } = *self.list.get(at)?;
        let octets = self.octets_of(at);
        let size = octets.len();
        let mut run = Run { path, datagrams: at..at + 1, size, tos, octets };
        if path.mark != 0 || size == 0 || size > LONGEST || alone(&path) {
            return Some(run);
        }
        while run.datagrams.len() < MOST
            && let Some(next) = self.list.get(run.datagrams.end)
        {
            let (more, end) = (next.end - run.octets.end, next.end);
            if (next.path, next.tos) != (path, tos)
                || more == 0
                || more > size
                || end - run.octets.start > MOST_OCTETS
            {
                break;
            }
            run.octets.end = end;
            run.datagrams.end += 1;
            if more < size {
                break;
            }
        }
        Some(run)
    }

    /// A run's octets.
    pub fn bytes(&self, run: &Run) -> &[u8] {
        self.octets.get(run.octets.clone()).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(port: u16, mark: u32) -> Path {
        let at = |port| std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        Path { local: *at(0).ip(), peer: at(port), mark }
    }

    fn runs(out: &Outgoing) -> Vec<(usize, usize)> {
        let (mut at, mut got) = (0, Vec::new());
        while let Some(r) = out.run(at, |_| false) {
            got.push((r.datagrams.len(), r.size));
            at = r.datagrams.end;
        }
        got
    }

    #[test]
    fn a_run_has_one_peer_and_one_size() {
        let mut out = Outgoing::default();
        for (port, size) in [(1, 5), (1, 5), (1, 3), (1, 5), (1, 6), (2, 6), (2, 6), (1, 6), (1, 0), (1, 6)] {
            out.push(path(port, 0), &vec![size; size.into()]);
        }
        assert_eq!(runs(&out), [(3, 5), (1, 5), (1, 6), (2, 6), (1, 6), (1, 0), (1, 6)]);
        let run = out.run(0, |_| false).unwrap();
        assert_eq!(out.bytes(&run), [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 3, 3, 3]);
        assert_eq!(out.run(0, |_| true).unwrap().datagrams, 0..1);
        assert_eq!(out.run(10, |_| false), None);
    }

    #[test]
    fn a_run_has_one_type_of_service() {
        let mut out = Outgoing::default();
        for tos in [None, Some(0), Some(0), Some(8), None, None] {
            out.append(tos, |b| {
                b.push(1);
                Some(path(1, 0))
            });
        }
        assert_eq!(runs(&out), [(1, 1), (2, 1), (1, 1), (2, 1)]);
    }

    #[test]
    fn what_goes_through_ipsec_or_may_have_to_be_cut_goes_alone() {
        let mut out = Outgoing::default();
        for _ in 0..3 {
            out.push(path(1, 7), &[1; 100]);
        }
        for _ in 0..3 {
            out.push(path(1, 0), &[1; LONGEST + 1]);
        }
        assert_eq!(runs(&out), [[(1, 100); 3], [(1, LONGEST + 1); 3]].concat());
    }

    #[test]
    fn what_has_no_way_is_not_sent() {
        let mut out = Outgoing::default();
        out.append(None, |b| {
            b.extend_from_slice(b"lost");
            None
        });
        assert!(out.is_empty());
        out.append(None, |b| {
            b.extend_from_slice(b"sent");
            Some(path(1, 0))
        });
        assert_eq!((out.len(), out.bytes(&out.run(0, |_| false).unwrap())), (1, &b"sent"[..]));
    }

    proptest! {
        #[test]
        fn every_datagram_is_in_one_run(list in proptest::collection::vec((1u16..3, 0usize..1600, 1usize..90), 0..20)) {
            let mut out = Outgoing::default();
            let mut all = Vec::new();
            for (port, size, times) in list {
                for i in 0..times {
                    out.push(path(port, 0), &vec![i as u8; size]);
                    all.extend(vec![i as u8; size]);
                }
            }
            let (mut at, mut bytes) = (0, Vec::new());
            while let Some(r) = out.run(at, |_| false) {
                prop_assert_eq!(r.datagrams.start, at);
                prop_assert!(r.datagrams.len() <= MOST);
                prop_assert!(out.bytes(&r).len() <= MOST_OCTETS);
                bytes.extend_from_slice(out.bytes(&r));
                at = r.datagrams.end;
            }
            prop_assert_eq!(at, out.len());
            prop_assert_eq!(bytes, all);
        }
    }
}
