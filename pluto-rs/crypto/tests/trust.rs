//! Certificates, chains, revocation lists, OCSP answers: what is believed and what is not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

#[path = "common/certs.rs"]
mod certs;

use certs::{DAY, FROM, Made, NOW, Plan, crl, ext, judge, make, plan, time, trust};
use ipsec_crypto::Certificate;
use ipsec_crypto::cert::from_pkcs7;
use ipsec_crypto::crl::Crl;
use ipsec_crypto::ocsp::{self, Answer, Status};
use ipsec_crypto::trust::{Points, Trust, date, path_to_send};
use ipsec_types::auth::StrictCrl;
use ipsec_types::{Id, dn};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::stack::Stack;
use openssl::x509::extension::{ExtendedKeyUsage, KeyUsage};
use openssl::x509::{X509Builder, X509Crl, X509Extension};

/// root -- inter -- leaf, root -- near.
struct World {
    root: Made,
    inter: Made,
    leaf: Made,
    near: Made,
}

fn world() -> World {
    let root = make("root", None, &plan(true));
    let inter = make("inter", Some(&root), &plan(true));
    let leaf = make("leaf", Some(&inter), &plan(false));
    let near = make("near", Some(&root), &plan(false));
    World { root, inter, leaf, near }
}

#[test]
fn chains_end_at_a_root_of_ours_whoever_has_the_intermediates() {
    let w = world();
    assert_eq!(judge(&trust(&[&w.root]), &w.near, &[], NOW), Ok(2));
    assert_eq!(judge(&trust(&[&w.root]), &w.leaf, &[&w.inter], NOW), Ok(3));
    assert_eq!(judge(&trust(&[&w.root, &w.inter]), &w.leaf, &[], NOW), Ok(3));
    let missing = judge(&trust(&[&w.root]), &w.leaf, &[], NOW).unwrap_err();
    assert_eq!(missing, "issuer cacert not found: \"O=Test, CN=inter\"; X.509 certificate rejected");
    // An intermediate alone is no anchor, and a root that the peer sends is none either.
    assert!(
        judge(&trust(&[&w.inter]), &w.leaf, &[&w.root], NOW).unwrap_err().contains("issuer cacert not found")
    );
    assert!(judge(&Trust::default(), &w.leaf, &[&w.inter, &w.root], NOW).is_err());
    let other = make("root", None, &plan(true));
    assert!(judge(&trust(&[&other]), &w.near, &[], NOW).is_err());
    let path: Vec<_> = path_to_send(&w.leaf.cert(), &[w.root.cert(), w.inter.cert()]);
    assert_eq!(path, [w.inter.cert()]);
    assert_eq!(path_to_send(&w.root.cert(), &[w.root.cert()]), []);
}

#[test]
fn dates_are_looked_at_all_the_way_up() {
    let w = world();
    let t = trust(&[&w.root]);
    let late = judge(&t, &w.near, &[], (FROM + 11 * DAY) as u64).unwrap_err();
    assert!(
        late.starts_with(
            "certificate is invalid (valid from Nov 14 22:13:20 UTC 2023 to Nov 24 22:13:20 UTC 2023)"
        ),
        "{late}"
    );
    assert!(judge(&t, &w.near, &[], FROM as u64 - 1).is_err());
    let old = make("old", Some(&w.root), &Plan { days: (0, 2), ..plan(true) });
    let leaf = make("leaf", Some(&old), &plan(false));
    assert!(judge(&t, &leaf, &[&old], NOW).unwrap_err().contains("certificate is invalid (valid from"));
    assert_eq!(date(0), "Jan 01 00:00:00 UTC 1970");
    assert_eq!(date(951_782_400), "Feb 29 00:00:00 UTC 2000");
    assert_eq!(date(-1), "Dec 31 23:59:59 UTC 1969");
}

