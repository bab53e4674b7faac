//! The codec: whatever the octets are, nothing panics, and what is built is what is read.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

use ike::wire::attr::{self, Attr};
use ike::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};
use ike::wire::fragment::{self, Fragment};
use ike::wire::header::HEADER_LEN;
use ike::wire::ident::{self, IdPayload, parse_nat_oa};
use ike::wire::notify::{Delete, Notification, NotifyType, emit_delete, emit_notification};
use ike::wire::payload::{Chain, Kind};
use ike::wire::sa::{PROTO_ESP, PROTO_ISAKMP, SaPayload, SaWriter};
use ike::wire::{Exchange, Header, MessageWriter};
use ipnet::IpNet;
use ipsec_types::Id;
use proptest::prelude::*;

/// Reads octets as everything they could be.
fn read_all(bytes: &[u8]) {
    if let Ok((h, body)) = Header::parse(bytes) {
        let _ = Chain::parse(h.next, body).map(|c| read_chain(&c));
    }
    for next in [1, 4, 5, 8, 11, 12, 20, 130] {
        let _ = Chain::parse(next, bytes).map(|c| read_chain(&c));
    }
    read_body(bytes);
}

fn read_chain(chain: &Chain<'_>) {
    chain.behind_first();
    chain.payloads.iter().for_each(|p| read_body(p.body));
}

fn read_body(body: &[u8]) {
    let _ = SaPayload::parse(body);
    let _ = Attr::parse_all(body).map(|all| all.iter().map(Attr::number).collect::<Vec<_>>());
    let _ = IdPayload::parse(body).map(|id| (id.identity(), id.network()));
    let _ = Notification::parse(body);
    let _ = Delete::parse(body);
    read_cfg(body);
    parse_nat_oa(body);
    let _ = Fragment::parse(body);
}

fn read_cfg(body: &[u8]) {
    if let Ok(c) = CfgPayload::parse(body) {
        let v6 = [cfg::IP6_ADDRESS, cfg::IP6_SUBNET, cfg::IP4_SUBNET];
        let others = [cfg::IP4_ADDRESS, cfg::UNITY_SPLIT_INCLUDE, cfg::UNITY_BANNER, cfg::XAUTH_USER_NAME];
        for kind in v6.into_iter().chain(others) {
            let _ = (c.addresses(kind), c.networks(kind), c.subnets(kind), c.has(kind));
            assert!(c.text(kind).is_none_or(|t| !t.contains(char::is_control)));
        }
    }
}

