//! The wire, what is wanted of a peer's messages, and secrets: what xl2tpd does there, and what we do. Peers with a name are
//! in `quirks`, PPP's framing is in `hdlc`'s own tests.
//!
//! | xl2tpd 1.3.20 | here | test |
//! |---|---|---|
//! | SCCRQ, SCCRP: Framing Capabilities are wanted | not | `what_may_be_missing_…` |
//! | ICRQ, ICRP without session id: taken as 0 | no call | `what_may_be_missing_…` |
//! | ICCN: nothing is wanted | same | `what_may_be_missing_…` |
//! | StopCCN, CDN with another id or a code above 11: ignored | heeded | `quirks::a_stopccn_ends_…`, `lns::cdns_of_all_kinds_…` |
//! | unknown or reserved, with M: tunnel ends; without: skipped | with M: the call ends that the message is about | `an_avp_that_cannot_be_read_…` |
//! | too short, too long: tunnel ends | what came before it counts | `an_avp_that_cannot_be_read_…` |
//! | attributes 5, 12, 16, 17, 26 to 28, 34, 37 with M: message dropped | known, without effect | `an_avp_that_cannot_be_read_…` |
//! | other vendors' AVPs are the IETF's of that number | never | `message::a_vendors_avp_…`, `quirks::broadband_forums_…` |
//! | first AVP is not the Message Type: tunnel ends | acknowledged, ignored | `an_avp_that_cannot_be_read_…` |
//! | strings of 119 octets | of 100, without what is not printable | `long_and_strange_strings_…` |
//! | Calling Number goes to pppd | same | `quirks::a_lac_may_tell_all_…`, the daemon's `pain` |
//! | Sequencing Required has no effect | numbers | `a_peer_that_requires_numbers_gets_them` |
//! | challenges of any length; the response has 16 octets | same | `challenges_of_every_length_…` |
//! | no secret and challenged: 16 zeros | StopCCN 4 | `strangers::a_challenge_without_a_secret_…` |
//! | LAC without secret, challenged | StopCCN 4 | `a_lac_without_the_secret_does_not_call` |
//! | wrong response: StopCCN 2/6 | 4, as RFC 2661 has it | `strangers::both_sides_prove_the_secret` |
//! | hidden AVPs need a vector of the same message | same | `hidden_avps_take_the_last_vector_of_their_message` |
//! | without a challenge they are read with an empty secret | with the peer's | same |
//! | numbered data: after a gap of 3 nothing comes any more | the gap is waited for and given up | `reorder::a_gap_costs_…`, `both::numbered_data_…` |

mod common;

use common::*;
use l2tp_proto::auth::{self, Carrier, response};
use l2tp_proto::avp::{self, Avps, attr};
use l2tp_proto::header;
use l2tp_proto::message::{Body, MessageType};
use l2tp_proto::{LnsConfig, SecretBytes};

fn secret() -> SecretBytes {
    SecretBytes::from(&b"swordfish"[..])
}

/// A message without this attribute.
fn without(body: Body, attribute: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for a in Avps::new(&body.done()).flatten().filter(|a| a.attribute != attribute) {
        avp::put(&mut out, a.mandatory, a.vendor, a.attribute, a.value);
    }
    out
}

