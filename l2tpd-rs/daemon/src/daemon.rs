//! The event loop: one epoll over the socket, the signals, the control FIFO and every call's data path.
//!
//! Each wake-up does a bounded amount of work for each source, so that no call and no stranger can starve another.

mod addresses;
mod calls;
mod commands;
mod packets;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsFd;
use std::time::Duration;

use l2tp_proto::{Endpoint, Event, Input, Instant, Output};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};

use crate::args::Args;
use crate::conf::Config;
use crate::control_pipe::ControlPipe;
use crate::log::Log;
use crate::outgoing::Outgoing;
use crate::protected::{self, Protected};
use crate::resolver::Resolver;
use crate::sa_watch::SaWatch;
use crate::secrets::SecretFile;
use crate::signals::Signals;
use crate::status;
use crate::time::now;
use crate::udp::Udp;
use addresses::Addresses;
use calls::Calls;
use start::Starts;

/// How long peers may take to acknowledge our last words.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long pppds may take to end after that.
const LAST_PPPD: Duration = Duration::from_millis(700);

/// When lines that the log daemon did not take are tried again, and how long they are at the end.
const LOG_AGAIN: Duration = Duration::from_millis(20);
const LOG_END: u32 = 10;

const TOKEN_UDP: u64 = 0;
const TOKEN_SIGNALS: u64 = 1;
const TOKEN_CONTROL: u64 = 2;
const TOKEN_SAS: u64 = 3;
const TOKEN_RESOLVER: u64 = 4;
/// Calls have their generation plus this.
const TOKEN_CALLS: u64 = 16;
/// Sockets of tunnels in the kernel have our tunnel id plus this; no generation gets there.
const TOKEN_TUNNELS: u64 = 1 << 63;

/// Where the settings came from and how to read them again.
pub type Reload = Box<dyn Fn(&Log) -> Option<Config>>;

