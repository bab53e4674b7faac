//! Strangers and liars: clear-text orders, repetitions, floods, garbage, and the packets of known vulnerabilities.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::{Script, answers, server500};
use ike::Limits;
use ike::wire::ident::FQDN;
use ike::wire::notify::{NotifyType, emit_delete, emit_notification};
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ESP, PROTO_ISAKMP};
use ike::wire::{Exchange, MessageWriter};
use proptest::prelude::*;
use sim::{CLIENT, Datagram, Outcome, Pair, PairConfig, SERVER, clean, outcome};

const PEER: &str = "198.51.100.77:500";

/// The server still takes a well-formed peer.
fn still_answers(pair: &mut Pair) {
    pair.filter = None;
    let had = pair.server().engine.established().len();
    let mut peer = Script::new("198.51.100.200:500", 0xee);
    peer.main_mode(pair, &[]);
    peer.quick_mode(pair, 0xeeee, 0xee00_0001);
    assert_eq!(pair.server().engine.established().len(), had + 1);
}

fn clear_informational(icookie: [u8; 8], rcookie: [u8; 8], kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut peer = Script::new(PEER, 1);
    (peer.icookie, peer.rcookie) = (icookie, rcookie);
    let mut w = MessageWriter::new(peer.header(Exchange::Informational, 0));
    w.payload(kind, body);
    w.finish()
}

#[test]
fn cve_2019_10155_cve_2004_0164_clear_text_orders_change_nothing() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    peer.quick_mode(&mut pair, 7, 0xabcd_0001);
    let cookies = [peer.icookie, peer.rcookie].concat();
    let notify = |kind| (Kind::Notify, emit_notification(kind, PROTO_ISAKMP, &[], &[]));
    let orders = [
        (Kind::Delete, emit_delete(PROTO_ISAKMP, &cookies)),
        (Kind::Delete, emit_delete(PROTO_ESP, &0xabcd_0001u32.to_be_bytes())),
        notify(NotifyType::InitialContact),
        notify(NotifyType::NoProposalChosen),
        notify(NotifyType::AuthenticationFailed),
    ];
    let before = pair.server().engine.counts();
    for (kind, body) in &orders {
        let clear = clear_informational(peer.icookie, peer.rcookie, *kind, body);
        assert!(peer.send(&mut pair, clear).is_empty());
    }
    // The same under the right key, but with a hash of zeros.
    for (n, (kind, body)) in orders.iter().enumerate() {
        let mut message = peer.phase2(Exchange::Informational, 100 + n as u32, &[(*kind, body.clone())]);
        let last = message.len() - 1;
        message[last] ^= 1;
        assert!(peer.send(&mut pair, message).is_empty());
    }
    assert_eq!(pair.server().engine.counts(), before);
    assert_eq!(pair.server().engine.established().len(), 1);
    still_answers(&mut pair);
}

#[test]
fn cve_2009_0790_probes_for_unknown_cookies_get_no_answer() {
    let mut pair = Pair::new(PairConfig::default());
    let peer = Script::new(PEER, 1);
    for kind in [NotifyType::RUThere, NotifyType::RUThereAck] {
        let body = emit_notification(kind, PROTO_ISAKMP, &[7; 16], &[0, 0, 0, 1]);
        let mut clear = clear_informational([1; 8], [2; 8], Kind::Notify, &body);
        assert!(peer.send(&mut pair, clear.clone()).is_empty());
        clear[19] |= 1;
        assert!(peer.send(&mut pair, clear).is_empty());
    }
    still_answers(&mut pair);
}

#[test]
fn cve_2013_4564_short_and_oddly_long_datagrams() {
    let mut pair = Pair::new(PairConfig::default());
    let peer = Script::new(PEER, 1);
    let good = peer.mi1();
    for n in 0..28 {
        assert!(peer.send(&mut pair, good[..n].to_vec()).is_empty());
    }
    for (at, value) in [(17, 0x30), (17, 0x00), (17, 0xff), (24, 0xff), (27, 0)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(peer.send(&mut pair, bad).is_empty(), "octet {at}");
    }
    assert_eq!(pair.server().engine.counts()[0], 0);
    // Octets behind the message are padding.
    let padded = [good, vec![0; 7]].concat();
    assert_eq!(peer.send(&mut pair, padded).len(), 1);
    still_answers(&mut pair);
}

