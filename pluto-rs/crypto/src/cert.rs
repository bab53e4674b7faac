//! X.509 certificates (RFC 5280): what is read out of one. Whether one is trusted is decided in [`crate::trust`].

use std::net::IpAddr;
use std::sync::Arc;

use ipsec_types::der::{Reader, tag};
use ipsec_types::{Id, dn};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::pkcs7::Pkcs7;
use openssl::x509::{X509, X509Ref};

use crate::key::PublicKey;
use crate::{CryptoError, pem};

/// Longest certificate, in octets of DER.
pub const MAX_CERT: usize = 64 << 10;
/// Most certificates of one file or one PKCS#7 container.
pub const MAX_CERTS: usize = 1000;
/// Most alternative names and addresses of lists that are kept of a certificate.
const MAX_NAMES: usize = 100;

/// A certificate. Cheap to clone.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    x509: X509,
    der: Vec<u8>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    names: Vec<Id>,
    key: Result<PublicKey, CryptoError>,
    not_before: i64,
    not_after: i64,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}
impl Eq for Certificate {}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", dn::text(&self.0.subject))
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(t: &Asn1TimeRef) -> Result<i64, CryptoError> {
    let bad = |_| CryptoError::unusable("a date that is none");
    let d = Asn1Time::from_unix(0)?.diff(t).map_err(bad)?;
    Ok(i64::from(d.days) * 86_400 + i64::from(d.secs))
}

impl Certificate {
    /// Reads one from DER.
    ///
    /// # Errors
    /// No certificate, octets behind it, or one that nothing can be done with: dates or names that are none.
    pub fn from_der(der: &[u8]) -> Result<Self, CryptoError> {
        if der.len() > MAX_CERT {
            return Err(CryptoError::unusable("certificate too long"));
        }
        let x509 = X509::from_der(der).map_err(|_| CryptoError::unusable("not an X.509 certificate"))?;
        let again = x509.to_der()?;
        if again.len() != der.len() {
            return Err(CryptoError::unusable("octets behind the certificate"));
        }
        let (subject, issuer) = (x509.subject_name().to_der()?, x509.issuer_name().to_der()?);
        let empty = |n: &[u8]| n == [tag::SEQUENCE, 0];
        if !dn::is_dn(&issuer) || empty(&issuer) || !dn::is_dn(&subject) {
            return Err(CryptoError::unusable("certificate with a broken issuer or subject"));
        }
        let key = x509.public_key().map_err(CryptoError::from).and_then(|k| PublicKey::of(&k));
        let (not_before, not_after) = (seconds(x509.not_before())?, seconds(x509.not_after())?);
        let names = alternative_names(&x509);
        let der = der.to_vec();
        Ok(Certificate(Arc::new(Inner { x509, der, subject, issuer, names, key, not_before, not_after })))
    }

    /// Reads a file: DER, or all certificates of PEM, at least one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn from_file(data: &[u8]) -> Result<Vec<Self>, CryptoError> {
        if !pem::is_pem(data) {
            return Self::from_der(data).map(|c| vec![c]);
        }
        let is_cert = |l: &str| matches!(l, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE");
        let blocks = pem::blocks(data)?.into_iter().filter(|b| is_cert(&b.label));
        let found: Vec<Self> = blocks.map(|b| Self::from_der(&b.der)).collect::<Result<_, _>>()?;
        match found.is_empty() {
            true => Err(CryptoError::unusable("no certificate in the file")),
            false => Ok(found),
        }
    }

    pub(crate) fn x509(&self) -> &X509Ref {
        &self.0.x509
    }

    /// The octets.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// DER of the subject.
    pub fn subject(&self) -> &[u8] {
        &self.0.subject
    }

    /// DER of the issuer.
    pub fn issuer(&self) -> &[u8] {
        &self.0.issuer
    }

    /// Subject and issuer are the same.
    pub fn is_self_issued(&self) -> bool {
        dn::matches(&self.0.issuer, &self.0.subject)
    }

