//! What only some clients say in Quick Mode, said to our server by somebody on the path who changes what our client says:
//! the numbers of each method of NAT traversal, names in place of addresses, ports that are missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ike::wire::SaPayload;
use ike::wire::ident::FQDN;
use ipsec_types::Port;
use ipsec_types::algo::{HashAlg, IkeCipher};
use ipsec_types::kernel::Mode;
use sim::message::{ID, Message, SA, VENDOR};
use sim::spy::{Spy, Suite};
use sim::{CLIENT, Outcome, PSK, Pair, PairConfig, SERVER, outcome};

const MAIN: u8 = 2;
const QUICK: u8 = 32;

const RFC: u128 = 0x4a13_1c81_0703_5845_5c57_28f2_0e95_452f;
const D02: u128 = 0xcd60_4643_35df_21f8_7cfd_b2fc_68b6_a448;
const D02N: u128 = 0x90cb_8091_3ebb_696e_0863_81b5_ec42_7b1f;
const D03: u128 = 0x7d94_19a6_5310_ca6f_2c17_9d92_1552_9d56;
const OFFERED: [u128; 4] = [RFC, D03, D02N, D02];

/// Vendor ID, and what the method calls NAT-D, NAT-OA and UDP transport mode.
const METHODS: [(u128, u8, u8, u64); 10] = [
    (RFC, 20, 21, 4),
    (D03, 130, 131, 61444),
    (D02, 130, 131, 61444),
    (D02N, 130, 131, 61444),
    // Drafts 04 to 08.
    (0x9909_b64e_ed93_7c65_73de_52ac_e952_fa6b, 15, 16, 4),
    (0x80d0_bb3d_ef54_565e_e846_45d4_c85c_e3ee, 15, 16, 4),
    (0x4d1e_0e13_6dea_fa34_c4f3_ea9f_02ec_7285, 15, 16, 4),
    (0x439b_59f8_ba67_6c4c_7737_ae22_eab8_f582, 15, 16, 4),
    (0x8f8d_8382_6d24_6b6f_c7a8_a6a4_28c1_1de8, 15, 16, 4),
    // Apple's, without a number.
    (0x4df3_7928_e9fc_4fd1_b326_2170_d515_c662, 15, 16, 4),
];

/// Shows every message to `change` before its receiver gets it.
fn on_the_path(pair: &mut Pair, mut change: impl FnMut(&mut Message) + 'static) {
    let suite = Suite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, psk: Some(PSK.to_vec()) };
    let mut spy = Spy::new(suite);
    pair.tamper = Some(Box::new(move |hosts, mut d| {
        let from_client = d.src.ip() == CLIENT;
        let secrets = [&hosts[1].shared, &hosts[0].shared];
        d.data = spy.pass(secrets, from_client, &d.data, &mut change);
        vec![(Duration::from_millis(15), d)]
    }));
}

/// Our client offers the method with this vendor ID alone, and both ends find it behind a NAT.
fn behind_a_nat(m: &mut Message, method: u128) {
    if m.exchange != MAIN {
        return;
    }
    for p in m.payloads.iter_mut().filter(|p| p.kind == VENDOR && m.from_client && m.nth == 1) {
        let id = <[u8; 16]>::try_from(&p.body[..]).map(u128::from_be_bytes).unwrap_or(0);
        if OFFERED.contains(&id) {
            let id = if id == RFC { method } else { id ^ 1 };
            p.body = id.to_be_bytes().to_vec();
        }
    }
    // The client's own address: the second hash of its own, the first of the server's.
    let hashes = m.payloads.iter_mut().filter(|p| matches!(p.kind, 20 | 130 | 15));
    if let Some(p) = hashes.skip(usize::from(m.from_client)).take(1).last() {
        p.body[0] ^= 0xff;
    }
}

/// What is done to the identities of QI1 is undone in QR1, so that our client does not see it.
struct Disguise(Vec<(usize, Vec<u8>)>);

impl Disguise {
    /// `edit` is shown each with its number, from 1.
    fn pass(&mut self, m: &mut Message, mut edit: impl FnMut(usize, &mut Vec<u8>)) {
        if m.exchange != QUICK {
            return;
        }
        if m.from_client && m.nth == 1 {
            let ids = m.payloads.iter_mut().enumerate().filter(|(_, p)| p.kind == ID);
            for (number, (at, p)) in ids.enumerate() {
                self.0.push((at, p.body.clone()));
                edit(number + 1, &mut p.body);
            }
        } else if !m.from_client && m.nth == 2 {
            for (at, before) in &self.0 {
                m.payloads[*at].body.clone_from(before);
            }
        }
    }
}

fn run(mut pair: Pair) -> Pair {
    pair.up(1);
    pair.run_for(Duration::from_secs(10));
    pair
}

