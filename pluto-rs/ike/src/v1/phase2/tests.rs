//! What is offered is what is taken.

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite};
use ipsec_types::conn::{ConnSpec, Phase2};
use ipsec_types::kernel::{Layers, Mode, SaProto};
use proptest::prelude::*;

use super::*;
use crate::v1::natt::Method;
use crate::wire::sa::SaPayload;

#[test]
fn what_we_offer_is_what_we_accept() {
    let spec = ConnSpec::default();
    let body = offer(&spec, Mode::Transport, NatT::default(), Some(DhGroup::Modp2048), 0x1234_5678, 0);
    let sa = SaPayload::parse(&body).unwrap();
    let (_, o) = choose(&sa, &spec, NatT::default()).unwrap();
    assert_eq!(
        (o.suite, o.mode, o.group),
        (default_suites(SaProto::Esp)[0], Mode::Transport, Some(DhGroup::Modp2048))
    );
    assert_eq!((o.life, o.spi), (Some(28800), 0x1234_5678));
}

#[test]
fn every_cipher_is_offered_and_taken_when_it_is_named() {
    for cipher in EspCipher::ALL {
        let integ = if cipher.tag_len().is_some() { EspInteg::None } else { EspInteg::AesXcbc };
        let spec = ConnSpec { esp: vec![EspSuite { cipher, integ }], ..ConnSpec::default() };
        let body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711, 0);
        let sa = SaPayload::parse(&body).unwrap();
        assert_eq!(choose(&sa, &spec, NatT::default()).unwrap().1.suite, spec.esp[0]);
        let plain = choose(&sa, &ConnSpec::default(), NatT::default());
        let wanted = !matches!(cipher, EspCipher::Des | EspCipher::Null | EspCipher::AesGmac(_));
        assert_eq!(plain.is_ok(), wanted, "{cipher:?} without being named");
    }
}

#[test]
fn the_log_says_what_is_proposed() {
    let say = |phase2, list: &[(EspCipher, EspInteg)]| {
        let esp = list.iter().map(|(cipher, integ)| EspSuite { cipher: *cipher, integ: *integ }).collect();
        words(&ConnSpec { esp, phase2, ..ConnSpec::default() })
    };
    assert_eq!(say(Phase2::Esp, &[]), "defaults");
    let list = [(EspCipher::Aes(128), EspInteg::Sha1), (EspCipher::TripleDes, EspInteg::Md5)];
    assert_eq!(say(Phase2::Esp, &list), "AES(12)_128-SHA1(2)_160, 3DES(3)_192-MD5(1)_128");
    let list = [(EspCipher::AesGcm(256, 16), EspInteg::None), (EspCipher::Des, EspInteg::AesXcbc)];
    assert_eq!(say(Phase2::Esp, &list), "AES_GCM_C(20)_256-NONE(0)_000, DES(2)_064-AES_XCBC(9)_128");
    let list = [(EspCipher::AesGmac(192), EspInteg::None), (EspCipher::Aes(128), EspInteg::AesCmac)];
    assert_eq!(
        say(Phase2::Esp, &list),
        "NULL_AUTH_AES_GMAC(23)_192-NONE(0)_000, AES(12)_128-AES_CMAC_96(250)_128"
    );
    assert_eq!(say(Phase2::Ah, &[(EspCipher::Null, EspInteg::Sha256)]), "SHA2_256(5)_256");
}

#[test]
fn cut_tags_are_negotiated_as_sha2() {
    let suite = |integ| EspSuite { cipher: EspCipher::Aes(128), integ };
    let spec = ConnSpec { esp: vec![suite(EspInteg::Sha256Trunc96)], ..ConnSpec::default() };
    let body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711, 0);
    let sa = SaPayload::parse(&body).unwrap();
    let chosen = choose(&sa, &spec, NatT::default()).unwrap().1;
    assert_eq!(chosen.suite, suite(EspInteg::Sha256));
}

#[test]
fn encapsulation_must_fit_the_nat() {
    let natt = NatT { method: Some(Method::Draft02), peer: true, ..NatT::default() };
    let body = offer(&ConnSpec::default(), Mode::Transport, natt, None, 4711, 0);
    let sa = SaPayload::parse(&body).unwrap();
    assert_eq!(choose(&sa, &ConnSpec::default(), natt).unwrap().1.mode, Mode::Transport);
    let why = choose(&sa, &ConnSpec::default(), NatT::default()).unwrap_err();
    assert!(why[0].contains("must only be used if NAT-Traversal is detected"));
}

