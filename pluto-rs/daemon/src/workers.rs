//! Threads for Diffie-Hellman, so that the event loop never waits for an exponentiation.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use ike::{CryptoJob, CryptoResult, CryptoToken};
use ipsec_crypto::CryptoError;
use tokio::sync::mpsc::UnboundedSender;

/// What a worker returns.
pub(crate) type Done = (CryptoToken, Result<CryptoResult, CryptoError>);

/// Jobs that may wait; more are computed at once, which slows the loop down instead of filling memory.
const QUEUE: usize = 1024;

/// The threads.
pub(crate) struct Workers {
    jobs: SyncSender<(CryptoToken, CryptoJob)>,
    done: UnboundedSender<Done>,
}

impl Workers {
    /// Starts `n` threads, by default one less than there are processors, at least one and at most four.
    pub(crate) fn start(n: Option<usize>, done: UnboundedSender<Done>) -> std::io::Result<(Workers, usize)> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n = n.unwrap_or(cores.saturating_sub(1)).clamp(1, 4);
        let (jobs, queue) = sync_channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for i in 0..n {
            let (queue, done) = (queue.clone(), done.clone());
            std::thread::Builder::new().name(format!("crypto-{i}")).spawn(move || work(&queue, &done))?;
        }
        Ok((Workers { jobs, done }, n))
    }

    /// Hands a job over.
    pub(crate) fn submit(&self, token: CryptoToken, job: CryptoJob) {
        if let Err(
            std::sync::mpsc::TrySendError::Full((token, job))
            | std::sync::mpsc::TrySendError::Disconnected((token, job)),
        ) = self.jobs.try_send((token, job))
        {
            let _ = self.done.send((token, ike::run_crypto(&job)));
        }
    }
}

fn work(queue: &Mutex<Receiver<(CryptoToken, CryptoJob)>>, done: &UnboundedSender<Done>) {
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