#[test]
fn cve_2015_3240_a_public_value_of_zero_is_refused() {
    for bad in [[0u8; 64], [0xff; 64]] {
        let mut pair = Pair::new(PairConfig::default());
        let mut peer = Script::new(PEER, 1);
        peer.open(&mut pair);
        let payloads = [(Kind::KeyExchange, bad.to_vec()), (Kind::Nonce, vec![1; 16])];
        let mi2 = peer.clear(Exchange::Main, &payloads);
        assert!(peer.send(&mut pair, mi2).is_empty());
        assert!(pair.server().logged("Diffie-Hellman failed"));
        clean(pair.server()).unwrap();
        still_answers(&mut pair);
    }
}

#[test]
fn cve_2020_1763_an_encrypted_informational_without_a_state() {
    let mut pair = Pair::new(PairConfig::default());
    let peer = Script::new(PEER, 1);
    for first in 0..=255u8 {
        let mut message = clear_informational([1; 8], [2; 8], Kind::Nonce, &[0; 32]);
        (message[16], message[19]) = (first, 1);
        assert!(peer.send(&mut pair, message).is_empty());
    }
    assert!(pair.server().logged("Informational Exchange is for an unknown (expired?) SA"));
    still_answers(&mut pair);
}

#[test]
fn cve_2022_23094_main_mode_refused_before_there_is_a_state() {
    let mut pair = Pair::new(PairConfig::default());
    let peer = Script::new(PEER, 1);
    let good = peer.mi1();
    for exchange in [2, 4] {
        for at in 16..good.len() {
            let mut bad = good.clone();
            bad[18] = exchange;
            bad[at] ^= 0xff;
            bad[7] = at as u8;
            peer.send(&mut pair, bad);
        }
    }
    pair.run_for(Duration::from_secs(60));
    clean(pair.server()).unwrap();
    still_answers(&mut pair);
}

#[test]
fn cve_2023_38711_the_other_end_of_a_quick_mode_is_a_name() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    let name = || vec![FQDN, 17, 0x06, 0xa5, b'h', b'o', b's', b't'];
    let [ci, _] = peer.l2tp_ids();
    let qi1 = peer.phase2(Exchange::Quick, 5, &peer.qi1(12, 0xabcd_0001, [ci, name()]));
    peer.send(&mut pair, qi1);
    assert!(pair.server().logged("unsupported ID type 2 in Quick Mode ID payload"));
    assert_eq!(pair.server().engine.counts(), [1, 0, 2, 0]);
    still_answers(&mut pair);
}

#[test]
fn cve_2023_38712_payloads_behind_the_delete_of_their_own_sa() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    let cookies = [peer.icookie, peer.rcookie].concat();
    let delete = || (Kind::Delete, emit_delete(PROTO_ISAKMP, &cookies));
    let probe = emit_notification(NotifyType::RUThere, PROTO_ISAKMP, &cookies, &[0, 0, 0, 1]);
    let payloads = [delete(), delete(), (Kind::Notify, probe), delete()];
    let message = peer.phase2(Exchange::Informational, 5, &payloads);
    assert!(peer.send(&mut pair, message).is_empty());
    clean(pair.server()).unwrap();
    still_answers(&mut pair);
}

#[test]
fn cve_2024_3652_gmac_without_esp_in_the_conn() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    let qi1 = peer.phase2(Exchange::Quick, 5, &peer.qi1(23, 0xabcd_0001, peer.l2tp_ids()));
    peer.send(&mut pair, qi1);
    assert!(pair.server().logged("no acceptable Proposal in IPsec SA"));
    still_answers(&mut pair);
}

/// CVE-2011-4073: the IKE SA goes while a worker computes for it.
#[test]
fn cve_2011_4073_a_delete_while_the_worker_is_busy() {
    let config = PairConfig { busy: Duration::from_millis(500), ..PairConfig::default() };
    for ms in (0..3000).step_by(50) {
        let mut pair = Pair::new(config.clone());
        pair.up(1);
        pair.run_for(Duration::from_millis(ms));
        pair.down(1);
        pair.down(0);
        pair.run_for(Duration::from_secs(120));
        pair.hosts.iter().for_each(|h| clean(h).unwrap());
    }
}