#[test]
fn what_may_be_missing_in_each_message() {
    let full =
        |l: &Lac| l.sccrq().must(attr::BEARER_CAPABILITIES, &[0; 4]).must(attr::RECEIVE_WINDOW_SIZE, &[0, 4]);
    for (a, fine) in [(2, true), (3, true), (4, true), (7, true), (10, true), (9, false), (0, false)] {
        let mut w = World::new(config(lns()));
        let lac = Lac::new(path(10, 1701, 5), 1);
        let d = header::control(0, 0, 0, 0, &without(full(&lac), a));
        w.datagram(lac.path, &d);
        assert_eq!(w.take().len(), usize::from(fine), "SCCRQ without {a}");
        // As LAC.
        let mut w = World::new(dials(lac_config()));
        let (server, _) = dialled(&mut w, None);
        let d = server.datagram(0, &without(sccrp(), a));
        w.datagram(server.path, &d);
        assert_eq!(w.logged("Connection established"), fine, "SCCRP without {a}");
    }
    // A Host Name is wanted only where a secret has to be found, and then any line for `*` will do.
    for (secrets, fine) in [("* * swordfish\n", true), ("* lac swordfish\n", false)] {
        let mut w = World::with_secrets(config(lns()), secrets);
        let lac = Lac::new(path(10, 1701, 5), 1);
        let body = without(lac.sccrq().must(attr::CHALLENGE, b"0123"), attr::HOST_NAME);
        w.datagram(lac.path, &header::control(0, 0, 0, 0, &body));
        assert_eq!(w.engine.status().len(), usize::from(fine), "{secrets}");
    }
    for (sid, answer) in [(None, 0u16), (Some(0u16), 0), (Some(77), 11)] {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::open(&mut w, path(10, 1701, 5), 1);
        let sid = sid.map(u16::to_be_bytes);
        let icrq =
            Body::new(MessageType::ICRQ).maybe(attr::ASSIGNED_SESSION_ID, sid.as_ref().map(|s| &s[..]));
        assert_eq!(kinds(&lac.say(&mut w, 0, icrq)), [answer], "neither serial number nor bearer type");
    }
    for (sid, answer) in [(None, 14u16), (Some(0u16), 14), (Some(77), 12)] {
        let mut w = World::new(dials(lac_config()));
        let (mut server, _) = dialled(&mut w, None);
        let said = server.say(&mut w, 0, sccrp());
        let session = said[1].1.assigned_session.unwrap();
        let sid = sid.map(u16::to_be_bytes);
        let icrp =
            Body::new(MessageType::ICRP).maybe(attr::ASSIGNED_SESSION_ID, sid.as_ref().map(|s| &s[..]));
        assert_eq!(kinds(&server.say(&mut w, session, icrp)), [answer]);
    }
}

#[test]
fn an_avp_that_cannot_be_read_costs_the_call_at_most() {
    let avp = |flags: u16, vendor: u16, attribute: u16, value: &[u8]| {
        let words = [flags | (6 + value.len() as u16), vendor, attribute];
        let mut b: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        b.extend_from_slice(value);
        b
    };
    const M: u16 = 0x8000;
    let mut rows = vec![
        // Not known; of a vendor; with a reserved bit; hidden without a secret: with M, and without.
        (avp(M, 0, 40, b"x"), 14),
        (avp(0, 0, 40, b"x"), 11),
        (avp(M, 9, 1, b"x"), 14),
        (avp(0, 9, 1, b"x"), 11),
        (avp(M | 0x0400, 0, 15, &[0; 4]), 14),
        (avp(0x2000, 0, 15, &[0; 4]), 11),
        (avp(M | 0x4000, 0, 22, &[7; 16]), 14),
        (avp(0x4000, 0, 22, &[7; 16]), 11),
        // Too small for a header, longer than the message, cut off.
        (vec![0x80, 5, 0, 0, 0, 22], 11),
        (vec![0x83, 0xff, 0, 0, 0, 22, 1], 11),
        (vec![0x80, 8, 0], 11),
        // Known, of the wrong size.
        (avp(M, 0, attr::CALL_SERIAL_NUMBER, &[1, 2, 3]), 11),
        (avp(M, 0, attr::RESULT_CODE, &[1]), 11),
        (avp(M, 0, attr::FRAMING_CAPABILITIES, &[]), 11),
        (avp(M, 0, attr::SEQUENCING_REQUIRED, &[1; 9]), 11),
    ];
    // Of no use in an ICRQ, or to anybody: all that RFC 2661 defines.
    rows.extend((2..=39).filter(|n| ![9, 14, 20].contains(n)).map(|n| (avp(M, 0, n, &[0, 0, 0, 1]), 11)));
    for (extra, answer) in rows {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::open(&mut w, path(10, 1701, 5), 1);
        let mut body = with_session(MessageType::ICRQ, 77).done();
        body.extend_from_slice(&extra);
        let d = lac.datagram(0, &body);
        lac.ns += 1;
        w.datagram(lac.path, &d);
        let got = lac.hear(&mut w);
        assert_eq!((kinds(&got), got[0].0.1), (vec![answer], 77), "{extra:02x?}");
        assert!(w.engine.status()[0].established);
    }
    // The Message Type is not the first, or there is none: acknowledged, and nothing else.
    for body in [without(with_session(MessageType::ICRQ, 77), 0), avp(0, 9, 0, &[0, 10]), vec![0x80, 4, 0, 0]]
    {
        let mut w = World::new(config(lns()));
        let mut lac = Lac::open(&mut w, path(10, 1701, 5), 1);
        let d = lac.datagram(0, &body);
        lac.ns += 1;
        w.datagram(lac.path, &d);
        assert_eq!(kinds(&lac.hear(&mut w)), [0], "{body:02x?}");
        assert!(w.logged("handle_avps: First AVP must be message type"));
    }
}

