//! The packets of known vulnerabilities, beside those in `hostile` and `fragments`: each leaves a server that still takes
//! a well-formed peer, and an SA that was up stays up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Script, answers, server500};
use ike::wire::notify::{NotifyType, emit_delete, emit_notification};
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ESP, PROTO_ISAKMP, SaWriter};
use ike::wire::{Exchange, Header, attr};
use ipsec_crypto::CryptoError;
use sim::impair::{AUTHS, Fault, Side, run};
use sim::message::{Message, Payload};
use sim::{Keys, Outcome, Pair, PairConfig, SERVER, clean};

const PEER: &str = "198.51.100.77:500";

/// A server with one established peer, and that peer.
fn up() -> (Pair, Script) {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new("198.51.100.9:500", 9);
    peer.main_mode(&mut pair, &[]);
    peer.quick_mode(&mut pair, 7, 0xabcd_0009);
    (pair, peer)
}

/// The peer of [`up`] keeps its SA, and another gets in.
fn unharmed(pair: &mut Pair) {
    assert!(pair.server().engine.established().iter().any(|x| x.2 == 0xabcd_0009), "the SA is gone");
    let had = pair.server().engine.established().len();
    let mut peer = Script::new("198.51.100.200:500", 0xee);
    peer.main_mode(pair, &[]);
    peer.quick_mode(pair, 0xeeee, 0xee00_0001);
    assert_eq!(pair.server().engine.established().len(), had + 1);
}

/// A clear message with whatever payloads.
fn raw(peer: &Script, exchange: u8, payloads: Vec<Payload>) -> Message {
    let mut m = Message::header(&peer.mi1()).unwrap();
    (m.exchange, m.payloads, m.rcookie) = (exchange, payloads, peer.rcookie);
    m
}

fn send(pair: &mut Pair, peer: &Script, m: &Message) -> Vec<Vec<u8>> {
    peer.send(pair, m.emit(&m.plain(1)))
}

fn sa(peer: &Script) -> Payload {
    Payload::new(1, peer.sa_i.clone())
}

#[test]
fn cve_2004_0392_a_payload_of_length_zero() {
    let (mut pair, _) = up();
    let peer = Script::new(PEER, 1);
    for place in 0..3 {
        let mut m =
            raw(&peer, 2, vec![sa(&peer), Payload::new(13, vec![7; 16]), Payload::new(13, vec![8; 16])]);
        m.payloads[place].lie = -(m.payloads[place].body.len() as i16) - 4;
        assert!(send(&mut pair, &peer, &m).is_empty());
    }
    unharmed(&mut pair);
}

#[test]
fn cve_2004_0403_a_message_that_says_it_is_huge() {
    let (mut pair, _) = up();
    let peer = Script::new(PEER, 1);
    for lie in [0x7fff_0000, i32::MIN, -28, -1] {
        let mut m = raw(&peer, 2, vec![sa(&peer)]);
        m.lie = lie;
        assert!(send(&mut pair, &peer, &m).is_empty(), "{lie}");
    }
    unharmed(&mut pair);
}

#[test]
fn cve_2005_0398_cve_2005_3732_headers_and_first_messages_without_what_they_need() {
    let (mut pair, _) = up();
    let mut peer = Script::new(PEER, 1);
    for exchange in 0..=255 {
        for payloads in [vec![], vec![Payload::new(4, vec![1; 64])], vec![Payload::new(1, Vec::new())]] {
            let m = raw(&peer, exchange, payloads);
            assert!(send(&mut pair, &peer, &m).is_empty(), "exchange {exchange}");
        }
    }
    // And without KE or nonce in the second.
    peer.open(&mut pair);
    for payloads in [vec![], vec![Payload::new(4, vec![1; 64])], vec![Payload::new(10, vec![1; 16])]] {
        let m = raw(&peer, 2, payloads);
        send(&mut pair, &peer, &m);
    }
    unharmed(&mut pair);
}

