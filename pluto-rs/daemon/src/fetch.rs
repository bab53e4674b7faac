//! News about revocation, fetched on a thread of its own: CRLs, and answers of OCSP responders. The engine asks for what a
//! negotiation was lacking, and goes on without it; the news serve the next one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use ipsec_crypto::Certificate;
use ipsec_crypto::crl::{Crl, MAX_CRL};
use ipsec_crypto::ocsp::{self, Answer, MAX_ANSWER};
use ipsec_crypto::trust::{Trust, Wanted};
use ipsec_netio::http::{Ask, fetch};
use tokio::sync::mpsc::UnboundedSender;

use crate::lately::Lately;

/// Requests that may wait; more are dropped, as the next negotiation asks again.
const QUEUE: usize = 64;
/// Addresses of one certificate that are tried.
const TRIED: usize = 4;

/// What has been fetched.
pub(crate) enum News {
    /// A list, where it is from, and what it was wanted for.
    Crl(Box<Crl>, String, Box<Wanted>),
    /// An answer.
    Ocsp(Box<Answer>),
    /// Why an address had nothing: a line for the log.
    Failed(String),
    /// No address had anything.
    Missing(Box<Wanted>),
}

struct Job {
    wanted: Wanted,
    trust: Trust,
    now: u64,
}

/// The thread, and what it was asked for lately.
pub(crate) struct Fetcher {
    jobs: SyncSender<Job>,
    lately: Lately,
}

impl Fetcher {
    /// Starts the thread.
    pub(crate) fn start(news: UnboundedSender<News>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        std::thread::Builder::new().name("fetch".into()).spawn(move || work(&queue, &news))?;
        Ok(Fetcher { jobs, lately: Lately::default() })
    }

    /// Asks for what a negotiation is lacking, unless that was done a moment ago, or has failed not long ago.
    pub(crate) fn submit(&mut self, wanted: Wanted, trust: &Trust, now: u64) {
        self.ask(wanted, trust, now, false);
    }

    /// The same, for what is missing or will be old.
    pub(crate) fn submit_again(&mut self, wanted: Wanted, trust: &Trust, now: u64) {
        self.ask(wanted, trust, now, true);
    }

    fn ask(&mut self, wanted: Wanted, trust: &Trust, now: u64, again: bool) {
        let (cert, at) = (wanted.cert.clone(), Instant::now());
        let may = self.lately.may_ask(&cert, at);
        if may && self.jobs.try_send(Job { wanted, trust: trust.clone(), now }).is_ok() {
            self.lately.asked(&cert, at, again);
        }
    }

    /// An answer about a certificate has come.
    pub(crate) fn found(&mut self, cert: &Certificate) {
        self.lately.found(cert);
    }

    /// A list has come.
    pub(crate) fn found_list(&mut self, wanted: &Wanted) {
        self.lately.found_list(wanted);
    }

    /// It could not be had.
    pub(crate) fn missed(&mut self, wanted: Wanted) {
        self.lately.missed(wanted, Instant::now());
    }

    /// What could not be had and may be asked for again.
    pub(crate) fn missing(&self) -> Vec<Wanted> {
        self.lately.missing(Instant::now())
    }

    /// Whatever is asked for next is asked for at once.
    pub(crate) fn hurry(&mut self) {
        self.lately.hurry();
    }
}

fn work(queue: &Receiver<Job>, news: &UnboundedSender<News>) {
    while let Ok(job) = queue.recv() {
        let mut failures = Vec::new();
        // A list that breaks its parser costs that list, and not all those that come after it.
        let found = catch_unwind(AssertUnwindSafe(|| {
            by_ocsp(&job, &mut failures).or_else(|| by_crl(&job, &mut failures))
        }));
        let found = found.unwrap_or_else(|_| {
            failures.push("fetching broke off, which is a bug".into());
            None
        });
        for text in failures {
            let _ = news.send(News::Failed(text));
        }
        let found = found.unwrap_or_else(|| News::Missing(Box::new(job.wanted)));
        if news.send(found).is_err() {
            return;
        }
    }
}

/// The addresses that are tried, in their order: those that we can speak to before the others, of which the reason is told if
/// nothing was found. Certificates of Windows' CAs name a directory first.
fn tried(uris: &[String]) -> impl Iterator<Item = &String> {
    let http = |uri: &&String| uri.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("http://"));
    uris.iter().filter(http).chain(uris.iter().filter(move |uri| !http(uri))).take(TRIED)
}

