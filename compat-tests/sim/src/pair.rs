//! The world: hosts, the network between them, and one clock.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ike::{Input, Limits, Output};
use ipsec_types::algo::DhGroup;
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, Instant};

use crate::conns::{CLIENT, PSK, SERVER, client_conn, server_conn, setup};
use crate::host::{Host, Keys};
use crate::net::{Datagram, Link, Nat, Network};

/// What a [`Pair`] is made of. The default is the L2TP-PSK conn on both ends and a good line.
#[derive(Clone, Debug)]
pub struct PairConfig {
    /// All randomness follows from it.
    pub seed: u64,
    /// The line.
    pub link: Link,
    /// The client is behind a NAT that gives out ports of its own.
    pub nat: bool,
    /// How long workers and kernels take at most.
    pub busy: Duration,
    /// The server's conns.
    pub server: Vec<ConnSpec>,
    /// The client's conn, but for its address.
    pub client: ConnSpec,
    /// The server's keys.
    pub server_keys: Keys,
    /// The client's keys.
    pub client_keys: Keys,
    /// The server's limits.
    pub limits: Limits,
}

impl Default for PairConfig {
    fn default() -> Self {
        let group = DhGroup::Ecp256;
        PairConfig {
            seed: 1,
            link: Link::GOOD,
            nat: false,
            busy: Duration::ZERO,
            server: vec![server_conn(group)],
            client: client_conn(group, CLIENT),
            server_keys: Keys::new(&[PSK]),
            client_keys: Keys::new(&[PSK]),
            limits: Limits::default(),
        }
    }
}

/// Decides whether a datagram is delivered; it may change it.
pub type Filter = Box<dyn FnMut(&mut Datagram) -> bool>;

/// What becomes of a datagram that is sent: what arrives instead, and how long after. It sees the hosts.
pub type Tamper = Box<dyn FnMut(&[Host], Datagram) -> Vec<(Duration, Datagram)>>;

/// Hosts, network, clock.
pub struct Pair {
    /// Host 0 is the server, host 1 the client; others may follow.
    pub hosts: Vec<Host>,
    /// Between them.
    pub net: Network,
    /// The time.
    pub now: Instant,
    /// Every datagram that was sent, as its sender sent it.
    pub sent: Vec<Datagram>,
    /// Every datagram that was delivered, as its receiver saw it.
    pub delivered: Vec<Datagram>,
    /// Asked before a datagram is delivered.
    pub filter: Option<Filter>,
    /// Takes the place of the network.
    pub tamper: Option<Tamper>,
    trace: DefaultHasher,
    config: PairConfig,
}

impl Pair {
    /// A server and one client.
    pub fn new(config: PairConfig) -> Pair {
        let mut net = Network::new(config.link, config.seed, config.nat);
        if config.nat {
            net.nats.push(Nat::new(Ipv4Addr::new(203, 0, 113, 7).into(), false));
        }
        let mut server = Host::new(
            config.seed,
            0,
            SERVER,
            setup(),
            config.limits,
            config.server_keys.clone(),
            config.server.clone(),
        );
        server.busy = config.busy;
        let mut pair = Pair {
            hosts: vec![server],
            net,
            now: Instant::default(),
            sent: Vec::new(),
            delivered: Vec::new(),
            filter: None,
            tamper: None,
            trace: DefaultHasher::new(),
            config: config.clone(),
        };
        let addr = if config.nat { Ipv4Addr::new(10, 1, 0, 11).into() } else { CLIENT };
        pair.add_client(addr, config.client_keys, config.nat.then_some(0));
        pair
    }

    /// Adds a client with the first one's conn, behind a NAT if `nat` says which. Returns its number.
    pub fn add_client(&mut self, addr: IpAddr, keys: Keys, nat: Option<usize>) -> usize {
        let number = self.hosts.len();
        let mut conn = self.config.client.clone();
        conn.left.host = ipsec_types::HostSpec::Addr(addr);
        let mut host =
            Host::new(self.config.seed, number as u64, addr, setup(), Limits::default(), keys, vec![conn]);
        host.busy = self.config.busy;
        self.hosts.push(host);
        if let Some(nat) = nat {
            self.net.put_behind(addr, nat);
        }
        number
    }

    /// The server.
    pub fn server(&mut self) -> &mut Host {
        &mut self.hosts[0]
    }

    /// The first client.
    pub fn client(&mut self) -> &mut Host {
        &mut self.hosts[1]
    }

    /// `ipsec auto --up` on a client.
    pub fn up(&mut self, host: usize) {
        let request = Request::Initiate { name: "L2TP-PSK".into(), asynchronous: true };
        self.hosts[host].whack(self.now, request);
    }

    /// `ipsec auto --down` on a host.
    pub fn down(&mut self, host: usize) {
        let request = Request::Terminate { name: "L2TP-PSK".into() };
        self.hosts[host].whack(self.now, request);
    }

    /// Everybody does what is due now; what they send is under way.
    pub fn drain(&mut self) {
        let Pair { hosts, net, now, sent, trace, tamper, .. } = self;
        let mut all = Vec::new();
        for (number, host) in hosts.iter_mut().enumerate() {
            let mut told = |output: &Output| (now.0, number, format!("{output:?}")).hash(trace);
            all.extend(host.drive(*now, &mut told));
        }
        for d in all {
            sent.push(d.clone());
            match tamper {
                Some(tamper) => {
                    tamper(hosts, d).into_iter().for_each(|(late, d)| net.inject(*now + late, d));
                }
                None => net.send(*now, d),
            }
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let hosts = self.hosts.iter().filter_map(Host::next_wakeup).min();
        [hosts, self.net.next_arrival()].into_iter().flatten().min()
    }

    /// Drains everybody, then goes on to the next moment at which something happens, if that is not after `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        self.drain();
        let Some(next) = self.next_event().filter(|t| *t <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(next);
        while let Some(d) = self.net.arrive(self.now) {
            self.deliver(d);
        }
        true
    }

    /// Hands a datagram to its receiver at once, if there is one and the filter lets it pass.
    pub fn deliver(&mut self, mut d: Datagram) {
        if !self.filter.as_mut().is_none_or(|f| f(&mut d)) {
            return;
        }
        let Some(number) = self.hosts.iter().position(|h| h.addr == d.dst.ip()) else { return };
        (self.now.0, number, d.src, d.dst, &d.data).hash(&mut self.trace);
        self.delivered.push(d.clone());
        let input = Input::Datagram { local: d.dst, remote: d.src, data: d.data };
        self.hosts[number].handle(self.now, input);
        self.drain();
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Runs until `done` says so; false if it has not after `time`.
    pub fn run_until(&mut self, time: Duration, mut done: impl FnMut(&mut Pair) -> bool) -> bool {
        let until = self.now + time;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                return done(self);
            }
        }
    }

    /// The client dials; true once both ends have the Child SA.
    pub fn connect(&mut self) -> bool {
        self.up(1);
        self.run_until(Duration::from_secs(60), |p| {
            !p.hosts[0].engine.established().is_empty() && !p.hosts[1].engine.established().is_empty()
        })
    }

    /// A datagram from anybody to anybody, delivered now.
    pub fn inject(&mut self, src: SocketAddr, dst: SocketAddr, data: Vec<u8>) {
        self.deliver(Datagram { src, dst, data });
    }

    /// A fingerprint of all that was said and delivered so far, and when.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }
}
