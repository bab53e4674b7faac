//! The engine: owns every SA and connection, takes inputs, hands out outputs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipsec_crypto::{Certificate, CryptoError};
use ipsec_types::kernel::{KernelError, KernelEvent, KernelReply, KernelRequest, ReqToken, SaId};
use ipsec_types::whack::{SetupSpec, rc};
use ipsec_types::{Id, Instant, Now};

use crate::child::Traffic;
use crate::conn_table::ConnTable;
use crate::given::GivenKeys;
use crate::groups::BareShunts;
use crate::idle::Watched;
use crate::install::Stage;
use crate::io::{
    ClientId, CryptoJob, CryptoResult, CryptoToken, EntropySource, Input, Interface, Output, PasswordToken,
    Protected, PskLookup,
};
use crate::keyring::Keyring;
use crate::limits::{Counters, HalfOpen};
use crate::lists::LearnedPeers;
use crate::pools::Pools;
use crate::sa::{ChildSa, Origin, Phase1, Phase2, Serial};
use crate::scripts::{LastUsage, Scripts};
use crate::spd::Spd;
use crate::table::{ChildTable, IkeTable};
use crate::timer::{TimerKind, TimerQueue};
use crate::truncation::Unproved;
use crate::v1::fragment::Reassemblies;
use crate::v1::{Continuation, Due, natt};
use crate::wire::Cookie;

/// What an engine is made with.
pub struct EndpointConfig {
    /// `config setup`, the limits too.
    pub setup: SetupSpec,
    /// Our vendor ID.
    pub vendor_id: Vec<u8>,
    /// Words of the first status line: `netkey`, `noklips`.
    pub kernel_name: &'static str,
    /// Whether the built-in updown script has work even for conns that ask nothing of it.
    pub updown_always: bool,
    /// Randomness.
    pub entropy: Box<dyn EntropySource>,
    /// Pre-shared keys.
    pub secrets: Box<dyn PskLookup>,
}

/// What is to happen when the kernel has answered.
#[derive(Debug)]
pub(crate) enum KernelWait {
    Spi { child: Serial, id: SaId },
    Install(Serial, Stage),
    Usage(Serial, Traffic),
    LastUsage(LastUsage),
    Traffic(Due),
    Idle(Serial),
    Truncation(Serial),
    Integrity(Serial),
    Flush,
}

/// The engine. See the crate's documentation for how it is driven.
pub struct Endpoint {
    pub(crate) setup: SetupSpec,
    pub(crate) vendor_id: Vec<u8>,
    pub(crate) kernel_name: &'static str,
    pub(crate) updown_always: bool,
    entropy: Box<dyn EntropySource>,
    pub(crate) secrets: Box<dyn PskLookup>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) given: GivenKeys,
    /// Certificates of `leftcert=` by its words, as long as a conn names them.
    pub(crate) certs: BTreeMap<String, Result<Certificate, CryptoError>>,
    /// Peers that have proved themselves with certificates, the last last.
    pub(crate) learned: LearnedPeers,
    pub(crate) now: Now,
    pub(crate) out: VecDeque<Output>,
    /// `--myid`, for the status.
    pub(crate) my_id: Id,
    /// `--debug-…`, for the status: of the daemon and of conns.
    pub(crate) debug: Vec<String>,
    pub(crate) conn_debug: HashMap<String, Vec<String>>,
    pub(crate) listening: bool,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) conns: ConnTable,
    pub(crate) ikes: IkeTable,
    pub(crate) children: ChildTable,
    // Half of the key is the peer's choice: std's keyed hasher, as for every map here.
    pub(crate) by_cookies: HashMap<(Cookie, Cookie), Serial>,
    // First messages of responders under way, so that a repeated one makes no second SA. The peer chooses the key.
    pub(crate) by_first: HashMap<(Cookie, Origin), Serial>,
    // Our own Main Modes before the peer's cookie is known. We choose the key.
    pub(crate) by_icookie: HashMap<Cookie, Serial>,
    // Children by the SPI the kernel gave us. The kernel chooses the key.
    pub(crate) by_spi_in: HashMap<u32, Serial>,
    // Children with an outbound SA by the peer's address and SPI. The peer chooses the key.
    pub(crate) by_spi_out: HashMap<(IpAddr, u32), Serial>,
    // Children by exchange. The peer may choose the message ID. A tree: see `TimerQueue`.
    pub(crate) by_msgid: BTreeMap<(Serial, u32), Serial>,
    pub(crate) half_open: HalfOpen,
    pub(crate) refused: Counters,
    pub(crate) timers: TimerQueue,
    pub(crate) spd: Spd,
    /// Networks of the policy group files, by the group's name.
    pub(crate) groups: BTreeMap<String, Vec<ipnet::IpNet>>,
    pub(crate) bare_shunts: BareShunts,
    pub(crate) guards: BTreeSet<Protected>,
    pub(crate) installs: HashMap<Serial, (u32, Option<KernelError>)>,
    pub(crate) traffic: HashMap<ClientId, u32>,
    pub(crate) scripts: Scripts,
    pub(crate) watched: Watched,
    pub(crate) unproved: Unproved,
    pub(crate) pools: Pools,
    /// Passwords that are being checked.
    pub(crate) checks: HashMap<PasswordToken, (Serial, String)>,
    pub(crate) fragments: Reassemblies,
    waits: HashMap<ReqToken, KernelWait>,
    jobs: HashMap<CryptoToken, (Serial, Continuation)>,
    next_serial: u32,
    next_token: u64,
    pub(crate) exiting: bool,
}

