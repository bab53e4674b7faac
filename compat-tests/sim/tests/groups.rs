//! Policy groups: `clear`, `block`, `private` and their kin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ike::Input;
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ConnType, FailureShunt};
use ipsec_types::kernel::{Dir, KernelEvent, Mode, PASS_PRIORITY, PolicyAction, PolicySpec, Selector};
use ipsec_types::whack::{Request, Show};
use ipsec_types::{ConnSpec, EndSpec, HostSpec, Id};
use sim::{CLIENT, Host, Pair, PairConfig, SERVER, server_conn};

/// The client's side of a group.
fn group(name: &str, conn_type: ConnType, right: HostSpec) -> ConnSpec {
    ConnSpec {
        name: name.into(),
        left: EndSpec { host: HostSpec::Addr(CLIENT), ..EndSpec::default() },
        right: EndSpec { host: right, ..EndSpec::default() },
        authby: AuthBy { psk: conn_type == ConnType::Tunnel, ..AuthBy::NONE },
        conn_type,
        rekey: false,
        ..ConnSpec::default()
    }
}

fn pair() -> Pair {
    // The server takes tunnels from any host.
    let host = EndSpec { host: HostSpec::Addr(SERVER), ..EndSpec::default() };
    let server = ConnSpec {
        left: host,
        right: EndSpec { host: HostSpec::Any, ..EndSpec::default() },
        conn_type: ConnType::Tunnel,
        ike: Vec::new(),
        ..server_conn(ipsec_types::algo::DhGroup::Modp2048)
    };
    Pair::new(PairConfig { server: vec![server], ..PairConfig::default() })
}

fn ask(pair: &mut Pair, requests: impl IntoIterator<Item = Request>) {
    let now = pair.now;
    for r in requests {
        pair.client().whack(now, r);
    }
    pair.run_for(Duration::from_millis(10));
}

fn add_and_route(pair: &mut Pair, spec: ConnSpec) {
    let name = spec.name.clone();
    ask(pair, [Request::Add(Box::new(spec)), Request::Route { name }]);
}

fn files(pair: &mut Pair, groups: &[(&str, &[&str])]) {
    let nets = |n: &&[&str]| n.iter().map(|n| n.parse().unwrap()).collect();
    let groups: BTreeMap<String, Vec<_>> =
        groups.iter().map(|(name, n)| (name.to_string(), nets(n))).collect();
    let now = pair.now;
    pair.client().handle(now, Input::Groups(groups));
    pair.run_for(Duration::from_millis(10));
}

