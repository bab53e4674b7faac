//! Aggressive Mode with RSA signatures: both roles, on bad lines, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::time::Duration;

use ike::Keyring;
use ipsec_types::algo::{HashAlg, IkeCipher};
use ipsec_types::auth::AuthBy;
use sim::keys::{by_raw_keys, own, rsa_keys};
use sim::message::Message;
use sim::spy::{Spy, Suite};
use sim::{Keys, Link, Outcome, Pair, PairConfig, clean, outcome, settled};

fn raw_keys() -> PairConfig {
    let mut config = by_raw_keys(PairConfig::default());
    config.client.aggressive = true;
    config.server[0].aggressive = true;
    config
}

#[test]
fn raw_keys_prove_both_ends_in_three_messages_direct_and_behind_a_nat() {
    for nat in [false, true] {
        let mut pair = Pair::new(PairConfig { nat, ..raw_keys() });
        assert!(pair.connect(), "{:#?}", pair.hosts[1].log);
        for host in &pair.hosts {
            assert!(host.logged("{auth=OAKLEY_RSA_SIG"), "{:#?}", host.log);
        }
        assert!(pair.hosts[0].logged("Aggressive mode peer ID is ID_FQDN: '@client'"));
        let phase1 = pair.sent.iter().filter(|d| d.data[if d.data[..4] == [0; 4] { 22 } else { 18 }] == 4);
        assert_eq!(phase1.count(), 3);
        assert_eq!(pair.sent[2].dst.port(), if nat { 4500 } else { 500 });
    }
}

/// A peer that knows everything but the private key does not get in.
#[test]
fn a_signature_with_another_key_is_refused() {
    for wrong in 0..2 {
        let mut config = raw_keys();
        config.client.keyingtries = 1;
        let ring = Keyring { own: vec![own(&rsa_keys()[2])], ..Keyring::default() };
        *[&mut config.server_keys, &mut config.client_keys][wrong] = Keys::of_ring(ring);
        let mut pair = Pair::new(config);
        assert!(!pair.connect());
        let deceived = &pair.hosts[1 - wrong];
        let who = ["@server", "@client"][wrong];
        assert!(
            deceived.logged(&format!("Signature check (on {who}) failed (wrong key?); tried *AwEAA")),
            "{:#?}",
            deceived.log
        );
        assert!(deceived.engine.established().is_empty());
        pair.run_for(Duration::from_secs(1000));
        assert!(deceived_has_nothing(&pair, 1 - wrong));
    }
}

/// Neither an IKE SA nor a Child SA stands at this host.
fn deceived_has_nothing(pair: &Pair, host: usize) -> bool {
    pair.hosts[host].engine.established().is_empty() && pair.hosts[host].engine.counts()[1] == 0
}

#[test]
fn what_is_missing_is_told() {
    let mut config = raw_keys();
    config.server[0].right.public_keys.clear();
    let mut pair = Pair::new(config);
    assert!(!pair.connect());
    assert!(pair.hosts[0].logged("no RSA public key known for '@client'"), "{:#?}", pair.hosts[0].log);

    let mut config = raw_keys();
    config.server_keys = Keys::default();
    let mut pair = Pair::new(config);
    assert!(!pair.connect());
    let want = "unable to locate my private key for RSA Signature of '@server'";
    assert!(pair.hosts[0].logged(want), "{:#?}", pair.hosts[0].log);
    clean(pair.server()).unwrap();

    let mut config = raw_keys();
    config.client_keys = Keys::default();
    let mut pair = Pair::new(config);
    assert!(!pair.connect());
    assert!(
        pair.hosts[1].logged("there is no private key of ours for `@client'"),
        "{:#?}",
        pair.hosts[1].log
    );
    assert!(pair.sent.is_empty());

    let mut config = raw_keys();
    config.server[0].authby = AuthBy::PSK;
    config.server_keys.psks = Keys::new(&[sim::PSK]).psks;
    let mut pair = Pair::new(config);
    assert!(!pair.connect());
    let want = "policy does not allow OAKLEY_RSA_SIG authentication";
    assert!(pair.hosts[0].logged(want), "{:#?}", pair.hosts[0].log);
}

/// Somebody on the way spoils AR1: the client waits for the right one, which comes when it asks again.
#[test]
fn a_forged_answer_does_not_end_the_attempt() {
    let mut pair = Pair::new(raw_keys());
    let mut spoilt = 0;
    pair.tamper = Some(Box::new(move |hosts, mut d| {
        if d.src.ip() == hosts[0].addr && d.data[18] == 4 && spoilt < 2 {
            spoilt += 1;
            let id = d.data.windows(6).position(|w| w == b"server").unwrap();
            // Behind the identity is the signature.
            d.data[id + 6 + 20] ^= 1;
        }
        vec![(Duration::from_millis(5), d)]
    }));
    pair.up(1);
    pair.run_for(Duration::from_secs(100));
    assert_eq!(outcome(&pair), Outcome::Established, "{:#?}", pair.hosts[1].log);
    assert!(pair.hosts[1].logged("Signature check (on @server) failed"), "{:#?}", pair.hosts[1].log);
}

