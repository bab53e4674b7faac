//! Who comes again under the same name: `uniqueids=`, INITIAL-CONTACT.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::GROUP;
use ipsec_types::conn::{ClientSpec, ConnType, HostSpec};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, Id, ProtoPort};
use sim::{CLIENT, Keys, PSK, Pair, PairConfig, client_conn, server_conn};

fn unique(unique: bool, name: &str) -> (Pair, usize) {
    let mut server = server_conn(GROUP);
    server.right.id = Id::None;
    let mut client = client_conn(GROUP, CLIENT);
    client.left.id = name.parse().unwrap();
    let mut pair = Pair::new(PairConfig { server: vec![server], client, ..PairConfig::default() });
    let now = pair.now;
    let setup = ipsec_types::whack::SetupSpec { uniqueids: unique, ..sim::setup() };
    pair.server().whack(now, Request::Setup(setup));
    let second = pair.add_client("198.51.100.3".parse().unwrap(), Keys::new(&[PSK]), None);
    for host in [1, second] {
        pair.up(host);
        pair.run_for(Duration::from_secs(5));
    }
    (pair, second)
}

#[test]
fn uniqueids_releases_who_came_under_the_same_name_before() {
    let (mut pair, _) = unique(true, "@road");
    assert_eq!(pair.server().engine.established().len(), 1);
    assert!(pair.server().logged("uniqueids: '@road' is now at 198.51.100.3:500"));
    assert!(pair.hosts[1].engine.established().is_empty(), "he was told");
    let (mut pair, _) = unique(false, "@road");
    assert_eq!(pair.server().engine.established().len(), 2);
    // An address says nothing about who somebody behind a NAT is.
    let (mut pair, _) = unique(true, "192.168.77.2");
    assert_eq!(pair.server().engine.established().len(), 2);
}

/// Two conns to one peer, which comes back with nothing and begins with the first: what it had on the second goes too, as
/// nothing else would notice.
#[test]
fn initial_contact_clears_every_conn_with_that_peer() {
    for other in [false, true] {
        let name = |n: &str| if other { n.parse().unwrap() } else { Id::None };
        let network = |mut c: ConnSpec, n: u8, id: &str| {
            c.name = format!("net{n}");
            c.conn_type = ConnType::Tunnel;
            let (client, server) = if c.left.host == HostSpec::Addr(CLIENT) {
                c.left.id = name(id);
                (&mut c.left, &mut c.right)
            } else {
                (c.right.host, c.right.id) = (HostSpec::Addr(CLIENT), name(id));
                (&mut c.right, &mut c.left)
            };
            client.client = ClientSpec::Net(format!("10.{n}.0.0/16").parse().unwrap());
            server.client = ClientSpec::Net("10.1.0.0/16".parse().unwrap());
            (client.protoport, server.protoport) = (ProtoPort::default(), ProtoPort::default());
            c
        };
        let ours = |n, id| network(server_conn(GROUP), n, id);
        let theirs = |n, id| network(client_conn(GROUP, CLIENT), n, id);
        let mut pair = Pair::new(PairConfig {
            server: vec![ours(2, "@two"), ours(3, "@three")],
            client: theirs(2, "@two"),
            ..PairConfig::default()
        });
        let begin = |pair: &mut Pair, names: &[&str]| {
            let now = pair.now;
            pair.client().whack(now, Request::Add(Box::new(theirs(2, "@two"))));
            pair.client().whack(now, Request::Add(Box::new(theirs(3, "@three"))));
            for name in names {
                pair.client().whack(now, Request::Initiate { name: (*name).into(), asynchronous: true });
            }
            pair.run_for(Duration::from_secs(5));
        };
        begin(&mut pair, &["net2", "net3"]);
        assert_eq!(pair.server().engine.established().len(), 2, "{:#?}", pair.hosts[0].log);
        let again = pair.add_client(CLIENT, Keys::new(&[PSK]), None);
        pair.hosts.swap(1, again);
        pair.hosts.truncate(2);
        begin(&mut pair, &["net2"]);
        let told = pair.server().times_logged("peer says INITIAL_CONTACT: deleting IPSEC State");
        // Under another identity there may be another machine.
        assert_eq!(told, if other { 1 } else { 2 }, "{:#?}", pair.hosts[0].log);
        assert_eq!(pair.server().engine.established().len(), if other { 2 } else { 1 });
    }
}

/// Two homes behind one provider's NAT, each with the same private address inside: neither ends the other's connection.
#[test]
fn initial_contact_of_a_private_address_clears_nothing_of_somebody_elses() {
    let mut server = server_conn(GROUP);
    server.right.id = Id::None;
    let mut client = client_conn(GROUP, CLIENT);
    client.left.id = "192.168.1.100".parse().unwrap();
    let mut pair = Pair::new(PairConfig { nat: true, server: vec![server], client, ..PairConfig::default() });
    let second = pair.add_client("10.1.0.12".parse().unwrap(), Keys::new(&[PSK]), Some(0));
    for host in [1, second] {
        pair.up(host);
        pair.run_for(Duration::from_secs(20));
    }
    let log = &pair.hosts[0].log;
    assert_eq!(pair.hosts[0].engine.established().len(), 2, "{log:#?}");
    assert_eq!(pair.server().times_logged("Main mode peer ID is ID_IPV4_ADDR: '192.168.1.100'"), 2);
    assert!(!pair.server().logged("peer says INITIAL_CONTACT"));
}

#[test]
fn initial_contact_clears_what_a_client_that_lost_its_memory_had() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    // It comes back with nothing.
    let again = pair.add_client(CLIENT, Keys::new(&[PSK]), None);
    pair.hosts.swap(1, again);
    pair.hosts.truncate(2);
    pair.up(1);
    pair.run_for(Duration::from_secs(5));
    assert!(pair.server().logged("peer says INITIAL_CONTACT: deleting IPSEC State #2"));
    assert_eq!(pair.server().engine.established().len(), 1);
}
