//! Signals as a stream of numbers.

use std::io;
use std::os::unix::net::UnixStream as StdStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// What the administrator's signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// `SIGTERM`, `SIGINT`.
    Terminate,
    /// `SIGHUP`.
    Hangup,
}

/// The self-pipes.
pub(crate) struct Signals {
    terminate: UnixStream,
    hangup: UnixStream,
}

fn pipe(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = StdStream::pair()?;
    for s in signals {
        signal_hook::low_level::pipe::register(*s, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}

impl Signals {
    pub(crate) fn open() -> io::Result<Signals> {
        Ok(Signals { terminate: pipe(&[SIGTERM, SIGINT])?, hangup: pipe(&[SIGHUP])? })
    }

    /// The next signal. Cancel-safe: what was not returned is still in its pipe.
    pub(crate) async fn next(&mut self) -> Signal {
        let (mut a, mut b) = ([0; 16], [0; 16]);
        tokio::select! {
            _ = self.terminate.read(&mut a) => Signal::Terminate,
            _ = self.hangup.read(&mut b) => Signal::Hangup,
        }
    }
}
