//! Bounds on certificates and lists, each one below, at and one above; and certificates that were made to break a parser of
//! their signatures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

#[path = "common/certs.rs"]
mod certs;

use certs::{Made, NOW, crl, ext, judge, make, make_with, plan, trust};
use ipsec_crypto::Certificate;
use ipsec_crypto::crl::{Crl, MAX_CRL};
use ipsec_crypto::trust::MAX_FROM_PEER;
use ipsec_types::auth::StrictCrl;
use ipsec_types::der::{Reader, tag};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};

#[test]
fn seven_intermediates_at_most() {
    let root = make("root", None, &plan(true));
    for n in [6, 7, 8] {
        let mut line = vec![make("c0", Some(&root), &plan(true))];
        for i in 1..n {
            let next = make(&format!("c{i}"), line.last(), &plan(true));
            line.push(next);
        }
        let leaf = make("leaf", line.last(), &plan(false));
        let others: Vec<&Made> = line.iter().collect();
        match judge(&trust(&[&root]), &leaf, &others, NOW) {
            Ok(len) => assert!(n <= 7 && len == n + 2, "{n} intermediates"),
            Err(why) => assert!(n > 7 && why.starts_with("certificate chain is too long"), "{n}: {why}"),
        }
    }
}

#[test]
fn thirty_two_certificates_of_a_peer_at_most() {
    assert_eq!(MAX_FROM_PEER, 32);
    let root = make("root", None, &plan(true));
    let inter = make("inter", Some(&root), &plan(true));
    let leaf = make("leaf", Some(&inter), &plan(false));
    let filler: Vec<Made> = (0..32).map(|i| make(&format!("x{i}"), Some(&root), &plan(false))).collect();
    for n in [31, 32, 33] {
        let others: Vec<&Made> = filler.iter().take(n - 1).chain([&inter]).collect();
        let seen = judge(&trust(&[&root]), &leaf, &others, NOW);
        assert_eq!(seen.is_ok(), n <= 32, "{n} certificates: {seen:?}");
    }
}

fn rsa() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

/// A list of exactly so many octets; its issuer has an RSA key, whose signatures are all of one length.
fn crl_of(by: &Made, octets: usize) -> Vec<u8> {
    let with =
        |filling: usize| crl(by, (0, 9), &[9], &[ext("1.2.3.4", false, &vec![0; filling])]).to_der().unwrap();
    let frame = with(octets - 1000).len() - (octets - 1000);
    with(octets - frame)
}

#[test]
fn lists_of_16_mib_at_most() {
    assert_eq!(MAX_CRL, 16 << 20);
    let root = make_with(rsa(), "root", None, &plan(true));
    for octets in [MAX_CRL - 1, MAX_CRL, MAX_CRL + 1] {
        let data = crl_of(&root, octets);
        assert_eq!(data.len(), octets);
        match Crl::from_file(&data) {
            Ok(list) => assert!(octets <= MAX_CRL && list.is_by(&root.cert()) && list.revoked() == 1),
            Err(e) => assert!(octets > MAX_CRL && e.to_string() == "CRL too long", "{octets}: {e}"),
        }
    }
}

fn tlv(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let body = contents.concat();
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match body.len() {
        0..=0x7f => out.push(len[1]),
        0x80..=0xff => out.extend([0x81, len[1]]),
        _ => out.extend([0x82, len[0], len[1]]),
    }
    [out, body].concat()
}

/// A certificate like `model` with other algorithms inside and outside, signed by `key` with RSASSA-PSS; `owner` is an
/// algorithm for the owner's key, if not its own.
fn with_algorithms(
    model: &Certificate,
    key: &PKey<Private>,
    inner: &[u8],
    outer: &[u8],
    owner: Option<&[u8]>,
) -> Vec<u8> {
    let mut tbs = Reader::new(model.der()).inside(tag::SEQUENCE).unwrap().inside(tag::SEQUENCE).unwrap();
    let mut parts = Vec::new();
    while let Some((kind, contents)) = tbs.element() {
        parts.push((kind, contents));
    }
    // version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, extensions
    let built: Vec<Vec<u8>> = parts
        .iter()
        .enumerate()
        .map(|(i, (kind, contents))| match (i, owner) {
            (2, _) => inner.to_vec(),
            (6, Some(owner)) => {
                let mut info = Reader::new(contents);
                info.expect(tag::SEQUENCE).unwrap();
                let (kind, bits) = info.element().unwrap();
                tlv(tag::SEQUENCE, &[owner, &tlv(kind, &[bits])])
            }
            _ => tlv(*kind, &[contents]),
        })
        .collect();
    let tbs = tlv(tag::SEQUENCE, &built.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut signer = Signer::new(MessageDigest::sha256(), key).unwrap();
    signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
    signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).unwrap();
    let signature = signer.sign_oneshot_to_vec(&tbs).unwrap();
    tlv(tag::SEQUENCE, &[&tbs, outer, &tlv(3, &[&[0], &signature])])
}

const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];

/// AlgorithmIdentifier of RSASSA-PSS with what stands behind its OID.
fn pss(parameters: &[&[u8]]) -> Vec<u8> {
    tlv(tag::SEQUENCE, &[&[&tlv(tag::OID, &[PSS])[..]], parameters].concat())
}

