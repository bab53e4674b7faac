//! Certificate revocation lists (RFC 5280 §5).

use std::sync::Arc;

use ipsec_types::der::{Reader, tag};
use ipsec_types::dn;
use openssl::x509::{CrlStatus, ReasonCode, X509Crl};

use crate::cert::{Certificate, seconds};
use crate::{CryptoError, pem};

/// Longest list, in octets.
pub const MAX_CRL: usize = 16 << 20;

/// A list. Cheap to clone.
#[derive(Clone)]
pub struct Crl(Arc<Inner>);

struct Inner {
    crl: X509Crl,
    der: Vec<u8>,
    issuer: Vec<u8>,
    this_update: i64,
    next_update: Option<i64>,
    revoked: usize,
}

impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crl({}, {} revoked)", dn::text(&self.0.issuer), self.0.revoked)
    }
}

/// When and why a certificate was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Second since 1970.
    pub at: i64,
    /// `key compromise`, as Openswan has it.
    pub reason: &'static str,
}

impl Crl {
    /// Reads one from DER or PEM.
    ///
    /// # Errors
    /// No list, or one that would be misread: a delta list, one of another CA's certificates, one for some reasons only, or
    /// with any other critical extension.
    pub fn from_file(data: &[u8]) -> Result<Self, CryptoError> {
        if data.len() > MAX_CRL {
            return Err(CryptoError::unusable("CRL too long"));
        }
        if pem::is_pem(data) {
            let found =
                pem::blocks(data)?.into_iter().find(|b| matches!(b.label.as_str(), "X509 CRL" | "CRL"));
            return Self::from_der(&found.ok_or_else(|| CryptoError::unusable("no CRL in the file"))?.der);
        }
        Self::from_der(data)
    }

    fn from_der(der: &[u8]) -> Result<Self, CryptoError> {
        let crl = X509Crl::from_der(der).map_err(|_| CryptoError::unusable("not a CRL"))?;
        if crl.to_der()?.len() != der.len() {
            return Err(CryptoError::unusable("octets behind the CRL"));
        }
        let issuer = crl.issuer_name().to_der()?;
        let this_update = seconds(crl.last_update())?;
        let next_update = crl.next_update().map(seconds).transpose()?;
        let revoked = crl.get_revoked().map_or(0, |r| r.len());
        check_extensions(der)?;
        Ok(Crl(Arc::new(Inner { crl, der: der.to_vec(), issuer, this_update, next_update, revoked })))
    }

    /// The octets.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// DER of the issuer.
    pub fn issuer(&self) -> &[u8] {
        &self.0.issuer
    }

    /// When it was made.
    pub fn this_update(&self) -> i64 {
        self.0.this_update
    }

    /// When there is a newer one; `None` if it does not say.
    pub fn next_update(&self) -> Option<i64> {
        self.0.next_update
    }

    /// Numbers on it.
    pub fn revoked(&self) -> usize {
        self.0.revoked
    }

    /// Whether the CA `issuer` has signed it, and may.
    pub fn is_by(&self, issuer: &Certificate) -> bool {
        use openssl::x509::X509KeyUsage;
        let may = issuer.x509().key_usage().is_none_or(|u| u.contains(X509KeyUsage::CRL_SIGN));
        let key = issuer.x509().public_key();
        may && dn::matches(issuer.subject(), self.issuer())
            && key.is_ok_and(|k| self.0.crl.verify(&k).unwrap_or(false))
    }

    /// What it says of a certificate of its issuer's.
    pub fn revocation(&self, cert: &Certificate) -> Option<Revocation> {
        match self.0.crl.get_by_serial(cert.x509().serial_number()) {
            CrlStatus::NotRevoked | CrlStatus::RemoveFromCrl(_) => None,
            CrlStatus::Revoked(entry) => {
                let reason = entry.extension::<ReasonCode>().ok().flatten();
                let reason = reason.and_then(|r| r.1.get_i64().ok()).map_or("unspecified", reason_name);
                Some(Revocation { at: seconds(entry.revocation_date()).unwrap_or(0), reason })
            }
        }
    }
}

/// CRLReason (RFC 5280 §5.3.1).
pub(crate) fn reason_name(n: i64) -> &'static str {
    match n {
        1 => "key compromise",
        2 => "ca compromise",
        3 => "affiliation changed",
        4 => "superseded",
        5 => "cessation of operation",
        6 => "certificate hold",
        8 => "remove from crl",
        9 => "privilege withdrawn",
        10 => "aa compromise",
        _ => "unspecified",
    }
}

/// 2.5.29.28, issuingDistributionPoint.
const ISSUING_POINT: &[u8] = &[0x55, 0x1d, 0x1c];

/// Refuses what RFC 5280 §5.2 forbids to overlook.
fn check_extensions(der: &[u8]) -> Result<(), CryptoError> {
    let broken = || CryptoError::unusable("not a CRL");
    let mut tbs = Reader::new(der)
        .inside(tag::SEQUENCE)
        .and_then(|mut r| r.inside(tag::SEQUENCE))
        .ok_or_else(broken)?;
    while let Some((kind, contents)) = tbs.element() {
        // [0] EXPLICIT Extensions
        if kind != 0xa0 {
            continue;
        }
        let mut list = Reader::new(contents).inside(tag::SEQUENCE).ok_or_else(broken)?;
        while !list.is_empty() {
            let mut one = list.inside(tag::SEQUENCE).ok_or_else(broken)?;
            let oid = one.expect(tag::OID).ok_or_else(broken)?;
            let critical = one.expect(tag::BOOLEAN).is_some_and(|b| b != [0]);
            let value = one.expect(tag::OCTET_STRING).ok_or_else(broken)?;
            if oid == ISSUING_POINT && !is_whole(value) {
                return Err(CryptoError::unusable("CRL of a part of the certificates only"));
            }
            if critical && oid != ISSUING_POINT {
                return Err(CryptoError::unusable("CRL with a critical extension that is not known here"));
            }
        }
    }
    Ok(())
}

/// IssuingDistributionPoint: only the name of the point may be there.
fn is_whole(value: &[u8]) -> bool {
    let Some(mut parts) = Reader::new(value).inside(tag::SEQUENCE) else { return false };
    while !parts.is_empty() {
        match parts.element() {
            // [0] distributionPoint; the flags may be there if they are false.
            Some((0xa0, _)) => {}
            Some((0x81 | 0x82 | 0x84 | 0x85, [0])) => {}
            _ => return false,
        }
    }
    true
}