#[test]
fn long_and_strange_strings_are_cut_and_made_printable() {
    let mut w = World::new(config(lns()));
    let mut lac = Lac::new(path(10, 1701, 5), 1);
    let name = [&b"a\n\x1b[31m\xff"[..], &[b'b'; 900]].concat();
    let body =
        Body::new(MessageType::SCCRQ).must(attr::HOST_NAME, &name).must(attr::ASSIGNED_TUNNEL_ID, &[0, 1]);
    lac.say(&mut w, 0, body);
    lac.say(&mut w, 0, Body::new(MessageType::SCCCN));
    let host = w.engine.status()[0].peer_host.clone();
    assert_eq!((host.len(), &host[..9]), (100, "a..[31m.b"));
}

#[test]
fn a_peer_that_requires_numbers_gets_them() {
    for (required, want) in
        [(true, &[0x08, 0x02, 0, 1, 0, 77, 0, 1, 0, 0][..]), (false, &[0, 2, 0, 1, 0, 77])]
    {
        let mut w = World::new(config(LnsConfig { length_bit: false, ..lns() }));
        let mut lac = Lac::open(&mut w, path(10, 1701, 5), 1);
        let icrp = lac.say(&mut w, 0, with_session(MessageType::ICRQ, 77));
        let session = icrp[0].1.assigned_session.unwrap();
        let iccn = Body::new(MessageType::ICCN).maybe(attr::SEQUENCING_REQUIRED, required.then_some(&[]));
        lac.say(&mut w, session, iccn);
        let mut d = Vec::new();
        w.engine.encapsulate(w.started[0].call, b"", &mut d);
        d.clear();
        w.engine.encapsulate(w.started[0].call, b"", &mut d);
        assert_eq!(d, want);
    }
}

#[test]
fn challenges_of_every_length_are_answered_and_responses_have_sixteen_octets() {
    for n in [1, 15, 16, 32, 200] {
        let mut w = World::with_secrets(config(lns()), "* * swordfish\n");
        let mut lac = Lac::new(path(10, 1701, 5), 1);
        let challenge = vec![0x5a; n];
        let body = lac.sccrq().must(attr::CHALLENGE, &challenge);
        let m = lac.say(&mut w, 0, body).remove(0).1;
        let want = response(Carrier::Sccrp, &secret(), &challenge);
        assert_eq!(m.challenge_response.as_deref(), Some(&want[..]), "{n}");
    }
    for n in [0, 15, 16, 17, 32] {
        let mut w = World::with_secrets(config(LnsConfig { challenge: true, ..lns() }), "* * swordfish\n");
        let mut lac = Lac::new(path(10, 1701, 5), 1);
        let sccrq = lac.sccrq();
        let m = lac.say(&mut w, 0, sccrq).remove(0).1;
        let challenge = m.challenge.unwrap();
        assert_eq!(challenge.len(), 16);
        let mut proof = response(Carrier::Scccn, &secret(), &challenge).to_vec();
        proof.resize(n, 0);
        let got = lac.say(&mut w, 0, Body::new(MessageType::SCCCN).must(attr::CHALLENGE_RESPONSE, &proof));
        assert_eq!(kinds(&got), [if n == 16 { 0 } else { 4 }], "{n}");
    }
}

