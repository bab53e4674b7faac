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

struct Asked {
    at: Instant,
    /// When it may be asked for again.
    again: Instant,
    /// In a row.
    failures: u32,
    /// As long as it is missing.
    missing: Option<Wanted>,
}

/// By the certificate that it is about.
#[derive(Default)]
pub(crate) struct Lately(HashMap<Vec<u8>, Asked>);

impl Lately {
    /// Whether news about a certificate may be asked for now.
    pub(crate) fn may_ask(&self, cert: &Certificate, now: Instant) -> bool {
        self.0.get(cert.der()).is_none_or(|a| a.again <= now)
    }

    /// It is asked for. The one that was asked for longest ago is forgotten when there are too many.
    pub(crate) fn asked(&mut self, cert: &Certificate, now: Instant) {
        self.0.retain(|_, a| match a.missing {
            Some(_) => now.saturating_duration_since(a.at) < KEPT,
            None => a.again > now,
        });
        let old = self.0.remove(cert.der());
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().min_by_key(|(_, a)| a.at).map(|(key, _)| key.clone())
        {
            self.0.remove(&oldest);
        }
        let (failures, missing) = old.map_or((0, None), |a| (a.failures, a.missing));
        let pause = PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST);
        self.0.insert(cert.der().to_vec(), Asked { at: now, again: now + pause, failures, missing });
    }

    /// It has come.
    pub(crate) fn found(&mut self, cert: &Certificate) {
        if let Some(asked) = self.0.get_mut(cert.der()) {
            (asked.failures, asked.missing, asked.again) = (0, None, asked.at + PAUSE);
        }
    }

    /// It could not be had.
    pub(crate) fn missed(&mut self, wanted: Wanted) {
        if let Some(asked) = self.0.get_mut(wanted.cert.der()) {
            asked.failures = asked.failures.saturating_add(1);
            asked.missing = Some(wanted);
        }
    }

    /// What is missing and may be asked for.
    pub(crate) fn missing(&self, now: Instant) -> Vec<Wanted> {
        self.0.values().filter(|a| a.again <= now).filter_map(|a| a.missing.clone()).collect()
    }

    /// Everything may be asked for at once.
    pub(crate) fn hurry(&mut self) {
        self.0.retain(|_, a| a.missing.is_some());
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
                lately.asked(&server, at(now));
                asked.push(now);
                match now < 1000 {
                    true => lately.missed(wanted(&server)),
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
        lately.asked(&server, now);
        assert!(lately.missing(later).is_empty(), "it may come yet");
        lately.missed(wanted(&server));
        assert!(lately.missing(now).is_empty() && lately.missing(later) == [wanted(&server)]);
        lately.hurry();
        assert_eq!(lately.missing(now), [wanted(&server)]);
        lately.asked(&server, now);
        lately.found(&server);
        assert!(lately.missing(now + LONGEST).is_empty());
        lately.hurry();
        assert!(lately.may_ask(&server, now) && lately.0.is_empty());
    }

    #[test]
    fn a_thousand_are_remembered_for_a_week_at_most() {
        let (server, now) = (cert("server"), Instant::now());
        for n in [MOST - 1, MOST, MOST + 1] {
            let mut lately = Lately::default();
            for i in 1..n {
                let at = now + Duration::from_millis(u64::try_from(i).unwrap());
                let missing = Some(wanted(&server));
                lately.0.insert(i.to_be_bytes().into(), Asked { at, again: at, failures: 1, missing });
            }
            lately.asked(&server, now + PAUSE);
            assert_eq!(lately.0.len(), n.min(MOST));
            assert_eq!(lately.0.contains_key(&1usize.to_be_bytes()[..]), n <= MOST, "the first goes first");
            lately.asked(&server, now + KEPT + PAUSE);
            assert_eq!(lately.0.len(), 1);
        }
    }
}
