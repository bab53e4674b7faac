//! Certificates and lists made for a test.

use ipsec_crypto::Certificate;
use ipsec_crypto::trust::Trust;
use ipsec_types::auth::StrictCrl;
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{
    X509, X509Builder, X509Crl, X509CrlBuilder, X509Extension, X509NameBuilder, X509RevokedBuilder,
};

/// Everything is valid from here for ten days, and looked at after five.
pub(crate) const FROM: i64 = 1_700_000_000;
pub(crate) const DAY: i64 = 86_400;
pub(crate) const NOW: u64 = (FROM + 5 * DAY) as u64;

pub(crate) struct Made {
    pub(crate) x509: X509,
    pub(crate) key: PKey<Private>,
}

impl Made {
    pub(crate) fn cert(&self) -> Certificate {
        Certificate::from_der(&self.x509.to_der().unwrap()).unwrap()
    }
}

pub(crate) struct Plan<'a> {
    pub(crate) ca: Option<bool>,
    pub(crate) days: (i64, i64),
    pub(crate) alt: &'a [&'a str],
    pub(crate) extra: Vec<X509Extension>,
    pub(crate) serial: u32,
}

pub(crate) fn plan(ca: bool) -> Plan<'static> {
    Plan { ca: Some(ca), days: (0, 10), alt: &[], extra: Vec::new(), serial: 7 }
}

pub(crate) fn time(day: i64) -> Asn1Time {
    Asn1Time::from_unix(FROM + day * DAY).unwrap()
}

pub(crate) fn make(name: &str, by: Option<&Made>, p: &Plan<'_>) -> Made {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    make_with(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap(), name, by, p)
}

pub(crate) fn make_with(key: PKey<Private>, name: &str, by: Option<&Made>, p: &Plan<'_>) -> Made {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("O", "Test").unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut b = X509Builder::new().unwrap();
    b.set_version(2).unwrap();
    b.set_subject_name(&subject).unwrap();
    b.set_issuer_name(by.map_or(&subject, |m| m.x509.subject_name())).unwrap();
    b.set_pubkey(&key).unwrap();
    b.set_not_before(&time(p.days.0)).unwrap();
    b.set_not_after(&time(p.days.1)).unwrap();
    let serial = Asn1Integer::from_bn(&BigNum::from_u32(p.serial).unwrap()).unwrap();
    b.set_serial_number(&serial).unwrap();
    match p.ca {
        Some(true) => b.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap(),
        Some(false) => b.append_extension(BasicConstraints::new().build().unwrap()).unwrap(),
        None => {}
    }
    if !p.alt.is_empty() {
        let mut alt = SubjectAlternativeName::new();
        for name in p.alt {
            match name.split_once(':').unwrap() {
                ("dns", n) => alt.dns(n),
                ("email", n) => alt.email(n),
                (_, n) => alt.ip(n),
            };
        }
        let alt = alt.build(&b.x509v3_context(None, None)).unwrap();
        b.append_extension(alt).unwrap();
    }
    for e in &p.extra {
        b.append_extension2(e).unwrap();
    }
    b.sign(by.map_or(&key, |m| &m.key), MessageDigest::sha256()).unwrap();
    Made { x509: b.build(), key }
}

pub(crate) fn trust(authorities: &[&Made]) -> Trust {
    Trust { authorities: authorities.iter().map(|m| m.cert()).collect(), ..Trust::default() }
}

pub(crate) fn judge(trust: &Trust, leaf: &Made, others: &[&Made], now: u64) -> Result<usize, String> {
    let others: Vec<_> = others.iter().map(|m| m.cert()).collect();
    let found = trust.judge(&leaf.cert(), &others, now, StrictCrl::No);
    found.map(|b| b.chain.len()).map_err(|d| d.remarks.join("; "))
}

pub(crate) fn ext(oid: &str, critical: bool, value: &[u8]) -> X509Extension {
    let oid = openssl::asn1::Asn1Object::from_str(oid).unwrap();
    let octets = openssl::asn1::Asn1OctetString::new_from_bytes(value).unwrap();
    X509Extension::new_from_der(&oid, critical, &octets).unwrap()
}

pub(crate) fn crl(by: &Made, days: (i64, i64), serials: &[u32], extra: &[X509Extension]) -> X509Crl {
    let mut b = X509CrlBuilder::new().unwrap();
    b.set_issuer_name(by.x509.subject_name()).unwrap();
    b.set_last_update(&time(days.0)).unwrap();
    b.set_next_update(&time(days.1)).unwrap();
    for n in serials {
        let mut r = X509RevokedBuilder::new().unwrap();
        r.set_revocation_date(&time(1)).unwrap();
        r.set_serial_number(&Asn1Integer::from_bn(&BigNum::from_u32(*n).unwrap()).unwrap()).unwrap();
        b.add_revoked(r.build()).unwrap();
    }
    // The library wants an authorityKeyIdentifier and a cRLNumber.
    for e in [ext("2.5.29.35", false, &[0x30, 4, 0x80, 2, 1, 2]), ext("2.5.29.20", false, &[2, 1, 1])] {
        b.append_extension2(&e).unwrap();
    }
    for e in extra {
        b.append_extension2(e).unwrap();
    }
    b.sign(&by.key, MessageDigest::sha256()).unwrap();
    b.build().unwrap()
}
