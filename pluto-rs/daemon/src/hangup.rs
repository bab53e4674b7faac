//! The end of a client: both directions of its stream closed, which is what the death of a process leaves. A client that
//! has only said that it asks no more still waits for answers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::readiness::watch;

/// Watches a stream beside those who read and write it: they take each other's news of it away otherwise.
pub(crate) struct Hangup(AsyncFd<OwnedFd>);

impl Hangup {
    /// Watches a copy of the descriptor.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub(crate) fn of(stream: impl AsFd) -> io::Result<Self> {
        watch(stream.as_fd(), Interest::WRITABLE).map(Hangup)
    }

    /// Waits for it.
    pub(crate) async fn wait(&self) {
        // Woken for room to write in, too, whenever the client has read something.
        while let Ok(mut guard) = self.0.ready(Interest::WRITABLE).await {
            if guard.ready().is_write_closed() {
                return;
            }
            guard.clear_ready();
        }
    }
}
