//! What the L2TP daemon is told to protect: with the conn, and not less when pluto ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by panicking")]

use std::net::IpAddr;

use ike::{
    ClientId, Endpoint, EndpointConfig, EntropySource, Input, Interface, Output, Protected, PskLookup,
};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ConnSpec, ConnType, FailureShunt, HostSpec, Port, ProtoPort};
use ipsec_types::kernel::{KernelRequest, PolicyAction};
use ipsec_types::whack::{Request, SetupSpec};
use ipsec_types::{Id, Now, SecretBytes};

struct Zero;
impl EntropySource for Zero {
    fn fill(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
}
impl PskLookup for Zero {
    fn lookup(&self, _: &Id, _: &Id) -> Vec<SecretBytes> {
        Vec::new()
    }
}

fn server() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn conn() -> ConnSpec {
    let mut c = ConnSpec {
        name: "L2TP-PSK".into(),
        authby: AuthBy::PSK,
        conn_type: ConnType::Transport,
        ..ConnSpec::default()
    };
    c.left.host = HostSpec::Addr(server());
    c.left.protoport = ProtoPort { proto: 17, port: Port::Number(1701) };
    c.right.host = HostSpec::Any;
    c.right.protoport = ProtoPort { proto: 17, port: Port::Any };
    c
}

/// The lists of protected endpoints, and how many block policies were added and policies removed.
fn told(e: &mut Endpoint, request: Request) -> (Vec<Vec<Protected>>, usize, usize) {
    e.handle(Now::default(), Input::Whack { client: ClientId(1), request: Box::new(request) });
    let (mut lists, mut blocks, mut removed) = (Vec::new(), 0, 0);
    while let Some(output) = e.poll_output() {
        match output {
            Output::Protect(list) => lists.push(list),
            Output::Kernel(_, KernelRequest::AddPolicy(p)) if p.action == PolicyAction::Block => blocks += 1,
            Output::Kernel(_, KernelRequest::DelPolicy(_)) => removed += 1,
            _ => {}
        }
    }
    (lists, blocks, removed)
}

fn engine() -> Endpoint {
    let mut e = Endpoint::new(EndpointConfig {
        setup: SetupSpec::default(),
        vendor_id: Vec::new(),
        kernel_name: "noklips",
        updown_always: false,
        entropy: Box::new(Zero),
        secrets: Box::new(Zero),
    });
    let interfaces = vec![Interface { name: "eth0".into(), addr: server(), port: 500 }];
    e.handle(Now::default(), Input::Listening { interfaces, client: None });
    while e.poll_output().is_some() {}
    e
}

#[test]
fn a_road_warrior_conn_is_protected_until_it_is_deleted() {
    let mut e = engine();
    let wanted = vec![Protected { addr: server(), port: 1701 }];
    assert_eq!(told(&mut e, Request::Add(Box::new(conn()))), (vec![wanted], 1, 0));
    assert_eq!(told(&mut e, Request::Delete { name: "L2TP-PSK".into() }), (vec![Vec::new()], 0, 1));
}

#[test]
fn the_end_of_pluto_leaves_the_kernel_clean_and_the_l2tp_daemon_warned() {
    let mut e = engine();
    told(&mut e, Request::Add(Box::new(conn())));
    assert_eq!(told(&mut e, Request::Shutdown), (Vec::new(), 0, 1));
}

#[test]
fn failureshunt_passthrough_asks_for_no_protection() {
    let mut e = engine();
    let open = ConnSpec { failure_shunt: FailureShunt::Passthrough, ..conn() };
    assert_eq!(told(&mut e, Request::Add(Box::new(open))), (Vec::new(), 0, 0));
}