fn by_ocsp(job: &Job, failures: &mut Vec<String>) -> Option<News> {
    let Wanted { cert, issuer, ocsp_uris, .. } = &job.wanted;
    let request = ocsp::request(cert, issuer).ok().filter(|_| !ocsp_uris.is_empty())?;
    tried(ocsp_uris).find_map(|uri| {
        let data = fetch(uri, Ask::Ocsp(&request), MAX_ANSWER);
        let read =
            |d: Vec<u8>| Answer::read(&d, cert, issuer, &job.trust, job.now).map_err(|e| e.to_string());
        match data.and_then(read) {
            Ok(answer) => Some(News::Ocsp(Box::new(answer))),
            Err(e) => {
                failures.push(format!("ocsp request to \"{uri}\" failed: {e}"));
                None
            }
        }
    })
}

fn by_crl(job: &Job, failures: &mut Vec<String>) -> Option<News> {
    let Wanted { issuer, crl_uris, .. } = &job.wanted;
    tried(crl_uris).find_map(|uri| {
        let read = |d: Vec<u8>| match Crl::from_file(&d) {
            Ok(crl) if crl.is_by(issuer) => Ok(crl),
            Ok(_) => Err("it is not by the issuer of the certificate".to_string()),
            Err(e) => Err(e.to_string()),
        };
        match fetch(uri, Ask::Get, MAX_CRL).and_then(read) {
            Ok(crl) => Some(News::Crl(Box::new(crl), uri.clone(), Box::new(job.wanted.clone()))),
            Err(e) => {
                failures.push(format!("fetching crl from \"{uri}\" failed: {e}"));
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn pki(name: &str) -> Vec<u8> {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../compat-tests/sim/tests/pki");
        std::fs::read(format!("{dir}/{name}")).unwrap()
    }

    fn cert(name: &str) -> Certificate {
        Certificate::from_file(&pki(name)).unwrap().remove(0)
    }

    /// Gives this to whoever asks.
    fn server(body: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("http://{}/list", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").and_then(|()| stream.write_all(&body));
            }
        });
        at
    }

    fn wanted(uris: &[&str]) -> Wanted {
        let crl_uris = uris.iter().map(ToString::to_string).collect();
        Wanted { cert: cert("client.pem"), issuer: cert("ca.pem"), crl_uris, ocsp_uris: Vec::new() }
    }

    /// Lines that tell why, and what came of it.
    fn news_of(wanted: Wanted) -> (Vec<String>, News) {
        let (send, mut news) = unbounded_channel();
        let mut fetcher = Fetcher::start(send).unwrap();
        fetcher.submit(wanted.clone(), &Trust::default(), 1_800_000_000);
        fetcher.submit(wanted, &Trust::default(), 1_800_000_000);
        drop(fetcher);
        let (mut failures, mut found) = (Vec::new(), Vec::new());
        while let Some(one) = news.blocking_recv() {
            match one {
                News::Failed(text) => failures.push(text),
                other => found.push(other),
            }
        }
        assert_eq!(found.len(), 1, "the same is not asked for twice");
        (failures, found.remove(0))
    }

    #[test]
    fn a_directory_that_is_not_spoken_to_keeps_nobody_from_the_web_server() {
        let web = server(pki("crl.pem"));
        let ldap = "ldap:///CN=ca,DC=example?certificateRevocationList";
        let (failures, found) = news_of(wanted(&[ldap, ldap, ldap, ldap, &web]));
        assert!(failures.is_empty(), "{failures:?}");
        assert!(matches!(found, News::Crl(crl, from, _) if crl.revoked() == 1 && from == web));
        let (failures, found) = news_of(wanted(&[ldap]));
        let why = "ldap is not spoken, only http is";
        assert_eq!(failures, [format!("fetching crl from \"{ldap}\" failed: {why}")]);
        assert!(matches!(found, News::Missing(w) if *w == wanted(&[ldap])));
    }

    #[test]
    fn one_address_after_the_other_is_tried() {
        let (junk, good) = (server(b"no list".to_vec()), server(pki("crl.pem")));
        let (failures, found) = news_of(wanted(&[&junk, &good]));
        assert!(failures.len() == 1 && failures[0].contains(&junk), "{failures:?}");
        assert!(matches!(found, News::Crl(_, from, _) if from == good));
        // A list of somebody else.
        let foreign = Wanted { issuer: cert("other.pem"), ..wanted(&[&good]) };
        let (failures, found) = news_of(foreign);
        assert!(failures[0].contains("not by the issuer") && matches!(found, News::Missing(_)));
    }
}