/// Outbound policies by the destination, but for the guard of a port.
fn out(host: &Host) -> Vec<(String, PolicyAction, u32)> {
    let out = |p: &&PolicySpec| p.id.dir == Dir::Out && p.id.selector.proto == 0;
    let all = host.kernel.policies().iter().filter(out);
    let mut all: Vec<_> = all.map(|p| (p.id.selector.dst.to_string(), p.action, p.priority)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The client sends a packet that its trap for `net` covers.
fn packet(pair: &mut Pair, net: &str, to: IpAddr) {
    let trap = out(&pair.hosts[1]).into_iter().find(|p| p.0 == net).unwrap();
    let PolicyAction::Esp { reqid, .. } = trap.1 else { panic!("{trap:?}") };
    let selector = Selector { src: CLIENT.into(), dst: to.into(), proto: 1, sport: 8, dport: 0 };
    let now = pair.now;
    pair.client().kernel.inject(KernelEvent::Acquire { selector, reqid });
    pair.client().collect_kernel(now);
}

/// The policy lines of the status.
fn policy_words(pair: &mut Pair) -> Vec<String> {
    ask(pair, [Request::Status]);
    pair.hosts[1].replies.iter().filter(|l| l.contains("policy:")).cloned().collect()
}

#[test]
fn clear_and_block_are_shunts_for_the_networks_of_their_files() {
    let mut pair = pair();
    files(&mut pair, &[("clear", &["10.0.0.0/8", "2001:db8::/32"]), ("block", &["172.16.0.0/12"])]);
    add_and_route(&mut pair, group("clear", ConnType::Passthrough, HostSpec::Group));
    add_and_route(&mut pair, group("block", ConnType::Reject, HostSpec::Group));
    let words = policy_words(&mut pair);
    assert!(words.iter().any(|l| l.contains("GROUP+SAREFTRACK+PASS+NEVER_NEGOTIATE")), "{words:#?}");
    assert!(words.iter().any(|l| l.contains("+REJECT+NEVER_NEGOTIATE")), "{words:#?}");
    let pass = |net: &str| (net.to_string(), PolicyAction::Allow, PASS_PRIORITY);
    let block = ("172.16.0.0/12".to_string(), PolicyAction::Block, PASS_PRIORITY);
    assert_eq!(out(&pair.hosts[1]), [pass("10.0.0.0/8"), block.clone()], "the other family is left out");

    // The file is read again on --listen.
    files(&mut pair, &[("clear", &["192.168.0.0/16"]), ("block", &["172.16.0.0/12"])]);
    assert_eq!(out(&pair.hosts[1]), [block.clone(), pass("192.168.0.0/16")]);
    ask(&mut pair, [Request::Unroute { name: "clear".into() }]);
    assert_eq!(out(&pair.hosts[1]), [block]);
    ask(&mut pair, [Request::Delete { name: "block".into() }]);
    assert!(out(&pair.hosts[1]).is_empty());
    assert_eq!(pair.hosts[1].engine.counts()[2], 2, "the client's own conn, and the group `clear`");
}

#[test]
fn the_first_packet_to_a_host_of_a_private_group_calls_it() {
    let mut pair = pair();
    files(&mut pair, &[("private", &["192.0.2.0/24"])]);
    add_and_route(&mut pair, group("private", ConnType::Tunnel, HostSpec::OpportunisticGroup));
    let trap = out(&pair.hosts[1]);
    assert!(
        matches!(trap[..], [(_, PolicyAction::Esp { dst, mode: Mode::Transport, .. }, _)] if dst.is_unspecified()),
        "{trap:?}"
    );
    packet(&mut pair, "192.0.2.0/24", SERVER);
    // A second packet while it is being called.
    packet(&mut pair, "192.0.2.0/24", SERVER);
    pair.run_for(Duration::from_secs(5));
    let up = pair.hosts[1].engine.established();
    assert!(up.len() == 1 && up[0].0 == "private#192.0.2.0/24", "{up:?} {:#?}", pair.hosts[1].log);
    let policies = out(&pair.hosts[1]);
    let host = policies.iter().find(|p| p.0 == format!("{SERVER}/32")).unwrap();
    assert!(host.2 < trap[0].2, "the SA comes before the trap");
    ask(&mut pair, [Request::Show { what: Show::Shunts, name: None, json: false }]);
    assert!(
        pair.hosts[1]
            .replies
            .iter()
            .any(|l| l.contains("-0-> 192.0.2.0/24:0 => %trap 0    \"private#192.0.2.0/24\"")),
        "{:#?}",
        pair.hosts[1].replies
    );
}

/// A group may name single hosts: trap and SA have one selector.
#[test]
fn a_trap_for_one_host_becomes_the_policy_of_its_sa() {
    let mut pair = pair();
    let net = format!("{SERVER}/32");
    files(&mut pair, &[("private", &[&net])]);
    add_and_route(&mut pair, group("private", ConnType::Tunnel, HostSpec::OpportunisticGroup));
    packet(&mut pair, &net, SERVER);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.hosts[1].engine.established().len(), 1);
    let policies = out(&pair.hosts[1]);
    assert!(
        matches!(policies[..], [(_, PolicyAction::Esp { dst: SERVER, mode: Mode::Tunnel, .. }, _)]),
        "{policies:?}"
    );
    assert!(pair.hosts[1].kernel.policies().iter().all(|p| p.id.mark.is_none()));
    // It goes, and the next packet calls again.
    let now = pair.now;
    pair.hosts[1].whack(now, Request::DeleteState { serial: 2 });
    pair.run_for(Duration::from_secs(1));
    packet(&mut pair, &net, SERVER);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.hosts[1].engine.established().len(), 1, "{:#?}", pair.hosts[1].log);
}