/// CVE-2004-0590: an end certificate that says it is its own issuer, one that acts as a CA, and chains in a circle.
#[test]
fn cve_2004_0590_ends_are_no_authorities_and_circles_end() {
    let w = world();
    let t = trust(&[&w.root]);
    let own = make("near", None, &plan(false));
    assert!(judge(&t, &own, &[], NOW).unwrap_err().contains("issuer cacert not found"));
    // Its issuer claims to be the root, and it is signed with the end's own key.
    let forged = make("root", None, &plan(false));
    assert!(judge(&t, &forged, &[&forged], NOW).is_err());
    let below_an_end = make("below", Some(&w.near), &plan(false));
    assert!(judge(&t, &below_an_end, &[&w.near], NOW).unwrap_err().contains("is invalid"));
    let silent = make("silent", Some(&w.root), &Plan { ca: None, ..plan(false) });
    let below = make("below", Some(&silent), &plan(false));
    assert!(judge(&t, &below, &[&silent], NOW).is_err());
    // a issued by b issued by a.
    let a0 = make("a", None, &plan(true));
    let b = make("b", Some(&a0), &plan(true));
    let a = make("a", Some(&b), &plan(true));
    let leaf = make("leaf", Some(&a), &plan(false));
    assert!(judge(&t, &leaf, &[&a, &b, &a0], NOW).is_err());
    let mut top = make("c0", Some(&w.root), &plan(true));
    let mut all = vec![];
    for i in 1..12 {
        let next = make(&format!("c{i}"), Some(&top), &plan(true));
        all.push(top);
        top = next;
    }
    let refs: Vec<&Made> = all.iter().collect();
    assert!(judge(&t, &top, &refs, NOW).is_err());
}

#[test]
fn purposes_that_are_not_for_ike_are_refused() {
    let w = world();
    let t = trust(&[&w.root]);
    let eku = |f: &dyn Fn(&mut ExtendedKeyUsage)| {
        let mut e = ExtendedKeyUsage::new();
        f(&mut e);
        let extra = vec![e.build().unwrap()];
        judge(&t, &make("x", Some(&w.root), &Plan { extra, ..plan(false) }), &[], NOW)
    };
    for ok in [
        "1.3.6.1.5.5.7.3.17",
        "1.3.6.1.5.5.7.3.5",
        "1.3.6.1.5.5.7.3.6",
        "1.3.6.1.5.5.7.3.7",
        "1.3.6.1.5.5.8.2.2",
    ] {
        assert_eq!(eku(&|e| _ = e.other(ok)), Ok(2), "{ok}");
    }
    assert_eq!(eku(&|e| _ = e.server_auth()), Ok(2));
    assert_eq!(eku(&|e| _ = e.client_auth()), Ok(2));
    assert!(eku(&|e| _ = e.code_signing()).unwrap_err().contains("extendedKeyUsage is not for IKE"));
    let ku = |ku: &mut KeyUsage| {
        let extra = vec![ku.build().unwrap()];
        judge(&t, &make("x", Some(&w.root), &Plan { extra, ..plan(false) }), &[], NOW)
    };
    assert_eq!(ku(KeyUsage::new().digital_signature()), Ok(2));
    assert_eq!(ku(KeyUsage::new().non_repudiation()), Ok(2));
    assert!(
        ku(KeyUsage::new().key_encipherment()).unwrap_err().contains("keyUsage does not allow signatures")
    );
}

#[test]
fn identities_are_subjects_and_alternative_names() {
    let w = world();
    let alt = &["dns:VPN.example", "email:joe@example.com", "ip:192.0.2.1", "ip:2001:db8::1"];
    let cert = make("x", Some(&w.root), &Plan { alt, ..plan(false) }).cert();
    let id = |s: &str| s.parse::<Id>().unwrap();
    for ours in ["@vpn.example", "joe@example.com", "192.0.2.1", "2001:db8::1", "O=test,CN=X", "CN=x, O=Test"]
    {
        assert!(cert.names_id(&id(ours)), "{ours}");
    }
    let any = make("*", Some(&w.root), &plan(false)).cert();
    assert!(any.names_id(&Id::Dn(any.subject().to_vec())) && !any.names_id(&id("O=Test, CN=x")));
    for not in ["@example", "@*", "192.0.2.2", "CN=x", "O=Test, CN=*", "@[x]", "%any"] {
        assert!(!cert.names_id(&id(not)), "{not}");
    }
}

