//! News about revocation, fetched on a thread of its own: CRLs, and answers of OCSP responders. The engine asks for what a
//! negotiation was lacking, and goes on without it; the news serve the next one.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ipsec_crypto::crl::{Crl, MAX_CRL};
use ipsec_crypto::ocsp::{self, Answer, MAX_ANSWER};
use ipsec_crypto::trust::{Trust, Wanted};
use ipsec_netio::http::{Ask, fetch};
use tokio::sync::mpsc::UnboundedSender;

/// Requests that may wait; more are dropped, as the next negotiation asks again.
const QUEUE: usize = 64;
/// The same is not asked for again for so long.
const PAUSE: Duration = Duration::from_secs(9);
/// Addresses of one certificate that are tried.
const TRIED: usize = 4;

/// What has been fetched.
pub(crate) enum News {
    /// A list, where it is from, and what it was wanted for.
    Crl(Box<Crl>, String, Box<Wanted>),
    /// An answer.
    Ocsp(Box<Answer>),
    /// Nothing: a line for the log.
    Failed(String),
}

struct Job {
    wanted: Wanted,
    trust: Trust,
    now: u64,
}

/// The thread, and what it was asked for lately.
pub(crate) struct Fetcher {
    jobs: SyncSender<Job>,
    asked: HashMap<Vec<u8>, Instant>,
}

impl Fetcher {
    /// Starts the thread.
    pub(crate) fn start(news: UnboundedSender<News>) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        std::thread::Builder::new().name("fetch".into()).spawn(move || work(&queue, &news))?;
        Ok(Fetcher { jobs, asked: HashMap::new() })
    }

    /// Asks for something, unless that was done a moment ago.
    pub(crate) fn submit(&mut self, wanted: Wanted, trust: &Trust, now: u64) {
        self.asked.retain(|_, at| at.elapsed() < PAUSE);
        let key = wanted.cert.der().to_vec();
        if self.asked.contains_key(&key) || self.asked.len() >= 1000 {
            return;
        }
        if self.jobs.try_send(Job { wanted, trust: trust.clone(), now }).is_ok() {
            self.asked.insert(key, Instant::now());
        }
    }

    /// Whatever is asked for next is asked for at once.
    pub(crate) fn forget(&mut self) {
        self.asked.clear();
    }
}

fn work(queue: &Receiver<Job>, news: &UnboundedSender<News>) {
    while let Ok(job) = queue.recv() {
        let mut failures = Vec::new();
        let found = by_ocsp(&job, &mut failures).or_else(|| by_crl(&job, &mut failures));
        for text in failures {
            let _ = news.send(News::Failed(text));
        }
        if let Some(found) = found
            && news.send(found).is_err()
        {
            return;
        }
    }
}

fn by_ocsp(job: &Job, failures: &mut Vec<String>) -> Option<News> {
    let Wanted { cert, issuer, ocsp_uris, .. } = &job.wanted;
    let request = ocsp::request(cert, issuer).ok().filter(|_| !ocsp_uris.is_empty())?;
    ocsp_uris.iter().take(TRIED).find_map(|uri| {
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
    crl_uris.iter().take(TRIED).find_map(|uri| {
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
