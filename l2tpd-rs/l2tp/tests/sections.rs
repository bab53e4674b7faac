//! Which `[lns]` section serves a peer, from the address of its SCCRQ alone; and the addresses a section gives.
//!
//! | the sections | who is served by which |
//! |---|---|
//! | named ones, the last of the file first; then `[lns default]` | `the_section_that_serves_a_peer` |
//! | within one its `lac` and `no lac` lines, of which the last that holds the address decides | same |
//! | a `no lac` sends on to the next section, it does not refuse | same |
//! | a named one without `lac` lines serves nobody | same |
//! | with `access control` neither does `[lns default]` without | same |

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;

use common::*;
use l2tp_proto::avp::attr;
use l2tp_proto::message::{Body, MessageType};
use l2tp_proto::{AddrRange, LnsConfig, RangeRule};

/// `lac` for addresses of the last octets `from` to `to`, or `no lac`.
fn rule(allow: bool, from: u8, to: u8) -> RangeRule {
    let at = |n: u8| [203, 0, 113, n].into();
    RangeRule { range: AddrRange { start: at(from), end: at(to) }, allow }
}

fn section(name: &str, lac: &[RangeRule]) -> Arc<LnsConfig> {
    Arc::new(LnsConfig { name: name.into(), lac: lac.to_vec(), ..lns() })
}

/// Named sections in file order, the default, `access control`, the peer's last octet, and who serves it.
type Row<'a> = (Vec<&'a Arc<LnsConfig>>, Option<&'a Arc<LnsConfig>>, bool, u8, Option<&'a str>);

#[test]
fn the_section_that_serves_a_peer() {
    let a = section("a", &[rule(true, 1, 50), rule(false, 20, 30), rule(true, 25, 25)]);
    let b = section("b", &[rule(true, 10, 60)]);
    let none = section("none", &[]);
    let default = section("default", &[]);
    let chosen = section("default", &[rule(true, 100, 110)]);
    let rows: &[Row<'_>] = &[
        // The last of the file first.
        (vec![&b, &a], None, false, 15, Some("a")),
        (vec![&a, &b], None, false, 15, Some("b")),
        // Denied in one, taken by the next; allowed again by a later line of the same.
        (vec![&b, &a], None, false, 20, Some("b")),
        (vec![&b, &a], None, false, 25, Some("a")),
        (vec![&a], None, false, 20, None),
        (vec![&a], Some(&default), false, 20, Some("default")),
        // Nobody's, and the default's.
        (vec![&b, &a], None, false, 200, None),
        (vec![&b, &a], Some(&default), false, 200, Some("default")),
        (vec![&b, &a], Some(&default), true, 200, None),
        (vec![&b, &a], Some(&default), true, 60, Some("b")),
        // Without a single line.
        (vec![&none], None, false, 15, None),
        (vec![&none], Some(&default), false, 15, Some("default")),
        (vec![], Some(&default), true, 15, None),
        (vec![], Some(&chosen), true, 105, Some("default")),
        (vec![], Some(&chosen), true, 111, None),
        (vec![], Some(&chosen), false, 111, Some("default")),
        (vec![], None, false, 15, None),
    ];
    for (n, (named, default, access_control, peer, want)) in rows.iter().enumerate() {
        let mut cfg = config(lns());
        cfg.lns = named.iter().map(|l| Arc::clone(l)).collect();
        cfg.default_lns = default.cloned();
        cfg.access_control = *access_control;
        let mut w = World::new(cfg);
        let mut lac = Lac::new(path(*peer, 1701, 5), 1);
        let sccrq = lac.sccrq();
        assert_eq!(kinds(&lac.say(&mut w, 0, sccrq)), [if want.is_some() { 2 } else { 4 }], "row {n}");
        let got = w.engine.status();
        assert_eq!(got.first().map(|t| t.section.name()), *want, "row {n}");
    }
}

#[test]
fn addresses_in_use_are_so_in_every_section_and_our_own_are_never_given() {
    // Two sections with the same range, in which the local addresses lie as well.
    let mut cfg = config(lns());
    let range = AddrRange { start: [10, 0, 0, 1].into(), end: [10, 0, 0, 6].into() };
    let pool = vec![RangeRule { range, allow: true }];
    let own = |name: &str, local_ip: u8, peer: u8| LnsConfig {
        name: name.into(),
        pool: pool.clone(),
        local_ip: Some([10, 0, 0, local_ip].into()),
        lac: vec![rule(true, peer, peer)],
        ..LnsConfig::default()
    };
    cfg.lns = vec![own("a", 1, 1).into(), own("b", 2, 2).into()];
    let mut w = World::new(cfg);
    for (peer, port) in [(1, 1701), (2, 1701), (1, 1702)] {
        let mut lac = Lac::open(&mut w, path(peer, port, 5), 1);
        lac.call(&mut w, 77);
    }
    let given: Vec<u8> = w.started.iter().map(|s| s.remote_ip.unwrap().octets()[3]).collect();
    assert_eq!(given, [3, 4, 5]);
}

#[test]
fn each_call_has_its_own_of_our_addresses_and_gives_it_back() {
    let mut l = lns();
    let range = AddrRange { start: Ipv4Addr::new(10, 1, 0, 1), end: Ipv4Addr::new(10, 1, 0, 2) };
    (l.local_ip, l.local_pool) = (None, vec![RangeRule { range, allow: true }]);
    let mut w = World::new(config(l));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    let sessions = [1, 2].map(|sid| lac.call(&mut w, sid));
    let ours: Vec<_> = w.started.iter().map(|s| s.local_ip.unwrap()).collect();
    assert_eq!(ours, [range.start, range.end]);
    // There is none for a third, which keeps nothing.
    let third = |lac: &mut Lac, w: &mut World, sid: u16| {
        let icrp = lac.say(w, 0, with_session(MessageType::ICRQ, sid)).remove(0).1;
        let session = icrp.assigned_session.unwrap();
        lac.say(w, session, Body::new(MessageType::ICCN))
    };
    let said = third(&mut lac, &mut w, 3);
    assert_eq!(said[0].1.result.as_ref().unwrap().text, "No available local IP addresses");
    assert!(w.logged("get_local_addr: Out of local IP addresses on tunnel 1!"));
    assert_eq!((w.engine.leased(), w.engine.counters().pool_empty), (4, 1));
    // One that was not the last is over: its address is free, not another's.
    lac.say(&mut w, sessions[0], cdn(&[0, 1, 0, 0], 1));
    third(&mut lac, &mut w, 4);
    assert_eq!(w.started.last().unwrap().local_ip, Some(range.start));
    lac.say(&mut w, 0, stopccn(1));
    assert_eq!(w.engine.leased(), 0);
}

#[test]
fn an_empty_pool_is_told() {
    let mut l = lns();
    l.pool[0].range.end = l.pool[0].range.start;
    let mut w = World::new(config(l));
    let mut lac = Lac::open(&mut w, path(10, 1701, 0), 1);
    lac.call(&mut w, 1);
    let got = lac.say(&mut w, 0, Body::new(MessageType::ICRQ).must(attr::ASSIGNED_SESSION_ID, &[0, 2]));
    let r = got[0].1.result.clone().unwrap();
    assert_eq!((r.code, r.error, r.text.as_str()), (2, Some(4), "No available IP address"));
    assert!(w.logged("control_finish: Out of IP addresses on tunnel 1!"));
}