#[test]
fn each_method_has_its_numbers() {
    for (method, nat_d, nat_oa, mode) in METHODS {
        let mut pair = Pair::new(PairConfig::default());
        let seen = Rc::new(RefCell::new((Vec::new(), Vec::new(), Vec::new())));
        let said = seen.clone();
        on_the_path(&mut pair, move |m| {
            let (hashes, originals, modes) = &mut *said.borrow_mut();
            for p in &m.payloads {
                match (m.exchange, p.kind) {
                    (MAIN, 20 | 130 | 15) => hashes.push(p.kind),
                    (QUICK, 21 | 131 | 16) => originals.push((p.kind, p.body.clone())),
                    (QUICK, SA) => {
                        let sa = SaPayload::parse(&p.body).unwrap();
                        let attrs = sa.proposals.iter().flat_map(|p| &p.transforms).flat_map(|t| &t.attrs);
                        modes.extend(attrs.filter(|a| a.kind == 4).filter_map(|a| a.number()));
                    }
                    _ => {}
                }
            }
            behind_a_nat(m, method);
        });
        let pair = run(pair);
        assert_eq!(outcome(&pair), Outcome::Established, "{method:032x}: {:#?}", pair.hosts[0].log);
        let (hashes, originals, modes) = &*seen.borrow();
        assert_eq!(hashes, &[nat_d; 4], "{method:032x}");
        let body = |a: std::net::IpAddr| match a {
            std::net::IpAddr::V4(a) => [&[1, 0, 0, 0][..], &a.octets()].concat(),
            std::net::IpAddr::V6(_) => unreachable!(),
        };
        assert_eq!(originals, &[(nat_oa, body(CLIENT)), (nat_oa, body(SERVER))], "{method:032x}");
        assert!(!modes.is_empty() && modes.iter().all(|n| *n == mode), "{method:032x}: {modes:?}");
        let sas = pair.hosts[0].kernel.sas();
        assert!(sas.iter().all(|s| s.mode == Mode::Transport));
        assert!(sas.iter().all(|s| s.encap.is_some_and(|e| e.original == Some(CLIENT))), "{method:032x}");
    }
}

/// Windows XP behind a NAT says its name in place of its address (MS-818043), with its original address or without.
#[test]
fn a_name_in_place_of_the_address() {
    for (nat, original) in [(false, false), (true, false), (true, true)] {
        let mut pair = Pair::new(PairConfig::default());
        let mut disguise = Disguise(Vec::new());
        on_the_path(&mut pair, move |m| {
            if nat {
                behind_a_nat(m, D02N);
            }
            disguise.pass(m, |number, body| {
                if number == 1 {
                    *body = [&[FQDN, 17, 0x06, 0xa5][..], b"desktop-1"].concat();
                }
            });
            if m.exchange == QUICK && !original {
                m.payloads.retain(|p| p.kind != 131);
            }
        });
        let pair = run(pair);
        assert_eq!(outcome(&pair), Outcome::Established, "{nat} {original}: {:#?}", pair.hosts[0].log);
        assert!(pair.hosts[0].logged("Applying workaround for MS-818043 NAT-T bug"));
        let encap = pair.hosts[0].kernel.sas()[0].encap;
        assert_eq!(encap.map(|e| e.original), nat.then_some(original.then_some(CLIENT)));
    }
}

/// Windows 2000 without its updates leaves the server's port out: that needs `leftprotoport=17/0` or `17/%any`.
#[test]
fn a_port_of_the_server_that_is_left_out() {
    for (port, taken) in [(Port::Number(1701), false), (Port::All, true), (Port::Any, true)] {
        let mut config = PairConfig::default();
        config.server[0].left.protoport.port = port;
        let mut pair = Pair::new(config);
        let mut disguise = Disguise(Vec::new());
        on_the_path(&mut pair, move |m| {
            disguise.pass(m, |number, body| {
                if number == 2 {
                    body[2..4].fill(0);
                }
            });
        });
        let pair = run(pair);
        assert_eq!(outcome(&pair) == Outcome::Established, taken, "{port:?}: {:#?}", pair.hosts[0].log);
        let text = "cannot respond to IPsec SA request because no connection is known for";
        assert_eq!(pair.hosts[0].logged(text), !taken, "{port:?}");
        // The other conn of the HOWTOs takes clients that say the port, too.
        let mut config = PairConfig::default();
        config.server[0].left.protoport.port = port;
        assert!(Pair::new(config).connect(), "{port:?}");
    }
}

/// Some clients never learned the numbers for ESP in UDP, and offer plain transport mode through a NAT.
#[test]
fn plain_transport_mode_through_a_nat() {
    for method in [RFC, D02N] {
        let mut pair = Pair::new(PairConfig::default());
        let (mode, plain) = if method == RFC { ([0, 4], [0, 2]) } else { ([0xf0, 0x04], [0, 2]) };
        on_the_path(&mut pair, move |m| {
            behind_a_nat(m, method);
            let quick = m.exchange == QUICK && m.nth <= 2;
            for p in m.payloads.iter_mut().filter(|p| quick && p.kind == SA) {
                let (from, to) = if m.from_client { (mode, plain) } else { (plain, mode) };
                for at in 0..p.body.len() - 3 {
                    if p.body[at..at + 4] == [0x80, 4, from[0], from[1]] {
                        p.body[at + 2..at + 4].copy_from_slice(&to);
                    }
                }
            }
        });
        let pair = run(pair);
        assert_eq!(outcome(&pair), Outcome::Established, "{:#?}", pair.hosts[0].log);
        assert!(pair.hosts[0].kernel.sas().iter().all(|s| s.encap.is_some() && s.mode == Mode::Transport));
    }
}

#[test]
fn udp_mode_without_a_nat_is_refused() {
    let mut pair = Pair::new(PairConfig::default());
    on_the_path(&mut pair, move |m| {
        let first = m.exchange == QUICK && m.from_client && m.nth == 1;
        for p in m.payloads.iter_mut().filter(|p| first && p.kind == SA) {
            for at in 0..p.body.len() - 3 {
                if p.body[at..at + 4] == [0x80, 4, 0, 2] {
                    p.body[at + 3] = 4;
                }
            }
        }
    });
    let pair = run(pair);
    assert_ne!(outcome(&pair), Outcome::Established);
    let text = "ENCAPSULATION_MODE_UDP_TRANSPORT_RFC must only be used if NAT-Traversal is detected";
    assert!(pair.hosts[0].logged(text), "{:#?}", pair.hosts[0].log);
}
