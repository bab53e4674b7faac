//! Long IKE messages in pieces: both ways, on good and bad lines, and what strangers make of it.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

mod common;

use common::{Script, limit};
use ike::Limits;
use ike::wire::fragment::{self, FRAGMENT, Fragment};
use ike::wire::{Exchange, Header};
use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite};
use ipsec_types::conn::Fragmentation;
use sim::{CLIENT, Link, Pair, PairConfig, client_conn, server_conn};
use std::time::{Duration, Instant};

const PEER: &str = "198.51.100.9:500";
/// What goes into a packet of 1280 octets.
const ROOM: usize = 1280 - 28;

/// A client whose first Quick Mode message is too long for one packet.
fn wordy(client: Fragmentation, server: Fragmentation) -> PairConfig {
    let mut config = PairConfig::default();
    config.client.esp = vec![EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha1 }; 60];
    config.client.fragmentation = client;
    config.server[0].fragmentation = server;
    config
}

fn pieces(pair: &Pair) -> usize {
    pair.sent.iter().filter(|d| d.data.get(16) == Some(&FRAGMENT)).count()
}

fn longest(pair: &Pair) -> usize {
    pair.sent.iter().map(|d| d.data.len()).max().unwrap()
}

#[test]
fn long_messages_go_in_pieces_where_both_ends_say_so() {
    use Fragmentation::{Force, No, Yes};
    for (client, server, cut) in [
        (Yes, Yes, true),
        (Yes, Force, true),
        (Yes, No, false),
        (No, Yes, false),
        (No, No, false),
        // Unannounced, as Apple's clients do, and all the same understood.
        (Force, No, true),
    ] {
        let mut pair = Pair::new(wordy(client, server));
        assert!(pair.connect(), "{client:?} {server:?}");
        assert_eq!(pieces(&pair) > 1, cut, "{client:?} {server:?}");
        assert_eq!(longest(&pair) <= ROOM, cut, "{client:?} {server:?}: {}", longest(&pair));
    }
}

#[test]
fn behind_a_nat_every_piece_has_the_marker() {
    let mut pair = Pair::new(PairConfig { nat: true, ..wordy(Fragmentation::Yes, Fragmentation::Yes) });
    assert!(pair.connect());
    let cut = pair.sent.iter().filter(|d| d.data.starts_with(&[0; 4]) && d.data.get(20) == Some(&FRAGMENT));
    assert!(cut.count() > 1);
    assert!(longest(&pair) <= ROOM);
}

#[test]
fn lost_repeated_and_overtaken_pieces() {
    for seed in 0..24 {
        let mut pair = Pair::new(PairConfig {
            seed,
            link: Link::bad(15),
            nat: seed % 2 == 0,
            ..wordy(Fragmentation::Yes, Fragmentation::Yes)
        });
        assert!(pair.connect(), "seed {seed}");
        assert!(pair.sent.iter().any(|d| [16, 20].iter().any(|at| d.data.get(*at) == Some(&FRAGMENT))));
    }
}

/// A path that takes no packet above 576 octets and says nothing about it.
#[test]
fn a_narrow_path_is_found_by_repeating() {
    let group = DhGroup::Modp4096;
    let mut pair = Pair::new(PairConfig {
        client: client_conn(group, CLIENT),
        server: vec![server_conn(group)],
        ..PairConfig::default()
    });
    pair.filter = Some(Box::new(|d| d.data.len() <= 548));
    assert!(pair.connect());
    assert!(pieces(&pair) >= 4, "both key exchanges");
}

/// QI1 of an established peer, cut into `n` pieces.
fn in_pieces(peer: &Script, msgid: u32, n: usize) -> Vec<Vec<u8>> {
    let payloads = peer.qi1(12, 0xabcd_0001 + msgid, peer.l2tp_ids());
    let message = peer.phase2(Exchange::Quick, msgid, &payloads);
    let cut = (fragment::OVERHEAD + 1..)
        .find_map(|size| fragment::cut(&message, 1, size).filter(|p| p.len() == n))
        .unwrap();
    assert_eq!(cut.len(), n);
    cut
}

fn up(limits: Limits) -> (Pair, Script) {
    let mut pair = Pair::new(PairConfig { limits, ..PairConfig::default() });
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    (pair, peer)
}