/// CVE-2026-35331: name constraints hold whatever the case of names.
#[test]
fn cve_2026_35331_name_constraints_are_not_evaded_by_case() {
    let constraint = |text: &str| {
        #[expect(deprecated, reason = "the library has no other way to make one")]
        X509Extension::new_nid(None, None, Nid::NAME_CONSTRAINTS, text).unwrap()
    };
    let root = make("root", None, &plan(true));
    let extra = vec![constraint("critical,permitted;DNS:example.com")];
    let inter = make("inter", Some(&root), &Plan { extra, ..plan(true) });
    let t = trust(&[&root]);
    let named = |alt: &[&str]| {
        let leaf = make("x", Some(&inter), &Plan { alt, ..plan(false) });
        judge(&t, &leaf, &[&inter], NOW)
    };
    assert_eq!(named(&["dns:a.EXAMPLE.com"]), Ok(3));
    for alt in [["dns:example.org"], ["dns:EXAMPLE.ORG"], ["dns:a.example.com.evil.org"]] {
        assert!(named(&alt).is_err(), "{alt:?}");
    }
}

/// strongSwan 2.0.1 and CVE-2017-9023, CVE-2009-2661: empty sequences, odd choices and dates in extensions, and every octet
/// of a certificate changed: nothing but an error.
#[test]
fn cve_2017_9023_cve_2009_2661_broken_certificates_are_refused_without_harm() {
    let w = world();
    let t = trust(&[&w.root]);
    for value in [&[0x30, 0][..], &[0x30, 2, 0xa9, 0], &[0x30, 2, 0xbf, 0x7f], &[0x31, 0], &[]] {
        let extra = vec![ext("2.5.29.17", false, value)];
        let odd = make("x", Some(&w.root), &Plan { extra, ..plan(false) });
        assert!(odd.cert().names().is_empty());
        let _ = judge(&t, &odd, &[], NOW);
    }
    let der = w.near.x509.to_der().unwrap();
    for i in 0..der.len() {
        for value in [0xff, der[i] ^ 1] {
            let mut bad = der.clone();
            bad[i] = value;
            if bad == der {
                continue;
            }
            let Ok(cert) = Certificate::from_der(&bad) else { continue };
            assert!(t.judge(&cert, &[], NOW, StrictCrl::No).is_err(), "octet {i} does not matter");
        }
        assert!(Certificate::from_der(&der[..i]).is_err());
    }
    assert!(Certificate::from_der(&[&der[..], &[0]].concat()).is_err());
    assert!(Certificate::from_der(&vec![0x30; 70_000]).is_err());
}

#[test]
fn files_are_pem_or_der() {
    let w = world();
    let pem = [w.leaf.x509.to_pem().unwrap(), w.inter.x509.to_pem().unwrap()].concat();
    let text = [b"Certificate:\n some text\n", &pem[..]].concat();
    assert_eq!(Certificate::from_file(&text).unwrap(), [w.leaf.cert(), w.inter.cert()]);
    assert_eq!(Certificate::from_file(&w.leaf.x509.to_der().unwrap()).unwrap(), [w.leaf.cert()]);
    let key = w.leaf.key.private_key_to_pem_pkcs8().unwrap();
    for bad in [&key[..], b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA", &pem[..100]] {
        assert!(Certificate::from_file(bad).is_err());
    }
    let locked = b"-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(Certificate::from_file(locked).is_err());
}