    /// The key.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn key(&self) -> Result<&PublicKey, CryptoError> {
        self.0.key.as_ref().map_err(Clone::clone)
    }

    /// Alternative names that are identities.
    pub fn names(&self) -> &[Id] {
        &self.0.names
    }

    /// Second since 1970 from which on it is valid.
    pub fn not_before(&self) -> i64 {
        self.0.not_before
    }

    /// Last second of its validity.
    pub fn not_after(&self) -> i64 {
        self.0.not_after
    }

    /// Whether it says that its owner is `id`, as subject or as an alternative name.
    pub fn names_id(&self, id: &Id) -> bool {
        match id {
            Id::None => false,
            Id::Dn(der) if dn::matches(&self.0.subject, der) => {
                dn::wildcards(der) == 0 || self.0.subject == *der
            }
            _ => self.0.names.iter().any(|n| *n != Id::None && n.matches(id)),
        }
    }

    /// The serial number, big-endian.
    pub fn serial(&self) -> Vec<u8> {
        self.0.x509.serial_number().to_bn().map(|n| n.to_vec()).unwrap_or_default()
    }

    /// The key identifier of the subject.
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.x509.subject_key_id().map(|k| k.as_slice())
    }

    /// The key identifier of the issuer.
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.0.x509.authority_key_id().map(|k| k.as_slice())
    }

    /// Addresses of CRLs that tell of it.
    pub fn crl_uris(&self) -> Vec<String> {
        let Some(points) = self.0.x509.crl_distribution_points() else { return Vec::new() };
        let names = points.iter().filter_map(|p| p.distpoint()?.fullname());
        let uris = names.flat_map(|n| n.iter().filter_map(|n| n.uri().map(str::to_string)));
        uris.take(MAX_NAMES).collect()
    }

    /// Addresses of OCSP responders that tell of it.
    pub fn ocsp_uris(&self) -> Vec<String> {
        let Ok(list) = self.0.x509.ocsp_responders() else { return Vec::new() };
        list.iter().take(MAX_NAMES).map(|u| u.to_string()).collect()
    }

    /// Whether its extensions let it be used by an end of an IKE SA.
    ///
    /// # Errors
    /// Which one does not: a keyUsage without signatures (RFC 4945 §5.1.3.2), an extendedKeyUsage without any purpose that
    /// IKE peers have (§5.1.3.12).
    pub fn check_purpose(&self) -> Result<(), CryptoError> {
        use openssl::x509::X509KeyUsage;
        let signs = X509KeyUsage::DIGITAL_SIGNATURE | X509KeyUsage::NON_REPUDIATION;
        if self.0.x509.key_usage().is_some_and(|u| !u.intersects(signs)) {
            return Err(CryptoError::unusable("its keyUsage does not allow signatures"));
        }
        match extension(&self.0.der, EXTENDED_KEY_USAGE) {
            Some(value) if !allows_ike(value) => {
                Err(CryptoError::unusable("its extendedKeyUsage is not for IKE"))
            }
            _ => Ok(()),
        }
    }
}

fn alternative_names(x509: &X509Ref) -> Vec<Id> {
    let Some(names) = x509.subject_alt_names() else { return Vec::new() };
    // A NUL would let two different names look alike.
    let plain = |s: &str| (!s.is_empty() && !s.contains('\0')).then(|| s.to_string());
    let id = |n: &openssl::x509::GeneralNameRef| {
        if let Some(name) = n.dnsname() {
            return plain(name).map(Id::Fqdn);
        }
        if let Some(name) = n.email() {
            return plain(name).map(Id::UserFqdn);
        }
        if let Some(octets) = n.ipaddress() {
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            return v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok().map(Id::Addr);
        }
        let der = n.directory_name()?.to_der().ok()?;
        (dn::is_dn(&der) && der != [tag::SEQUENCE, 0]).then_some(Id::Dn(der))
    };
    names.iter().take(MAX_NAMES).filter_map(id).collect()
}

/// 2.5.29.37.
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

/// The value of an extension of a certificate.
fn extension<'a>(cert: &'a [u8], oid: &[u8]) -> Option<&'a [u8]> {
    let mut tbs = Reader::new(cert).inside(tag::SEQUENCE)?.inside(tag::SEQUENCE)?;
    while let Some((kind, contents)) = tbs.element() {
        // [3] EXPLICIT Extensions
        if kind != 0xa3 {
            continue;
        }
        let mut list = Reader::new(contents).inside(tag::SEQUENCE)?;
        while let Some(mut one) = list.inside(tag::SEQUENCE) {
            let is = one.expect(tag::OID)? == oid;
            one.expect(tag::BOOLEAN);
            let value = one.expect(tag::OCTET_STRING)?;
            if is {
                return Some(value);
            }
        }
    }
    None
}

/// Purposes an IKE peer may have: serverAuth, clientAuth, ipsecEndSystem, ipsecTunnel, ipsecUser, ipsecIKE,
/// iKEIntermediate, anyExtendedKeyUsage.
fn allows_ike(value: &[u8]) -> bool {
    const PKIX: [u8; 7] = [0x2b, 6, 1, 5, 5, 7, 3];
    let Some(mut list) = Reader::new(value).inside(tag::SEQUENCE) else { return false };
    while let Some(oid) = list.expect(tag::OID) {
        let fits = match oid.strip_prefix(&PKIX) {
            Some([n]) => matches!(n, 1 | 2 | 5 | 6 | 7 | 17),
            _ => oid == [0x2b, 6, 1, 5, 5, 8, 2, 2] || oid == [0x55, 0x1d, 0x25, 0],
        };
        if fits {
            return true;
        }
    }
    false
}

/// The certificates of a PKCS#7 container of signed data (RFC 2315 §9), as Windows sends chains; those that are broken are
/// left out. Whoever signed it does not matter: each certificate speaks for itself.
///
/// # Errors
/// Another kind of container, or none at all.
pub fn from_pkcs7(der: &[u8]) -> Result<Vec<Certificate>, CryptoError> {
    let bad = || CryptoError::unusable("not a PKCS#7 container of certificates");
    if der.len() > MAX_CERT {
        return Err(CryptoError::unusable("PKCS#7 container too long"));
    }
    let p7 = Pkcs7::from_der(der).map_err(|_| bad())?;
    let list = p7.signed().and_then(|s| s.certificates()).ok_or_else(bad)?;
    let certs = list.iter().take(MAX_CERTS).filter_map(|c| Certificate::from_der(&c.to_der().ok()?).ok());
    Ok(certs.collect())
}
