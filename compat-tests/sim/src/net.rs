//! The network: datagrams under way, what befalls them, and the NATs they pass.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipsec_types::Instant;

use crate::host::Entropy;

/// One datagram as its receiver sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Sender.
    pub src: SocketAddr,
    /// Receiver.
    pub dst: SocketAddr,
    /// Octets.
    pub data: Vec<u8>,
}

/// What befalls datagrams, each in chances out of 1,000.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Lost.
    pub loss: u32,
    /// Delivered twice.
    pub duplicate: u32,
    /// Held back long enough for later ones to overtake it.
    pub reorder: u32,
    /// Least time under way.
    pub delay: Duration,
    /// Up to this much is added to it.
    pub jitter: Duration,
}

impl Link {
    /// Everything arrives, once, in order, after 10 ms.
    pub const GOOD: Link =
        Link { loss: 0, duplicate: 0, reorder: 0, delay: Duration::from_millis(10), jitter: Duration::ZERO };

    /// A line that loses `percent`, repeats and reorders a tenth each, and takes 5 to 125 ms.
    pub const fn bad(percent: u32) -> Link {
        Link {
            loss: percent * 10,
            duplicate: 100,
            reorder: 100,
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(120),
        }
    }
}

/// An address translator: every inner endpoint keeps one outer port, whoever it speaks to.
#[derive(Debug)]
pub struct Nat {
    public: IpAddr,
    keep_ports: bool,
    mappings: BTreeMap<SocketAddr, u16>,
    next_port: u16,
}

impl Nat {
    /// A NAT with this outer address. With `keep_ports` the first to use a port keeps it.
    pub fn new(public: IpAddr, keep_ports: bool) -> Self {
        Nat { public, keep_ports, mappings: BTreeMap::new(), next_port: 20_000 }
    }

    /// Forgets every mapping: the next datagram from inside gets a new outer port.
    pub fn rebind(&mut self) {
        self.mappings.clear();
        self.keep_ports = false;
    }

    fn outward(&mut self, inner: SocketAddr) -> SocketAddr {
        let port = match self.mappings.get(&inner) {
            Some(port) => *port,
            None => {
                let taken = self.mappings.values().any(|p| *p == inner.port());
                let port = if self.keep_ports && !taken { inner.port() } else { self.next_port };
                self.next_port = self.next_port.wrapping_add(u16::from(port == self.next_port)).max(20_000);
                self.mappings.insert(inner, port);
                port
            }
        };
        SocketAddr::new(self.public, port)
    }

    fn inward(&self, outer: SocketAddr) -> Option<SocketAddr> {
        let found = self.mappings.iter().find(|(_, port)| **port == outer.port());
        found.filter(|_| outer.ip() == self.public).map(|(inner, _)| *inner)
    }
}

/// Datagrams under way.
#[derive(Debug)]
pub struct Network {
    /// How good it is.
    pub link: Link,
    /// The NATs.
    pub nats: Vec<Nat>,
    behind: BTreeMap<IpAddr, usize>,
    queue: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    entropy: Entropy,
}

impl Network {
    /// A network without NATs that draws its accidents from `seed`, others `if_natted`.
    pub fn new(link: Link, seed: u64, if_natted: bool) -> Self {
        Network {
            link,
            nats: Vec::new(),
            behind: BTreeMap::new(),
            queue: BTreeMap::new(),
            sent: 0,
            entropy: Entropy::new(seed, u64::MAX - u64::from(if_natted)),
        }
    }

    /// Puts a host behind a NAT, by their numbers.
    pub fn put_behind(&mut self, host: IpAddr, nat: usize) {
        self.behind.insert(host, nat);
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.entropy.below(1000) < per_mille
    }

    fn time_under_way(&mut self) -> Duration {
        let jitter = u32::try_from(self.link.jitter.as_micros()).unwrap_or(u32::MAX);
        let extra = if jitter == 0 { 0 } else { self.entropy.below(jitter) };
        let held = if self.chance(self.link.reorder) { 400 } else { 0 };
        self.link.delay + Duration::from_micros(extra.into()) + Duration::from_millis(held)
    }

    /// A host sends. Whether it arrives, how often and when is decided here; NATs translate.
    pub fn send(&mut self, now: Instant, mut d: Datagram) {
        if let Some(nat) = self.behind.get(&d.src.ip()).and_then(|n| self.nats.get_mut(*n)) {
            d.src = nat.outward(d.src);
        }
        if let Some(inner) = self.nats.iter().find_map(|n| n.inward(d.dst)) {
            d.dst = inner;
        }
        let copies = 1 + u32::from(self.chance(self.link.duplicate));
        for _ in 0..copies {
            if !self.chance(self.link.loss) {
                let at = now + self.time_under_way();
                self.inject(at, d.clone());
            }
        }
    }

    /// Something arrives at a time, whatever the network is like: what an attacker sends, or a test replays.
    pub fn inject(&mut self, at: Instant, d: Datagram) {
        self.sent += 1;
        self.queue.insert((at, self.sent), d);
    }

    /// When the next one arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one, if it has arrived by now.
    pub fn arrive(&mut self, now: Instant) -> Option<Datagram> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
