//! Becoming a daemon.
//!
//! The only module of the crate with unsafe code: `fork(2)`.

#![expect(unsafe_code, reason = "fork")]

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};

use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

/// The daemon's end of the pipe on which the process that started it waits.
#[derive(Debug)]
pub struct Ready(PipeWriter);

impl Ready {
    /// Tells the waiting process to exit with `status`, and turns standard input, output and error to `/dev/null`. Until
    /// then what the daemon prints is seen by whoever started it.
    ///
    /// # Errors
    /// When `/dev/null` cannot be opened.
    pub fn tell(mut self, status: u8) -> io::Result<()> {
        let null = null()?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        // A starter that was killed meanwhile is no reason to stop.
        let _ = self.0.write_all(&[status]);
        Ok(())
    }
}

fn null() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/null")
}

/// Goes on in a child process in a session of its own. The process that called waits until the child calls
/// [`Ready::tell`], and exits with that status; with 1 if the child dies before.
///
/// To be called before any thread is started: only the calling one goes on in the child.
///
/// # Errors
/// `EAGAIN` or `ENOMEM` of `fork(2)`, `EMFILE` of `pipe(2)`.
pub fn daemonize() -> io::Result<Ready> {
    let (reader, writer) = io::pipe()?;
    // SAFETY: the child of a process with one thread may do whatever it likes. With more threads, locks they held
    // stay held for ever in the child; the contract above excludes that.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            drop(writer);
            std::process::exit(i32::from(status(reader)));
        }
        ForkResult::Child => {
            drop(reader);
            setsid()?;
            Ok(Ready(writer))
        }
    }
}

/// Waits for the one byte.
fn status(mut reader: PipeReader) -> u8 {
    let mut byte = [1];
    match reader.read_exact(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::getsid;

    use super::*;

    /// Starts a starter of a daemon, and returns what it exits with.
    fn starter(daemon: impl FnOnce(Ready) -> i32) -> WaitStatus {
        // SAFETY: the child makes a few system calls and exits; it takes no lock another thread may hold.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => waitpid(child, None).unwrap(),
            ForkResult::Child => {
                let code = match daemonize() {
                    Ok(ready) => daemon(ready),
                    Err(_) => 77,
                };
                // SAFETY: ends the process without running what belongs to the test program.
                unsafe { libc::_exit(code) }
            }
        }
    }

    #[test]
    fn the_starter_exits_with_the_status_told() {
        for told in [0, 10] {
            let end = starter(|ready| {
                let leads = getsid(None) == Ok(nix::unistd::getpid());
                i32::from(ready.tell(if leads { told } else { 99 }).is_err())
            });
            assert!(matches!(end, WaitStatus::Exited(_, code) if code == i32::from(told)), "{end:?}");
        }
    }

    #[test]
    fn a_daemon_that_dies_early_is_a_failure() {
        let end = starter(|_ready| 0);
        assert!(matches!(end, WaitStatus::Exited(_, 1)), "{end:?}");
    }
}
