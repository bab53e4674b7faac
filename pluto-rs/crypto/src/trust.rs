//! Whether a peer's certificate is to be believed: a chain up to a CA we trust, valid now, not revoked.
//!
//! ```text
//! peer's certificate -- intermediate CAs (from the peer, or ours) -- a self-signed CA of /etc/ipsec.d/cacerts
//! ```
//!
//! The certificates of a peer never become trust anchors. Revocation is looked at only once the chain stands, so nobody can
//! make us fetch a list whom no CA of ours knows (CVE-2022-40617).

use std::sync::Arc;

use ipsec_types::auth::StrictCrl;
use ipsec_types::dn;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509StoreContext, X509VerifyResult};

use crate::CryptoError;
use crate::cert::Certificate;
use crate::crl::Crl;
use crate::ocsp::{Answer, Status};

/// Most certificates of a chain, without the peer's own and the CA's.
const MAX_INTERMEDIATES: i32 = 7;
/// Most certificates that are taken from a peer.
pub const MAX_FROM_PEER: usize = 32;

/// What we trust, at one time.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// `cacerts`: self-signed ones are anchors, others intermediates that need not be sent.
    pub authorities: Vec<Certificate>,
    /// `ocspcerts`: signers of OCSP answers beside the CAs.
    pub ocsp_signers: Vec<Certificate>,
    /// `crls`, and what was fetched, each with where it is from.
    pub crls: Vec<(Crl, String)>,
    /// Answers of OCSP responders that are still good.
    pub ocsp: Vec<Arc<Answer>>,
    /// `ca` sections: where to ask about certificates that do not say so themselves, or besides.
    pub points: Vec<Points>,
}

/// Addresses where a CA's certificates are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Points {
    /// The CA; a later certificate of it with the same name and key is the same CA.
    pub ca: Certificate,
    /// Of CRLs.
    pub crl_uris: Vec<String>,
    /// Of OCSP responders.
    pub ocsp_uris: Vec<String>,
}

impl Points {
    fn are_of(&self, issuer: &Certificate) -> bool {
        let same_key = || matches!((self.ca.key(), issuer.key()), (Ok(a), Ok(b)) if a == b);
        self.ca == *issuer || dn::matches(self.ca.subject(), issuer.subject()) && same_key()
    }
}

/// A certificate that is believed.
#[derive(Clone, Debug)]
pub struct Believed {
    /// From the peer's own up to the anchor.
    pub chain: Vec<Certificate>,
    /// Lines for the log.
    pub remarks: Vec<String>,
    /// What would tell more about revocation than we know.
    pub wanted: Vec<Wanted>,
}

/// News about revocation that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The certificate it is about.
    pub cert: Certificate,
    /// Who issued it.
    pub issuer: Certificate,
    /// Addresses of CRLs.
    pub crl_uris: Vec<String>,
    /// Addresses of OCSP responders.
    pub ocsp_uris: Vec<String>,
}

/// A certificate that is not: why, for the log, and what might have changed it.
#[derive(Clone, Debug, Default)]
pub struct Doubted {
    /// Lines for the log.
    pub remarks: Vec<String>,
    /// What was missing.
    pub wanted: Vec<Wanted>,
}

