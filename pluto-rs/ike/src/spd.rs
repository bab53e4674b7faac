//! Which policies are in the kernel, for whom, and how two peers with the same selector are kept apart.
//!
//! In transport mode two clients behind one NAT have the same selector: the NAT's address and UDP 1701. The first gets
//! plain policies; a later one gets policies that want a mark, and every inbound SA marks what it decapsulated. A
//! daemon that answers with the mark it received (`SO_RCVMARK`, `SO_MARK`) therefore reaches the right client.

use std::collections::HashMap;

use ipnet::IpNet;
use ipsec_types::kernel::{Dir, Layers, MARKS, Mark, PolicyId, REQID_RANGE, Selector, mark_of_reqid};

use crate::conn::ConnId;
use crate::sa::Serial;

/// What a Child SA protects, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub ours: IpNet,
    pub our_port: u16,
    pub theirs: IpNet,
    pub their_port: u16,
    pub proto: u8,
}

impl Flow {
    pub(crate) fn selector(&self, dir: Dir) -> Selector {
        match dir {
            Dir::Out => Selector {
                src: self.ours,
                dst: self.theirs,
                proto: self.proto,
                sport: self.our_port,
                dport: self.their_port,
            },
            Dir::In | Dir::Fwd => Selector {
                src: self.theirs,
                dst: self.ours,
                proto: self.proto,
                sport: self.their_port,
                dport: self.our_port,
            },
        }
    }
}

/// Number of an entry: names its reqid and its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(crate) fn reqid(self) -> u32 {
        REQID_RANGE.start() + self.0
    }

    /// The slot of a reqid.
    pub(crate) fn of_reqid(reqid: u32) -> Option<Slot> {
        REQID_RANGE.contains(&reqid).then(|| Slot(reqid - REQID_RANGE.start()))
    }

    /// A slot that was entered as one that needs a mark has one.
    pub(crate) fn mark(self) -> Option<Mark> {
        mark_of_reqid(self.reqid())
    }
}

/// Marks of a conn, inbound and outbound.
type Marks = [Option<Mark>; 2];

/// The marks that the policies of an entry want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marking {
    /// None, unless another peer has the same selector.
    Unless,
    /// The slot has one, for packets that were decrypted; the policies as above.
    Slot,
    /// Those of the conn (`mark=`), inbound and outbound. They keep it apart from every conn with others.
    Conn(Marks),
}

impl Marking {
    /// Those of the conn.
    pub(crate) fn of_conn(self) -> Option<Marks> {
        match self {
            Marking::Conn(marks) => Some(marks),
            Marking::Unless | Marking::Slot => None,
        }
    }
}

/// Directions, in the order in which policies are removed.
const DIRS: [Dir; 3] = [Dir::In, Dir::Fwd, Dir::Out];

fn in_direction([inbound, outbound]: &Marks, dir: Dir) -> Option<Mark> {
    if dir == Dir::Out { *outbound } else { *inbound }
}

/// Why there is no place for a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// All are taken.
    Full,
    /// Another conn has this flow with this mark in one direction at least, and the kernel has one policy for it.
    Taken(ConnId),
}

/// One pair of policies and who uses it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub flow: Flow,
    pub conn: ConnId,
    marked: bool,
    /// `mark=`.
    of_conn: Option<Box<Marks>>,
    users: Vec<Serial>,
    /// What the policies in the kernel say is around a packet, by [`DIRS`].
    installed: [Option<Layers>; DIRS.len()],
    /// The outbound policy lets pass, or drops, for the time being.
    pub shunted: bool,
}

impl Entry {
    /// Notes a policy; what was said for this direction before.
    pub(crate) fn note(&mut self, dir: Dir, layers: Layers) -> Option<Layers> {
        let mut each = DIRS.iter().zip(&mut self.installed);
        each.find(|(d, _)| **d == dir).and_then(|(_, said)| said.replace(layers))
    }

