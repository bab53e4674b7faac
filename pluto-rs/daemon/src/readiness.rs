//! Waiting for a descriptor to become readable or writable.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A copy of `fd`, registered with the event loop. Reading and writing are done on the original.
#[expect(unsafe_code, reason = "registering a descriptor with the event loop")]
pub(crate) fn watch(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    let copy = fd.try_clone_to_owned()?;
    // SAFETY: the registration owns the copy, whose number stays valid until both are dropped together.
    unsafe { AsyncFd::register_with_interest(copy, interest) }.map_err(io::Error::from)
}