fn header() -> impl Strategy<Value = Header> {
    (any::<[u8; 8]>(), any::<[u8; 8]>(), any::<u8>(), any::<u8>(), any::<u32>()).prop_map(
        |(icookie, rcookie, version, exchange, msgid)| Header {
            icookie,
            rcookie,
            next: 0,
            version,
            exchange: Exchange::from(exchange),
            flags: 0,
            msgid,
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    any::<u8>().prop_filter_map("a payload type", Kind::from_number)
}

fn network() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<[u8; 4]>(), 0u8..=32).prop_map(|(a, n)| IpNet::new(a.into(), n).unwrap());
    let v6 = (any::<[u8; 16]>(), 0u8..=128).prop_map(|(a, n)| IpNet::new(a.into(), n).unwrap());
    prop_oneof![v4, v6].prop_map(|n| n.trunc())
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
    }

    /// Octets that look like payloads, so that more of them is read.
    #[test]
    fn nearly_right_octets_never_panic(
        h in header(),
        payloads in prop::collection::vec((kind(), prop::collection::vec(0u8..16, 0..60)), 0..8),
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 0..4),
    ) {
        let mut w = MessageWriter::new(h);
        payloads.iter().for_each(|(kind, body)| { w.payload(*kind, body); });
        let mut bytes = w.finish();
        for (at, value) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        read_all(&bytes);
    }

    #[test]
    fn a_message_comes_back(
        h in header(),
        payloads in prop::collection::vec((kind(), prop::collection::vec(any::<u8>(), 0..60)), 1..20),
        padding in 0usize..16,
    ) {
        let mut w = MessageWriter::new(h);
        payloads.iter().for_each(|(kind, body)| { w.payload(*kind, body); });
        let rest = w.behind_first().to_vec();
        let mut bytes = w.finish();
        let length = bytes.len();
        bytes.resize(length + padding, 0);
        let (back, body) = Header::parse(&bytes).unwrap();
        prop_assert_eq!(body.len(), length - HEADER_LEN);
        prop_assert_eq!(Header { next: 0, ..back }, h);
        let chain = Chain::parse(back.next, body).unwrap();
        let found: Vec<_> = chain.payloads.iter().map(|p| (p.kind, p.body.to_vec())).collect();
        prop_assert_eq!(&found, &payloads);
        prop_assert_eq!(chain.behind_first(), &rest[..]);
    }

    #[test]
    fn a_configuration_comes_back(
        kind in prop::sample::select(vec![CfgType::Request, CfgType::Reply, CfgType::Set, CfgType::Ack]),
        identifier in any::<u16>(),
        values in prop::collection::vec((0u16..0x8000, prop::collection::vec(any::<u8>(), 0..40)), 0..10),
        address in any::<[u8; 4]>(),
        six in any::<[u8; 16]>(),
        nets in prop::collection::vec(network(), 0..5),
        cut in any::<u16>(),
    ) {
        let mut w = CfgWriter::new(kind, identifier);
        values.iter().for_each(|(k, v)| { w.value(*k, v); });
        w.address(cfg::IP4_DNS, std::net::IpAddr::from(address)).short(cfg::XAUTH_STATUS, 1);
        w.networks(cfg::UNITY_SPLIT_INCLUDE, &nets);
        w.address(cfg::IP6_DNS, std::net::IpAddr::from(six)).address(cfg::IP6_DNS, std::net::IpAddr::from(address));
        for kind in [cfg::IP4_SUBNET, cfg::IP6_SUBNET] {
            nets.iter().for_each(|n| { w.subnet(kind, *n); });
        }
        let body = w.finish();
        let back = CfgPayload::parse(&body).unwrap();
        prop_assert_eq!((back.kind, back.identifier), (kind, identifier));
        for (a, (k, v)) in back.attrs.iter().zip(&values) {
            prop_assert_eq!((a.kind, a.value), (*k, v.as_slice()));
        }
        prop_assert_eq!(back.addresses(cfg::IP4_DNS).last().copied(), Some(address.into()));
        prop_assert_eq!(back.addresses(cfg::IP6_DNS).last().copied(), Some(six.into()));
        if values.iter().all(|(k, _)| ![cfg::IP4_SUBNET, cfg::IP6_SUBNET].contains(k)) {
            let both = [back.subnets(cfg::IP4_SUBNET), back.subnets(cfg::IP6_SUBNET)].concat();
            let (v4, v6): (Vec<IpNet>, Vec<IpNet>) = nets.iter().partition(|n| n.addr().is_ipv4());
            prop_assert_eq!(both, [v4, v6].concat());
        }
        if values.iter().all(|(k, _)| *k != cfg::UNITY_SPLIT_INCLUDE) {
            let v4: Vec<IpNet> = nets.into_iter().filter(|n| n.addr().is_ipv4()).collect();
            prop_assert_eq!(back.networks(cfg::UNITY_SPLIT_INCLUDE), v4);
        }
        let padded = [&body[..], &[0; 3][..usize::from(cut) % 4]].concat();
        prop_assert_eq!(CfgPayload::parse(&padded).unwrap().attrs, back.attrs);
        read_cfg(&body[..usize::from(cut) % (body.len() + 1)]);
    }

    #[test]
    fn encryption_padding_is_not_covered_by_the_hash(
        h in header(),
        body in prop::collection::vec(any::<u8>(), 0..60),
        block in prop::sample::select(vec![8usize, 16]),
    ) {
        let mut w = MessageWriter::new(h);
        w.payload(Kind::Hash, &[0; 20]).payload(Kind::Nonce, &body);
        let rest = w.behind_first().to_vec();
        w.set_first(&[7; 20]);
        let (h, plain) = w.finish_for_encryption(block);
        prop_assert!(h.encrypted() && plain.len() % block == 0);
        let chain = Chain::parse(h.next, &plain).unwrap();
        prop_assert_eq!(chain.first(Kind::Hash), Some(&[7u8; 20][..]));
        prop_assert_eq!(chain.behind_first(), &rest[..]);
    }

    #[test]
    fn proposals_come_back(
        number in any::<u8>(),
        esp in any::<bool>(),
        spi in any::<[u8; 4]>(),
        transforms in prop::collection::vec(
            (any::<u8>(), any::<u8>(), prop::collection::vec((0u16..0x8000, any::<u32>()), 0..8)), 0..20),
    ) {
        let raw: Vec<(u8, u8, Vec<u8>)> = transforms.iter().map(|(n, id, attrs)| {
            let mut out = Vec::new();
            attrs.iter().for_each(|(kind, value)| attr::emit(*kind, *value, &mut out));
            (*n, *id, out)
        }).collect();
        let (protocol, spi) = if esp { (PROTO_ESP, &spi[..]) } else { (PROTO_ISAKMP, &[][..]) };
        let mut w = SaWriter::new();
        w.proposal(number, protocol, spi, &raw, true);
        let body = w.finish();
        let sa = SaPayload::parse(&body).unwrap();
        let p = &sa.proposals[0];
        prop_assert_eq!((p.number, p.protocol, p.spi, p.transforms.len()), (number, protocol, spi, raw.len()));
        for (t, (n, id, attrs)) in p.transforms.iter().zip(&transforms) {
            prop_assert_eq!((t.number, t.id), (*n, *id));
            let values: Vec<_> = t.attrs.iter().map(|a| (a.kind, a.number())).collect();
            let want: Vec<_> = attrs.iter().map(|(k, v)| (*k, Some(u64::from(*v)))).collect();
            prop_assert_eq!(values, want);
        }
        // The responder's answer repeats the chosen transform unchanged.
        if let Some(t) = p.transforms.last() {
            let answer = p.emit_choice(t, spi);
            let back = SaPayload::parse(&answer).unwrap();
            prop_assert_eq!(&back.proposals[0].transforms, &vec![t.clone()]);
        }
    }

    #[test]
    fn identities_come_back(
        address in any::<[u8; 4]>(),
        name in "[a-z][a-z0-9.-]{0,40}",
        key in prop::collection::vec(any::<u8>(), 0..40),
        proto in any::<u8>(),
        port in any::<u16>(),
    ) {
        let user = format!("joe@{name}");
        for id in [Id::Addr(address.into()), Id::Fqdn(name), Id::UserFqdn(user), Id::KeyId(key)] {
            let body = ident::emit(&id, proto, port);
            let p = IdPayload::parse(&body).unwrap();
            prop_assert_eq!((p.proto, p.port), (proto, port));
            prop_assert_eq!(p.identity().unwrap(), id);
        }
    }

    #[test]
    fn networks_come_back(net in network(), proto in any::<u8>(), port in any::<u16>()) {
        let body = ident::emit_network(net, proto, port);
        let p = IdPayload::parse(&body).unwrap();
        prop_assert_eq!((p.proto, p.port, p.network()), (proto, port, Some(net)));
    }

    #[test]
    fn notifications_and_deletes_come_back(
        kind in any::<u16>(),
        spi in any::<[u8; 16]>(),
        data in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let kind = NotifyType::from(kind);
        let body = emit_notification(kind, PROTO_ISAKMP, &spi, &data);
        let n = Notification::parse(&body).unwrap();
        prop_assert_eq!((n.kind, n.protocol, n.spi, n.data), (kind, PROTO_ISAKMP, &spi[..], &data[..]));
        let d = Delete::parse(&emit_delete(PROTO_ISAKMP, &spi)).unwrap();
        prop_assert_eq!(d, Delete::Isakmp(vec![spi]));
        let short = u32::from_be_bytes([spi[0], spi[1], spi[2], spi[3]]);
        let d = Delete::parse(&emit_delete(PROTO_ESP, &short.to_be_bytes())).unwrap();
        prop_assert_eq!(d, Delete::Esp(vec![short]));
    }
}

