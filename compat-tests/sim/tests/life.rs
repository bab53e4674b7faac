//! What becomes of SAs: NATs, kernels that fail, rekeying, probes, Deletes, the end of their lives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Script, answers};
use ike::wire::Exchange;
use ike::wire::notify::{Notification, NotifyType, emit_delete, emit_notification};
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ESP, PROTO_ISAKMP};
use ipsec_kernel::KernelBackend;
use ipsec_types::kernel::{Dir, KernelEvent, KernelRequest, PolicyAction, PolicySpec};
use ipsec_types::whack::Request;
use sim::{Host, Keys, Nat, Outcome, PSK, Pair, PairConfig, SERVER, clean, outcome};

const PEER: &str = "198.51.100.77:500";

fn esp_policies(host: &Host) -> Vec<PolicySpec> {
    let esp = |p: &&PolicySpec| matches!(p.action, PolicyAction::Esp { .. });
    host.kernel.policies().iter().filter(esp).copied().collect()
}

#[test]
fn two_clients_behind_one_nat_keep_their_own_policies() {
    let mut pair = Pair::new(PairConfig { nat: true, ..PairConfig::default() });
    let second = pair.add_client("10.1.0.12".parse().unwrap(), Keys::new(&[PSK]), Some(0));
    assert!(pair.connect());
    pair.up(second);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.server().engine.established().len(), 2);
    let out: Vec<PolicySpec> =
        esp_policies(&pair.hosts[0]).into_iter().filter(|p| p.id.dir == Dir::Out).collect();
    assert_eq!(out.len(), 2);
    assert_eq!(out[0].id.selector, out[1].id.selector, "a NAT hides them behind one address");
    assert_eq!((out[0].id.mark.is_some(), out[1].id.mark.is_some()), (false, true));
    let marks: BTreeSet<u32> =
        pair.server().kernel.sas().iter().filter_map(|s| s.set_mark.map(|m| m.value)).collect();
    assert_eq!(marks.len(), 2);
    // The first hangs up; the second keeps all it has.
    pair.down(1);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.server().engine.established().len(), 1);
    assert_eq!(esp_policies(&pair.hosts[0]).len(), 2);
    assert_eq!(pair.server().kernel.sas().len(), 2);
    pair.down(second);
    pair.run_for(Duration::from_secs(2));
    pair.hosts.iter().for_each(|h| clean(h).unwrap());
}

/// The kernel has room for one outbound SA of an address and SPI: a second client must not take the first one's away.
#[test]
fn a_client_that_picks_another_ones_spi_is_refused_and_harms_nobody() {
    let mut pair = Pair::new(PairConfig::default());
    let mut first = Script::new(PEER, 1);
    first.main_mode(&mut pair, &[]);
    first.quick_mode(&mut pair, 77, 0xabcd_0001);
    let mut second = Script::new("198.51.100.77:4711", 2);
    second.main_mode(&mut pair, &[]);
    second.quick_mode(&mut pair, 78, 0xabcd_0001);
    assert!(pair.server().logged("the peer's SPI 0xabcd0001 is in use"));
    assert_eq!(pair.server().engine.established().len(), 1);
    assert_eq!(pair.server().kernel.sas().iter().filter(|s| s.id.spi == 0xabcd_0001).count(), 1);
    assert_eq!(pair.server().kernel.sas().len(), 2);
}

#[test]
fn a_nat_that_changes_its_port_is_followed() {
    let mut pair = Pair::new(PairConfig { nat: true, ..PairConfig::default() });
    assert!(pair.connect());
    pair.net.nats[0].rebind();
    let before = pair.server().kernel.requests().len();
    // The kernel sees ESP from the new port, and tells.
    let (id, old) = pair
        .server()
        .kernel
        .sas()
        .iter()
        .find(|s| s.inbound)
        .map(|s| (s.id, s.encap.unwrap().sport))
        .unwrap();
    let new = std::net::SocketAddr::new(id.src, old + 1000);
    let now = pair.now;
    pair.server().kernel.inject(KernelEvent::Mapping { id, new });
    pair.server().collect_kernel(now);
    pair.run_for(Duration::from_millis(1));
    let updates: Vec<u16> = pair.server().kernel.requests()[before..]
        .iter()
        .filter_map(|r| match r {
            KernelRequest::UpdateEncap { encap, .. } => Some(encap.sport.max(encap.dport)),
            _ => None,
        })
        .collect();
    assert_eq!(updates, [old + 1000, old + 1000]);
    // And an authenticated message from yet another port moves it again: the client's own Delete.
    pair.down(1);
    pair.run_for(Duration::from_secs(2));
    assert!(pair.server().logged("new NAT mapping for #1"));
    assert_eq!(pair.server().engine.established().len(), 0);
}