impl Endpoint {
    /// An engine that knows no conn and does not listen.
    pub fn new(mut cfg: EndpointConfig) -> Self {
        let mut first_slot = [0; 2];
        cfg.entropy.fill(&mut first_slot);
        let mut e = Endpoint {
            setup: cfg.setup,
            vendor_id: cfg.vendor_id,
            kernel_name: cfg.kernel_name,
            updown_always: cfg.updown_always,
            entropy: cfg.entropy,
            secrets: cfg.secrets,
            keyring: Arc::default(),
            given: GivenKeys::default(),
            certs: BTreeMap::new(),
            learned: LearnedPeers::default(),
            now: Now::default(),
            out: VecDeque::new(),
            my_id: Id::None,
            debug: Vec::new(),
            conn_debug: HashMap::new(),
            listening: false,
            interfaces: Vec::new(),
            conns: ConnTable::default(),
            ikes: IkeTable::default(),
            children: ChildTable::default(),
            by_cookies: HashMap::new(),
            by_first: HashMap::new(),
            by_icookie: HashMap::new(),
            by_spi_in: HashMap::new(),
            by_spi_out: HashMap::new(),
            by_msgid: BTreeMap::new(),
            half_open: HalfOpen::default(),
            refused: Counters::default(),
            timers: TimerQueue::default(),
            groups: BTreeMap::new(),
            bare_shunts: BareShunts::default(),
            spd: Spd::new(u16::from_be_bytes(first_slot)),
            guards: BTreeSet::new(),
            installs: HashMap::new(),
            traffic: HashMap::new(),
            scripts: Scripts::default(),
            watched: Watched::new(),
            unproved: Unproved::new(),
            pools: Pools::default(),
            checks: HashMap::new(),
            fragments: Reassemblies::default(),
            waits: HashMap::new(),
            jobs: HashMap::new(),
            next_serial: 1,
            next_token: 1,
            exiting: false,
        };
        // What an earlier run left behind when it was killed.
        e.kernel(KernelRequest::FlushOurs, Some(KernelWait::Flush));
        e
    }

    /// Replaces the pre-shared keys. Established SAs are not touched.
    pub fn set_secrets(&mut self, secrets: Box<dyn PskLookup>) {
        self.secrets = secrets;
    }

    /// Replaces private keys and certificates. Established SAs are not touched.
    pub fn set_keyring(&mut self, keyring: Arc<Keyring>) {
        self.keyring = keyring;
    }

