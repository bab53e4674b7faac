//! Every method of NAT traversal that clients know: which one is taken, with which payloads and numbers, on whose side
//! the NAT is found.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

mod common;

use common::{Script, offer_only};
use ike::wire::payload::Kind;
use ike::wire::{Chain, Exchange, Header};
use ipsec_types::conn::{Encapsulation, NattMethod};
use sim::{Keys, PSK, Pair, PairConfig};

const RFC: u128 = 0x4a13_1c81_0703_5845_5c57_28f2_0e95_452f;
const D03: u128 = 0x7d94_19a6_5310_ca6f_2c17_9d92_1552_9d56;
const D02: u128 = 0xcd60_4643_35df_21f8_7cfd_b2fc_68b6_a448;
const D02N: u128 = 0x90cb_8091_3ebb_696e_0863_81b5_ec42_7b1f;
const APPLE: u128 = 0x4df3_7928_e9fc_4fd1_b326_2170_d515_c662;
const D00: u128 = 0x4485_152d_18b6_bbcd_0be8_a846_9579_ddcc;
const MIDDLE: [u128; 5] = [
    0x9909_b64e_ed93_7c65_73de_52ac_e952_fa6b,
    0x80d0_bb3d_ef54_565e_e846_45d4_c85c_e3ee,
    0x4d1e_0e13_6dea_fa34_c4f3_ea9f_02ec_7285,
    0x439b_59f8_ba67_6c4c_7737_ae22_eab8_f582,
    0x8f8d_8382_6d24_6b6f_c7a8_a6a4_28c1_1de8,
];

/// Vendor IDs and NAT-D payload type, which tells the method.
fn methods() -> Vec<(u128, u8)> {
    let mut all = vec![(RFC, 20), (D03, 130), (D02, 130), (D02N, 130), (APPLE, 15)];
    all.extend(MIDDLE.map(|id| (id, 15)));
    all
}

fn kinds(data: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (h, body) = Header::parse(data).unwrap();
    let chain = Chain::parse(h.next, body).unwrap();
    chain.payloads.iter().map(|p| (p.kind.number(), p.body.to_vec())).collect()
}

#[test]
fn a_client_behind_a_nat_gets_through_with_each_method() {
    for (id, nat_d) in methods() {
        let mut pair = Pair::new(PairConfig { nat: true, ..PairConfig::default() });
        pair.filter = Some(Box::new(move |d| {
            offer_only(d, id);
            true
        }));
        assert!(pair.connect(), "{id:032x}");
        let floated = pair.sent.iter().any(|d| d.dst.port() == 4500);
        let hashes = pair.sent.iter().filter(|d| d.dst.port() == 500 && d.data.get(16) == Some(&4));
        let of = |data: &[u8]| kinds(data).iter().filter(|(k, _)| *k == nat_d).count();
        assert!(floated, "{id:032x}");
        assert!(hashes.map(|d| of(&d.data)).all(|n| n == 2), "{id:032x}");
        assert!(pair.server().logged("peer is NATed"), "{id:032x}");
    }
}

/// What a peer that speaks by hand is answered: the vendor IDs of MR1.
fn answered(config: PairConfig, ids: &[u128]) -> Vec<u128> {
    let mut pair = Pair::new(config);
    let peer = Script::new("198.51.100.9:500", 1);
    let mut payloads = vec![(Kind::Sa, peer.sa_i.clone())];
    payloads.extend(ids.iter().map(|id| (Kind::Vendor, id.to_be_bytes().to_vec())));
    let mr1 = peer.send(&mut pair, peer.clear(Exchange::Main, &payloads)).remove(0);
    let vendor = kinds(&mr1).into_iter().filter(|(k, _)| *k == 13);
    vendor
        .filter_map(|(_, b)| b.try_into().ok().map(u128::from_be_bytes))
        .filter(|id| ids.contains(id))
        .collect()
}

#[test]
fn the_best_method_is_taken() {
    let all: Vec<u128> = methods().into_iter().map(|(id, _)| id).rev().collect();
    assert_eq!(answered(PairConfig::default(), &all), [RFC]);
    assert_eq!(answered(PairConfig::default(), &[APPLE, MIDDLE[4], MIDDLE[0], D02N, D02]), [D02]);
    assert_eq!(answered(PairConfig::default(), &[APPLE, MIDDLE[0], MIDDLE[4]]), [MIDDLE[4]]);
    assert!(answered(PairConfig::default(), &[D00]).is_empty());
}

