//! Diffie-Hellman and signatures, apart from the event loop: on threads, or in its idle moments where there is no
//! processor for a thread. A token signs on a thread in any case, as it is waited for and not computed. Must not touch the
//! engine: a result goes back as an input.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

use ike::{CryptoJob, CryptoResult, CryptoToken};
use ipsec_crypto::{CryptoError, PrivateKey};
use tokio::sync::mpsc::UnboundedSender;

/// What a job becomes.
pub(crate) type Done = (CryptoToken, Result<CryptoResult, CryptoError>);

type Job = (CryptoToken, CryptoJob);

/// Jobs that may wait for a thread; more are computed at once, which slows the loop down instead of filling memory.
const QUEUE: usize = 1024;

/// Who computes.
pub(crate) enum Workers {
    /// Threads take the jobs and send the results.
    Threads { jobs: SyncSender<Job>, done: UnboundedSender<Done> },
    /// The event loop computes one job in each turn. The engine has one for each negotiation, so its limits bound them.
    /// There is a thread from the first signature of a token on.
    Inline { queue: VecDeque<Job>, done: UnboundedSender<Done>, waiting: Option<SyncSender<Job>> },
}

impl Workers {
    /// Starts `n` threads, at most four; by default one less than there are processors. With 0, `nhelpers=0` of
    /// Openswan and the default where there is one processor, a thread would only be handed what the loop can do.
    pub(crate) fn start(n: Option<usize>, done: UnboundedSender<Done>) -> std::io::Result<(Workers, usize)> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n = n.unwrap_or(cores.saturating_sub(1)).min(4);
        if n == 0 {
            return Ok((Workers::Inline { queue: VecDeque::new(), done, waiting: None }, 0));
        }
        Ok((Workers::Threads { jobs: threads(n, &done)?, done }, n))
    }

    /// Hands a job over.
    pub(crate) fn submit(&mut self, token: CryptoToken, job: CryptoJob) {
        match self {
            Workers::Inline { done, waiting, .. } if is_of_token(&job) => {
                if waiting.is_none() {
                    *waiting = threads(1, done).ok();
                }
                match waiting {
                    Some(jobs) => hand_over(jobs, done, (token, job)),
                    None => drop(done.send((token, ike::run_crypto(&job)))),
                }
            }
            Workers::Inline { queue, .. } => queue.push_back((token, job)),
            Workers::Threads { jobs, done } => hand_over(jobs, done, (token, job)),
        }
    }

    /// Whether a job waits for [`run_one`](Self::run_one).
    pub(crate) fn has_job(&self) -> bool {
        matches!(self, Workers::Inline { queue, .. } if !queue.is_empty())
    }

    /// Computes the job that has waited longest, where there are no threads.
    pub(crate) fn run_one(&mut self) -> Option<Done> {
        let Workers::Inline { queue, .. } = self else { return None };
        let (token, job) = queue.pop_front()?;
        Some((token, ike::run_crypto(&job)))
    }
}

fn is_of_token(job: &CryptoJob) -> bool {
    matches!(job, CryptoJob::Sign { key, .. } if matches!(**key, PrivateKey::Remote(_)))
}

fn hand_over(jobs: &SyncSender<Job>, done: &UnboundedSender<Done>, job: Job) {
    if let Err(TrySendError::Full((token, job)) | TrySendError::Disconnected((token, job))) =
        jobs.try_send(job)
    {
        let _ = done.send((token, ike::run_crypto(&job)));
    }
}

/// Starts `n` threads.
fn threads(n: usize, done: &UnboundedSender<Done>) -> std::io::Result<SyncSender<Job>> {
    let (jobs, queue) = sync_channel(QUEUE);
    let queue = Arc::new(Mutex::new(queue));
    for i in 0..n {
        let (queue, done) = (queue.clone(), done.clone());
        std::thread::Builder::new().name(format!("crypto-{i}")).spawn(move || work(&queue, &done))?;
    }
    Ok(jobs)
}

fn work(queue: &Mutex<Receiver<Job>>, done: &UnboundedSender<Done>) {
    loop {
        // The lock is held while waiting for a job, not while computing.
        let job = match queue.lock() {
            Ok(q) => q.recv(),
            Err(_) => return,
        };
        let Ok((token, job)) = job else { return };
        if done.send((token, ike::run_crypto(&job))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use ike::KeyExchange;
    use ipsec_crypto::key::RemoteKey;
    use ipsec_types::SecretBytes;
    use ipsec_types::algo::DhGroup;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn job(n: u8) -> Job {
        let group = DhGroup::Ecp256;
        let secret = SecretBytes::new(vec![n; 32]);
        (
            CryptoToken(n.into()),
            CryptoJob::KeyExchange(KeyExchange { group, secret, public: true, peer: None }),
        )
    }

    #[test]
    fn without_threads_jobs_wait_for_their_turn() {
        let (done, _results) = unbounded_channel();
        let (mut workers, n) = Workers::start(Some(0), done).unwrap();
        assert!(n == 0 && !workers.has_job() && workers.run_one().is_none());
        for (token, job) in [job(1), job(2)] {
            workers.submit(token, job);
        }
        let order: Vec<_> =
            std::iter::from_fn(|| workers.has_job().then(|| workers.run_one().unwrap())).collect();
        assert!(order.iter().all(|(_, r)| r.is_ok()), "a job failed");
        assert_eq!(order.into_iter().map(|(t, _)| t).collect::<Vec<_>>(), [CryptoToken(1), CryptoToken(2)]);
    }

    /// A token that signs when it is told to.
    #[derive(Debug)]
    struct Token(ipsec_crypto::PublicKey, Mutex<Receiver<()>>);

    impl RemoteKey for Token {
        fn public(&self) -> &ipsec_crypto::PublicKey {
            &self.0
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, CryptoError> {
            self.1.lock().unwrap().recv().unwrap();
            Ok(vec![1])
        }
    }

    #[test]
    fn a_token_is_not_waited_for() {
        let pem = include_bytes!("../tests/keys/plain.key");
        let public = PrivateKey::from_file(pem, None).unwrap().public();
        let (go, told) = std::sync::mpsc::channel();
        let key = Arc::new(PrivateKey::Remote(Arc::new(Token(public, Mutex::new(told)))));
        let (done, mut results) = unbounded_channel();
        let (mut workers, _) = Workers::start(Some(0), done).unwrap();
        for n in [10, 11] {
            workers.submit(CryptoToken(n), CryptoJob::Sign { key: key.clone(), hash: vec![0; 20] });
        }
        assert!(!workers.has_job());
        let (token, other) = job(1);
        workers.submit(token, other);
        assert!(workers.run_one().is_some_and(|(t, r)| t == CryptoToken(1) && r.is_ok()));
        assert!(results.try_recv().is_err(), "the token has not signed yet");
        for n in [10, 11] {
            go.send(()).unwrap();
            assert_eq!(results.blocking_recv().unwrap().0, CryptoToken(n));
        }
    }

    #[test]
    fn threads_send_what_they_have_computed() {
        let (done, mut results) = unbounded_channel();
        let (mut workers, n) = Workers::start(Some(9), done).unwrap();
        assert_eq!(n, 4);
        for (token, job) in (1..=20).map(job) {
            workers.submit(token, job);
        }
        assert!(!workers.has_job() && workers.run_one().is_none());
        let mut tokens: Vec<_> = (0..20).map(|_| results.blocking_recv().unwrap().0).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (1..=20).map(CryptoToken).collect::<Vec<_>>());
    }
}
