//! Host names to addresses, without keeping the loop waiting: a thread for each question, which the system's resolver
//! may keep as long as it likes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use l2tp_proto::DialId;

/// An answer; empty when there is no such host.
pub type Answer = (DialId, Vec<Ipv4Addr>);

/// Questions on their way.
pub struct Resolver {
    sender: Sender<Answer>,
    receiver: Receiver<Answer>,
    /// Readable when there is an answer.
    bell: UnixStream,
    rope: UnixStream,
}

impl Resolver {
    /// Without questions.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        let (sender, receiver) = channel();
        Ok(Resolver { sender, receiver, bell, rope })
    }

    /// Asks for the IPv4 addresses of `host`; [`Resolver::take`] has the answer later.
    pub fn ask(&self, dial: DialId, host: String) {
        let sender = self.sender.clone();
        let started = self.rope.try_clone().and_then(|mut rope| {
            std::thread::Builder::new().name("resolver".into()).spawn(move || {
                let _ = sender.send((dial, look_up(&host)));
                // A full pipe rings, too.
                let _ = rope.write(&[1]);
            })
        });
        if started.is_err() {
            // No thread: as if the name were not known, and the dial goes on with the next.
            let _ = self.sender.send((dial, Vec::new()));
            let _ = (&self.rope).write(&[1]);
        }
    }

    /// The answers that have come.
    pub fn take(&mut self) -> Vec<Answer> {
        let mut rings = [0; 64];
        while matches!(self.bell.read(&mut rings), Ok(n) if n == rings.len()) {}
        self.receiver.try_iter().collect()
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn look_up(host: &str) -> Vec<Ipv4Addr> {
    let mut list = Vec::new();
    for a in (host, 0).to_socket_addrs().into_iter().flatten() {
        if let IpAddr::V4(a) = a.ip()
            && !list.contains(&a)
        {
            list.push(a);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_answered_by_the_bell_and_unknown_ones_with_nothing() {
        let mut r = Resolver::new().unwrap();
        r.ask(DialId(1), "localhost".into());
        r.ask(DialId(2), "no such host".into());
        let mut got = Vec::new();
        while got.len() < 2 {
            got.extend(r.take());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        got.sort();
        assert_eq!(got, [(DialId(1), vec![Ipv4Addr::LOCALHOST]), (DialId(2), vec![])]);
    }
}
