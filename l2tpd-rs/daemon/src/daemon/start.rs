//! How a call gets its pppd and its data path.

use std::collections::VecDeque;

use l2tp_proto::{CallEnd, CallStart, Input, Instant, Role};
use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::calls::{GATE, Running};
use super::{Daemon, TOKEN_CALLS, TOKEN_TUNNELS};
use crate::datapath::{DataPath, NullPath, PtyPath};
use crate::kernel::KernelTunnels;
use crate::optfile::OptFile;
use crate::pppd::{Link, Words};
use crate::{kernel, mtu, pppd, pty};

/// pppds started a wake-up: to start one costs more than to serve all that stand.
const STARTS: usize = 8;
/// Calls that wait for their pppd; the engine's limits are lower, so this bounds mistakes only.
const WAITING: usize = 20_000;

/// The word for no pppd at all.
const NO_PPPD: &str = "none";

/// Calls that wait for their pppd, and the kernel's tunnels.
pub(super) struct Starts {
    waiting: VecDeque<CallStart>,
    pub(super) kernel: KernelTunnels,
    /// The kernel has L2TP, and the configuration does not forbid it.
    pub(super) use_kernel: bool,
}

impl Starts {
    pub(super) fn new(force_userspace: bool) -> Self {
        let use_kernel = !force_userspace && kernel::available();
        Starts { waiting: VecDeque::new(), kernel: KernelTunnels::default(), use_kernel }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a call back that has no pppd yet.
    fn cancel(&mut self, generation: u64) {
        self.waiting.retain(|s| s.call.generation != generation);
    }
}

impl Daemon {
    pub(super) fn start_call(&mut self, now: Instant, start: CallStart) {
        if self.starts.waiting.len() >= WAITING {
            let end = CallEnd::NotStarted("too many calls wait for their pppd".into());
            return self.engine.handle(now, Input::CallEnded { call: start.call, end });
        }
        self.starts.waiting.push_back(start);
    }

    /// The engine has ended a call whose pppd was not started yet.
    pub(super) fn cancel_start(&mut self, generation: u64) {
        self.starts.cancel(generation);
    }

    /// Starts a few of the pppds that calls wait for.
    pub(super) fn run_starts(&mut self, now: Instant) {
        for _ in 0..STARTS {
            let Some(start) = self.starts.waiting.pop_front() else { return };
            if self.conf.global.pppd == NO_PPPD {
                self.start_without(now, start);
                continue;
            }
            let why_not = self.why_no_kernel(&start);
            self.start_now(now, start, why_not.is_none(), why_not);
        }
    }

    /// A call without PPP.
    fn start_without(&mut self, now: Instant, start: CallStart) {
        let call = start.call;
        self.calls.insert(Running {
            pid: None,
            path: Box::new(NullPath),
            watched: None,
            gate: None,
            dirty: false,
            heard: 0,
            words: None,
            since: now,
            over: false,
            looped: false,
            start,
        });
        self.engine.handle(now, Input::CallStarted { call, pid: 0 });
    }

    /// Why a call cannot go through the kernel, when it could otherwise.
    fn why_no_kernel(&self, start: &CallStart) -> Option<String> {
        if !self.starts.use_kernel {
            return Some(String::new());
        }
        let file = start.section.ppp().file.as_ref()?;
        let word = OptFile::look(file).tty_only?;
        Some(format!("'{word}' in {file} is for a tty"))
    }

    /// Starts pppd. A call that cannot go through the kernel goes through a pty, with one line in the log.
    pub(super) fn start_now(&mut self, now: Instant, start: CallStart, in_kernel: bool, why: Option<String>) {
        let session = start.call.session;
        let mut why = why;
        if in_kernel {
            let token = TOKEN_TUNNELS + u64::from(start.call.tunnel);
            match self.starts.kernel.open(&start, self.listen.port(), &self.epoll, token) {
                Ok((path, fd)) => {
                    let tunnel = start.call.tunnel;
                    if !self.run_pppd(now, start, Box::new(path), Link::Kernel(fd)) {
                        self.starts.kernel.close(tunnel);
                    }
                    return;
                }
                Err(e) => why = Some(e.to_string()),
            }
        }
        if let Some(w) = why.filter(|w| !w.is_empty()) {
            self.log.info(&format!("start_pppd: call {session} goes through a pty, not the kernel: {w}"));
        }
        match pty::open() {
            Ok(p) => {
                let path = PtyPath::new(p.master);
                self.run_pppd(now, start, Box::new(path), Link::Tty(p.name, p.slave));
            }
            Err(e) => {
                let end = CallEnd::NotStarted(format!("unable to open a pty: {e}"));
                self.engine.handle(now, Input::CallEnded { call: start.call, end });
            }
        }
    }

    fn run_pppd(&mut self, now: Instant, start: CallStart, path: Box<dyn DataPath>, link: Link) -> bool {
        let (call, generation, role) = (start.call, start.call.generation, start.role);
        let says_mtu = |f: &str| OptFile::look(f).mtu;
        let file = start.section.ppp().file.as_deref();
        let mtu = if says_mtu("/etc/ppp/options") || file.is_some_and(says_mtu) {
            None
        } else {
            mtu::of(&start.path)
        };
        let args = pppd::arguments(&link, &start, mtu);
        let program = &self.conf.global.pppd;
        self.log.debug("start_pppd: I'm running: ");
        for a in std::iter::once(program).chain(&args) {
            self.log.debug(&format!("\"{a}\" "));
        }
        let token = generation + TOKEN_CALLS;
        let watched = match path.fd() {
            Some(fd) => self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token)),
            None => Ok(()),
        };
        let started = watched.map_err(|e| format!("unable to watch the pty: {e}")).and_then(|()| {
            pppd::start(program, &args, link, &start).map_err(|e| format!("Exec of {program} failed! ({e})"))
        });
        let started = match started {
            Ok(s) => s,
            Err(why) => {
                let end = CallEnd::NotStarted(why);
                self.engine.handle(now, Input::CallEnded { call, end });
                return false;
            }
        };
        let on_pty = path.fd().is_some();
        let gate = on_pty.then(|| now + GATE);
        self.calls.insert(Running {
            pid: Some(started.pid),
            path,
            watched: on_pty.then_some(EpollFlags::EPOLLIN),
            gate,
            dirty: false,
            heard: 0,
            words: Some(Words::new(started.words)),
            since: now,
            over: false,
            looped: false,
            start,
        });
        if role == Role::Lns {
            self.addresses.watch(now, call, started.pid);
        }
        self.engine.handle(now, Input::CallStarted { call, pid: started.pid });
        true
    }
}
