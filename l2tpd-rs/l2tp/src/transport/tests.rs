//! Loss, order, windows and wrap of control messages.

use super::*;
use crate::header::{Packet, parse};
use proptest::prelude::*;

const R: Retries = Retries { max: 5, cap: Duration::ZERO };

fn at(s: u64) -> Instant {
    Instant(s * 1_000_000_000)
}

fn numbers(d: &[Vec<u8>]) -> Vec<(u16, u16, bool)> {
    d.iter()
        .map(|d| match parse(d) {
            Ok(Packet::Control(c)) => (c.ns, c.nr, c.body.is_empty()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_message_goes_out_at_0_1_3_7_15_and_is_given_up_at_31() {
    let mut t = Transport::new(9, None, 4, R);
    t.push(0, b"m".to_vec());
    assert_eq!(t.flush(at(0)).len(), 1);
    let mut sent = vec![0];
    loop {
        let when = t.deadline().unwrap();
        match t.expire(when) {
            Expiry::Resend(d) => {
                assert_eq!(numbers(&d), [(0, 0, false)]);
                sent.push(when.0 / 1_000_000_000);
            }
            Expiry::GivenUp => {
                assert_eq!((sent, when), (vec![0, 1, 3, 7, 15], at(31)));
                return;
            }
        }
    }
}

#[test]
fn the_cap_bounds_the_interval() {
    let r = Retries { max: 9, cap: Duration::from_secs(4) };
    assert_eq!((1..6).map(|n| r.interval(n).as_secs()).collect::<Vec<_>>(), [1, 2, 4, 4, 4]);
}

#[test]
fn a_window_of_one_lets_one_message_out_at_a_time() {
    let mut t = Transport::new(9, Some(1), 4, R);
    t.push(0, b"a".to_vec());
    t.push(0, b"b".to_vec());
    assert_eq!(numbers(&t.flush(at(0))), [(0, 0, false)]);
    assert!(t.flush(at(0)).is_empty());
    t.received(0);
    assert_eq!(numbers(&t.flush(at(0))), [(1, 1, true)], "a full window does not hold back the ZLB");
    t.acknowledge(at(1), 1);
    assert_eq!(numbers(&t.flush(at(1))), [(1, 1, false)]);
}

#[test]
fn an_absent_window_means_four_and_zero_means_one() {
    for (rws, want) in [(None, 4), (Some(0), 1), (Some(2), 2)] {
        let mut t = Transport::new(9, rws, 4, R);
        for _ in 0..6 {
            t.push(0, b"m".to_vec());
        }
        assert_eq!(t.flush(at(0)).len(), want);
    }
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_ignored() {
    let mut t = Transport::new(9, None, 4, R);
    t.push(0, b"m".to_vec());
    t.flush(at(0));
    t.acknowledge(at(0), 2);
    t.acknowledge(at(0), 0xffff);
    assert!(!t.is_idle());
    t.acknowledge(at(0), 1);
    assert!(t.is_idle() && t.deadline().is_none());
}

#[test]
fn a_limited_message_is_waited_for_but_not_repeated_for_ever() {
    let mut t = Transport::new(9, None, 4, R);
    t.push_limited(b"sccrp".to_vec(), 2);
    let mut sent = t.flush(at(0)).len();
    while let Expiry::Resend(d) = t.expire(t.deadline().unwrap()) {
        sent += d.len();
    }
    assert_eq!(sent, 2);
}

#[test]
fn numbers_wrap_at_65536() {
    let (mut a, mut b) = (Transport::new(1, None, 4, R), Transport::new(2, None, 4, R));
    for i in 0..70_000u64 {
        a.push(0, b"m".to_vec());
        let d = a.flush(at(i));
        let (ns, _, _) = numbers(&d)[0];
        assert_eq!(b.judge(ns), Verdict::Next);
        assert_eq!(b.judge(ns.wrapping_sub(1)), Verdict::Duplicate);
        b.received(0);
        let z = numbers(&b.flush(at(i)));
        a.acknowledge(at(i), z[0].1);
        assert!(a.is_idle());
    }
}

#[test]
fn only_the_window_is_kept_ahead_of_a_gap() {
    let t = Transport::new(1, None, 4, R);
    assert_eq!(
        [0, 1, 3, 4, 0x7fff, 0x8000].map(|n| t.judge(n)),
        [Verdict::Next, Verdict::Early, Verdict::Early, Verdict::Beyond, Verdict::Beyond, Verdict::Duplicate]
    );
}

proptest! {
    /// Whatever is lost, doubled or swapped, every message arrives once and in order, or the sender gives up.
    #[test]
    fn delivery_is_exactly_once_in_order(fate in proptest::collection::vec(0u8..10, 600), rws in 1u16..6) {
        let (mut a, mut b) = (Transport::new(1, Some(rws), 4, Retries { max: 40, cap: Duration::from_secs(1) }),
                              Transport::new(2, None, rws, R));
        let (mut wire, mut got, mut fate) = (VecDeque::new(), Vec::new(), fate.into_iter().cycle());
        for i in 0..20u8 { a.push(0, vec![i]); }
        let mut now = at(0);
        wire.extend(a.flush(now));
        for _ in 0..2000 {
            if a.is_idle() { break; }
            let Some(d) = wire.pop_front() else {
                now = a.deadline().unwrap();
                let Expiry::Resend(d) = a.expire(now) else { break };
                wire.extend(d);
                continue;
            };
            match fate.next().unwrap() { 0 | 1 => continue, 2 => wire.push_back(d.clone()), 3 => { wire.push_back(d); continue }, _ => {} }
            let Ok(Packet::Control(c)) = parse(&d) else { unreachable!() };
            match b.judge(c.ns) {
                Verdict::Next => {
                    b.received(0);
                    got.extend_from_slice(c.body);
                    while let Some((_, m)) = b.take_early() { b.received(0); got.extend(m); }
                }
                Verdict::Early => b.keep_early(c.ns, 0, c.body),
                _ => b.acknowledge_again(0),
            }
            for z in b.flush(now) {
                if fate.next().unwrap() > 1
                    && let Ok(Packet::Control(z)) = parse(&z) { a.acknowledge(now, z.nr); }
            }
            wire.extend(a.flush(now));
        }
        prop_assert!(a.is_idle());
        prop_assert_eq!(got, (0..20).collect::<Vec<u8>>());
    }
}