#[test]
fn cve_2005_3671_cve_2011_3380_key_lengths_of_ciphers_that_have_none() {
    for (cipher, length) in [(5, 192), (5, 0), (1, 56), (7, 0), (7, 1), (7, 65535), (3, 128), (6, 40)] {
        let (mut pair, _) = up();
        let mut peer = Script::new(PEER, 1);
        let mut a = Vec::new();
        for (kind, value) in [(1, cipher), (2, 2), (3, 1), (4, 19), (14, length), (11, 1), (12, 3600)] {
            attr::emit(kind, value, &mut a);
        }
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ISAKMP, &[], &[(0, 1, a)], true);
        peer.sa_i = w.finish();
        let answer = peer.send(&mut pair, peer.mi1());
        assert!(answer.iter().all(|m| Header::parse(m).unwrap().0.exchange == Exchange::Informational));
        assert!(pair.server().logged("no acceptable Oakley Transform"), "{cipher} {length}");
        unharmed(&mut pair);
    }
}

#[test]
fn cve_2007_1841_initial_contact_without_a_hash() {
    let (mut pair, peer) = up();
    let n = emit_notification(NotifyType::InitialContact, PROTO_ISAKMP, &[], &[]);
    let spi = emit_delete(PROTO_ESP, &0xabcd_0009u32.to_be_bytes());
    for (kind, body) in [(11, n), (12, spi)] {
        let clear = raw(&peer, 5, vec![Payload::new(kind, body.clone())]);
        assert!(send(&mut pair, &peer, &clear).is_empty());
        // Encrypted, as it seems, but without a hash: the keys are not known to him.
        let mut sealed = clear;
        (sealed.flags, sealed.msgid) = (1, 4711);
        sealed.payloads[0].body.resize(44, 0);
        assert!(send(&mut pair, &peer, &sealed).is_empty());
    }
    unharmed(&mut pair);
}

#[test]
fn cve_2008_3651_cve_2008_3652_cve_2009_1632_nothing_is_kept_of_what_is_refused() {
    let mut pair = Pair::new(PairConfig::default());
    for n in 0..3000u32 {
        let mut peer = Script::new(PEER, 1);
        peer.icookie = (u64::from(n) + 1).to_be_bytes();
        let mut a = Vec::new();
        for (kind, value) in [(1, 1), (2, 1), (3, 1), (4, 1), (11, 1), (12, 3600)] {
            attr::emit(kind, value, &mut a);
        }
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ISAKMP, &[], &[(0, 1, a)], true);
        peer.sa_i = w.finish();
        peer.send(&mut pair, peer.mi1());
        pair.inject(PEER.parse().unwrap(), SocketAddr::new(SERVER, 4500), vec![0xff]);
        pair.sent.clear();
    }
    clean(pair.server()).unwrap();
}

#[test]
fn cve_2015_3204_an_sa_key_is_no_nat_d() {
    let (mut pair, _) = up();
    for kind in [14, 15, 16, 130, 255] {
        let mut peer = Script::new(PEER, kind);
        let first = raw(&peer, 2, vec![sa(&peer), Payload::new(kind, vec![1; 20])]);
        send(&mut pair, &peer, &first);
        let mut peer2 = Script::new("198.51.100.78:500", kind);
        peer2.open(&mut pair);
        let mut m = Message::header(&peer2.mi2()).unwrap();
        m.read(&peer2.mi2()[28..]).unwrap();
        m.payloads.push(Payload::new(kind, vec![1; 20]));
        send(&mut pair, &peer2, &m);
        peer.icookie[0] ^= 1;
    }
    unharmed(&mut pair);
}

#[test]
fn cve_2015_3991_payloads_of_the_other_version() {
    let (mut pair, peer) = up();
    for kind in 33..=53 {
        let stranger = Script::new(PEER, kind);
        let m = raw(&stranger, 2, vec![sa(&stranger), Payload::new(kind, vec![0, 0, 0x40, 4])]);
        assert!(send(&mut pair, &stranger, &m).is_empty(), "payload {kind}");
        // In the middle of a Main Mode, and under the keys.
        let mut half = Script::new(&format!("203.0.113.{kind}:500"), kind);
        half.open(&mut pair);
        let m = raw(&half, 2, vec![Payload::new(kind, vec![0, 0, 0x40, 4])]);
        send(&mut pair, &half, &m);
        let mut sealed = peer.phase2(Exchange::Informational, 100 + u32::from(kind), &[]);
        sealed[16] = kind;
        assert!(peer.send(&mut pair, sealed).is_empty(), "payload {kind}");
    }
    pair.run_for(Duration::from_secs(40));
    unharmed(&mut pair);
}