#[test]
fn the_number_of_pieces_has_a_limit() {
    for (n, answers) in [(6, 1), (7, 1), (8, 0)] {
        let (mut pair, peer) = up(Limits { fragments: 7, ..Limits::default() });
        let answer: usize = in_pieces(&peer, 5, n).into_iter().map(|p| peer.send(&mut pair, p).len()).sum();
        assert_eq!(answer, answers, "{n} pieces");
        assert_eq!(limit(&mut pair, "max-fragments").2 > 0, answers == 0, "{n} pieces");
        // A whole message does as well as before.
        peer.quick_mode(&mut pair, 77, 0xabcd_7777);
        assert!(!pair.server().engine.established().is_empty());
    }
}

#[test]
fn the_octets_of_a_message_and_of_all_have_a_limit() {
    let all = |pair: &mut Pair, peer: &Script, msgid| -> usize {
        in_pieces(peer, msgid, 4).into_iter().map(|p| peer.send(pair, p).len()).sum()
    };
    let (_, peer) = up(Limits::default());
    let length: usize = in_pieces(&peer, 5, 4).iter().map(|p| p.len() - fragment::OVERHEAD).sum();
    for (limit, answers) in [(length - 1, 0), (length, 1), (length + 1, 1)] {
        let (mut pair, peer) = up(Limits { fragment_octets: limit, ..Limits::default() });
        assert_eq!(all(&mut pair, &peer, 5), answers, "{limit} a message");
        assert_eq!(common::limit(&mut pair, "max-fragment-octets").2 > 0, answers == 0);
        let (mut pair, peer) = up(Limits { fragment_octets_all: limit, ..Limits::default() });
        assert_eq!(all(&mut pair, &peer, 5), answers, "{limit} in all");
        assert_eq!(common::limit(&mut pair, "max-fragment-memory").2 > 0, answers == 0);
    }
}

fn raw(peer: &Script, id: u16, number: u8, last: bool, data: &[u8]) -> Vec<u8> {
    let h: Header = peer.header(Exchange::Quick, 9);
    Fragment { id, number, last, data }.emit(&h)
}

#[test]
fn cve_2013_6076_cve_2009_1574_pieces_of_number_zero_and_of_nothing() {
    let (mut pair, peer) = up(Limits::default());
    peer.quick_mode(&mut pair, 77, 0xabcd_7777);
    let before = pair.server().engine.counts();
    for bad in [
        raw(&peer, 1, 0, true, b"x"),
        raw(&peer, 1, 0, false, b""),
        raw(&peer, 1, 1, true, b""),
        raw(&peer, 1, 1, true, b"x"),
        raw(&peer, 1, 2, true, &raw(&peer, 1, 1, true, b"x")),
        // A piece that is a message in pieces.
        raw(&peer, 1, 1, true, &raw(&peer, 1, 1, true, b"x")),
    ] {
        for end in 0..=bad.len() {
            assert!(peer.send(&mut pair, bad[..end].to_vec()).is_empty());
        }
    }
    // Whole, but of another SA than the pieces say.
    let mut other = Script::new(PEER, 2);
    other.open(&mut pair);
    let smuggled = other.mi2();
    assert!(peer.send(&mut pair, raw(&peer, 3, 1, true, &smuggled)).is_empty());
    let mut after = pair.server().engine.counts();
    after[0] -= 1;
    assert_eq!((after[0], after[1]), (before[0], before[1]));
    assert_eq!(pair.server().engine.established().len(), 1);
    assert_eq!(in_pieces(&peer, 5, 4).into_iter().map(|p| peer.send(&mut pair, p).len()).sum::<usize>(), 1);
}

#[test]
fn pieces_for_an_sa_nobody_knows_are_dropped() {
    let mut pair = Pair::new(PairConfig::default());
    let peer = Script::new(PEER, 1);
    let whole = peer.mi1();
    let data = Fragment { id: 1, number: 1, last: true, data: &whole }.emit(&peer.header(Exchange::Main, 0));
    assert!(peer.send(&mut pair, data).is_empty());
    assert_eq!(pair.server().engine.counts()[0], 0);
}

/// The last piece is withheld, and the others come over and over in the worst order.
#[test]
fn cve_2016_10396_withheld_pieces_cost_no_search() {
    let (mut pair, peer) = up(Limits::default());
    let began = Instant::now();
    for round in 0..200u16 {
        for number in (1..=63).rev() {
            assert!(peer.send(&mut pair, raw(&peer, round, number, false, &[1; 500])).is_empty());
        }
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    peer.quick_mode(&mut pair, 77, 0xabcd_7777);
    assert_eq!(pair.server().engine.established().len(), 1);
}