/// CVE-2026-35329: PKCS#7 of another kind, and broken ones.
#[test]
fn cve_2026_35329_pkcs7_must_be_signed_data() {
    use openssl::pkcs7::{Pkcs7, Pkcs7Flags};
    let w = world();
    let mut others = Stack::new().unwrap();
    others.push(w.inter.x509.clone()).unwrap();
    let signed = Pkcs7::sign(&w.leaf.x509, &w.leaf.key, &others, b"", Pkcs7Flags::empty()).unwrap();
    let signed = signed.to_der().unwrap();
    let found = from_pkcs7(&signed).unwrap();
    assert!(found.contains(&w.leaf.cert()) && found.contains(&w.inter.cert()));
    let rsa = openssl::rsa::Rsa::generate(1024).unwrap();
    let mut to = X509Builder::new().unwrap();
    to.set_pubkey(&PKey::from_rsa(rsa.clone()).unwrap()).unwrap();
    to.set_not_before(&time(0)).unwrap();
    to.set_not_after(&time(1)).unwrap();
    to.sign(&PKey::from_rsa(rsa).unwrap(), MessageDigest::sha256()).unwrap();
    let mut stack = Stack::new().unwrap();
    stack.push(to.build()).unwrap();
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let enveloped = Pkcs7::encrypt(&stack, b"x", cipher, Pkcs7Flags::empty()).unwrap().to_der().unwrap();
    assert!(from_pkcs7(&enveloped).is_err());
    for i in (0..signed.len()).step_by(5) {
        let mut bad = signed.clone();
        bad[i] ^= 0xff;
        let _ = from_pkcs7(&bad);
        assert!(from_pkcs7(&signed[..i]).is_err());
    }
}

#[test]
fn revocation_lists_are_obeyed_as_strictcrlpolicy_says() {
    let w = world();
    let uri = {
        #[expect(deprecated, reason = "the library has no other way to make one")]
        X509Extension::new_nid(None, None, Nid::CRL_DISTRIBUTION_POINTS, "URI:http://127.0.0.1/x.crl")
            .unwrap()
    };
    let with_uri = make("uri", Some(&w.root), &Plan { extra: vec![uri], serial: 9, ..plan(false) });
    let try_it = |cert: &Made, lists: &[X509Crl], strict| {
        let crls = lists.iter().map(|c| (Crl::from_file(&c.to_der().unwrap()).unwrap(), "file".to_string()));
        let t = Trust { crls: crls.collect(), ..trust(&[&w.root]) };
        match t.judge(&cert.cert(), &[], NOW, strict) {
            Ok(b) => (true, b.remarks.join("; "), b.wanted.len()),
            Err(d) => (false, d.remarks.join("; "), d.wanted.len()),
        }
    };
    let none = |word: &str| format!("no crl from issuer \"O=Test, CN=root\" found (strict={word})");
    let rejected = "; certificate status unknown; X.509 certificate rejected";
    assert_eq!(try_it(&w.near, &[], StrictCrl::No), (true, none("no"), 0));
    assert_eq!(try_it(&w.near, &[], StrictCrl::IfUri), (true, none("no"), 0));
    assert_eq!(try_it(&w.near, &[], StrictCrl::Yes), (false, none("yes") + rejected, 0));
    // What is missing is named, so that it can be fetched.
    assert_eq!(try_it(&with_uri, &[], StrictCrl::No), (true, none("no"), 1));
    assert_eq!(try_it(&with_uri, &[], StrictCrl::IfUri), (false, none("yes") + rejected, 1));
    let fresh = crl(&w.root, (0, 9), &[8], &[]);
    for strict in [StrictCrl::No, StrictCrl::IfUri, StrictCrl::Yes] {
        assert_eq!(try_it(&with_uri, std::slice::from_ref(&fresh), strict), (true, String::new(), 0));
        let revoked = crl(&w.root, (0, 9), &[9], &[]);
        let want = "certificate was revoked on Nov 15 22:13:20 UTC 2023, reason: unspecified; X.509 certificate rejected";
        assert_eq!(try_it(&with_uri, &[revoked], strict), (false, want.into(), 0));
    }
    // An expired list still tells who was revoked.
    let expired = crl(&w.root, (0, 3), &[9], &[]);
    let (ok, why, _) = try_it(&with_uri, std::slice::from_ref(&expired), StrictCrl::No);
    assert!(!ok && why.contains("was revoked"), "{why}");
    let (ok, why, wanted) = try_it(&w.near, std::slice::from_ref(&expired), StrictCrl::No);
    assert!(ok && why.contains("has expired since Nov 17"), "{why}");
    assert_eq!(wanted, 0);
    assert!(!try_it(&w.near, &[expired], StrictCrl::Yes).0);
    // One that another has signed is nobody's.
    let forged = Made { x509: w.root.x509.clone(), key: w.near.key.clone() };
    let (ok, why, _) = try_it(&with_uri, &[crl(&forged, (0, 9), &[9], &[])], StrictCrl::No);
    assert!(ok && why.contains("has a wrong signature"), "{why}");
    // The newest list counts.
    let older = crl(&w.root, (-3, 9), &[9], &[]);
    assert!(try_it(&with_uri, &[older, fresh], StrictCrl::Yes).0);
}