impl Trust {
    /// Looks at `leaf`, with the other certificates a peer has sent, at `now` (seconds since 1970) under
    /// `strictcrlpolicy=strict`.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn judge(
        &self,
        leaf: &Certificate,
        others: &[Certificate],
        now: u64,
        strict: StrictCrl,
    ) -> Result<Believed, Doubted> {
        let refused = |mut remarks: Vec<String>, wanted: Vec<Wanted>| {
            remarks.push("X.509 certificate rejected".into());
            Doubted { remarks, wanted }
        };
        let chain = self.chain(leaf, others, now).map_err(|why| refused(vec![why], Vec::new()))?;
        let mut remarks = Vec::new();
        let mut wanted = Vec::new();
        for pair in chain.windows(2) {
            let [cert, issuer] = pair else { continue };
            let seen = self.revocation(cert, issuer, (now, strict), &mut remarks, &mut wanted);
            if let Err(why) = seen {
                remarks.push(why);
                return Err(refused(remarks, wanted));
            }
        }
        Ok(Believed { chain, remarks, wanted })
    }

    /// Builds the chain.
    fn chain(
        &self,
        leaf: &Certificate,
        others: &[Certificate],
        now: u64,
    ) -> Result<Vec<Certificate>, String> {
        leaf.key().map_err(|e| format!("certificate has no key to be used: {e}"))?;
        leaf.check_purpose().map_err(|e| format!("certificate is invalid: {e}"))?;
        let library = |e: CryptoError| e.to_string();
        let anchors = self.store(now).map_err(library)?;
        let mut untrusted = Stack::new().map_err(|e| e.to_string())?;
        let ours = self.authorities.iter().filter(|c| !c.is_self_issued());
        for c in others.iter().take(MAX_FROM_PEER).chain(ours) {
            let copy = c.x509().to_owned();
            untrusted.push(copy).map_err(|e| e.to_string())?;
        }
        let mut context = X509StoreContext::new().map_err(|e| e.to_string())?;
        let found = context.init(&anchors, leaf.x509(), &untrusted, |c| {
            let good = c.verify_cert()?;
            let failed = c.current_cert().map(|c| c.to_der()).transpose()?;
            let chain: Result<Vec<Vec<u8>>, _> =
                c.chain().iter().flat_map(|c| c.iter()).map(|c| c.to_der()).collect();
            Ok((good, c.error(), failed, chain?))
        });
        let (good, error, failed, ders) = found.map_err(|e| e.to_string())?;
        let certs = ders.iter().map(|d| Certificate::from_der(d)).collect::<Result<Vec<_>, _>>();
        let certs = certs.map_err(library)?;
        match good {
            true => Ok(certs),
            false => Err(explain(error, failed.and_then(|d| Certificate::from_der(&d).ok()).as_ref())),
        }
    }

    /// The anchors, as the library wants them.
    pub(crate) fn store(&self, now: u64) -> Result<X509Store, CryptoError> {
        let mut store = X509StoreBuilder::new()?;
        for c in self.authorities.iter().filter(|c| c.is_self_issued()) {
            store.add_cert(c.x509().to_owned())?;
        }
        let mut param = X509VerifyParam::new()?;
        param.set_depth(MAX_INTERMEDIATES);
        param.set_time(i64::try_from(now).unwrap_or(i64::MAX));
        store.set_param(&param)?;
        Ok(store.build())
    }

    /// Where to ask about a certificate: addresses of CRLs and of OCSP responders, those of `ca` sections first, as
    /// strongSwan has them.
    fn addresses(&self, cert: &Certificate, issuer: &Certificate) -> (Vec<String>, Vec<String>) {
        let sections = || self.points.iter().filter(|p| p.are_of(issuer));
        let each_once = |uris: Vec<String>| {
            uris.into_iter().fold(Vec::new(), |mut all, uri| {
                if !all.contains(&uri) {
                    all.push(uri);
                }
                all
            })
        };
        (
            each_once(sections().flat_map(|p| p.crl_uris.clone()).chain(cert.crl_uris()).collect()),
            each_once(sections().flat_map(|p| p.ocsp_uris.clone()).chain(cert.ocsp_uris()).collect()),
        )
    }

    /// Whether a certificate has been revoked by its issuer.
    fn revocation(
        &self,
        cert: &Certificate,
        issuer: &Certificate,
        (now, strict): (u64, StrictCrl),
        remarks: &mut Vec<String>,
        wanted: &mut Vec<Wanted>,
    ) -> Result<(), String> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let revoked =
            |at: i64, reason: &str| Err(format!("certificate was revoked on {}, reason: {reason}", date(at)));
        for answer in self.ocsp.iter().filter(|a| a.is_about(cert, issuer)) {
            match answer.status() {
                Status::Revoked(r) => return revoked(r.at, r.reason),
                Status::Good if answer.is_fresh(now) => return Ok(()),
                Status::Good | Status::Unknown => {}
            }
        }
        let crls = self.crls.iter().map(|c| &c.0);
        let mut lists: Vec<&Crl> = crls.filter(|c| dn::matches(c.issuer(), issuer.subject())).collect();
        lists.sort_by_key(|c| std::cmp::Reverse(c.this_update()));
        let list = lists.iter().find(|c| c.is_by(issuer));
        let fresh = list.is_some_and(|c| c.next_update().is_none_or(|t| t >= now));
        if let Some(r) = list.and_then(|l| l.revocation(cert)) {
            return revoked(r.at, r.reason);
        }
        if fresh {
            return Ok(());
        }
        let (crl_uris, ocsp_uris) = self.addresses(cert, issuer);
        let strict = match strict {
            StrictCrl::No => false,
            StrictCrl::Yes => true,
            StrictCrl::IfUri => !crl_uris.is_empty() || !ocsp_uris.is_empty(),
        };
        let issuer_name = dn::text(issuer.subject());
        let word = if strict { "yes" } else { "no" };
        match (list.and_then(|l| l.next_update()), lists.is_empty()) {
            (Some(t), _) => remarks.push(format!(
                "crl of issuer \"{issuer_name}\" has expired since {} (strict={word})",
                date(t)
            )),
            (None, false) => {
                remarks.push(format!("crl of issuer \"{issuer_name}\" has a wrong signature (strict={word})"))
            }
            (None, true) => {
                remarks.push(format!("no crl from issuer \"{issuer_name}\" found (strict={word})"))
            }
        }
        if !crl_uris.is_empty() || !ocsp_uris.is_empty() {
            wanted.push(Wanted { cert: cert.clone(), issuer: issuer.clone(), crl_uris, ocsp_uris });
        }
        match strict {
            true => Err("certificate status unknown".into()),
            false => Ok(()),
        }
    }
}