#[test]
fn cve_2015_4047_gss_api_without_a_state() {
    for method in [65001u32, 65002, 65005, 64221, 0, 0xffff] {
        let (mut pair, _) = up();
        let mut peer = Script::new(PEER, 1);
        let mut a = Vec::new();
        for (kind, value) in
            [(1, 7), (2, 2), (3, method), (4, 19), (14, 128), (11, 1), (12, 3600), (16384, 1)]
        {
            attr::emit(kind, value, &mut a);
        }
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ISAKMP, &[], &[(0, 1, a)], true);
        peer.sa_i = w.finish();
        let answer = peer.send(&mut pair, peer.mi1());
        assert!(answer.iter().all(|m| Header::parse(m).unwrap().0.exchange == Exchange::Informational));
        unharmed(&mut pair);
    }
}

/// Whichever computation of a handshake the crypto library refuses (there, HMAC-MD5 of a library that has none), or breaks
/// off by a panic: the exchange ends at once with a line, and nothing is kept of it.
#[test]
fn cve_2018_10811_nothing_is_kept_of_a_computation_that_fails() {
    let fails =
        [CryptoError::Library("unsupported".into()), CryptoError::Broken("attempt to divide by zero".into())];
    for auth in AUTHS {
        for side in Side::BOTH {
            let ends: Vec<Outcome> = (0..7)
                .map(|n| {
                    let [a, b] =
                        fails.each_ref().map(|e| run(*auth, side, Fault::Job(n, e.clone())).unwrap());
                    assert_eq!(a, b, "{}, {side:?}, job {n}", auth.name);
                    a
                })
                .collect();
            // Who repeats a first message that was answered with nothing gets another chance.
            let again = side == Side::Responder && auth.name.starts_with("Aggressive");
            assert_eq!(ends[0] == Outcome::Failed, !again, "{}, {side:?}", auth.name);
            assert_eq!(ends.last(), Some(&Outcome::Established), "there are not so many jobs");
        }
    }
}

#[test]
fn cve_2018_10811_a_computation_that_fails_is_told_of_and_not_waited_for() {
    for (host, n) in [(0, 0), (1, 0), (1, 1)] {
        for (error, line) in [
            (
                CryptoError::Library("unsupported".into()),
                "Diffie-Hellman failed: crypto library: unsupported",
            ),
            (CryptoError::Broken("oh".into()), "a computation broke off, which is a bug: oh"),
        ] {
            let mut config = PairConfig::default();
            config.client.keyingtries = 1;
            let mut pair = Pair::new(config);
            pair.hosts[host].job_fails = Some((n, error));
            pair.up(1);
            pair.run_for(Duration::from_secs(1));
            assert_eq!(pair.hosts[host].times_logged(line), 1, "{:#?}", pair.hosts[host].log);
            let [ikes, children, _, waits] = pair.hosts[host].engine.counts();
            assert_eq!((ikes, children, waits), (0, 0, 0), "host {host}, job {n}");
        }
    }
}

#[test]
fn cve_2018_5389_the_responder_proves_nothing_to_who_has_not() {
    let (mut pair, _) = up();
    let mut peer = Script::new(PEER, 1);
    peer.open(&mut pair);
    let mut mi3 = peer.mi3(&mut pair, &[]);
    // The hash is in the last blocks.
    let at = mi3.len() - 20;
    mi3[at] ^= 1;
    let before = answers(&pair, peer.at).len();
    peer.send(&mut pair, mi3);
    for m in &answers(&pair, peer.at)[before..] {
        let (h, _) = Header::parse(m).unwrap();
        assert!(
            h.exchange == Exchange::Informational && !h.encrypted(),
            "no hash of ours, no octet under the keys"
        );
    }
    assert!(pair.server().logged("probable authentication failure"));
    unharmed(&mut pair);
}

