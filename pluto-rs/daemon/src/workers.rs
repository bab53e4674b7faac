//! Diffie-Hellman and signatures, apart from the event loop: on threads, or in its idle moments where there is no
//! processor for a thread. A token signs on a thread of its own in any case: it is waited for and not computed, and nobody
//! else is to wait for it. A job that panics costs its exchange and nothing else. Must not touch the engine: a result goes
//! back as an input.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
/// Signatures that may wait for tokens; more are refused, as nothing may wait for a token at once.
const TOKEN_QUEUE: usize = 256;

/// Who computes.
pub(crate) struct Workers {
    helpers: Helpers,
    /// The thread that waits for tokens, from the first signature of one on.
    tokens: Option<SyncSender<Job>>,
    done: UnboundedSender<Done>,
}

/// Who computes what needs no token.
enum Helpers {
    /// Threads take the jobs and send the results.
    Threads(SyncSender<Job>),
    /// The event loop computes one job in each turn. The engine has one for each negotiation, so its limits bound them.
    Inline(VecDeque<Job>),
}

impl Workers {
    /// Starts `n` threads, at most four; by default one less than there are processors. With 0, `nhelpers=0` of
    /// Openswan and the default where there is one processor, a thread would only be handed what the loop can do.
    pub(crate) fn start(n: Option<usize>, done: UnboundedSender<Done>) -> std::io::Result<(Workers, usize)> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n = n.unwrap_or(cores.saturating_sub(1)).min(4);
        let helpers = match n {
            0 => Helpers::Inline(VecDeque::new()),
            n => Helpers::Threads(threads("crypto", n, QUEUE, &done)?),
        };
        Ok((Workers { helpers, tokens: None, done }, n))
    }

    /// Hands a job over.
    pub(crate) fn submit(&mut self, token: CryptoToken, job: CryptoJob) {
        if is_of_token(&job) {
            return self.submit_to_token((token, job));
        }
        match &mut self.helpers {
            Helpers::Inline(queue) => queue.push_back((token, job)),
            Helpers::Threads(jobs) => {
                if let Err(TrySendError::Full((token, job)) | TrySendError::Disconnected((token, job))) =
                    jobs.try_send((token, job))
                {
                    let _ = self.done.send((token, compute(&job)));
                }
            }
        }
    }

    /// Hands over a signature of a token. One that there is no room for is refused.
    fn submit_to_token(&mut self, job: Job) {
        let token = job.0;
        if self.tokens.is_none() {
            self.tokens = threads("tokens", 1, TOKEN_QUEUE, &self.done).ok();
        }
        let why = match self.tokens.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(_))) => "too many signatures wait for tokens",
            Some(Err(TrySendError::Disconnected(_))) | None => {
                // If it has died, the next signature starts it anew.
                self.tokens = None;
                "the thread that waits for tokens does not run"
            }
        };
        let _ = self.done.send((token, Err(CryptoError::Unusable(why.into()))));
    }

    /// Whether a job waits for [`run_one`](Self::run_one).
    pub(crate) fn has_job(&self) -> bool {
        matches!(&self.helpers, Helpers::Inline(queue) if !queue.is_empty())
    }

    /// Computes the job that has waited longest, where there are no threads.
    pub(crate) fn run_one(&mut self) -> Option<Done> {
        let Helpers::Inline(queue) = &mut self.helpers else { return None };
        let (token, job) = queue.pop_front()?;
        Some((token, compute(&job)))
    }
}

fn is_of_token(job: &CryptoJob) -> bool {
    matches!(job, CryptoJob::Sign { key, .. } if matches!(**key, PrivateKey::Remote(_)))
}

/// Does a job. One that panics has failed: what it was about is given up, and the thread takes the next one.
fn compute(job: &CryptoJob) -> Result<CryptoResult, CryptoError> {
    // A job is looked at by nobody after it was done.
    catch_unwind(AssertUnwindSafe(|| ike::run_crypto(job))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        // One line for the log: the words of an assertion that failed have more.
        let first = text.and_then(|t| t.lines().next()).unwrap_or("it does not say why");
        Err(CryptoError::Broken(first.chars().filter(|c| !c.is_control()).collect()))
    })
}