/// The handshake on bad lines, a hundred seeds each: it ends established or cleanly, and nothing is left at last.
#[test]
fn handshakes_survive_bad_lines() {
    for (loss, nat) in [(5, false), (20, false), (5, true)] {
        let mut established = 0;
        for seed in 0..100 {
            let busy = Duration::from_millis(20);
            let config = PairConfig { seed, link: Link::bad(loss), nat, busy, ..raw_keys() };
            let mut pair = Pair::new(config);
            let end =
                settled(&mut pair).unwrap_or_else(|e| panic!("seed {seed}, loss {loss}, nat {nat}: {e}"));
            established += u32::from(end == Outcome::Established);
        }
        assert!(established >= if loss < 20 { 100 } else { 95 }, "loss {loss}: {established} of 100");
    }
}

/// With pre-shared keys.
fn shared_key() -> PairConfig {
    let mut config = PairConfig::default();
    config.client.aggressive = true;
    config.server[0].aggressive = true;
    config
}

/// The client's AI2 goes in clear, `forged` spoilt copies before it; with `sealed` the right one is as it was sent.
fn in_clear(pair: &mut Pair, psk: bool, forged: u64, sealed: bool) {
    let psk = psk.then(|| sim::PSK.to_vec());
    let mut spy = Spy::new(Suite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, psk });
    pair.tamper = Some(Box::new(move |hosts, mut d| {
        let from_client = d.src.ip() == hosts[1].addr;
        let mut clear = None;
        let mut strip = |m: &mut Message| {
            if m.exchange == 4 && m.encrypted() {
                let open = Message { flags: m.flags & !1, ..m.clone() };
                clear = Some(open.emit(&open.plain(1)));
                if !sealed {
                    *m = open;
                }
            }
        };
        let secrets = [&hosts[1].shared, &hosts[0].shared];
        d.data = spy.pass(secrets, from_client, &d.data, &mut strip);
        let spoil = |n: u64| {
            let mut bad = sim::Datagram { data: clear.clone()?, ..d.clone() };
            // Behind the headers is the proof.
            bad.data[28 + 4 + n as usize] ^= 1;
            Some((Duration::from_millis(20 * (1 + n)), bad))
        };
        let mut out: Vec<_> = (0..forged).filter_map(spoil).collect();
        out.push((Duration::from_millis(20 * (1 + out.len() as u64)), d));
        out
    }));
}

/// RFC 2409 draws AI2 without encryption.
#[test]
fn the_last_message_may_come_in_clear() {
    for (config, psk) in [(shared_key(), true), (raw_keys(), false)] {
        let mut pair = Pair::new(config);
        in_clear(&mut pair, psk, 0, false);
        assert!(pair.connect(), "{:#?}", pair.hosts[0].log);
        assert!(pair.hosts[0].logged("STATE_AGGR_R2: ISAKMP SA established"));
        assert_eq!(outcome(&pair), Outcome::Established);
    }
}

/// What is in clear can be anybody's: it neither ends the attempt nor is looked at for ever.
#[test]
fn forged_last_messages_in_clear_change_nothing() {
    let refused = "packet rejected: should have been encrypted";
    for (forged, sealed, good) in [(2, false, true), (3, false, false), (4, true, true)] {
        let mut pair = Pair::new(raw_keys());
        in_clear(&mut pair, false, forged, sealed);
        pair.up(1);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.hosts[0].logged("STATE_AGGR_R2: ISAKMP SA established"), good, "{forged}");
        let looked_at = pair.hosts[0].times_logged("Signature check (on @client) failed");
        assert_eq!(looked_at, forged.min(3) as usize);
        assert_eq!(pair.hosts[0].logged(refused), forged >= 3);
        assert!(!pair.hosts[0].logged("sending notification"), "{:#?}", pair.hosts[0].log);
    }
}

/// A clear-text notification changes nothing, whatever it is beside.
#[test]
fn initial_contact_in_clear_is_not_believed() {
    for clear in [false, true] {
        let mut pair = Pair::new(shared_key());
        assert!(pair.connect());
        // It comes back with nothing.
        let again = pair.add_client(sim::CLIENT, Keys::new(&[sim::PSK]), None);
        pair.hosts.swap(1, again);
        pair.hosts.truncate(2);
        if clear {
            in_clear(&mut pair, true, 0, false);
        }
        pair.up(1);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.hosts[0].times_logged("STATE_AGGR_R2: ISAKMP SA established"), 2);
        assert_eq!(pair.hosts[0].logged("peer says INITIAL_CONTACT: deleting IPSEC State"), !clear);
    }
}