/// `ca` sections: their addresses come first, each once; they are of that CA only, and count for `strictcrlpolicy=ifuri`.
#[test]
fn addresses_of_ca_sections_are_asked_too() {
    let w = world();
    let uri = |kind: Nid, text: &str| {
        #[expect(deprecated, reason = "the library has no other way to make one")]
        X509Extension::new_nid(None, None, kind, text).unwrap()
    };
    let extra = vec![
        uri(Nid::CRL_DISTRIBUTION_POINTS, "URI:http://own/,URI:http://two/"),
        uri(Nid::INFO_ACCESS, "OCSP;URI:http://ocsp.own/"),
    ];
    let own = make("own", Some(&w.root), &Plan { extra, ..plan(false) });
    let points = |ca: &Made, crl: &[&str], ocsp: &[&str]| {
        let text = |uris: &[&str]| uris.iter().map(|u| u.to_string()).collect();
        Points { ca: ca.cert(), crl_uris: text(crl), ocsp_uris: text(ocsp) }
    };
    let wanted = |leaf: &Made, points: Vec<Points>, strict| {
        let t = Trust { points, ..trust(&[&w.root, &w.inter]) };
        let (good, wanted) = match t.judge(&leaf.cert(), &[], NOW, strict) {
            Ok(b) => (true, b.wanted),
            Err(d) => (false, d.wanted),
        };
        let uris = wanted.first().map(|x| [&x.crl_uris[..], &x.ocsp_uris[..]].concat().join(" "));
        (good, uris.unwrap_or_default())
    };
    let section = || points(&w.root, &["http://section/", "http://two/"], &["http://ocsp/"]);
    assert_eq!(wanted(&w.near, vec![], StrictCrl::IfUri), (true, String::new()));
    let all = "http://section/ http://two/ http://ocsp/";
    assert_eq!(wanted(&w.near, vec![section()], StrictCrl::No), (true, all.into()));
    assert_eq!(wanted(&w.near, vec![section()], StrictCrl::IfUri), (false, all.into()));
    let all = "http://section/ http://two/ http://own/ http://ocsp/ http://ocsp.own/";
    assert_eq!(wanted(&own, vec![section()], StrictCrl::No), (true, all.into()));
    // One of another CA, and one with the same name and another key, say nothing.
    let same_name = make("root", None, &plan(true));
    for other in [&w.inter, &same_name] {
        assert_eq!(
            wanted(&w.near, vec![points(other, &["http://x/"], &[])], StrictCrl::IfUri),
            (true, String::new())
        );
    }
    // The CA's certificate has been made anew for the same key.
    let anew = certs::make_with(w.root.key.clone(), "root", None, &Plan { serial: 77, ..plan(true) });
    let found = wanted(&w.near, vec![points(&anew, &["http://x/"], &[])], StrictCrl::No);
    assert_eq!(found, (true, "http://x/".into()));
}