#[test]
fn cve_2016_5361_a_responder_repeats_nothing_by_itself() {
    let mut pair = Pair::new(PairConfig::default());
    let peer = Script::new(PEER, 1);
    peer.send(&mut pair, peer.mi1());
    pair.run_for(Duration::from_secs(100));
    assert_eq!(answers(&pair, peer.at).len(), 1);
    clean(pair.server()).unwrap();
}

/// Everything comes three times, and everything old comes again: nothing more is made of it.
#[test]
fn duplicates_and_replays_at_every_step_change_nothing() {
    for nat in [false, true] {
        let mut pair = Pair::new(PairConfig { nat, ..PairConfig::default() });
        pair.net.link.duplicate = 1000;
        pair.up(1);
        let mut seen = 0;
        pair.run_until(Duration::from_secs(5), |p| {
            let old: Vec<Datagram> = p.delivered.clone();
            if old.len() > seen && old.len() < 60 {
                old.into_iter().for_each(|d| p.deliver(d));
            }
            seen = p.delivered.len();
            false
        });
        pair.run_for(Duration::from_secs(300));
        assert_eq!(outcome(&pair), Outcome::Established, "nat {nat}");
        assert_eq!(pair.server().engine.counts(), [1, 1, 2, 0], "nat {nat}");
        assert_eq!(pair.client().engine.counts(), [1, 1, 1, 0], "nat {nat}");
    }
}

/// A peer whose address changes between MI1 and MI3 does not use up the places of half-open peers.
#[test]
fn half_open_places_are_given_back_wherever_the_peer_went() {
    let mut pair = Pair::new(PairConfig::default());
    for n in 1..=2 * Limits::default().half_open_per_peer {
        let mut peer = Script::new(PEER, n as u8);
        peer.open(&mut pair);
        let mi3 = peer.mi3(&mut pair, &[]);
        peer.at = SocketAddr::new(Ipv4Addr::new(203, 0, 113, n as u8).into(), 500);
        assert_eq!(peer.send(&mut pair, mi3).len(), 1, "peer {n}");
    }
}

/// The state of a server when each of those arrives: all before it have been delivered.
fn before_message(index: usize) -> (Pair, Datagram) {
    let mut pair = Pair::new(PairConfig::default());
    let count = RefCell::new(0);
    pair.filter = Some(Box::new(move |d| {
        *count.borrow_mut() += usize::from(d.dst.ip() == SERVER);
        d.dst.ip() != SERVER || *count.borrow() <= index
    }));
    pair.up(1);
    pair.run_for(Duration::from_millis(900));
    pair.filter = None;
    let all = pair.sent.iter().filter(|d| d.dst.ip() == SERVER).cloned().collect::<Vec<_>>();
    let last = all[index.min(all.len() - 1)].clone();
    (pair, last)
}

fn mutate(data: &mut Vec<u8>, changes: &[(u16, u8, u8)]) {
    for (at, what, value) in changes {
        let at = usize::from(*at) % data.len().max(1);
        match what % 5 {
            0 => data.truncate(at),
            1 => data.insert(at.min(data.len()), *value),
            2 if at < data.len() => {
                data.remove(at);
            }
            _ if at < data.len() => data[at] = *value,
            _ => {}
        }
    }
    // Half of the time the header's length is right, so that what is behind the header is looked at.
    if changes.first().is_some_and(|c| c.2 & 1 == 0) && data.len() >= 28 {
        let len = data.len() as u32;
        data[24..28].copy_from_slice(&len.to_be_bytes());
    }
}