/// Everything that runs.
pub struct Daemon {
    log: Log,
    conf: Config,
    hostname: String,
    reload: Reload,
    engine: Endpoint,
    secrets: SecretFile,
    protected: Protected,
    sas: Option<SaWatch>,
    resolver: Resolver,
    udp: Udp,
    epoll: Epoll,
    signals: Signals,
    control: ControlPipe,
    control_path: String,
    pid_file: String,
    calls: Calls,
    starts: Starts,
    addresses: Addresses,
    /// Datagrams to send at the end of the wake-up.
    outgoing: Outgoing,
    listen: SocketAddrV4,
    /// Sections that came through the control FIFO: kind, name, options.
    added: Vec<(&'static str, String, String)>,
    ending: Option<Instant>,
    /// Send errors are told once in this time.
    send_error_told: Option<Instant>,
}

/// Randomness from the kernel, fetched for many ids at once and forgotten as it is used.
fn os_random() -> impl FnMut(&mut [u8]) {
    let mut pool = zeroize::Zeroizing::new([0u8; 512]);
    let mut left = 0;
    move |out: &mut [u8]| {
        for b in out {
            // Ids and challenges must not be guessable: without randomness there is nothing to go on with.
            if left == 0 && getrandom::fill(&mut pool[..]).is_err() {
                std::process::abort();
            }
            left = if left == 0 { pool.len() - 1 } else { left - 1 };
            *b = std::mem::take(&mut pool[left]);
        }
    }
}

/// What the daemon is made of, as `main` has prepared it.
pub struct Parts {
    /// The log.
    pub log: Log,
    /// The settings.
    pub conf: Config,
    /// This machine's name.
    pub hostname: String,
    /// Reads the settings again.
    pub reload: Reload,
    /// Path of `l2tp-secrets`.
    pub secrets: String,
    /// The socket.
    pub udp: Udp,
    /// The control FIFO.
    pub control: ControlPipe,
    /// Installed handlers.
    pub signals: Signals,
}

impl Daemon {
    /// Puts the parts together.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(args: &Args, p: Parts) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let watch = |fd: std::os::fd::BorrowedFd<'_>, token| {
            epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))
        };
        watch(p.udp.as_fd(), TOKEN_UDP)?;
        watch(p.signals.as_fd(), TOKEN_SIGNALS)?;
        watch(p.control.as_fd(), TOKEN_CONTROL)?;
        let resolver = Resolver::new()?;
        watch(resolver.as_fd(), TOKEN_RESOLVER)?;
        let sas = SaWatch::open().and_then(|s| watch(s.as_fd(), TOKEN_SAS).map(|()| s).map_err(Into::into));
        if let Err(e) = &sas {
            p.log.info(&format!(
                "init: IPsec SAs cannot be watched ({e}): a client whose SA is gone ends by timeout"
            ));
        }
        let listen =
            p.udp.local().unwrap_or(SocketAddrV4::new(p.conf.global.listen_addr, p.conf.global.port));
        let mut engine =
            Endpoint::new(p.conf.endpoint(&p.hostname), Default::default(), Box::new(os_random()));
        let addresses = Addresses::new(&args.control, &mut engine, &p.log, now());
        let starts = Starts::new(p.conf.global.force_userspace);
        p.log.info(match (p.conf.global.force_userspace, starts.use_kernel) {
            (true, _) => "Not looking for kernel support.",
            (false, true) => "Using l2tp kernel support.",
            (false, false) => "L2TP kernel support not detected: calls go through ptys.",
        });
        Ok(Daemon {
            log: p.log,
            conf: p.conf,
            hostname: p.hostname,
            reload: p.reload,
            engine,
            secrets: SecretFile::new(p.secrets),
            protected: Protected::new(protected::FILE),
            sas: sas.ok(),
            resolver,
            udp: p.udp,
            epoll,
            signals: p.signals,
            control: p.control,
            control_path: args.control.clone(),
            pid_file: args.pid_file.clone(),
            calls: Calls::default(),
            starts,
            addresses,
            outgoing: Outgoing::default(),
            listen,
            added: Vec::new(),
            ending: None,
            send_error_told: None,
        })
    }

    /// Runs until a signal ends it; the files are gone then.
    ///
    /// # Errors
    /// When the loop itself cannot go on.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = vec![EpollEvent::empty(); 64];
        let start = now();
        self.log.gather();
        self.engine.handle(start, Input::Autodial);
        self.settle(start);
        loop {
            self.log.catch_up();
            let n = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(n) => n,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(e) => return Err(e.into()),
            };
            let now = now();
            for e in events.iter().take(n) {
                match e.data() {
                    TOKEN_UDP => self.receive(now, None),
                    token @ TOKEN_TUNNELS.. => self.receive(now, u16::try_from(token - TOKEN_TUNNELS).ok()),
                    TOKEN_SIGNALS => self.take_signals(now),
                    TOKEN_CONTROL => self.take_commands(now),
                    TOKEN_RESOLVER => {
                        for (dial, addrs) in self.resolver.take() {
                            self.engine.handle(now, Input::Resolved { dial, addrs });
                        }
                    }
                    TOKEN_SAS => self.sas.iter_mut().for_each(|s| s.take(now)),
                    token => self.call_event(token - TOKEN_CALLS, e.events()),
                }
            }
            self.timers(now);
            self.settle(now);
            if self.ending.is_some_and(|at| now >= at || (self.engine.is_quiet() && self.calls.is_empty())) {
                break;
            }
        }
        self.finish();
        Ok(())
    }

    fn timeout(&self) -> EpollTimeout {
        if self.starts.is_waiting() {
            return EpollTimeout::ZERO;
        }
        let engine = self.engine.poll_timeout().map(|(at, _)| at);
        let sas = self.sas.as_ref().and_then(SaWatch::next_timer);
        let log = self.log.is_behind().then(|| now() + LOG_AGAIN);
        let next = [log, engine, sas, self.calls.next_timer(), self.addresses.next_timer(), self.ending];
        let Some(at) = next.into_iter().flatten().min() else { return EpollTimeout::NONE };
        // Rounded up, or the last millisecond would be spent in a busy loop.
        let ms = at.since(now()).as_nanos().div_ceil(1_000_000);
        u16::try_from(ms).unwrap_or(u16::MAX).into()
    }

    /// Does what the engine asks for until it asks for nothing, then sends.
    fn settle(&mut self, now: Instant) {
        self.obey(now);
        self.run_starts(now);
        // What follows from the starts: frames that have waited for them, a line in the log.
        self.obey(now);
        // Before anybody is told of an address.
        self.addresses.flush();
        self.send(now);
    }

    fn obey(&mut self, now: Instant) {
        while let Some(o) = self.engine.poll_output() {
            match o {
                Output::Transmit { path, data } => self.outgoing.push(path, &data),
                Output::Log { level, text } => self.log.line(level, &text),
                Output::StartCall(start) => self.start_call(now, start),
                Output::StopCall(call) => self.stop_call(now, call),
                Output::Payload { call, frame } => self.calls.deliver(call, &frame),
                Output::Event(e) => self.event(now, &e),
                Output::Resolve { dial, host } => self.resolver.ask(dial, host),
            }
        }
    }

    fn event(&mut self, now: Instant, e: &Event) {
        if let Event::TunnelMoved { tunnel, path } = e {
            self.starts.kernel.moved(*tunnel, path.peer);
        }
        if let Event::AddressGiven { caller, addr } = e {
            self.addresses.given(&self.engine, *caller, *addr);
        }
        if let Event::CallDown { call, peer, words } = e {
            let unseen = self.calls.end_of(call.id.generation);
            self.log.info(&status::summary(call, *peer.ip(), unseen, now, words));
        }
        let debug = self.conf.global.debug;
        let told = match e {
            Event::TunnelUp { .. } | Event::TunnelMoved { .. } | Event::TunnelDown { .. } => debug.tunnel,
            _ => debug.state,
        };
        if told {
            self.log.debug(&format!("event: {e:?}"));
        }
    }

    fn timers(&mut self, now: Instant) {
        if self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            for call in self.engine.suspects(now) {
                if self.calls.has_heard(call) {
                    self.engine.handle(now, Input::Heard { tunnel: call.tunnel });
                }
            }
            self.engine.handle(now, Input::Timeout);
        }
        if let Some(sas) = self.sas.as_mut().filter(|s| s.next_timer().is_some_and(|at| at <= now)) {
            let engine = &self.engine;
            for mark in sas.check(now, |m| engine.has_mark(m)) {
                self.engine.handle(now, Input::PathGone { mark });
            }
        }
        self.address_timers(now);
        self.calls.run_timers(now, &self.log);
    }

    fn take_signals(&mut self, now: Instant) {
        for signal in self.signals.take() {
            match signal {
                SIGCHLD => self.reap(now),
                SIGUSR1 => self.dump(now),
                SIGHUP => self.reload(now),
                SIGTERM | SIGINT if self.ending.is_none() => {
                    self.log.crit(&format!("death_handler: Fatal signal {signal} received"));
                    self.ending = Some(now + GOODBYE);
                    self.engine.handle(now, Input::Shutdown);
                }
                _ => {}
            }
        }
    }

    fn reload(&mut self, now: Instant) {
        let Some(conf) = (self.reload)(&self.log) else {
            return self.log.warning("init: the configuration has an error, everything stays as it was");
        };
        let global = &conf.global;
        if (global.listen_addr, global.port) != (self.conf.global.listen_addr, self.conf.global.port) {
            self.log.warning("init: listen-addr and port are taken up at the next start only");
        }
        self.starts.use_kernel = !conf.global.force_userspace && crate::kernel::available();
        self.take_over(now, conf);
        self.log.info("init: configuration read again; calls that stand are not touched");
    }

    /// The end: pppds get a moment to run their ip-down scripts, then the files go.
    fn finish(mut self) {
        self.calls.end_all(now() + LAST_PPPD);
        for _ in 0..LOG_END {
            self.log.catch_up();
            if !self.log.is_behind() {
                break;
            }
            std::thread::sleep(LOG_AGAIN);
        }
        self.control.remove();
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

/// Things that must happen at a time, by time.
type Timers<T> = BTreeSet<(Instant, T)>;
/// Calls by generation.
type ByGeneration<T> = BTreeMap<u64, T>;