#[test]
fn lists_that_would_be_misread_are_refused() {
    let w = world();
    let read = |e: X509Extension| Crl::from_file(&crl(&w.root, (0, 9), &[1], &[e]).to_der().unwrap());
    let indirect = [0x30, 3, 0x84, 1, 0xff];
    let attributes = [0x30, 3, 0x85, 1, 0xff];
    let reasons = [0x30, 4, 0x83, 2, 0, 0x40];
    for bad in [
        ext("2.5.29.27", true, &[2, 1, 1]),
        ext("2.5.29.28", true, &indirect),
        ext("2.5.29.28", false, &attributes),
        ext("2.5.29.28", true, &reasons),
        ext("1.2.3.4", true, &[5, 0]),
    ] {
        assert!(read(bad).is_err());
    }
    assert!(read(ext("2.5.29.28", true, &[0x30, 3, 0x84, 1, 0])).is_ok());
    assert!(read(ext("1.2.3.4", false, &[5, 0])).is_ok());
    let der = crl(&w.root, (0, 9), &[1], &[]).to_der().unwrap();
    for i in 0..der.len() {
        assert!(Crl::from_file(&der[..i]).is_err());
        let mut bad = der.clone();
        bad[i] ^= 0xff;
        if let Ok(list) = Crl::from_file(&bad) {
            assert!(!list.is_by(&w.root.cert()), "octet {i} does not matter");
        }
    }
    let pem = crl(&w.root, (0, 9), &[1, 2], &[]).to_pem().unwrap();
    assert_eq!(Crl::from_file(&pem).unwrap().revoked(), 2);
    assert!(dn::matches(Crl::from_file(&pem).unwrap().issuer(), w.root.cert().subject()));
}

/// The files of `tests/ocsp`, made by its `make.sh`.
#[test]
fn ocsp_answers_are_verified() {
    let read =
        |name: &str| std::fs::read(format!("{}/tests/ocsp/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let cert = |name: &str| Certificate::from_der(&read(&format!("{name}.cert.der"))).unwrap();
    let (ca, good, bad) = (cert("ca"), cert("good"), cert("bad"));
    let trust = Trust { authorities: vec![ca.clone()], ..Trust::default() };
    assert_eq!(good.ocsp_uris(), ["http://127.0.0.1/ocsp"]);
    assert!(ocsp::request(&good, &ca).unwrap().len() > 50);
    let now = u64::try_from(good.not_before()).unwrap() + 1000;
    let answer = |name: &str, about: &Certificate, now| Answer::read(&read(name), about, &ca, &trust, now);
    assert_eq!(*answer("good.der", &good, now).unwrap().status(), Status::Good);
    assert_eq!(*answer("by-ca.der", &good, now).unwrap().status(), Status::Good);
    let Status::Revoked(r) = answer("bad.der", &bad, now).unwrap().status().clone() else {
        panic!("not revoked")
    };
    assert_eq!((r.reason, date(r.at)), ("key compromise", "Jan 01 00:00:00 UTC 2026".to_string()));
    for (name, about, now, why) in [
        ("good.der", &bad, now, "about another certificate"),
        ("by-stranger.der", &good, now, "not entitled"),
        ("good.der", &good, now + 40 * 86_400, "is not of today"),
        ("good.der", &good, now - 86_400, "not"),
    ] {
        let e = answer(name, about, now).unwrap_err().to_string();
        assert!(e.contains(why), "{e}, {why} expected");
    }
    // It counts in the judgement: of a revoked one whatever the policy, of a good one it is enough.
    let with = |a: Answer| Trust { ocsp: vec![std::sync::Arc::new(a)], ..trust.clone() };
    let seen = with(answer("good.der", &good, now).unwrap()).judge(&good, &[], now, StrictCrl::Yes);
    assert!(seen.is_ok_and(|b| b.remarks.is_empty()));
    let seen = with(answer("bad.der", &bad, now).unwrap()).judge(&bad, &[], now, StrictCrl::No);
    assert!(seen.unwrap_err().remarks[0].contains("was revoked on Jan 01"));
    let data = read("good.der");
    for i in 0..data.len() {
        let mut broken = data.clone();
        broken[i] ^= 0xff;
        if let Ok(a) = Answer::read(&broken, &good, &ca, &trust, now) {
            assert_eq!(*a.status(), Status::Good, "octet {i}");
        }
        assert!(Answer::read(&data[..i], &good, &ca, &trust, now).is_err());
    }
}