#[test]
fn nat_ikev1_method_is_obeyed() {
    for (method, want) in [
        (NattMethod::Both, vec![RFC]),
        (NattMethod::Rfc, vec![RFC]),
        (NattMethod::Drafts, vec![D02]),
        (NattMethod::None, vec![]),
    ] {
        let mut config = PairConfig::default();
        config.server[0].natt_method = method;
        assert_eq!(answered(config, &[D02, RFC]), want, "{method:?}");
        // And what we offer.
        let mut config = PairConfig::default();
        config.client.natt_method = method;
        let mut pair = Pair::new(config);
        assert!(pair.connect());
        let has = |id: u128| pair.sent[0].data.windows(16).any(|w| w == id.to_be_bytes());
        let (rfc, drafts) = (has(RFC), has(D03) && has(D02) && has(D02N));
        assert_eq!(rfc, matches!(method, NattMethod::Both | NattMethod::Rfc), "{method:?}");
        assert_eq!(drafts, matches!(method, NattMethod::Both | NattMethod::Drafts), "{method:?}");
    }
}

/// Apple's first clients send the two hashes the other way round.
#[test]
fn hashes_in_the_wrong_order_are_apples_only() {
    for (id, natted) in [(APPLE, false), (RFC, true)] {
        let mut pair = Pair::new(PairConfig::default());
        pair.filter = Some(Box::new(move |d| {
            offer_only(d, id);
            if d.dst.ip() == sim::SERVER && d.data.get(16) == Some(&4) {
                // KE, Nonce, NAT-D, NAT-D of 24 octets each.
                let end = d.data.len();
                let (first, second) = d.data[end - 48..].split_at_mut(24);
                first[4..].swap_with_slice(&mut second[4..]);
            }
            true
        }));
        assert!(pair.connect(), "{id:032x}");
        assert_eq!(pair.server().logged("both are NATed"), natted, "{id:032x}");
        assert_eq!(pair.server().logged("no NAT detected"), !natted, "{id:032x}");
    }
}

#[test]
fn encapsulation_yes_and_no() {
    for (wish, nat, floats) in [
        (Encapsulation::Auto, false, false),
        (Encapsulation::Auto, true, true),
        (Encapsulation::Yes, false, true),
        (Encapsulation::No, true, false),
    ] {
        let mut config = PairConfig { nat, ..PairConfig::default() };
        config.client.encapsulation = wish;
        config.server[0].encapsulation = wish;
        let mut pair = Pair::new(config);
        pair.up(1);
        pair.run_for(std::time::Duration::from_secs(10));
        assert_eq!(pair.sent.iter().any(|d| d.dst.port() == 4500), floats, "{wish:?}, NAT {nat}");
    }
}

/// `leftnat-hide=yes`: a server behind a NAT looks to the client as if it were not, and the client as if it were.
#[test]
fn a_hidden_server_is_believed() {
    let mut config = PairConfig::default();
    config.server[0].nat_hide = true;
    let mut pair = Pair::new(config);
    // The server's address is not the one the client knows.
    pair.filter = Some(Box::new(|d| {
        if d.dst.ip() == sim::SERVER && d.data.get(16) == Some(&4) {
            let end = d.data.len();
            d.data[end - 40] ^= 0xff;
        }
        true
    }));
    pair.up(1);
    pair.run_for(std::time::Duration::from_secs(5));
    assert!(pair.server().logged("both are NATed"));
    let first_hash = |pair: &Pair, to: std::net::IpAddr| {
        let d = pair.delivered.iter().find(|d| d.dst.ip() == to && d.data.get(16) == Some(&4)).unwrap();
        kinds(&d.data).into_iter().filter(|(k, _)| *k == 20).map(|(_, b)| b).collect::<Vec<_>>()
    };
    let asked = first_hash(&pair, sim::SERVER);
    let told = first_hash(&pair, sim::CLIENT);
    assert_eq!(told[1], asked[0], "the client's own hash of the server's address");
    assert_ne!(told[0], asked[1]);
}