#[test]
fn a_nat_that_keeps_ports_changes_nothing_for_the_first_client() {
    let mut pair = Pair::new(PairConfig::default());
    pair.net.nats.push(Nat::new("203.0.113.8".parse().unwrap(), true));
    let natted = pair.add_client("10.1.0.13".parse().unwrap(), Keys::new(&[PSK]), Some(0));
    pair.up(natted);
    pair.run_for(Duration::from_secs(3));
    let encap = pair.server().kernel.sas()[0].encap.unwrap();
    assert_eq!((encap.sport, encap.dport), (4500, 4500));
}

/// Whichever request fails, on either side, nothing is left over; and the same client gets in afterwards.
#[test]
fn a_kernel_that_fails_leaves_nothing_behind() {
    for host in [0, 1] {
        for n in 0..5 {
            let mut config = PairConfig::default();
            config.client.keyingtries = 1;
            let mut pair = Pair::new(config);
            pair.drain();
            pair.hosts[host].kernel.fail_request(n, 12);
            pair.up(1);
            pair.run_for(Duration::from_secs(1000));
            let end = outcome(&pair);
            assert_eq!(end, Outcome::Failed, "host {host} request {n}: {:#?}", pair.hosts[host].log);
            assert_eq!(pair.hosts[host].times_logged("included errno 12"), 1);
            for h in &pair.hosts {
                assert!(esp_policies(h).is_empty() && h.kernel.sas().is_empty(), "host {host} request {n}");
            }
            assert!(pair.connect(), "host {host} request {n}");
        }
    }
}

#[test]
fn delete_from_the_peer_takes_everything_away() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    pair.down(1);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.server().logged("payload: deleting IPSEC State #2"));
    assert!(pair.server().logged("received Delete SA payload: deleting ISAKMP State #1"));
    pair.hosts.iter().for_each(|h| clean(h).unwrap());
    assert!(pair.connect());
}

#[test]
fn a_delete_for_somebody_elses_sa_is_ignored() {
    let mut pair = Pair::new(PairConfig::default());
    let mut victim = Script::new(PEER, 1);
    victim.main_mode(&mut pair, &[]);
    victim.quick_mode(&mut pair, 77, 0xabcd_0001);
    let mut other = Script::new("198.51.100.78:500", 2);
    other.main_mode(&mut pair, &[]);
    let spi = emit_delete(PROTO_ESP, &0xabcd_0001u32.to_be_bytes());
    let cookies = emit_delete(PROTO_ISAKMP, &[victim.icookie, victim.rcookie].concat());
    for (msgid, body) in [(5, spi), (6, cookies)] {
        let message = other.phase2(Exchange::Informational, msgid, &[(Kind::Delete, body)]);
        other.send(&mut pair, message);
    }
    assert_eq!(pair.server().times_logged("not found (maybe expired)"), 2);
    assert_eq!(pair.server().engine.counts()[..2], [2, 1]);
}

#[test]
fn the_peer_rekeys_and_deletes_the_old_sa() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    peer.quick_mode(&mut pair, 1, 0xabcd_0001);
    let policies = esp_policies(&pair.hosts[0]);
    peer.quick_mode(&mut pair, 2, 0xabcd_0002);
    assert_eq!(pair.server().engine.established().len(), 2);
    let body = emit_delete(PROTO_ESP, &0xabcd_0001u32.to_be_bytes());
    let message = peer.phase2(Exchange::Informational, 3, &[(Kind::Delete, body)]);
    peer.send(&mut pair, message);
    let left = pair.server().engine.established();
    assert_eq!(left.iter().map(|x| x.2).collect::<Vec<_>>(), [0xabcd_0002]);
    assert_eq!(esp_policies(&pair.hosts[0]), policies, "the successor uses the same policies");
    assert_eq!(pair.server().kernel.sas().len(), 2);
    // Said twice, once more as it was and once under a number of its own: it is gone, and nothing else goes.
    let body = emit_delete(PROTO_ESP, &0xabcd_0001u32.to_be_bytes());
    for msgid in [3, 4] {
        let message = peer.phase2(Exchange::Informational, msgid, &[(Kind::Delete, body.clone())]);
        peer.send(&mut pair, message);
    }
    assert_eq!(pair.server().times_logged("SA(0xabcd0001) not found (maybe expired)"), 1);
    assert_eq!(pair.server().engine.counts()[..2], [1, 1]);
}

fn probe(peer: &Script, msgid: u32, seq: u32) -> Vec<u8> {
    let spi = [peer.icookie, peer.rcookie].concat();
    let body = emit_notification(NotifyType::RUThere, PROTO_ISAKMP, &spi, &seq.to_be_bytes());
    peer.phase2(Exchange::Informational, msgid, &[(Kind::Notify, body)])
}