#[test]
fn a_host_that_does_not_answer_is_left_alone_for_a_quarter_of_an_hour() {
    for (shunt, action) in [
        (FailureShunt::Passthrough, Some(PolicyAction::Allow)),
        (FailureShunt::Drop, Some(PolicyAction::Block)),
        (FailureShunt::None, None),
    ] {
        let mut pair = pair();
        files(&mut pair, &[("private-or-clear", &["192.0.2.0/24"])]);
        let spec = group("private-or-clear", ConnType::Tunnel, HostSpec::OpportunisticGroup);
        add_and_route(&mut pair, ConnSpec { failure_shunt: shunt, ..spec });
        let before = pair.hosts[1].engine.counts();
        packet(&mut pair, "192.0.2.0/24", "192.0.2.77".parse().unwrap());
        pair.run_for(Duration::from_secs(150));
        let found = out(&pair.hosts[1]).into_iter().find(|p| p.0 == "192.0.2.77/32").map(|p| p.1);
        assert_eq!(found, action, "{:#?}", pair.hosts[1].log);
        assert_eq!(pair.hosts[1].engine.counts(), before, "the instance is gone");
        pair.run_for(Duration::from_secs(900));
        assert_eq!(out(&pair.hosts[1]).len(), 1, "only the trap");
    }
}

/// `conn packetdefault`, as Openswan's had it: whoever is in no group is called, and left in clear if he does not answer.
#[test]
fn packetdefault_is_for_whoever_is_in_no_group() {
    let mut pair = pair();
    files(&mut pair, &[("clear", &["192.0.2.64/26"]), ("block", &["10.0.0.0/8"])]);
    add_and_route(&mut pair, group("clear", ConnType::Passthrough, HostSpec::Group));
    add_and_route(&mut pair, group("block", ConnType::Reject, HostSpec::Group));
    let spec = group("packetdefault", ConnType::Tunnel, HostSpec::Opportunistic);
    add_and_route(&mut pair, ConnSpec { failure_shunt: FailureShunt::Passthrough, ..spec });
    let policies = out(&pair.hosts[1]);
    let default = policies.iter().find(|p| p.0 == "0.0.0.0/0").unwrap_or_else(|| panic!("{policies:?}"));
    assert!(matches!(default.1, PolicyAction::Esp { mode: Mode::Transport, .. }), "a trap: {policies:?}");
    assert!(policies.iter().all(|p| p == default || p.2 < default.2), "groups come first: {policies:?}");
    packet(&mut pair, "0.0.0.0/0", SERVER);
    pair.run_for(Duration::from_secs(5));
    let up = pair.hosts[1].engine.established();
    assert!(up.len() == 1 && up[0].0 == "packetdefault", "{up:?} {:#?}", pair.hosts[1].log);
    packet(&mut pair, "0.0.0.0/0", "203.0.113.77".parse().unwrap());
    pair.run_for(Duration::from_secs(150));
    let found = out(&pair.hosts[1]).into_iter().find(|p| p.0 == "203.0.113.77/32").map(|p| p.1);
    assert_eq!(found, Some(PolicyAction::Allow), "{:#?}", pair.hosts[1].log);
    assert_eq!(pair.hosts[1].engine.established().len(), 1, "the other one stays");
}

/// An identity decides on the other end as everywhere; here any address is one.
#[test]
fn who_is_in_a_private_group_may_call() {
    let mut pair = Pair::new(PairConfig { server: Vec::new(), ..PairConfig::default() });
    let mut conn = group("private", ConnType::Tunnel, HostSpec::OpportunisticGroup);
    conn.left.host = HostSpec::Addr(SERVER);
    let now = pair.now;
    let net = |n: &str| BTreeMap::from([("private".to_string(), vec![n.parse().unwrap()])]);
    pair.server().handle(now, Input::Groups(net("198.51.100.0/24")));
    pair.server().whack(now, Request::Add(Box::new(conn)));
    pair.server().whack(now, Request::Route { name: "private".into() });
    let client = ConnSpec {
        name: "out".into(),
        left: EndSpec { host: HostSpec::Addr(CLIENT), ..EndSpec::default() },
        right: EndSpec { host: HostSpec::Addr(SERVER), id: Id::None, ..EndSpec::default() },
        authby: AuthBy::PSK,
        ..ConnSpec::default()
    };
    ask(
        &mut pair,
        [Request::Add(Box::new(client)), Request::Initiate { name: "out".into(), asynchronous: true }],
    );
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.hosts[0].engine.established().len(), 1, "{:#?}", pair.hosts[0].log);
    // Who is in no group is not answered.
    pair.server().handle(now, Input::Groups(net("203.0.113.0/24")));
    pair.run_for(Duration::from_secs(1));
    assert!(pair.hosts[0].engine.established().is_empty(), "its conn is gone, and its SA with it");
}