/// The library's reason in Openswan's words, where it has some.
fn explain(error: X509VerifyResult, cert: Option<&Certificate>) -> String {
    // X509_V_ERR_…: the numbers are part of the library's interface.
    match (error.as_raw(), cert) {
        (2 | 20 | 21 | 18 | 19, Some(c)) => format!("issuer cacert not found: \"{}\"", dn::text(c.issuer())),
        (9 | 10, Some(c)) => {
            format!("certificate is invalid (valid from {} to {})", date(c.not_before()), date(c.not_after()))
        }
        (7, _) => "certificate signature is invalid".into(),
        (22, _) => "certificate chain is too long".into(),
        (_, Some(c)) => {
            format!("certificate \"{}\" is invalid: {}", dn::text(c.subject()), error.error_string())
        }
        (_, None) => format!("certificate is invalid: {}", error.error_string()),
    }
}

/// `Nov 29 13:17:09 UTC 2026`, as the lists have it with `--utc`.
pub fn date(seconds: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1970 to a date of the Gregorian calendar, whose years are counted from March.
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 2 } else { shifted - 10 };
    let year = year_of_era + era * 400 + i64::from(month < 2);
    let name = usize::try_from(month).ok().and_then(|m| MONTHS.get(m)).unwrap_or(&"???");
    format!("{name} {day:02} {:02}:{:02}:{:02} UTC {year}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Certificates of our own to send behind `cert`: the intermediate CAs up to the root, which the peer must have.
pub fn path_to_send(cert: &Certificate, known: &[Certificate]) -> Vec<Certificate> {
    let mut path: Vec<Certificate> = Vec::new();
    let mut last = cert.clone();
    while path.len() < MAX_INTERMEDIATES as usize && !last.is_self_issued() {
        let issued = |c: &&Certificate| last.x509_issued_by(c) && !path.contains(c);
        let Some(next) = known.iter().find(issued).cloned() else { break };
        if next.is_self_issued() {
            break;
        }
        path.push(next.clone());
        last = next;
    }
    path
}

impl Certificate {
    /// Whether `issuer` could have issued it, by names and key identifiers.
    fn x509_issued_by(&self, issuer: &Certificate) -> bool {
        issuer.x509().issued(self.x509()) == X509VerifyResult::OK
    }
}

/// Keeps the type in one place: what the library takes for a certificate.
pub(crate) fn stack(certs: &[Certificate]) -> Result<Stack<X509>, CryptoError> {
    let mut stack = Stack::new()?;
    for c in certs {
        stack.push(c.x509().to_owned())?;
    }
    Ok(stack)
}
