//! Host names of conns whose addresses were not known when they were loaded: asked for again and again, on threads, as a
//! question to a name server that is not there takes its time. glibc reads a changed `resolv.conf` by itself.
//!
//! Nothing here knows a conn.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipsec_types::conn::RESOLVE_AGAIN;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// Names of one round; of more, the others are asked for in the next ones.
const ROUND: usize = 1024;
/// Names that are asked for at a time.
const AT_ONCE: usize = 8;
/// Between two rounds.
pub(crate) const PAUSE: Duration = Duration::from_secs(RESOLVE_AGAIN as u64);

/// Finds the address of a host name.
pub(crate) type Lookup = fn(&str) -> Option<IpAddr>;

/// What the loop is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An address was found.
    Address(String, IpAddr),
    /// Every name of the round has been asked for.
    End,
}

/// The thread, and when it is to ask again.
pub(crate) struct Names {
    rounds: Sender<Vec<String>>,
    pause: Duration,
    /// `None` while a round is under way.
    next: Option<Instant>,
    /// The last name that was asked for.
    last: String,
}

impl Names {
    /// Starts the thread; `pause` passes between the end of a round and the next.
    pub(crate) fn start(
        answers: UnboundedSender<Found>,
        lookup: Lookup,
        pause: Duration,
    ) -> std::io::Result<Self> {
        let (rounds, queue) = channel();
        std::thread::Builder::new().name("names".into()).spawn(move || work(&queue, lookup, &answers))?;
        Ok(Names { rounds, pause, next: Some(Instant::now()), last: String::new() })
    }

    /// When to ask, if no round is under way.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Begins a round. `wanted` gives the names, from the one after a given one on, and at most so many.
    pub(crate) fn ask(&mut self, wanted: impl FnOnce(&str, usize) -> Vec<String>) {
        let names = wanted(&self.last, ROUND);
        if let Some(last) = names.last() {
            self.last.clone_from(last);
        }
        self.next = None;
        let _ = self.rounds.send(names);
    }

    /// The round has ended.
    pub(crate) fn ended(&mut self) {
        self.next = Some(Instant::now() + self.pause);
    }
}

fn work(queue: &Receiver<Vec<String>>, lookup: Lookup, answers: &UnboundedSender<Found>) {
    while let Ok(names) = queue.recv() {
        let threads = names.len().min(AT_ONCE);
        let names = Mutex::new(names.into_iter());
        let next = || names.lock().unwrap_or_else(PoisonError::into_inner).next();
        let ask = || {
            while let Some(name) = next() {
                if let Some(addr) = lookup(&name) {
                    let _ = answers.send(Found::Address(name, addr));
                }
            }
        };
        std::thread::scope(|scope| {
            // Where there is no room for more threads, fewer do it.
            for _ in 1..threads {
                let _ = std::thread::Builder::new().name("names".into()).spawn_scoped(scope, ask);
            }
            ask();
        });
        if answers.send(Found::End).is_err() {
            return;
        }
    }
}

/// Asks the system, as `addconn` does: IPv4 comes first. A name that is blocked with 0.0.0.0 has no address.
pub(crate) fn system(name: &str) -> Option<IpAddr> {
    let found = (name, 0).to_socket_addrs().ok()?.map(|a| a.ip());
    found.filter(|a| !a.is_unspecified()).min_by_key(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    fn fake(name: &str) -> Option<IpAddr> {
        name.strip_suffix(".example")?.parse().ok()
    }

    #[tokio::test]
    async fn every_name_of_a_round_is_asked_for() {
        let (send, mut answers) = unbounded_channel();
        let mut names = Names::start(send, fake, Duration::from_secs(60)).unwrap();
        assert!(names.next().is_some_and(|at| at <= Instant::now()), "the first round is at once");
        let wanted: Vec<String> = (0..100).map(|i| format!("192.0.2.{i}.example")).collect();
        names.ask(|last, most| {
            assert_eq!((last, most), ("", ROUND));
            wanted.iter().cloned().chain(["nobody.invalid".to_string()]).collect()
        });
        assert_eq!(names.next(), None, "one round at a time");
        let mut found = Vec::new();
        while let Some(Found::Address(name, addr)) = answers.recv().await {
            assert_eq!(fake(&name), Some(addr));
            found.push(name);
        }
        found.sort();
        let mut wanted = wanted;
        wanted.sort();
        assert_eq!(found, wanted);
        names.ended();
        assert!(names.next().is_some_and(|at| at > Instant::now() + Duration::from_secs(50)));
        names.ask(|last, _| {
            assert_eq!(last, "nobody.invalid");
            Vec::new()
        });
        assert_eq!(answers.recv().await, Some(Found::End), "a round of nothing ends too");
    }

    #[test]
    fn the_system_is_asked() {
        assert_eq!(system("192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(system("0.0.0.0"), None);
        assert_eq!(system("no such name"), None);
    }
}
