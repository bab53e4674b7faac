//! What was asked for over a network lately, so that the same is not asked for again and again: after a failure the pause grows.
//! What is still missing is remembered. Nothing is fetched here, and time is passed in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ipsec_crypto::Certificate;
use ipsec_crypto::trust::Wanted;

/// The same is not asked for again for so long; with each failure in a row for twice as long.
const PAUSE: Duration = Duration::from_secs(9);
/// But for no longer than this: clients may be kept out meanwhile.
const LONGEST: Duration = Duration::from_secs(300);
/// Most that are remembered, and how long something is that nobody asks for any more.
const MOST: usize = 1000;
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Of what is missing, most that are asked for at one look: negotiations have a place in the queue, too.
const LOOK: usize = 16;

struct Asked {
    at: Instant,
    /// When a negotiation last wanted it: what is asked for again of our own accord does not count.
    wanted: Instant,
    /// When it may be asked for again.
    again: Instant,
    /// In a row.
    failures: u32,
    /// As long as it is missing.
    missing: Option<Wanted>,
}

impl Asked {
    fn is_wanted(&self, now: Instant) -> bool {
        self.missing.is_some() && now.saturating_duration_since(self.wanted) < KEPT
    }
}

/// By the certificate that it is about.
#[derive(Default)]
pub(crate) struct Lately(HashMap<Vec<u8>, Asked>);

impl Lately {
    /// Whether news about a certificate may be asked for now.
    pub(crate) fn may_ask(&self, cert: &Certificate, now: Instant) -> bool {
        self.0.get(cert.der()).is_none_or(|a| a.again <= now)
    }