/// Starts `n` threads that take jobs out of a queue of this size.
fn threads(
    name: &str,
    n: usize,
    size: usize,
    done: &UnboundedSender<Done>,
) -> std::io::Result<SyncSender<Job>> {
    let (jobs, queue) = sync_channel(size);
    let queue = Arc::new(Mutex::new(queue));
    for i in 0..n {
        let (queue, done) = (queue.clone(), done.clone());
        std::thread::Builder::new().name(format!("{name}-{i}")).spawn(move || work(&queue, &done))?;
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
        if done.send((token, compute(&job))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

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

    /// A key on a token, and how to have it sign once.
    fn token() -> (Arc<PrivateKey>, Sender<()>) {
        let pem = include_bytes!("../tests/keys/plain.key");
        let public = PrivateKey::from_file(pem, None).unwrap().public();
        let (go, told) = channel();
        (Arc::new(PrivateKey::Remote(Arc::new(Token(public, Mutex::new(told))))), go)
    }

    fn sign(key: &Arc<PrivateKey>) -> CryptoJob {
        CryptoJob::Sign { key: key.clone(), hash: vec![0; 20] }
    }

    /// What the token signs with is seen to be no signature.
    fn has_signed(result: Result<CryptoResult, CryptoError>) -> bool {
        result.is_err_and(|e| !matches!(e, CryptoError::Unusable(_)))
    }

    #[test]
    fn a_token_is_not_waited_for() {
        for n in [0, 1] {
            let (key, go) = token();
            let (done, mut results) = unbounded_channel();
            let (mut workers, _) = Workers::start(Some(n), done).unwrap();
            for n in [10, 11] {
                workers.submit(CryptoToken(n), sign(&key));
            }
            assert!(!workers.has_job());
            let (token, other) = job(1);
            workers.submit(token, other);
            let first = if n == 0 { workers.run_one() } else { results.blocking_recv() };
            assert!(first.is_some_and(|(t, r)| t == CryptoToken(1) && r.is_ok()));
            assert!(results.try_recv().is_err(), "the token has not signed yet");
            for n in [10, 11] {
                go.send(()).unwrap();
                assert_eq!(results.blocking_recv().unwrap().0, CryptoToken(n));
            }
        }
    }

    /// As many as there is room for wait, and the one that is being made.
    #[test]
    fn signatures_that_there_is_no_room_for_are_refused() {
        for n in [0, 1] {
            let (key, go) = token();
            let (done, mut results) = unbounded_channel();
            let (mut workers, _) = Workers::start(Some(n), done).unwrap();
            let many = u64::try_from(TOKEN_QUEUE).unwrap();
            (0..many + 2).for_each(|t| workers.submit(CryptoToken(t), sign(&key)));
            // One that the thread has taken is in the queue no more.
            let mut refused = Vec::new();
            while let Ok((token, result)) = results.try_recv() {
                let why = "too many signatures wait for tokens".to_string();
                assert_eq!(result.err(), Some(CryptoError::Unusable(why)));
                refused.push(token);
            }
            assert!([1, 2].contains(&refused.len()), "{refused:?}");
            for t in (0..many + 2).map(CryptoToken).filter(|t| !refused.contains(t)) {
                go.send(()).unwrap();
                let (token, result) = results.blocking_recv().unwrap();
                assert!(token == t && has_signed(result));
            }
        }
    }

    /// A key whose signing panics, as a bug would have it.
    #[derive(Debug)]
    struct Bug(ipsec_crypto::PublicKey);

    impl RemoteKey for Bug {
        fn public(&self) -> &ipsec_crypto::PublicKey {
            &self.0
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, CryptoError> {
            // Without the message on standard error that a panic has.
            std::panic::resume_unwind(Box::new("attempt to divide by zero"))
        }
    }

    fn bug() -> CryptoJob {
        let pem = include_bytes!("../tests/keys/plain.key");
        let public = PrivateKey::from_file(pem, None).unwrap().public();
        sign(&Arc::new(PrivateKey::Remote(Arc::new(Bug(public)))))
    }

    /// Wherever it is computed, the next job is done, too.
    #[test]
    fn a_job_that_panics_is_one_that_has_failed() {
        let broken =
            |r: Result<_, _>| r.err() == Some(CryptoError::Broken("attempt to divide by zero".into()));
        let (done, mut results) = unbounded_channel();
        let (mut workers, _) = Workers::start(Some(0), done.clone()).unwrap();
        workers.helpers = Helpers::Inline([(CryptoToken(1), bug()), job(2)].into());
        assert!(workers.run_one().is_some_and(|(t, r)| t == CryptoToken(1) && broken(r)));
        assert!(workers.run_one().is_some_and(|(t, r)| t == CryptoToken(2) && r.is_ok()));
        // Of a token, which has a thread.
        for n in [3, 4] {
            workers.submit(CryptoToken(n), bug());
            assert!(results.blocking_recv().is_some_and(|(t, r)| t == CryptoToken(n) && broken(r)));
        }
        // On the threads for the others.
        let jobs = threads("crypto", 1, QUEUE, &done).unwrap();
        for n in [5, 6] {
            jobs.send((CryptoToken(n), bug())).unwrap();
            assert!(results.blocking_recv().is_some_and(|(t, r)| t == CryptoToken(n) && broken(r)));
        }
        jobs.send(job(7)).unwrap();
        assert!(results.blocking_recv().is_some_and(|(t, r)| t == CryptoToken(7) && r.is_ok()));
        // And at once, as all the threads are busy or dead.
        drop(jobs);
        let (dead, queue) = sync_channel(1);
        drop(queue);
        workers.helpers = Helpers::Threads(dead);
        let (token, other) = job(8);
        workers.submit(token, other);
        assert!(results.blocking_recv().is_some_and(|(t, r)| t == CryptoToken(8) && r.is_ok()));
    }

    /// Should the thread die nevertheless.
    #[test]
    fn a_thread_that_has_died_is_started_anew() {
        let (key, go) = token();
        let (done, mut results) = unbounded_channel();
        let (mut workers, _) = Workers::start(Some(0), done).unwrap();
        let (dead, queue) = sync_channel(1);
        drop(queue);
        workers.tokens = Some(dead);
        workers.submit(CryptoToken(1), sign(&key));
        let (token, result) = results.try_recv().unwrap();
        assert!(token == CryptoToken(1) && !has_signed(result));
        workers.submit(CryptoToken(2), sign(&key));
        go.send(()).unwrap();
        let (token, result) = results.blocking_recv().unwrap();
        assert!(token == CryptoToken(2) && has_signed(result));
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