#[test]
fn a_lac_without_the_secret_does_not_call() {
    for (secrets, called) in [("", false), ("lac server swordfish\n", true)] {
        let mut w = World::with_secrets(dials(lac_config()), secrets);
        let (mut server, _) = dialled(&mut w, None);
        let said = server.say(&mut w, 0, sccrp().must(attr::CHALLENGE, b"prove it"));
        assert_eq!(kinds(&said), if called { vec![3, 10] } else { vec![4] });
        assert_eq!(w.logged("control_finish: No secret for 'server'"), !called);
        if called {
            let want = response(Carrier::Scccn, &secret(), b"prove it");
            assert_eq!(said[0].1.challenge_response.as_deref(), Some(&want[..]));
        }
    }
}

#[test]
fn hidden_avps_take_the_last_vector_of_their_message() {
    let (v1, v2) = (b"first vector", b"another, longer random vector");
    let hidden = |b: &mut Vec<u8>, v: &[u8], a: u16, value: &[u8], padding: usize| {
        avp::put_hidden(b, true, a, &auth::hide(a, &secret(), v, value, padding));
    };
    // The tunnel was not authenticated: the peer is known by its name alone.
    let tunnel = || {
        let mut w = World::with_secrets(config(lns()), "* lac swordfish\n");
        // An SCCRQ alone does not look the secret up for ever: it is that of the peer's name.
        let lac = Lac::open(&mut w, path(10, 1701, 5), 1);
        (w, lac)
    };
    let icrq = |vectors: &[(&[u8], bool)]| {
        let mut b = Body::new(MessageType::ICRQ).done();
        for (v, put) in vectors {
            if *put {
                avp::put(&mut b, true, 0, attr::RANDOM_VECTOR, v);
            }
        }
        b
    };
    // One vector, and values with and without padding.
    let (mut w, mut lac) = tunnel();
    let mut b = icrq(&[(v1, true)]);
    hidden(&mut b, v1, attr::ASSIGNED_SESSION_ID, &[0, 77], 0);
    hidden(&mut b, v1, attr::CALL_SERIAL_NUMBER, &[0, 0, 0, 9], 10);
    avp::put(&mut b, true, 0, attr::RANDOM_VECTOR, v2);
    hidden(&mut b, v2, attr::CALLING_NUMBER, b"a number that takes more than one block", 3);
    let d = lac.datagram(0, &b);
    lac.ns += 1;
    w.datagram(lac.path, &d);
    assert_eq!(kinds(&lac.hear(&mut w)), [11], "{:?}", w.log);
    let c = &w.engine.status()[0].calls[0];
    assert_eq!((c.peer_session, c.serial), (77, 9));
    assert_eq!(c.calling_number.as_deref(), Some("a number that takes more than one block"));
    // The vector of the message before does not serve, nor one that comes behind.
    let mut b = icrq(&[]);
    hidden(&mut b, v2, attr::ASSIGNED_SESSION_ID, &[0, 78], 0);
    avp::put(&mut b, true, 0, attr::RANDOM_VECTOR, v2);
    let d = lac.datagram(0, &b);
    lac.ns += 1;
    w.datagram(lac.path, &d);
    assert_eq!(kinds(&lac.hear(&mut w)), [0]);
    assert_eq!(w.engine.status()[0].calls.len(), 1);
}