/// CVE-2024-3652: AES-GMAC, which no conn names, is refused; and without a length of its key wherever it is named.
#[test]
fn cve_2024_3652_gmac_is_refused() {
    let named = ConnSpec {
        esp: vec![EspSuite { cipher: EspCipher::AesGmac(128), integ: EspInteg::None }],
        ..ConnSpec::default()
    };
    for (bits, spec, says) in [
        (None, &ConnSpec::default(), "GMAC not supported"),
        (Some(128), &ConnSpec::default(), NOT_ALLOWED),
        (None, &named, "GMAC not supported"),
        (Some(129), &named, "GMAC (129) not supported"),
        (Some(256), &named, NOT_ALLOWED),
    ] {
        let mut a = Vec::new();
        attr::emit(ATTR_ENCAPSULATION, 2, &mut a);
        bits.iter().for_each(|b| attr::emit(ATTR_KEY_LEN, *b, &mut a));
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ESP, &9999u32.to_be_bytes(), &[(0, 23, a)], true);
        let body = w.finish();
        let why = choose(&SaPayload::parse(&body).unwrap(), spec, NatT::default()).unwrap_err();
        assert!(why[0].contains(says), "{bits:?} {why:?}");
    }
}

#[test]
fn ah_is_offered_and_taken_by_its_integrity_alone() {
    for integ in EspInteg::NEGOTIATED {
        let esp = vec![EspSuite { cipher: EspCipher::Null, integ }];
        let spec = ConnSpec { phase2: Phase2::Ah, esp, ..ConnSpec::default() };
        let body = offer(&spec, Mode::Transport, NatT::default(), None, 4711, 0);
        let sa = SaPayload::parse(&body).unwrap();
        assert_eq!(sa.proposals[0].protocol, PROTO_AH);
        let (answer, o) = choose(&sa, &spec, NatT::default()).unwrap();
        assert_eq!((o.suite, o.layers.proto, o.mode), (spec.esp[0], SaProto::Ah, Mode::Transport));
        assert_eq!(answer.emit(4711, 0), body, "one transform is its own answer");
        assert!(choose(&sa, &ConnSpec::default(), NatT::default()).unwrap_err()[0].contains("phase2=esp"));
    }
    let spec = ConnSpec { phase2: Phase2::Ah, ..ConnSpec::default() };
    let nat = NatT { peer: true, ..NatT::default() };
    let body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711, 0);
    let why = choose(&SaPayload::parse(&body).unwrap(), &spec, nat).unwrap_err();
    assert!(why[0].contains("NAT"), "{why:?}");
}

#[test]
fn compression_is_offered_with_and_without_and_taken_where_it_is_wanted() {
    let spec = ConnSpec { compress: true, ..ConnSpec::default() };
    let body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711, 0xabc);
    let sa = SaPayload::parse(&body).unwrap();
    let numbers: Vec<(u8, u8)> = sa.proposals.iter().map(|p| (p.number, p.protocol)).collect();
    assert_eq!(numbers, [(0, PROTO_ESP), (0, PROTO_IPCOMP), (1, PROTO_ESP)]);
    let (answer, o) = choose(&sa, &spec, NatT::default()).unwrap();
    assert_eq!((o.cpi, o.layers), (0xabc, Layers { proto: SaProto::Esp, comp: true }));
    let back = answer.emit(4712, 0xdef);
    let (_, o) = choose(&SaPayload::parse(&back).unwrap(), &spec, NatT::default()).unwrap();
    assert_eq!((o.spi, o.cpi), (4712, 0xdef));
    let (answer, o) = choose(&sa, &ConnSpec::default(), NatT::default()).unwrap();
    assert_eq!((o.cpi, o.layers.comp, answer.number), (0, false, 1));
}

#[test]
fn an_index_that_is_reserved_is_refused() {
    let spec = ConnSpec { compress: true, ..ConnSpec::default() };
    for (cpi, text) in [(255, "invalid CPI"), (256, "")] {
        let body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711, cpi);
        let mut sa = SaPayload::parse(&body).unwrap();
        sa.proposals.pop();
        match choose(&sa, &spec, NatT::default()) {
            Ok((_, o)) => assert_eq!((o.cpi, text), (256, "")),
            Err(why) => assert!(!text.is_empty() && why[0].contains(text), "{why:?}"),
        }
    }
}

proptest! {
    /// Whatever of an offer is changed, the choice is one or none, and what is chosen can be emitted and read again.
    #[test]
    fn no_change_of_an_offer_panics(at in 0usize..300, to in any::<u8>(), ah in any::<bool>()) {
        let phase2 = if ah { Phase2::Ah } else { Phase2::Esp };
        let spec = ConnSpec { phase2, compress: true, ..ConnSpec::default() };
        let mut body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711, 0xabc);
        let at = at % body.len();
        body[at] = to;
        if let Ok(sa) = SaPayload::parse(&body)
            && let Ok((answer, o)) = choose(&sa, &spec, NatT::default())
        {
            let back = answer.emit(o.spi, o.cpi);
            prop_assert_eq!(choose(&SaPayload::parse(&back).unwrap(), &spec, NatT::default()).unwrap().1, o);
        }
    }
}
