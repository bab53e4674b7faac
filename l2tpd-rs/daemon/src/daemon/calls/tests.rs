//! What is counted of a path that counts by itself.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

use l2tp_proto::{LnsConfig, Path, Role, Section};

use super::*;

struct Counting(Rc<Cell<u64>>);

impl DataPath for Counting {
    fn kind(&self) -> &'static str {
        "kernel"
    }

    fn traffic(&self) -> Option<Traffic> {
        Some(Traffic { rx_packets: self.0.get(), ..Traffic::default() })
    }
}

#[test]
fn frames_that_the_path_counts_itself_are_heard_once_and_told_at_the_end() {
    let (frames, mut calls) = (Rc::new(Cell::new(0)), Calls::default());
    let call = CallId { tunnel: 1, session: 2, generation: 3 };
    let peer = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1701);
    let start = CallStart {
        call,
        peer_tunnel: 1,
        peer_session: 1,
        path: Path { local: Ipv4Addr::LOCALHOST, peer, mark: 0 },
        role: Role::Lns,
        section: Section::Lns(LnsConfig::default().into()),
        number: None,
        credentials: Default::default(),
        send_numbers: false,
        local_ip: None,
        remote_ip: None,
        calling_number: None,
    };
    assert!(!calls.has_heard(call));
    calls.insert(Running {
        start,
        pid: None,
        path: Box::new(Counting(frames.clone())),
        watched: None,
        gate: None,
        dirty: false,
        heard: 0,
        words: None,
        since: Instant(0),
        over: false,
        looped: false,
    });
    assert!(!calls.has_heard(call));
    frames.set(7);
    assert!(calls.has_heard(call) && !calls.has_heard(call));
    // Its pppd ends first, or the engine: what it has counted is told once, and nothing is kept.
    calls.remove(call.generation);
    assert_eq!(calls.end_of(call.generation).map(|t| t.rx_packets), Some(7));
    assert!(calls.end_of(call.generation).is_none() && calls.last.is_empty());
}
