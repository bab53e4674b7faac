//! Conns with a host name whose address is not known when they are loaded.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

use std::time::Duration;

use ike::Input;
use ipsec_types::ConnSpec;
use ipsec_types::conn::{Auto, HostSpec};
use ipsec_types::whack::Request;
use sim::{CLIENT, Pair, PairConfig, SERVER, client_conn};

const NAME: &str = "vpn.example";

/// The client's conn, with a host name for the server.
fn conn(auto: Auto) -> ConnSpec {
    let mut spec = client_conn(ipsec_types::algo::DhGroup::Ecp256, CLIENT);
    spec.right.host = HostSpec::Name(NAME.into());
    spec.auto = auto;
    spec.left.updown = Some("a script".into());
    spec
}

fn ask(pair: &mut Pair, request: Request) -> Vec<String> {
    let now = pair.now;
    pair.client().replies.clear();
    pair.client().whack(now, request);
    pair.run_for(Duration::from_secs(2));
    std::mem::take(&mut pair.client().replies)
}

fn load(pair: &mut Pair, spec: ConnSpec) -> Vec<String> {
    ask(pair, Request::Load { spec: Box::new(spec), keep_equal: true })
}

fn pair(auto: Auto) -> Pair {
    let mut pair = Pair::new(PairConfig::default());
    let said = load(&mut pair, conn(auto)).join("\n");
    assert!(said.contains("added connection description"), "{said}");
    assert!(pair.client().logged(&format!("the address of {NAME} is not known yet")));
    assert!(pair.client().engine.wants_addresses());
    assert_eq!(pair.client().engine.unresolved("", 10), [NAME]);
    pair
}

/// The shell finds the address.
fn found(pair: &mut Pair) {
    let now = pair.now;
    pair.client().handle(now, Input::Resolved { name: NAME.into(), addr: SERVER });
    pair.run_for(Duration::from_secs(5));
    assert!(!pair.client().engine.wants_addresses());
    assert!(pair.client().engine.unresolved("", 10).is_empty());
}

fn name(pair: &mut Pair) -> String {
    ask(pair, Request::Loaded)[0].trim_start_matches("000 ").to_string()
}

fn is_up(pair: &mut Pair) -> bool {
    !pair.client().engine.established().is_empty()
}

#[test]
fn it_starts_as_auto_says_once_the_address_is_known() {
    for (auto, up) in [(Auto::Start, true), (Auto::Add, false)] {
        let mut pair = pair(auto);
        let sent = pair.sent.len();
        pair.run_for(Duration::from_secs(200));
        assert_eq!(pair.sent.len(), sent, "nobody is there to be spoken to");
        found(&mut pair);
        assert_eq!(is_up(&mut pair), up, "{auto:?}");
    }
}

#[test]
fn what_is_asked_for_meanwhile_is_done_then() {
    let mut pair = pair(Auto::Add);
    let name = name(&mut pair);
    let said = ask(&mut pair, Request::Initiate { name: name.clone(), asynchronous: false }).join("\n");
    assert!(said.starts_with("029 ") && said.contains(NAME) && said.contains("every 60 seconds"), "{said}");
    found(&mut pair);
    assert!(is_up(&mut pair));

    // And what was taken back is not.
    let mut pair = self::pair(Auto::Start);
    ask(&mut pair, Request::Terminate { name });
    found(&mut pair);
    assert!(!is_up(&mut pair));
}

#[test]
fn a_route_is_set_then() {
    for (auto, by_hand, back) in
        [(Auto::Route, false, false), (Auto::Add, true, false), (Auto::Route, false, true)]
    {
        let mut pair = pair(auto);
        let name = name(&mut pair);
        if by_hand {
            let said = ask(&mut pair, Request::Route { name: name.clone() }).join("\n");
            assert!(said.starts_with("029 ") && said.contains("is routed when"), "{said}");
        }
        if back {
            ask(&mut pair, Request::Unroute { name });
        }
        let before = pair.client().scripts.len();
        found(&mut pair);
        assert!(!is_up(&mut pair));
        assert_eq!(pair.client().scripts.len() > before, !back, "{auto:?}");
    }
}

#[test]
fn a_reload_without_dns_changes_nothing() {
    let mut pair = pair(Auto::Start);
    let unchanged = |said: Vec<String>| assert!(said[0].ends_with("unchanged"), "{said:?}");
    unchanged(load(&mut pair, conn(Auto::Start)));
    found(&mut pair);
    let before = pair.client().engine.established();
    assert_eq!(before.len(), 1);
    // Whether who reads the file knows the address or not.
    unchanged(load(&mut pair, conn(Auto::Start)));
    let mut known = conn(Auto::Start);
    (known.right.host, known.right.host_name) = (HostSpec::Addr(SERVER), Some(NAME.into()));
    unchanged(load(&mut pair, known.clone()));
    assert_eq!(pair.client().engine.established(), before);
    // What else has changed does not make the address unknown.
    let changed = |name: &str| {
        let mut spec = ConnSpec { sa_lifetime: 7200, ..conn(Auto::Start) };
        spec.right.host = HostSpec::Name(name.into());
        spec
    };
    let said = load(&mut pair, changed(NAME)).join("\n");
    assert!(said.contains("added connection description"), "{said}");
    assert!(is_up(&mut pair) && pair.client().engine.established() != before);
    // Another name is another peer.
    load(&mut pair, changed("other.example"));
    assert!(!is_up(&mut pair));
    assert_eq!(pair.client().engine.unresolved("", 10), ["other.example"]);

    // Who reads the file is the first to know.
    let mut pair = self::pair(Auto::Add);
    let name = name(&mut pair);
    ask(&mut pair, Request::Initiate { name, asynchronous: true });
    unchanged(load(&mut pair, known_as_added(known)));
    pair.run_for(Duration::from_secs(5));
    assert!(is_up(&mut pair));
}

fn known_as_added(spec: ConnSpec) -> ConnSpec {
    ConnSpec { auto: Auto::Add, ..spec }
}

#[test]
fn what_is_deleted_is_not_asked_for() {
    let mut pair = pair(Auto::Start);
    let name = name(&mut pair);
    ask(&mut pair, Request::Delete { name });
    assert!(!pair.client().engine.wants_addresses());
    found(&mut pair);
    assert!(!is_up(&mut pair));
}

#[test]
fn of_many_names_each_has_its_turn() {
    let mut pair = Pair::new(PairConfig::default());
    for n in ["a", "b", "c"] {
        let mut spec = conn(Auto::Add);
        (spec.name, spec.right.host) = (n.into(), HostSpec::Name(n.into()));
        load(&mut pair, spec);
    }
    let engine = &pair.client().engine;
    assert_eq!(engine.unresolved("", 2), ["a", "b"]);
    assert_eq!(engine.unresolved("b", 2), ["c", "a"]);
    assert_eq!(engine.unresolved("gone", 9), ["a", "b", "c"]);
}

/// Both ends are names: nothing happens before both are known. Ours may be the unknown one, too.
#[test]
fn both_ends_may_be_names() {
    let mut pair = Pair::new(PairConfig::default());
    let mut spec = conn(Auto::Start);
    spec.left.host = HostSpec::Name("us.example".into());
    load(&mut pair, spec);
    let now = pair.now;
    pair.client().handle(now, Input::Resolved { name: NAME.into(), addr: SERVER });
    pair.run_for(Duration::from_secs(5));
    assert!(!is_up(&mut pair));
    pair.client().handle(now, Input::Resolved { name: "us.example".into(), addr: CLIENT });
    pair.run_for(Duration::from_secs(5));
    assert!(is_up(&mut pair));
}
