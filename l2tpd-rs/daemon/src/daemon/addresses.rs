//! Which addresses callers may have: those that are in use when the daemon starts, those of users in pppd's secrets,
//! those callers had last; and what PPP has made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use l2tp_proto::{CallId, Endpoint, Input, Instant};

use super::Daemon;
use crate::lease_file::LeaseFile;
use crate::log::Log;
use crate::ppp_secrets::PppSecrets;
use crate::{interfaces, ppp_db};

/// How often what may have changed is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How often interfaces are looked at that have stayed for [`SOON`] looks.
const SELDOM: Duration = Duration::from_secs(60);
const SOON: u32 = 30;
/// How long a call is watched for its user and address.
const WATCH: Duration = Duration::from_secs(60);

/// What there is to watch.
pub(super) struct Addresses {
    file: LeaseFile,
    secrets: PppSecrets,
    secrets_at: Option<Instant>,
    /// Peers of links that were there before us.
    held: BTreeSet<Ipv4Addr>,
    held_at: Instant,
    looks: u32,
    /// Calls of which pppd has not told the user yet: pppd, and until when to ask.
    unknown: BTreeMap<CallId, (u32, Instant)>,
    unknown_at: Option<Instant>,
}

impl Addresses {
    /// Tells the engine what is in use, and what callers had last.
    pub(super) fn new(control: &str, engine: &mut Endpoint, log: &Log, now: Instant) -> Self {
        let file = LeaseFile::new(control);
        for (caller, addr) in file.load() {
            engine.remember(caller, addr);
        }
        let held = interfaces::peers();
        if !held.is_empty() {
            let n = held.len();
            log.info(&format!(
                "init: {n} addresses are in use on point-to-point interfaces and not given away until they are free"
            ));
        }
        held.iter().for_each(|a| engine.hold_address(*a));
        Addresses {
            file,
            secrets: PppSecrets::default(),
            secrets_at: None,
            held,
            held_at: now + EVERY,
            looks: 0,
            unknown: BTreeMap::new(),
            unknown_at: None,
        }
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        let held = (!self.held.is_empty()).then_some(self.held_at);
        held.into_iter().chain(self.unknown_at).min()
    }

    /// pppd of a call runs, and will know who is there.
    pub(super) fn watch(&mut self, now: Instant, call: CallId, pid: u32) {
        self.unknown.insert(call, (pid, now + WATCH));
        self.unknown_at.get_or_insert(now + EVERY);
    }

    /// pppd of a call has ended.
    pub(super) fn unwatch(&mut self, call: CallId) {
        self.unknown.remove(&call);
    }

    /// pppd's secrets may have changed: to be called before calls are taken.
    pub(super) fn look_at_secrets(&mut self, now: Instant, engine: &mut Endpoint) {
        if self.secrets_at.is_some_and(|at| now < at) {
            return;
        }
        self.secrets_at = Some(now + EVERY);
        if let Some(addrs) = self.secrets.changed() {
            engine.keep_addresses(addrs);
        }
    }

    /// The end of a wake-up: what [`Addresses::given`] was told is written.
    pub(super) fn flush(&mut self) {
        self.file.flush();
    }

    /// A caller has another address than last time.
    pub(super) fn given(&mut self, engine: &Endpoint, caller: u64, addr: Ipv4Addr) {
        if self.file.is_open() && !self.file.is_long() {
            return self.file.append(caller, addr);
        }
        // The first one, or one too many; the engine knows the others.
        let _ = self.file.rewrite(engine.remembered());
    }
}

impl Daemon {
    pub(super) fn address_timers(&mut self, now: Instant) {
        let a = &mut self.addresses;
        if !a.held.is_empty() && now >= a.held_at {
            a.looks += 1;
            a.held_at = now + if a.looks < SOON { EVERY } else { SELDOM };
            let there = interfaces::peers();
            for gone in a.held.difference(&there) {
                self.engine.release_address(*gone);
            }
            a.held.retain(|h| there.contains(h));
        }
        if a.unknown_at.is_some_and(|at| now >= at) {
            let links = ppp_db::read();
            a.unknown.retain(|call, (pid, until)| {
                let link = links.get(pid);
                let addr = link.and_then(|l| l.remote.as_ref()).and_then(|r| r.parse().ok());
                let Some((link, addr)) = link.zip(addr) else { return now < *until };
                if let Some(user) = link.user.clone() {
                    self.engine.handle(now, Input::CallUser { call: *call, user });
                }
                self.engine.handle(now, Input::CallAddress { call: *call, addr });
                false
            });
            a.unknown_at = (!a.unknown.is_empty()).then_some(now + EVERY);
        }
    }
}