    /// It is asked for, by a negotiation or `again` because it is missing. The one that was asked for longest ago is forgotten
    /// when there are too many.
    pub(crate) fn asked(&mut self, cert: &Certificate, now: Instant, again: bool) {
        let old = self.0.remove(cert.der());
        self.0.retain(|_, a| a.is_wanted(now) || (a.missing.is_none() && a.again > now));
        let wanted = old.as_ref().filter(|_| again).map_or(now, |a| a.wanted);
        let (failures, missing) = old.map_or((0, None), |a| (a.failures, a.missing));
        let pause = PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST);
        self.put(cert, Asked { at: now, wanted, again: now + pause, failures, missing });
    }

    fn put(&mut self, cert: &Certificate, asked: Asked) {
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, a)| a.at).map(|(key, _)| key.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(cert.der().to_vec(), asked);
    }

    /// An answer about a certificate has come.
    pub(crate) fn found(&mut self, cert: &Certificate) {
        if let Some(asked) = self.0.get_mut(cert.der()) {
            (asked.failures, asked.missing, asked.again) = (0, None, asked.at + PAUSE);
        }
    }

    /// A list has come: it is about all certificates of this issuer.
    pub(crate) fn found_list(&mut self, wanted: &Wanted) {
        self.found(&wanted.cert);
        for asked in
            self.0.values_mut().filter(|a| a.missing.as_ref().is_some_and(|m| m.issuer == wanted.issuer))
        {
            (asked.failures, asked.missing, asked.again) = (0, None, asked.at + PAUSE);
        }
    }

    /// It could not be had.
    pub(crate) fn missed(&mut self, wanted: Wanted, now: Instant) {
        match self.0.get_mut(wanted.cert.der()) {
            Some(asked) => {
                asked.failures = asked.failures.saturating_add(1);
                asked.missing = Some(wanted);
            }
            None => {
                let (cert, again) = (wanted.cert.clone(), now + PAUSE);
                self.put(&cert, Asked { at: now, wanted: now, again, failures: 1, missing: Some(wanted) });
            }
        }
    }

    /// What is missing and may be asked for: some of it, and of what can be had at the same addresses one.
    pub(crate) fn missing(&self, now: Instant) -> Vec<Wanted> {
        let mut some: Vec<&Wanted> = Vec::new();
        for wanted in
            self.0.values().filter(|a| a.again <= now && a.is_wanted(now)).filter_map(|a| a.missing.as_ref())
        {
            let same = |w: &&Wanted| w.issuer == wanted.issuer && w.crl_uris == wanted.crl_uris;
            // An answer of OCSP is about one certificate only.
            if some.len() < LOOK && (!wanted.ocsp_uris.is_empty() || !some.iter().any(same)) {
                some.push(wanted);
            }
        }
        some.into_iter().cloned().collect()
    }

    /// Everything may be asked for at once.
    pub(crate) fn hurry(&mut self) {
        self.0.values_mut().for_each(|a| (a.again, a.failures) = (a.at, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cert(name: &str) -> Certificate {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../compat-tests/sim/tests/pki");
        let pem = std::fs::read(format!("{dir}/{name}.pem")).unwrap();
        Certificate::from_file(&pem).unwrap().remove(0)
    }

    fn wanted(cert: &Certificate) -> Wanted {
        Wanted { cert: cert.clone(), issuer: cert.clone(), crl_uris: Vec::new(), ocsp_uris: Vec::new() }
    }

    /// Asked for every second, of a server that is down and comes back.
    #[test]
    fn the_pause_grows_with_each_failure_and_ends_with_success() {
        let (mut lately, server, other) = (Lately::default(), cert("server"), cert("client"));
        let begin = Instant::now();
        let at = |s: u64| begin + Duration::from_secs(s);
        let mut asked = Vec::new();
        for now in 0..2000 {
            if lately.may_ask(&server, at(now)) {
                lately.asked(&server, at(now), false);
                asked.push(now);
                match now < 1000 {
                    true => lately.missed(wanted(&server), at(now)),
                    false => lately.found(&server),
                }
            }
            if asked.len() == 4 {
                assert!(lately.may_ask(&other, at(now)), "it is not about others");
            }
        }
        let pauses: Vec<u64> = asked.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(pauses[..9], [9, 18, 36, 72, 144, 288, 300, 300, 9]);
        assert!(pauses[9..].iter().all(|p| *p == 9));
    }

    #[test]
    fn what_is_missing_is_known_until_it_comes() {
        let (mut lately, server) = (Lately::default(), cert("server"));
        let now = Instant::now();
        let later = now + PAUSE;
        lately.asked(&server, now, false);
        assert!(lately.missing(later).is_empty(), "it may come yet");
        lately.missed(wanted(&server), now);
        assert!(lately.missing(now).is_empty() && lately.missing(later) == [wanted(&server)]);
        lately.hurry();
        assert_eq!(lately.missing(now), [wanted(&server)]);
        lately.asked(&server, now, false);
        lately.found(&server);
        assert!(lately.missing(now + LONGEST).is_empty());
        lately.hurry();
        assert!(lately.may_ask(&server, now) && lately.missing(now + LONGEST).is_empty());
    }

    #[test]
    fn a_thousand_are_remembered_for_a_week_at_most() {
        let (server, now) = (cert("server"), Instant::now());
        for n in [MOST - 1, MOST, MOST + 1] {
            let mut lately = Lately::default();
            for i in 1..n {
                let at = now + Duration::from_millis(u64::try_from(i).unwrap());
                let missing = Some(wanted(&server));
                lately.0.insert(
                    i.to_be_bytes().into(),
                    Asked { at, wanted: at, again: at, failures: 1, missing },
                );
            }
            lately.asked(&server, now + PAUSE, false);
            assert_eq!(lately.0.len(), n.min(MOST));
            assert_eq!(lately.0.contains_key(&1usize.to_be_bytes()[..]), n <= MOST, "the first goes first");
            lately.asked(&server, now + KEPT + PAUSE, false);
            assert_eq!(lately.0.len(), 1);
        }
    }

    /// The server stays down, and nobody with such a certificate has come since.
    #[test]
    fn what_nobody_wants_any_more_is_given_up_however_often_it_is_asked_for_again() {
        let (mut lately, server, begin) = (Lately::default(), cert("server"), Instant::now());
        lately.asked(&server, begin, false);
        lately.missed(wanted(&server), begin);
        let mut last = begin;
        for hour in 1..400 {
            let now = begin + Duration::from_secs(3600 * hour);
            for w in lately.missing(now) {
                lately.asked(&w.cert, now, true);
                lately.missed(w, now);
                last = now;
            }
            // Something else is asked for, too.
            lately.asked(&cert("client"), now, false);
        }
        assert_eq!(last - begin, KEPT - Duration::from_secs(3600));
    }

    #[test]
    fn a_list_is_asked_for_once_and_serves_all_certificates_of_its_issuer() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        let at = ["http://ca/list".to_string()];
        let of = |name: &str| Wanted { issuer: cert("ca"), crl_uris: at.to_vec(), ..wanted(&cert(name)) };
        let later = now + LONGEST;
        for name in ["server", "client"] {
            lately.asked(&cert(name), now, false);
            lately.missed(of(name), now);
        }
        // In flight while everything is hurried, and over then.
        lately.asked(&cert("other"), now, false);
        lately.hurry();
        lately.asked(&cert("ca"), now + PAUSE, false);
        lately.missed(wanted(&cert("other")), now + PAUSE);
        let missing = lately.missing(later);
        assert_eq!(missing.len(), 2, "a list, and that of another issuer");
        lately.found_list(&of("client"));
        assert_eq!(lately.missing(later), [wanted(&cert("other"))]);
    }

    #[test]
    fn no_more_than_sixteen_are_asked_for_at_a_look() {
        for n in [LOOK - 1, LOOK, LOOK + 1] {
            let (mut lately, now) = (Lately::default(), Instant::now());
            for i in 0..n {
                let missing =
                    Some(Wanted { crl_uris: vec![format!("http://ca/{i}")], ..wanted(&cert("server")) });
                lately.0.insert(
                    i.to_be_bytes().into(),
                    Asked { at: now, wanted: now, again: now, failures: 1, missing },
                );
            }
            assert_eq!(lately.missing(now).len(), n.min(LOOK));
        }
    }
}
