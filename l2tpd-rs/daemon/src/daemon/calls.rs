//! The calls' data paths and pppds: start, stop, reaping.

use std::collections::BTreeMap;
use std::time::Duration;

use l2tp_proto::{CallEnd, CallId, CallStart, Input, Instant, Level, Role};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{ByGeneration, Daemon, TOKEN_CALLS, Timers};
use crate::datapath::{DataPath, Traffic};
use crate::inner;
use crate::log::Log;
use crate::pppd::Words;

/// Octets taken from one pppd a wake-up.
const BUDGET: usize = 64 * 1024;
/// How often the tty of a pppd that has ended is looked at for what is left there.
const LAST_READS: usize = 16;
/// How long frames are held for a pppd that says nothing first (`silent`).
pub(super) const GATE: Duration = Duration::from_secs(1);
/// How long a pppd may take to end by itself when the peer has hung up. The peer may have said so in PPP, too, and a
/// pppd that ends of its own tells with its exit status why, which one that gets a signal does not.
const GRACE: Duration = Duration::from_millis(300);
/// How long a pppd may take to end after SIGTERM, and after it has closed its tty.
const PATIENCE: Duration = Duration::from_secs(5);
/// A pppd in the kernel's path that ends this soon with exit status 2 did not like an option that it takes on a tty.
const TOO_SOON: Duration = Duration::from_secs(3);
/// pppd's exit status for an option it does not know.
const OPTION_ERROR: i32 = 2;

pub(super) struct Running {
    pub(super) start: CallStart,
    /// pppd; `None` where the path needs none.
    pub(super) pid: Option<u32>,
    pub(super) path: Box<dyn DataPath>,
    /// What epoll watches for; `None` after a hang-up of the tty, and where there is none.
    pub(super) watched: Option<EpollFlags>,
    /// When frames stop being held back.
    pub(super) gate: Option<Instant>,
    /// Something was delivered in this wake-up.
    pub(super) dirty: bool,
    /// Frames of the peer when [`Calls::has_heard`] was last asked, of a path that counts them itself.
    pub(super) heard: u64,
    /// pppd's standard error.
    pub(super) words: Option<Words>,
    pub(super) since: Instant,
    /// The engine has told the end of the call.
    pub(super) over: bool,
    /// It was told that its own packets came back through it.
    pub(super) looped: bool,
}

/// All data paths, and all pppds that have not been reaped.
#[derive(Default)]
pub(super) struct Calls {
    running: ByGeneration<Running>,
    /// Calls of pppds that run, by process id.
    by_pid: BTreeMap<u32, CallId>,
    /// pppds that have been told to end, or should do so by themselves, and what they get next.
    ending: BTreeMap<u32, (Instant, Signal)>,
    gates: Timers<u64>,
    kills: Timers<u32>,
    dirty: Vec<u64>,
    /// Frames lost in calls that have ended.
    dropped: u64,
    /// What went unseen through paths that are gone, while the engine has not told the end of their calls.
    last: ByGeneration<Traffic>,
}