#[test]
fn cve_2023_23009_identities_shorter_than_their_header() {
    let (mut pair, peer) = up();
    let [ci, cr] = peer.l2tp_ids();
    for n in 0..8 {
        for ids in [[ci[..n].to_vec(), cr.clone()], [ci.clone(), cr[..n].to_vec()]] {
            let msgid = 100 + 2 * n as u32 + u32::from(ids[0].len() == n);
            let qi1 = peer.phase2(Exchange::Quick, msgid, &peer.qi1(12, 0xbeef_0000 + msgid, ids));
            peer.send(&mut pair, qi1);
        }
    }
    assert_eq!(pair.server().engine.counts()[1], 1);
    unharmed(&mut pair);
}

#[test]
fn cve_2023_30570_a_refused_first_message_again_with_a_responders_cookie() {
    let (mut pair, _) = up();
    let mut peer = Script::new(PEER, 1);
    let mut a = Vec::new();
    for (kind, value) in [(1, 7), (2, 2), (3, 1), (4, 2), (14, 128), (11, 1), (12, 3600)] {
        attr::emit(kind, value, &mut a);
    }
    let mut w = SaWriter::new();
    w.proposal(0, PROTO_ISAKMP, &[], &[(0, 1, a)], true);
    peer.sa_i = w.finish();
    let refusal = peer.send(&mut pair, peer.mi1()).remove(0);
    for rcookie in [Header::parse(&refusal).unwrap().0.rcookie, [7; 8]] {
        peer.rcookie = rcookie;
        assert!(peer.send(&mut pair, peer.mi1()).is_empty());
    }
    unharmed(&mut pair);
}

#[test]
fn cve_2023_41913_a_public_value_longer_than_its_group() {
    for length in [0, 1, 63, 65, 256, 4000] {
        let (mut pair, _) = up();
        let mut peer = Script::new(PEER, 1);
        peer.open(&mut pair);
        let payloads = [(Kind::KeyExchange, vec![2; length]), (Kind::Nonce, vec![1; 16])];
        let mi2 = peer.clear(Exchange::Main, &payloads);
        assert!(peer.send(&mut pair, mi2).is_empty(), "{length} octets");
        unharmed(&mut pair);
    }
}

#[test]
fn cve_2024_2357_our_own_key_is_missing() {
    for host in [0, 1] {
        let none = Keys::new(&[]);
        let mut config = PairConfig::default();
        config.client.keyingtries = 2;
        if host == 0 {
            config.server_keys = none
        } else {
            config.client_keys = none
        }
        let mut pair = Pair::new(config);
        pair.up(1);
        pair.run_for(Duration::from_secs(2000));
        assert!(
            pair.hosts[host].logged("Can't authenticate: no preshared key found"),
            "{host}: {:#?}",
            pair.hosts[host].log
        );
        pair.hosts.iter().for_each(|h| clean(h).unwrap());
    }
}

/// Packets too short to be ESP or IKE, on the port of both.
#[test]
fn cve_2002_0666_packets_shorter_than_their_header() {
    let (mut pair, _) = up();
    for n in 0..40 {
        for first in [0, 1] {
            let from: SocketAddr = PEER.parse().unwrap();
            pair.inject(from, SocketAddr::new(SERVER, 4500), vec![first; n]);
            assert!(answers(&pair, from).is_empty());
        }
    }
    unharmed(&mut pair);
}

/// IKEv2's first messages with anything left out (CVE-2013-6466, CVE-2014-9221, CVE-2016-5391, CVE-2019-12312,
/// CVE-2026-12413 and more): this daemon does not speak it, and says nothing.
#[test]
fn cve_2013_6466_and_others_of_ikev2() {
    let (mut pair, _) = up();
    let peer = Script::new(PEER, 1);
    for exchange in 34..=44 {
        for kinds in [&[33u8, 34, 40][..], &[34, 40], &[33, 40], &[33, 34], &[53], &[46], &[41], &[]] {
            let payloads = kinds.iter().map(|k| Payload::new(*k, vec![0; 72])).collect();
            let mut m = raw(&peer, exchange, payloads);
            m.version = 0x20;
            for (flags, msgid) in [(0x08, 0), (0x08, 1), (0x20, 0), (0x28, 2)] {
                (m.flags, m.msgid) = (flags, msgid);
                let data = m.emit(&m.plain(1));
                assert!(peer.send(&mut pair, data.clone()).is_empty());
                pair.inject(peer.at, server500(), data);
            }
        }
    }
    unharmed(&mut pair);
}