fn octets(list: &[Vec<u8>]) -> usize {
    list.iter().map(Vec::len).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Real messages of every step, changed: no panic, at most one answer, and to an address that has not proved
    /// anything at most half as much again as it sent.
    #[test]
    fn changed_messages_do_no_harm(
        index in 0usize..4,
        changes in prop::collection::vec(any::<(u16, u8, u8)>(), 1..4),
        from_elsewhere in any::<bool>(),
    ) {
        let (mut pair, mut d) = before_message(index);
        if from_elsewhere {
            d.src = PEER.parse().unwrap();
        }
        mutate(&mut d.data, &changes);
        let (sent, before) = (d.data.len(), pair.sent.len());
        pair.deliver(d.clone());
        let new: Vec<Vec<u8>> =
            pair.sent[before..].iter().filter(|x| x.src.ip() == SERVER).map(|x| x.data.clone()).collect();
        prop_assert!(new.len() <= 1, "{} answers", new.len());
        // The last of them is under the keys of a client that has proved who it is, and is answered where he is.
        let to_client = pair.sent[before..].iter().all(|x| x.dst.ip() == CLIENT || x.src.ip() != SERVER);
        let proved = index == 3 && to_client;
        prop_assert!(proved || 2 * octets(&new) <= 3 * sent, "{} octets for {sent}", octets(&new));
        // Whatever it was, a good client gets in.
        still_answers(&mut pair);
    }

    #[test]
    fn garbage_gets_no_answer(
        data in prop::collection::vec(any::<u8>(), 0..600),
        port in prop::sample::select(vec![500u16, 4500]),
        marked in any::<bool>(),
    ) {
        let mut pair = Pair::new(PairConfig::default());
        let data = if marked { [vec![0; 4], data].concat() } else { data };
        let src: SocketAddr = PEER.parse().unwrap();
        pair.inject(src, SocketAddr::new(SERVER, port), data);
        prop_assert!(answers(&pair, src).is_empty());
        prop_assert_eq!(pair.server().engine.counts()[0], 0);
    }

    /// Whatever a peer says under the right keys, and whatever comes in their place, its SA stays; but for a Delete and a
    /// notification that takes back a proposal it has just refused, which say so.
    #[test]
    fn no_malformed_message_ends_an_sa(
        payloads in prop::collection::vec((0u8..=255, prop::collection::vec(any::<u8>(), 0..80)), 0..6),
        exchange in prop::sample::select(vec![Exchange::Quick, Exchange::Informational, Exchange::Main]),
        spoilt in prop::option::of((any::<u16>(), any::<u8>())),
        clear in any::<bool>(),
    ) {
        let mut pair = Pair::new(PairConfig::default());
        let mut peer = Script::new(PEER, 1);
        peer.main_mode(&mut pair, &[]);
        peer.quick_mode(&mut pair, 7, 0xabcd_0001);
        let initial_contact = |k: Kind, b: &[u8]| k == Kind::Notify && b.get(6..8) == Some(&[0x60, 0x02]);
        let list: Vec<(Kind, Vec<u8>)> = payloads
            .into_iter()
            .filter_map(|(k, b)| Some((Kind::from_number(k)?, b)))
            .filter(|(k, b)| *k != Kind::Delete && !initial_contact(*k, b))
            .collect();
        let mut message = if clear { peer.clear(exchange, &list) } else { peer.phase2(exchange, 4711, &list) };
        if let Some((at, with)) = spoilt {
            let at = usize::from(at) % message.len();
            message[at] ^= with;
        }
        peer.send(&mut pair, message);
        pair.run_for(Duration::from_secs(100));
        let up = pair.server().engine.established();
        prop_assert!(up.iter().any(|x| x.2 == 0xabcd_0001), "{:#?}", pair.server().log);
        prop_assert!(pair.server().engine.untimed().is_empty());
    }

    /// The client, too: changed answers of the server.
    #[test]
    fn changed_answers_do_no_harm(
        step in 0usize..5,
        changes in prop::collection::vec(any::<(u16, u8, u8)>(), 1..4),
    ) {
        let mut pair = Pair::new(PairConfig::default());
        let count = RefCell::new(0);
        pair.filter = Some(Box::new(move |d| {
            if d.dst.ip() == CLIENT {
                if *count.borrow() == step {
                    mutate(&mut d.data, &changes);
                }
                *count.borrow_mut() += 1;
            }
            true
        }));
        pair.up(1);
        pair.run_for(Duration::from_secs(1000));
        let end = outcome(&pair);
        prop_assert!(!matches!(end, Outcome::Stuck(_)), "{:?}", end);
    }
}

#[test]
fn junk_is_one_line_each_at_most() {
    let mut pair = Pair::new(PairConfig::default());
    let before = pair.server().log.len();
    let from = SocketAddr::new(IpAddr::from([203, 0, 113, 5]), 4500);
    for n in 0..200u8 {
        pair.inject(from, SocketAddr::new(SERVER, 4500), vec![n; usize::from(n)]);
        pair.inject(from, server500(), vec![n; usize::from(n)]);
    }
    assert!(pair.server().log.len() - before <= 400);
}