fn signal(pid: u32, s: Signal) {
    // Only processes that are not reaped are signalled, so the id cannot be another's.
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), s);
    }
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        let gate = self.gates.first().map(|(at, _)| *at);
        let kill = self.kills.first().map(|(at, _)| *at);
        [gate, kill].into_iter().flatten().min()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped + self.running.values().map(|r| r.path.dropped()).sum::<u64>()
    }

    pub(super) fn insert(&mut self, r: Running) {
        let call = r.start.call;
        self.by_pid.extend(r.pid.map(|pid| (pid, call)));
        if let Some(at) = r.gate {
            self.gates.insert((at, call.generation));
        }
        self.running.insert(call.generation, r);
    }

    /// Name of a call's data path, and what went through it unseen by the engine.
    pub(super) fn path_of(&self, generation: u64) -> Option<(&'static str, Option<Traffic>)> {
        self.running.get(&generation).map(|r| (r.path.kind(), r.path.traffic()))
    }

    /// The engine tells the end of a call: what went through it unseen.
    pub(super) fn end_of(&mut self, generation: u64) -> Option<Traffic> {
        if let Some(r) = self.running.get_mut(&generation) {
            r.over = true;
            return r.path.traffic();
        }
        self.last.remove(&generation)
    }

    /// Whether frames of the peer have come since this was last asked, which did not come through the engine.
    pub(super) fn has_heard(&mut self, call: CallId) -> bool {
        let Some(r) = self.running.get_mut(&call.generation) else { return false };
        let count = r.path.traffic().map_or(0, |t| t.rx_packets);
        std::mem::replace(&mut r.heard, count) != count
    }

    pub(super) fn deliver(&mut self, call: CallId, frame: &[u8]) {
        let Some(r) = self.running.get_mut(&call.generation) else { return };
        r.path.deliver(frame);
        if !r.dirty {
            r.dirty = true;
            self.dirty.push(call.generation);
        }
    }

    /// Writes what was delivered, and watches for room where it did not fit. Returns the calls whose frames for the
    /// peer have waited for this.
    pub(super) fn flush(&mut self, epoll: &Epoll) -> Vec<u64> {
        let mut collect = Vec::new();
        for generation in std::mem::take(&mut self.dirty) {
            if let Some(r) = self.running.get_mut(&generation) {
                r.dirty = false;
                r.path.flush();
                r.watch(epoll, generation);
                if r.path.wants_collect() {
                    collect.push(generation);
                }
            }
        }
        collect
    }

    /// What pppd will get at `at` unless it has ended by then.
    fn end_by(&mut self, pid: u32, at: Instant, s: Signal) {
        if let Some((old, _)) = self.ending.insert(pid, (at, s)) {
            self.kills.remove(&(old, pid));
        }
        self.kills.insert((at, pid));
    }

    pub(super) fn run_timers(&mut self, now: Instant, log: &Log) {
        while let Some(&(at, generation)) = self.gates.first() {
            if at > now {
                break;
            }
            self.gates.pop_first();
            if let Some(r) = self.running.get_mut(&generation) {
                r.gate = None;
                r.path.open_gate();
                r.dirty = true;
                self.dirty.push(generation);
            }
        }
        while let Some(&(at, pid)) = self.kills.first() {
            if at > now {
                break;
            }
            self.kills.pop_first();
            let Some((_, s)) = self.ending.remove(&pid) else { continue };
            self.terminate(now, pid, s, log);
        }
    }

    /// Signals a pppd. The first signal hangs its line up as well.
    fn terminate(&mut self, now: Instant, pid: u32, s: Signal, log: &Log) {
        let word = s.as_str().trim_start_matches("SIG");
        log.debug(&format!("Terminating pppd: sending {word} signal to pid {pid}"));
        signal(pid, s);
        if s == Signal::SIGTERM {
            self.end_by(pid, now + PATIENCE, Signal::SIGKILL);
        }
        if let Some(call) = self.by_pid.get(&pid) {
            self.remove(call.generation);
        }
    }

    fn forget_pid(&mut self, pid: u32) -> Option<CallId> {
        if let Some((at, _)) = self.ending.remove(&pid) {
            self.kills.remove(&(at, pid));
        }
        self.by_pid.remove(&pid)
    }

    /// Forgets a data path, which closes its descriptor; epoll forgets it with that.
    fn remove(&mut self, generation: u64) -> Option<Running> {
        let r = self.running.remove(&generation)?;
        if let Some(at) = r.gate {
            self.gates.remove(&(at, generation));
        }
        self.dropped += r.path.dropped();
        self.last.extend(r.path.traffic().filter(|_| !r.over).map(|t| (generation, t)));
        Some(r)
    }

    /// Ends all pppds, with force after `deadline`, and reaps them.
    pub(super) fn end_all(&mut self, deadline: Instant) {
        // Closing the ptys hangs the lines up, which pppd heeds at once.
        self.running.clear();
        for &pid in self.by_pid.keys() {
            signal(pid, Signal::SIGTERM);
        }
        while !self.by_pid.is_empty() {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) if crate::time::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                    self.by_pid.remove(&u32::try_from(pid.as_raw()).unwrap_or(0));
                }
                Ok(WaitStatus::StillAlive) => {
                    for &pid in self.by_pid.keys() {
                        signal(pid, Signal::SIGKILL);
                    }
                    break;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}

impl Running {
    fn watch(&mut self, epoll: &Epoll, generation: u64) {
        let Some(old) = self.watched else { return };
        let mut want = EpollFlags::EPOLLIN;
        if self.path.wants_write() {
            want |= EpollFlags::EPOLLOUT;
        }
        if want != old {
            let mut event = EpollEvent::new(want, generation + TOKEN_CALLS);
            if self.path.fd().is_some_and(|fd| epoll.modify(fd, &mut event).is_ok()) {
                self.watched = Some(want);
            }
        }
    }
}

