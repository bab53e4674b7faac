//! Going into the background.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe, setsid};

/// Tells the waiting parent how it went.
#[derive(Debug)]
pub struct Ready(File);

impl Ready {
    /// Ends the parent with this exit status.
    pub fn signal(mut self, status: u8) {
        let _ = self.0.write_all(&[status]);
    }
}

/// Which process one is after [`daemonize`].
#[derive(Debug)]
pub enum Side {
    /// The caller, with the status the child gave; 1 if it died without giving one.
    Parent(u8),
    /// The daemon.
    Child(Ready),
}

/// Forks. The child gets a session of its own and `/dev/null` for standard input and output (and, with `close_stderr`,
/// for standard error); the parent waits for its word. To be called before any thread is started.
///
/// # Errors
/// What `pipe(2)`, `fork(2)` and `open(2)` say.
#[expect(unsafe_code, reason = "fork")]
pub fn daemonize(close_stderr: bool) -> io::Result<Side> {
    let (read, write): (OwnedFd, OwnedFd) = pipe()?;
    // SAFETY: the caller has started no threads, so the child may go on as the parent would.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            drop(write);
            let mut status = [1];
            let _ = File::from(read).read(&mut status)?;
            Ok(Side::Parent(status[0]))
        }
        ForkResult::Child => {
            drop(read);
            setsid()?;
            let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
            dup2_stdin(&null)?;
            dup2_stdout(&null)?;
            if close_stderr {
                dup2_stderr(&null)?;
            }
            Ok(Side::Child(Ready(File::from(write))))
        }
    }
}