#[test]
fn a_probe_is_answered_with_its_number() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    let probe = probe(&peer, 9, 4711);
    let answer = peer.send(&mut pair, probe).remove(0);
    let payloads = peer.read(&answer);
    let n = Notification::parse(&payloads[1].1).unwrap();
    assert_eq!((n.kind, n.data), (NotifyType::RUThereAck, &4711u32.to_be_bytes()[..]));
}

/// A recorded message sent again from elsewhere does not make us believe that the peer has moved.
#[test]
fn a_replayed_probe_moves_nobody() {
    let mut pair = Pair::new(PairConfig::default());
    let mut peer = Script::new(PEER, 1);
    peer.main_mode(&mut pair, &[]);
    let old = probe(&peer, 9, 1);
    peer.send(&mut pair, old.clone());
    let thief = "203.0.113.66:500".parse().unwrap();
    for _ in 0..5 {
        pair.inject(thief, common::server500(), old.clone());
    }
    assert_eq!(answers(&pair, thief).len(), 0);
    assert!(!pair.server().logged("new NAT mapping"));
    let next = probe(&peer, 10, 2);
    assert_eq!(peer.send(&mut pair, next).len(), 1, "the peer is still where it was");
}

/// A server whose own messages come back to it does not take them for the peer's.
#[test]
fn reflected_messages_are_nobodys() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    pair.down(1);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.connect());
    let before = pair.client().engine.counts();
    let own: Vec<_> = pair.sent.iter().filter(|d| d.src.ip() != SERVER).cloned().collect();
    for d in own {
        pair.inject("203.0.113.66:500".parse().unwrap(), d.src, d.data);
    }
    pair.run_for(Duration::from_millis(10));
    assert_eq!(pair.client().engine.counts(), before);
    assert!(!pair.client().logged("responding to Quick Mode"));
    assert!(!pair.client().logged("new NAT mapping"));
}

#[test]
fn a_client_that_lost_its_memory_is_taken_back() {
    let mut pair = Pair::new(PairConfig::default());
    let mut before = Script::new(PEER, 1);
    before.main_mode(&mut pair, &[]);
    before.quick_mode(&mut pair, 1, 0xabcd_0001);
    let mut after = Script::new(PEER, 2);
    let contact = emit_notification(NotifyType::InitialContact, PROTO_ISAKMP, &[], &[]);
    after.main_mode(&mut pair, &[(Kind::Notify, contact)]);
    assert!(pair.server().logged("peer says INITIAL_CONTACT: deleting IPSEC State #2"));
    assert_eq!(pair.server().engine.counts(), [1, 0, 2, 0]);
    assert!(pair.server().kernel.sas().is_empty() && esp_policies(&pair.hosts[0]).is_empty());
    after.quick_mode(&mut pair, 1, 0xabcd_0002);
    assert_eq!(pair.server().engine.established().len(), 1);
}

#[test]
fn one_client_that_comes_back_has_one_instance() {
    let mut pair = Pair::new(PairConfig::default());
    for number in 1..6 {
        let mut peer = Script::new(PEER, number);
        peer.main_mode(&mut pair, &[]);
    }
    assert_eq!(pair.server().engine.counts(), [5, 0, 2, 0]);
}

#[test]
fn lifetimes_end() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(3600));
    assert!(pair.server().logged("ISAKMP SA expired (--dontrekey)"));
    assert_eq!(pair.server().engine.counts(), [0, 1, 2, 0], "in IKEv1 the Child SA outlives its IKE SA");
    pair.run_for(Duration::from_secs(28_800));
    pair.hosts.iter().for_each(|h| clean(h).unwrap());
}

#[test]
fn a_lifetime_that_ends_in_the_kernel_ends_the_sa() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    let id = pair.server().kernel.sas().iter().find(|s| s.inbound).unwrap().id;
    let now = pair.now;
    pair.server().kernel.inject(KernelEvent::Expire { id, hard: true });
    pair.server().collect_kernel(now);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(outcome(&pair), Outcome::Failed, "the peer was told");
}

#[test]
fn shutting_down_leaves_no_sa_no_policy_and_tells_the_peer() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    let now = pair.now;
    pair.server().whack(now, Request::Shutdown);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.server().kernel.sas().is_empty() && pair.server().kernel.policies().is_empty());
    clean(pair.client()).unwrap();
}

/// The backend refuses nothing, so what it was asked to add and to remove must balance.
#[test]
fn what_is_added_is_removed() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    pair.down(1);
    pair.run_for(Duration::from_secs(1));
    for host in &pair.hosts {
        let mut there = BTreeSet::new();
        for r in host.kernel.requests() {
            match r {
                KernelRequest::AddSa(s) => assert!(there.insert((s.id.dst, s.id.spi))),
                KernelRequest::DelSa(id) => assert!(there.remove(&(id.dst, id.spi))),
                _ => {}
            }
        }
        assert!(there.is_empty());
        assert_eq!(host.kernel.name(), "noklips");
    }
}