/// CVE-2021-41990, CVE-2018-6459: RSASSA-PSS parameters with a salt length that is negative or huge, an MGF1 without its hash,
/// and others that are none, in the signature of a certificate and in the key of its owner.
#[test]
fn cve_2021_41990_cve_2018_6459_odd_pss_parameters() {
    let root = make_with(rsa(), "root", None, &plan(true));
    let leaf = make_with(rsa(), "leaf", Some(&root), &plan(false));
    let t = trust(&[&root]);
    let hash = tlv(0xa0, &[&tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[SHA256])])]);
    let mask = |inside: &[&[u8]]| {
        tlv(0xa1, &[&tlv(tag::SEQUENCE, &[&[&tlv(tag::OID, &[MGF1])[..]], inside].concat())])
    };
    let good_mask = mask(&[&tlv(tag::SEQUENCE, &[&tlv(tag::OID, &[SHA256])])]);
    let salt = |number: &[u8]| tlv(0xa2, &[&tlv(tag::INTEGER, &[number])]);
    let sequence = |parts: &[&[u8]]| tlv(tag::SEQUENCE, parts);
    let good = sequence(&[&hash, &good_mask, &salt(&[32])]);
    let read = |der: &[u8]| {
        Certificate::from_der(der).and_then(|c| {
            let seen = t.judge(&c, &[], NOW, StrictCrl::No);
            seen.map(|_| ()).map_err(|d| ipsec_crypto::CryptoError::Unusable(d.remarks.join("; ")))
        })
    };
    let signed = |parameters: &[&[u8]]| {
        let algorithm = pss(parameters);
        read(&with_algorithms(&leaf.cert(), &root.key, &algorithm, &algorithm, None))
    };
    // The frame of this test is right: with proper parameters it is believed.
    assert_eq!(signed(&[&good]), Ok(()));
    let odd: Vec<Vec<u8>> = vec![
        sequence(&[&hash, &good_mask, &salt(&[0xff])]),
        sequence(&[&hash, &good_mask, &salt(&[0x80, 0, 0, 0])]),
        sequence(&[&hash, &good_mask, &salt(&[0x7f, 0xff, 0xff, 0xff])]),
        sequence(&[&hash, &good_mask, &salt(&[0xff; 9])]),
        sequence(&[&hash, &good_mask, &salt(&[0x7f; 200])]),
        sequence(&[&hash, &good_mask, &salt(&[])]),
        sequence(&[&hash, &good_mask, &tlv(0xa2, &[])]),
        sequence(&[&hash, &mask(&[]), &salt(&[32])]),
        sequence(&[&hash, &mask(&[&tlv(tag::SEQUENCE, &[])]), &salt(&[32])]),
        sequence(&[&hash, &mask(&[&[5, 0]]), &salt(&[32])]),
        sequence(&[&hash, &tlv(0xa1, &[]), &salt(&[32])]),
        sequence(&[&tlv(0xa0, &[]), &good_mask, &salt(&[32])]),
        sequence(&[&hash, &good_mask, &salt(&[32]), &tlv(0xa3, &[&tlv(tag::INTEGER, &[&[0xff]])])]),
        sequence(&[&hash, &good_mask, &salt(&[32]), &tlv(0xa3, &[&tlv(tag::INTEGER, &[&[2]])])]),
        sequence(&[]),
        vec![5, 0],
        vec![0x30, 0x80],
        vec![],
    ];
    for parameters in &odd {
        assert!(signed(&[parameters]).is_err(), "{parameters:02x?}");
        // As the algorithm of the owner's key; the parameters of the signature are right.
        let owner = with_algorithms(
            &leaf.cert(),
            &root.key,
            &pss(&[&good]),
            &pss(&[&good]),
            Some(&pss(&[parameters])),
        );
        assert!(read(&owner).is_err(), "{parameters:02x?} with a key");
    }
    for i in 0..good.len() {
        for value in [0, 0xff, good[i] ^ 0x80] {
            let mut bad = good.clone();
            bad[i] = value;
            assert!(bad == good || signed(&[&bad]).is_err(), "octet {i} does not matter");
        }
    }
}

/// CVE-2021-41991: one certificate in a thousand versions that differ outside of what is signed. None is believed, and the
/// real one is still afterwards.
#[test]
fn cve_2021_41991_many_versions_of_one_certificate() {
    let root = make_with(rsa(), "root", None, &plan(true));
    let leaf = make_with(rsa(), "leaf", Some(&root), &plan(false));
    let t = trust(&[&root]);
    let cert = leaf.cert();
    let mut whole = Reader::new(cert.der()).inside(tag::SEQUENCE).unwrap();
    let tbs = tlv(tag::SEQUENCE, &[whole.expect(tag::SEQUENCE).unwrap()]);
    let mut algorithm = Reader::new(whole.expect(tag::SEQUENCE).unwrap());
    let oid = tlv(tag::OID, &[algorithm.expect(tag::OID).unwrap()]);
    let signature = tlv(3, &[whole.expect(3).unwrap()]);
    let version = |parameters: &[u8]| {
        let outer = tlv(tag::SEQUENCE, &[&oid, parameters]);
        tlv(tag::SEQUENCE, &[&tbs, &outer, &signature])
    };
    assert_eq!(version(&[5, 0]), cert.der(), "the frame of this test");
    let versions: Vec<Certificate> = (0..1000_u16)
        .map(|n| Certificate::from_der(&version(&tlv(tag::OCTET_STRING, &[&n.to_be_bytes()]))).unwrap())
        .collect();
    for v in &versions {
        assert!(t.judge(v, &versions, NOW, StrictCrl::No).is_err());
    }
    assert!(t.judge(&cert, &versions, NOW, StrictCrl::No).is_ok());
}