/// A client that goes no further after MR2 leaves a line that says why: Windows, if this server is behind a NAT, for its
/// registry's sake; anybody who had to change to port 4500, perhaps for a firewall's; and whom we could not read, neither.
#[test]
fn who_falls_silent_at_the_change_of_ports_is_explained() {
    const DPD: u128 = 0xafca_d713_68a1_f1c9_6b86_96fc_7757_0100;
    const VISTA: u128 = 0x0152_8bbb_c006_9612_1849_ab9a_1c5b_2a51;
    let run = |windows: bool, server_nat: bool, client_nat: bool, wrong_key: bool| {
        let client_keys = Keys::new(&[if wrong_key { b"wrong" } else { PSK }]);
        let mut pair = Pair::new(PairConfig { nat: client_nat, client_keys, ..PairConfig::default() });
        pair.filter = Some(Box::new(move |d| {
            if let Some(at) = d.data.windows(16).position(|w| w == DPD.to_be_bytes()).filter(|_| windows) {
                d.data[at..at + 16].copy_from_slice(&VISTA.to_be_bytes());
            }
            if server_nat && d.dst.ip() == sim::SERVER && d.data.get(16) == Some(&4) {
                let end = d.data.len();
                d.data[end - 40] ^= 0xff;
            }
            // Nothing goes on after MR2, if it is not to be read in vain.
            wrong_key || d.dst.port() != 4500 && d.data.get(19).is_none_or(|flags| flags & 1 == 0)
        }));
        pair.up(1);
        pair.run_for(std::time::Duration::from_secs(600));
        let lines = &pair.server().log;
        let line = lines.iter().find(|l| l.contains("half-open ISAKMP SA timed out"));
        line.unwrap_or_else(|| panic!("{lines:#?}")).clone()
    };
    let registry = run(true, true, true, false);
    assert!(registry.contains("Windows Vista or later"), "{registry}");
    assert!(registry.contains("AssumeUDPEncapsulationContextOnSendRule is 2"), "{registry}");
    for line in [run(false, true, true, false), run(true, false, true, false)] {
        assert!(line.ends_with("is UDP 4500 blocked on the way?"), "{line}");
    }
    for line in [run(true, false, false, false), run(true, true, true, true)] {
        assert!(line.ends_with("the peer went silent"), "{line}");
    }
}

/// `ikeport=501` on one side: IKE leaves from 501, and through a NAT from 4501 with ESP in UDP.
#[test]
fn either_end_may_listen_on_other_ports() {
    use ike::{Input, Interface};
    let listen = |pair: &mut Pair, host: usize| {
        let now = pair.now;
        let host = &mut pair.hosts[host];
        let interfaces = vec![Interface { name: "eth0".into(), addr: host.addr, port: 501 }];
        host.handle(now, Input::Listening { interfaces, client: None });
        host.log.clear();
    };
    for nat in [false, true] {
        // The client.
        let mut pair = Pair::new(PairConfig { nat, ..PairConfig::default() });
        listen(&mut pair, 1);
        let from = std::rc::Rc::new(std::cell::RefCell::new(std::collections::BTreeSet::new()));
        let seen = from.clone();
        pair.filter = Some(Box::new(move |d| {
            seen.borrow_mut().insert(d.dst.port());
            true
        }));
        assert!(pair.connect(), "nat {nat}: {:?}", pair.client().log);
        let encap: Vec<_> = pair.client().kernel.sas().iter().map(|s| (s.inbound, s.encap)).collect();
        for (inbound, e) in encap {
            let ours = e.map(|e| if inbound { e.dport } else { e.sport });
            assert_eq!(ours, nat.then_some(4501));
        }
        assert!(from.borrow().contains(&501) && from.borrow().contains(&4501) == nat);
        // The server, behind something that forwards 500 and 4500 to it.
        let mut pair = Pair::new(PairConfig { nat, ..PairConfig::default() });
        listen(&mut pair, 0);
        pair.filter = Some(Box::new(|d| {
            match (d.dst.port(), d.src.port()) {
                (to @ (500 | 4500), _) if d.dst.ip() == sim::SERVER => d.dst.set_port(to + 1),
                (_, from @ (501 | 4501)) if d.src.ip() == sim::SERVER => d.src.set_port(from - 1),
                _ => {}
            }
            true
        }));
        assert!(pair.connect(), "forwarded, nat {nat}: {:?}", pair.server().log);
    }
}