    /// The policies that are in the kernel.
    pub(crate) fn policies(&self, slot: Slot) -> Vec<PolicyId> {
        let there = DIRS.iter().zip(&self.installed).filter(|(_, said)| said.is_some());
        there.map(|(dir, _)| self.policy(slot, *dir)).collect()
    }

    pub(crate) fn policy(&self, slot: Slot, dir: Dir) -> PolicyId {
        let mark = match self.of_conn.as_deref() {
            Some(marks) => in_direction(marks, dir),
            None => slot.mark().filter(|_| self.marked),
        };
        PolicyId { selector: self.flow.selector(dir), dir, mark }
    }

    /// Whether a policy of the two has the same name in the kernel, if they have one flow.
    fn meets(&self, slot: Slot, marks: Option<&Marks>) -> bool {
        DIRS.iter().any(|dir| self.policy(slot, *dir).mark == marks.and_then(|m| in_direction(m, *dir)))
    }

    /// What a policy that wants a mark is before one that does not: packets with the mark fit both.
    pub(crate) fn lead(&self) -> u32 {
        u32::from(self.marked || self.of_conn.is_some())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Spd {
    entries: HashMap<Slot, Box<Entry>>,
    // In order. The selector's far end is chosen by the peer: std's keyed hasher.
    by_flow: HashMap<Flow, Vec<Slot>>,
    /// The slots given out last: of those with a mark, and of the others.
    last: [u32; 2],
}

impl Spd {
    /// An empty one whose first slot is the one after `start`. A random `start` keeps the marks of an earlier run, for
    /// which L2TP tunnels may still stand, from being given to other peers at once.
    pub(crate) fn new(start: u16) -> Self {
        Spd { last: [u32::from(start), u32::from(start)], ..Spd::default() }
    }

    /// The entry for this flow of this conn, made if there is none. Full when all [`MARKS`] slots with a mark are taken,
    /// and there is no other or a mark is needed: for transport mode, where it tells clients behind one NAT apart and
    /// what came through IPsec from what did not.
    pub(crate) fn enter(
        &mut self,
        flow: Flow,
        conn: ConnId,
        user: Serial,
        marking: Marking,
    ) -> Result<Slot, NoPlace> {
        let slots = self.by_flow.get(&flow);
        let of_conn = marking.of_conn();
        let entries = || slots.into_iter().flatten().filter_map(|s| Some((*s, self.entries.get(s)?)));
        let own = entries().find(|(_, e)| e.conn == conn).map(|(slot, _)| slot);
        if let Some(slot) = own {
            if let Some(e) = self.entries.get_mut(&slot).filter(|e| !e.users.contains(&user)) {
                e.users.push(user);
            }
            return Ok(slot);
        }
        let rival = entries().find(|(slot, e)| e.meets(*slot, of_conn.as_ref()));
        if let (Some((_, rival)), Marking::Conn(_)) = (rival, marking) {
            return Err(NoPlace::Taken(rival.conn));
        }
        // A second peer with the same selector is told apart by its mark.
        let (shared, marked) = (entries().next().is_some(), rival.is_some());
        let more = REQID_RANGE.end() - REQID_RANGE.start() - MARKS;
        let [last_marked, last_other] = self.last;
        let free = |entries: &HashMap<Slot, Box<Entry>>, first: u32, n: u32, last: u32| {
            let next = |i| Slot((last - last.min(first) + 1 + i) % n + first);
            (0..n).map(next).find(|s| !entries.contains_key(s))
        };
        let slot = match marking == Marking::Slot || shared {
            true => free(&self.entries, 1, MARKS, last_marked),
            false => free(&self.entries, MARKS + 1, more, last_other)
                .or_else(|| free(&self.entries, 1, MARKS, last_marked)),
        };
        let slot = slot.ok_or(NoPlace::Full)?;
        self.last[usize::from(slot.0 > MARKS)] = slot.0;
        // Most flows have one slot: no room for more.
        let slots = self.by_flow.entry(flow).or_insert_with(|| Vec::with_capacity(1));
        if let Err(at) = slots.binary_search(&slot) {
            slots.insert(at, slot);
        }
        let (of_conn, users) = (of_conn.map(Box::new), vec![user]);
        let entry =
            Entry { flow, conn, marked, of_conn, users, installed: Default::default(), shunted: false };
        self.entries.insert(slot, Box::new(entry));
        Ok(slot)
    }

    /// Whether there is an entry for this flow of this conn.
    pub(crate) fn holds(&self, flow: &Flow, conn: ConnId) -> bool {
        let mut same = self.by_flow.get(flow).into_iter().flatten();
        same.any(|s| self.entries.get(s).is_some_and(|e| e.conn == conn))
    }

    /// Takes a user out; returns the policies to remove when it was the last.
    pub(crate) fn leave(&mut self, slot: Slot, user: Serial) -> Vec<PolicyId> {
        let Some(e) = self.entries.get_mut(&slot) else { return Vec::new() };
        e.users.retain(|u| *u != user);
        if !e.users.is_empty() {
            return Vec::new();
        }
        let Some(e) = self.entries.remove(&slot) else { return Vec::new() };
        if let Some(same) = self.by_flow.get_mut(&e.flow) {
            if let Ok(at) = same.binary_search(&slot) {
                same.remove(at);
            }
            if same.is_empty() {
                self.by_flow.remove(&e.flow);
            }
        }
        e.policies(slot)
    }

    /// The conns that have an entry for this flow with these marks.
    pub(crate) fn owners(&self, flow: &Flow, marking: Marking) -> Vec<ConnId> {
        let slots = self.by_flow.get(flow).into_iter().flatten();
        let same = slots
            .filter_map(|s| self.entries.get(s))
            .filter(|e| e.of_conn.as_deref() == marking.of_conn().as_ref());
        same.map(|e| e.conn).collect()
    }

    /// Who uses the entry.
    pub(crate) fn users(&self, slot: Slot) -> Vec<Serial> {
        self.entries.get(&slot).map(|e| e.users.clone()).unwrap_or_default()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(&slot).map(|e| &mut **e)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use super::*;

    fn flow() -> Flow {
        let net = |s: &str| s.parse().unwrap();
        Flow {
            ours: net("192.0.2.1/32"),
            our_port: 1701,
            theirs: net("198.51.100.2/32"),
            their_port: 1701,
            proto: 17,
        }
    }

    #[test]
    fn a_second_peer_with_the_same_selector_is_marked_and_a_rekey_is_not() {
        let mut spd = Spd::default();
        let a = spd.enter(flow(), ConnId(1), Serial(2), Marking::Slot).unwrap();
        let b = spd.enter(flow(), ConnId(2), Serial(4), Marking::Slot).unwrap();
        let a2 = spd.enter(flow(), ConnId(1), Serial(6), Marking::Slot).unwrap();
        assert_eq!(a, a2);
        assert!(!spd.get_mut(a).unwrap().marked && spd.get_mut(b).unwrap().marked);
        let (mark_a, mark_b) = (a.mark().unwrap(), b.mark().unwrap());
        assert_ne!(mark_a.value, mark_b.value);
        assert_eq!(spd.get_mut(a).unwrap().note(Dir::Out, Layers::default()), None);
        assert!(spd.leave(a, Serial(2)).is_empty());
        assert_eq!(spd.leave(a, Serial(6)).len(), 1);
    }

    #[test]
    fn conns_with_marks_of_their_own_do_not_meet() {
        let mark = |value| Some(Mark { value, mask: u32::MAX });
        let marking = |n| Marking::Conn([mark(n), mark(n + 1)]);
        let mut spd = Spd::default();
        let a = spd.enter(flow(), ConnId(1), Serial(2), marking(10)).unwrap();
        let b = spd.enter(flow(), ConnId(2), Serial(4), marking(20)).unwrap();
        let plain = spd.enter(flow(), ConnId(3), Serial(6), Marking::Unless).unwrap();
        let seen = |spd: &mut Spd, slot| {
            let entry = spd.get_mut(slot).unwrap();
            let of = |dir| entry.policy(slot, dir).mark.map(|m| m.value);
            ([of(Dir::In), of(Dir::Fwd), of(Dir::Out)], entry.lead())
        };
        assert_eq!(seen(&mut spd, a), ([Some(10), Some(10), Some(11)], 1));
        assert_eq!(seen(&mut spd, b), ([Some(20), Some(20), Some(21)], 1));
        assert_eq!(seen(&mut spd, plain), ([None, None, None], 0));
        assert_eq!(spd.owners(&flow(), marking(20)), [ConnId(2)]);
        // One of the two marks is another conn's: there is one policy in the kernel for that.
        let taken = |conn| Err(NoPlace::Taken(ConnId(conn)));
        assert_eq!(spd.enter(flow(), ConnId(4), Serial(8), marking(20)), taken(2));
        let outbound = |n| Marking::Conn([None, mark(n)]);
        assert_eq!(
            spd.enter(flow(), ConnId(4), Serial(8), outbound(30)),
            taken(3),
            "inbound as without a mark"
        );
        assert!(spd.leave(plain, Serial(6)).is_empty());
        let half = spd.enter(flow(), ConnId(4), Serial(8), outbound(30)).unwrap();
        assert_eq!(spd.enter(flow(), ConnId(5), Serial(10), outbound(31)), taken(4));
        // And a conn without marks gets those of its slot beside it.
        let plain = spd.enter(flow(), ConnId(3), Serial(6), Marking::Unless).unwrap();
        assert_eq!(seen(&mut spd, half), ([None, None, Some(30)], 1));
        assert_eq!(seen(&mut spd, plain).0, [plain.mark().map(|m| m.value); 3]);
        assert_eq!(spd.owners(&flow(), Marking::Slot), [ConnId(3)]);
    }

    #[test]
    fn any_start_gives_a_slot_with_a_mark_and_another_start_another_slot() {
        let first = |start| Spd::new(start).enter(flow(), ConnId(1), Serial(2), Marking::Slot).unwrap();
        for start in [0, 1, 0x7ffe, 0x7fff, 0x8000, u16::MAX] {
            assert!(first(start).mark().is_some(), "{start}");
        }
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn a_hundred_thousand_clients_have_marks_and_the_last_one_is_refused() {
        // Pairs of clients behind one address; the other addresses are their own.
        let flow = |n: u32| Flow { theirs: IpNet::from(IpAddr::from((n / 2).to_be_bytes())), ..flow() };
        let mut spd = Spd::new(u16::MAX);
        let enter = |spd: &mut Spd, n: u32| spd.enter(flow(n), ConnId(n.into()), Serial(n), Marking::Slot);
        let slots: Vec<Slot> = (0..MARKS).map(|n| enter(&mut spd, n).unwrap()).collect();
        assert!(slots.len() >= 100_000);
        let marks: BTreeSet<u32> = slots.iter().map(|s| s.mark().unwrap().value).collect();
        assert_eq!(marks.len(), slots.len(), "a mark alone tells whose SA it is");
        assert!(slots.iter().all(|s| Slot::of_reqid(s.reqid()) == Some(*s)));

        // Nothing is left of the one that finds no place, and one that leaves makes room.
        assert_eq!(enter(&mut spd, MARKS), Err(NoPlace::Full));
        assert!(
            spd.owners(&flow(MARKS), Marking::Slot).len() == 1
                && spd.owners(&flow(MARKS + 2), Marking::Slot).is_empty()
        );
        let tunnel = spd.enter(flow(MARKS + 2), ConnId(0), Serial(0), Marking::Unless).unwrap();
        assert_eq!(tunnel.mark(), None);
        spd.leave(slots[7], Serial(7));
        assert_eq!(enter(&mut spd, MARKS), Ok(slots[7]));
    }
}
