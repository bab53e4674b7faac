//! Asking an OCSP responder (RFC 6960) and reading its answer.

use ipsec_types::dn;
use openssl::asn1::{Asn1GeneralizedTime, Asn1GeneralizedTimeRef};
use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspCertId, OcspCertStatus, OcspFlag, OcspRequest, OcspResponse, OcspResponseStatus};

use crate::CryptoError;
use crate::cert::Certificate;
use crate::crl::{Revocation, reason_name};
use crate::trust::{Trust, stack};

/// Longest answer, in octets.
pub const MAX_ANSWER: usize = 1 << 20;

/// What a responder says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked.
    Revoked(Revocation),
    /// The responder does not know it.
    Unknown,
}

/// A verified answer about one certificate.
#[derive(Clone, Debug)]
pub struct Answer {
    cert: Certificate,
    issuer: Certificate,
    status: Status,
    this_update: i64,
    next_update: i64,
}

/// How long an answer that does not say so itself is good, in seconds.
const DEFAULT_LIFE: i64 = 3600;
/// What clocks may differ, in seconds.
const SKEW: i64 = 300;

fn id(cert: &Certificate, issuer: &Certificate) -> Result<OcspCertId, CryptoError> {
    // SHA-1 is what every responder knows (RFC 5019 §2.1.1); nothing rests on it here but a look-up.
    Ok(OcspCertId::from_cert(MessageDigest::sha1(), cert.x509(), issuer.x509())?)
}

/// The request that asks for `cert`, to be sent by HTTP POST as `application/ocsp-request`.
///
/// # Errors
/// The library has no memory.
pub fn request(cert: &Certificate, issuer: &Certificate) -> Result<Vec<u8>, CryptoError> {
    let mut request = OcspRequest::new()?;
    request.add_id(id(cert, issuer)?)?;
    Ok(request.to_der()?)
}

/// Seconds since 1970 of a GeneralizedTime.
fn seconds(t: &Asn1GeneralizedTimeRef) -> Option<i64> {
    // The library compares and prints them only: `Nov 29 13:17:09 2026 GMT`.
    let text = t.to_string();
    openssl::asn1::Asn1Time::from_str(&compact(&text)?).ok().and_then(|t| crate::cert::seconds(&t).ok())
}

/// `20261129131709Z` of `Nov 29 13:17:09 2026 GMT`.
fn compact(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [month, day, clock, year, ..] = words.as_slice() else { return None };
    let month = MONTHS.iter().position(|m| m == month)? + 1;
    let clock: String = clock.split('.').next()?.chars().filter(char::is_ascii_digit).collect();
    let day: u8 = day.parse().ok()?;
    let compact = format!("{year}{month:02}{day:02}{clock}Z");
    Asn1GeneralizedTime::from_str(&compact).ok().map(|_| compact)
}

impl Answer {
    /// Reads and verifies an answer about `cert` at `now`: it must be signed by the issuer, by somebody the issuer has
    /// entitled (RFC 6960 §4.2.2.2), or by one of our `ocspcerts`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        data: &[u8],
        cert: &Certificate,
        issuer: &Certificate,
        trust: &Trust,
        now: u64,
    ) -> Result<Self, CryptoError> {
        let bad = |why: &str| CryptoError::Unusable(format!("ocsp response {why}"));
        if data.len() > MAX_ANSWER {
            return Err(bad("too long"));
        }
        let response = OcspResponse::from_der(data).map_err(|_| bad("is malformed"))?;
        if response.status() != OcspResponseStatus::SUCCESSFUL {
            return Err(CryptoError::Unusable(format!(
                "ocsp responder refuses: status {}",
                response.status().as_raw()
            )));
        }
        let basic = response.basic().map_err(|_| bad("is malformed"))?;
        let mut helpers = trust.ocsp_signers.clone();
        helpers.push(issuer.clone());
        helpers.extend(trust.authorities.iter().filter(|c| !c.is_self_issued()).cloned());
        let helpers = stack(&helpers)?;
        let store = trust.store(now)?;
        let by_ca = basic.verify(&helpers, &store, OcspFlag::empty());
        if by_ca.is_err() {
            let own = stack(&trust.ocsp_signers)?;
            let flags = OcspFlag::TRUST_OTHER | OcspFlag::NO_INTERN;
            let by_own = !trust.ocsp_signers.is_empty() && basic.verify(&own, &store, flags).is_ok();
            if !by_own {
                return Err(bad("signature is invalid, or its signer not entitled"));
            }
        }
        let found =
            basic.find_status(&*id(cert, issuer)?).ok_or_else(|| bad("is about another certificate"))?;
        let this_update = seconds(found.this_update).ok_or_else(|| bad("has a date that is none"))?;
        let next_update = match found.next_update() {
            Some(t) => seconds(t).ok_or_else(|| bad("has a date that is none"))?,
            None => this_update + DEFAULT_LIFE,
        };
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        if this_update > now + SKEW || next_update < now - SKEW {
            return Err(bad("is not of today"));
        }
        let status = match found.status {
            OcspCertStatus::GOOD => Status::Good,
            OcspCertStatus::REVOKED => Status::Revoked(Revocation {
                at: found.revocation_time.and_then(seconds).unwrap_or(0),
                reason: reason_name(found.reason.as_raw().into()),
            }),
            _ => Status::Unknown,
        };
        Ok(Answer { cert: cert.clone(), issuer: issuer.clone(), status, this_update, next_update })
    }

    /// Whether it is about this certificate.
    pub fn is_about(&self, cert: &Certificate, issuer: &Certificate) -> bool {
        self.cert == *cert && self.issuer == *issuer
    }

    /// What it says.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Whether it is still good at a second since 1970.
    pub fn is_fresh(&self, now: i64) -> bool {
        self.next_update >= now
    }

    /// When it was made and until when it is good.
    pub fn dates(&self) -> (i64, i64) {
        (self.this_update, self.next_update)
    }

    /// The certificate it is about.
    pub fn cert(&self) -> &Certificate {
        &self.cert
    }

    /// `good`, `revoked`, `unknown`.
    pub fn word(&self) -> &'static str {
        match self.status {
            Status::Good => "good",
            Status::Revoked(_) => "revoked",
            Status::Unknown => "unknown",
        }
    }

    /// The issuer's name, for the lists.
    pub fn issuer_text(&self) -> String {
        dn::text(self.issuer.subject())
    }
}