    /// Takes one input. Outputs pile up for [`Self::poll_output`].
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Datagram { local, remote, data } => self.on_datagram(local, remote, &data),
            Input::Undelivered { local, remote, why } => self.on_undelivered(local, remote, &why),
            Input::Timeout => self.on_timeout(),
            Input::Whack { client, request } => {
                self.on_whack(client, *request);
                self.forget_certs();
            }
            Input::WhackGone(client) => self.on_whack_gone(client),
            Input::Listening { interfaces, client } => self.on_listening(interfaces, client),
            Input::Resolved { name, addr } => self.on_resolved(&name, addr),
            Input::Groups(groups) => self.on_groups(groups),
            Input::Kernel(event) => self.on_kernel(event),
            Input::CryptoDone(token, result) => self.on_crypto(token, result),
            Input::UpdownDone(token, result) => self.on_updown(token, result),
            Input::PasswordChecked(token, verdict) => self.on_password(token, verdict),
        }
    }

    /// The next output, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call again with [`Input::Timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        self.timers.next()
    }

    /// Established Child SAs, by the conn's name and the SPIs in and out: for tests and counters.
    pub fn established(&self) -> Vec<(String, u32, u32)> {
        let name = |c: &ChildSa| self.conns.get(c.conn).map_or_else(String::new, |x| x.spec.name.clone());
        self.children.values().filter(|c| c.is_up()).map(|c| (name(c), c.spi_in, c.spi_out)).collect()
    }

    /// Numbers of IKE SAs, Child SAs, connections (with instances) and armed waits: for leak checks.
    pub fn counts(&self) -> [usize; 4] {
        [
            self.ikes.len(),
            self.children.len(),
            self.conns.iter().count(),
            self.waits.len() + self.jobs.len() + self.checks.len(),
        ]
    }

    /// SAs that no timer will ever wake, and for which no worker or kernel is at work: there is never one.
    pub fn untimed(&self) -> Vec<u32> {
        let ikes =
            self.ikes.iter().filter(|(_, s)| !matches!(s.state, Phase1::Suspended(_))).map(|(s, _)| *s);
        let busy = |c: &ChildSa| matches!(c.state, Phase2::Suspended(_));
        let children = self.children.iter().filter(|(s, c)| !busy(c) && !self.installs.contains_key(s));
        let all = ikes.chain(children.map(|(s, _)| *s));
        all.filter(|s| !self.timers.has(*s)).map(|s| s.0).collect()
    }

    // ---- services for the other modules ----

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.entropy.fill(&mut out);
        out
    }

    pub(crate) fn random_vec(&mut self, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        self.entropy.fill(&mut out);
        out
    }

    pub(crate) fn new_serial(&mut self) -> Serial {
        let s = Serial(self.next_serial);
        self.next_serial = self.next_serial.checked_add(1).unwrap_or(1);
        s
    }

    pub(crate) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// The port of IKE on our side: 500 but for `ikeport=`.
    pub(crate) fn ike_port(&self) -> u16 {
        self.interfaces.first().map_or(500, |i| i.port)
    }

    /// The port of IKE and of ESP in UDP through NATs.
    pub(crate) fn nat_port(&self) -> u16 {
        self.ike_port().saturating_add(4000)
    }

    /// Whether a datagram for an address of ours has the marker that IKE has beside ESP (RFC 3948 §2.2).
    pub(crate) fn is_nat_port(&self, local: std::net::SocketAddr) -> bool {
        local.port() != self.ike_port()
    }

    pub(crate) fn kernel(&mut self, request: KernelRequest, wait: Option<KernelWait>) {
        let token = ReqToken(self.token());
        if let Some(wait) = wait {
            self.waits.insert(token, wait);
        }
        self.out.push_back(Output::Kernel(token, request));
    }

    pub(crate) fn compute(&mut self, serial: Serial, job: CryptoJob, then: Continuation) {
        let token = CryptoToken(self.token());
        self.jobs.insert(token, (serial, then));
        self.out.push_back(Output::Crypto(token, job));
    }

    pub(crate) fn after(&self, d: Duration) -> Instant {
        self.now.mono + d
    }

    pub(crate) fn in_seconds(&self, s: u32) -> Instant {
        self.after(Duration::from_secs(s.into()))
    }

    // ---- inputs ----

    fn on_crypto(&mut self, token: CryptoToken, result: Result<CryptoResult, CryptoError>) {
        // A result for an SA that is gone is dropped and wiped.
        let Some((serial, then)) = self.jobs.remove(&token) else { return };
        if !self.ikes.contains_key(&serial) && !self.children.contains_key(&serial) {
            return;
        }
        match result {
            Ok(done) => self.resume(serial, then, done),
            Err(e) => {
                let text = match (&e, then.signs()) {
                    (CryptoError::Broken(_), _) => e.to_string(),
                    (_, true) => format!("our signature could not be made: {e}"),
                    (_, false) => {
                        format!("Diffie-Hellman failed: {e}; the peer's key exchange value is refused")
                    }
                };
                self.log_sa(serial, rc::LOG_SERIOUS, &text);
                self.drop_state(serial);
            }
        }
    }

    fn on_kernel(&mut self, event: KernelEvent) {
        match event {
            KernelEvent::Done(token, result) => match (self.waits.remove(&token), result) {
                (Some(KernelWait::Spi { child, id }), result) => self.on_spi(child, id, result),
                (Some(KernelWait::Install(child, stage)), result) => self.on_installed(child, stage, result),
                (Some(KernelWait::Usage(child, traffic)), result) => self.on_usage(child, traffic, result),
                (Some(KernelWait::LastUsage(asked)), result) => self.on_last_usage(asked, result),
                (Some(KernelWait::Traffic(due)), result) => self.on_traffic(due, result),
                (Some(KernelWait::Idle(child)), result) => self.on_idle_usage(child, result),
                (Some(KernelWait::Truncation(child)), result) => self.on_truncation_usage(child, result),
                (Some(KernelWait::Integrity(child)), result) => self.on_integrity_set(child, result),
                (Some(KernelWait::Flush), Ok(KernelReply::Flushed { sas, policies })) => {
                    if sas + policies > 0 {
                        let text = format!(
                            "removed {sas} SAs and {policies} policies that an earlier run left behind"
                        );
                        self.log_plain(None, rc::LOG, &text);
                    }
                }
                (_, Err(e)) => self.log_plain(None, rc::LOG_SERIOUS, &e.to_string()),
                (_, Ok(_)) => {}
            },
            KernelEvent::Expire { id, hard } => {
                let inbound = self.by_spi_in.get(&id.spi).copied();
                let child = inbound.or_else(|| self.by_spi_out.get(&(id.dst, id.spi)).copied());
                let child = child.filter(|c| self.children.get(c).is_some_and(ChildSa::is_up));
                if let Some(child) = child.filter(|_| !hard) {
                    // So many octets or packets that a successor is due.
                    if self.renews(child) {
                        self.on_replace(child);
                    }
                } else if let Some(child) = child {
                    self.log_sa(child, rc::LOG, "IPsec SA expired (LATEST!)");
                    self.delete_child(child, true);
                }
            }
            KernelEvent::Mapping { id, new } => self.on_mapping(id.spi, new),
            KernelEvent::Acquire { selector, reqid } => self.on_acquire(&selector, reqid),
        }
    }

    fn on_timeout(&mut self) {
        while let Some((serial, kind)) = self.timers.pop(self.now.mono) {
            match kind {
                TimerKind::Retransmit => self.on_retransmit(serial),
                TimerKind::Discard if self.ikes.get(&serial).is_some_and(|s| s.up().is_some()) => {
                    self.on_silence(serial);
                }
                TimerKind::Discard => {
                    if let Some(sa) = self.ikes.get(&serial) {
                        self.refused.timed_out += 1;
                        let why = natt::why_silent(sa);
                        let text = format!("half-open ISAKMP SA timed out: the peer went silent{why}");
                        self.log_sa(serial, rc::LOG, &text);
                    }
                    self.drop_state(serial);
                }
                TimerKind::Replace => self.on_replace(serial),
                TimerKind::Expire => self.on_expire(serial),
                TimerKind::NatKeepalive => self.on_keepalive(serial),
                TimerKind::Dpd => self.on_dpd(serial),
                TimerKind::Revive => self.on_revive(serial),
                TimerKind::Shunt => self.on_shunts(),
                TimerKind::CrlCheck => self.on_crl_check(),
                TimerKind::Switch => self.switch_outbound(serial),
                TimerKind::Idle => self.on_idle(serial),
                TimerKind::Truncation => self.on_truncation(serial),
            }
        }
    }
}