impl Daemon {
    /// The call is over: pppd gets a moment, then a signal and a hang-up.
    pub(super) fn stop_call(&mut self, now: Instant, call: CallId) {
        self.cancel_start(call.generation);
        let Some(r) = self.calls.running.get_mut(&call.generation) else { return };
        r.path.open_gate();
        let Some(pid) = r.pid else {
            self.calls.remove(call.generation);
            return self.engine.handle(now, Input::CallEnded { call, end: CallEnd::Exit(0) });
        };
        match self.ending {
            None => self.calls.end_by(pid, now + GRACE, Signal::SIGTERM),
            Some(_) => self.calls.terminate(now, pid, Signal::SIGTERM, &self.log),
        }
    }

    pub(super) fn call_event(&mut self, generation: u64, events: EpollFlags) {
        if events.contains(EpollFlags::EPOLLOUT)
            && let Some(r) = self.calls.running.get_mut(&generation)
        {
            r.path.resume();
            r.watch(&self.epoll, generation);
        }
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            self.collect(generation);
        }
    }

    /// Takes frames from a pppd to the peer. False when it has closed its tty, and nothing is left there.
    pub(super) fn collect(&mut self, generation: u64) -> bool {
        let Some(r) = self.calls.running.get_mut(&generation) else { return false };
        let (engine, outgoing, call) = (&mut self.engine, &mut self.outgoing, r.start.call);
        // As LNS a caller may well be routed to by its own address.
        let server = (r.start.role == Role::Lac).then_some(r.start.path.peer);
        let mut looped = false;
        let alive = r.path.collect(BUDGET, &mut |frame| {
            if server.is_some_and(|s| inner::is_tunnel_to(frame, s)) {
                looped = true;
                return;
            }
            outgoing.append(inner::tos(frame), |datagram| engine.encapsulate(call, frame, datagram));
        });
        if let (true, Some(server)) = (looped && !std::mem::replace(&mut r.looped, looped), server) {
            self.log.warning(&format!(
                "call {}: the route to its own server leads into it, packets for the tunnel to {} are dropped; give that \
                 address a route of its own",
                call.session,
                server.ip()
            ));
        }
        if alive {
            r.watch(&self.epoll, generation);
            return true;
        }
        // pppd has closed its tty. It will end soon, and its exit code is worth waiting for.
        if r.watched.take().is_some() {
            if let Some(fd) = r.path.fd() {
                let _ = self.epoll.delete(fd);
            }
            if let Some(pid) = r.pid {
                self.calls.end_by(pid, crate::time::now() + PATIENCE, Signal::SIGTERM);
            }
        }
        false
    }

    /// Children that have ended.
    pub(super) fn reap(&mut self, now: Instant) {
        loop {
            let (pid, end) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, CallEnd::Exit(code)),
                Ok(WaitStatus::Signaled(pid, s, _)) => (pid, CallEnd::Signal(s as i32)),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let Ok(pid) = u32::try_from(pid.as_raw()) else { continue };
            let Some(call) = self.calls.forget_pid(pid) else { continue };
            self.addresses.unwatch(call);
            // Its last frames, an LCP Terminate-Request for one, are still in the pty.
            let _ = (0..LAST_READS).all(|_| self.collect(call.generation));
            self.calls.forget_pid(pid);
            let Some(mut r) = self.calls.remove(call.generation) else {
                self.engine.handle(now, Input::CallEnded { call, end });
                continue;
            };
            for line in r.words.as_mut().map(|w| w.take(true)).unwrap_or_default() {
                self.log.line(Level::Notice, &format!("pppd[{pid}]: {line}"));
            }
            if r.path.kind() == "kernel" {
                self.starts.kernel.close(call.tunnel);
                if end == CallEnd::Exit(OPTION_ERROR) && now.since(r.since) < TOO_SOON {
                    let why = "its pppd does not know an option there".to_string();
                    self.start_now(now, r.start, false, Some(why));
                    continue;
                }
            }
            self.engine.handle(now, Input::CallEnded { call, end });
        }
    }
}

#[cfg(test)]
mod tests;