/// CVE-2004-0218 to -0222: payloads of length 0, cut ones, and a Delete that counts more SPIs than it has.
#[test]
fn cve_2004_0218_to_0222_lengths_that_lie() {
    for length in 0..4 {
        assert!(Chain::parse(8, &[0, 0, 0, length, 1, 2, 3, 4]).is_err());
    }
    assert!(Chain::parse(8, &[0, 0, 0xff, 0xff]).is_err());
    let mut delete = emit_delete(PROTO_ESP, &[1, 2, 3, 4]);
    delete[7] = 2;
    assert!(Delete::parse(&delete).is_err());
}

/// CVE-2015-3204: every bit of the situation set.
#[test]
fn cve_2015_3204_an_impossible_situation() {
    let body = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 8, 1, 1, 0, 0];
    assert!(SaPayload::parse(&body).is_err());
}

proptest! {
    #[test]
    fn pieces_make_the_message(h in header(), body in proptest::collection::vec(any::<u8>(), 0..3000), id: u16, size in 37usize..1500) {
        let mut message = Vec::new();
        h.emit(body.len(), &mut message);
        message.extend_from_slice(&body);
        let fits = message.len() <= size;
        let too_many = message.len().div_ceil(size - fragment::OVERHEAD) > 255;
        match fragment::cut(&message, id, size) {
            None => prop_assert!(fits || too_many),
            Some(pieces) => {
                let mut whole = Vec::new();
                for (n, piece) in pieces.iter().enumerate() {
                    prop_assert!(piece.len() <= size);
                    let (outer, body) = Header::parse(piece).unwrap();
                    prop_assert_eq!((outer.next, outer.icookie, outer.msgid), (fragment::FRAGMENT, h.icookie, h.msgid));
                    let f = Fragment::parse(body).unwrap();
                    prop_assert_eq!((f.id, usize::from(f.number), f.last), (id, n + 1, n + 1 == pieces.len()));
                    whole.extend_from_slice(f.data);
                }
                prop_assert!(!fits && whole == message);
            }
        }
    }
}

/// IPv6 in Mode Config: sixteen octets, or seventeen of strongSwan's old releases; a network has its prefix behind it.
#[test]
fn addresses_of_version_6_are_read_in_both_forms() {
    let address: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    let long = [&address.octets()[..], &[64]].concat();
    let mut w = CfgWriter::new(CfgType::Reply, 1);
    w.value(cfg::IP6_ADDRESS, &long).address(cfg::IP6_ADDRESS, address.into());
    w.value(cfg::IP6_ADDRESS, &long[1..14]).value(cfg::IP4_ADDRESS, &long).value(cfg::IP6_SUBNET, &long);
    w.value(cfg::IP6_SUBNET, &[&address.octets()[..], &[129]].concat());
    let body = w.finish();
    let c = CfgPayload::parse(&body).unwrap();
    assert_eq!(c.addresses(cfg::IP6_ADDRESS), [std::net::IpAddr::from(address); 2]);
    assert!(c.addresses(cfg::IP4_ADDRESS).is_empty());
    assert_eq!(c.subnets(cfg::IP6_SUBNET), ["2001:db8::/64".parse::<IpNet>().unwrap()]);
}
