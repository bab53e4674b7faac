//! A host: an engine, a kernel that remembers, and everything the engine said.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ike::{
    ClientId, CryptoJob, Endpoint, EndpointConfig, EntropySource, Input, Interface, KeyExchange, Keyring,
    Limits, Output, PasswordVerdict, PskLookup, Updown, UpdownEnd, UpdownResult, run_crypto,
};
use ipsec_crypto::{Certificate, CryptoError};
use ipsec_kernel::KernelBackend;
use ipsec_kernel::noklips::NoKernel;
use ipsec_types::modecfg::AddressPool;
use ipsec_types::whack::{Request, SetupSpec};
use ipsec_types::{ConnSpec, Id, Instant, Now, SecretBytes};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::conns::{PASSWORD, USER};
use crate::net::Datagram;
use crate::spy::Secrets;

/// Seeded randomness.
#[derive(Clone, Debug)]
pub struct Entropy(ChaCha8Rng);

impl Entropy {
    /// The stream `stream` of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Entropy(rng)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0.next_u32() % limit.max(1)
    }
}

impl EntropySource for Entropy {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

/// What a host can prove itself with.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Pre-shared keys that serve everybody, best first.
    pub psks: Vec<SecretBytes>,
    /// Private keys and certificates.
    pub ring: Arc<Keyring>,
    /// Certificates by the words of `leftcert=`.
    pub certs: Vec<(String, Certificate)>,
}

impl Keys {
    /// Pre-shared keys from their octets.
    pub fn new(keys: &[&[u8]]) -> Self {
        Keys {
            psks: keys.iter().map(|k| SecretBytes::from(*k)).collect(),
            ring: Arc::default(),
            certs: Vec::new(),
        }
    }

    /// Private keys and certificates.
    pub fn of_ring(ring: Keyring) -> Self {
        Keys { psks: Vec::new(), ring: Arc::new(ring), certs: Vec::new() }
    }
}

impl PskLookup for Keys {
    fn lookup(&self, _: &Id, _: &Id) -> Vec<SecretBytes> {
        self.psks.clone()
    }

    fn xauth(&self, user: &str) -> Option<SecretBytes> {
        (user == USER).then(|| PASSWORD.into())
    }
}

/// One host.
pub struct Host {
    /// Its address, perhaps a private one.
    pub addr: IpAddr,
    /// The engine.
    pub engine: Endpoint,
    /// Its kernel.
    pub kernel: NoKernel,
    /// Log lines so far.
    pub log: Vec<String>,
    /// Reply lines of the control socket so far.
    pub replies: Vec<String>,
    /// Updown scripts that were asked for.
    pub scripts: Vec<Updown>,
    /// What they exit with.
    pub script_status: i32,
    /// Users whom XAUTH lets in, and their passwords.
    pub users: Vec<(String, SecretBytes)>,
    /// The addresses that each user has of his own.
    pub pool_of_user: Option<AddressPool>,
    /// Passwords that were checked.
    pub checks: usize,
    /// Conns that were added; the engine has no others when nothing is under way.
    pub conns: usize,
    /// What its workers have computed, for somebody on the path who knows everything.
    pub shared: Secrets,
    /// How long workers and the kernel take at most.
    pub busy: Duration,
    /// A job that fails: how many are done before it, and of what.
    pub job_fails: Option<(usize, CryptoError)>,
    /// When lists were to be fetched anew, and which: those that are old by a second since 1970.
    pub refreshes: Vec<(Instant, u64)>,
    /// Certificates by the words of `leftcert=`.
    certs: Vec<(String, Certificate)>,
    pending: BTreeMap<(Instant, u64), Input>,
    submitted: u64,
    entropy: Entropy,
}

impl Host {
    /// A host that listens on its address, with the conns `conns`.
    pub fn new(
        seed: u64,
        number: u64,
        addr: IpAddr,
        setup: SetupSpec,
        limits: Limits,
        keys: Keys,
        conns: Vec<ConnSpec>,
    ) -> Host {
        let mut kernel = NoKernel::recording();
        // As real kernels draw SPIs at random, two hosts must not give out the same.
        kernel.start_spis_at(0x1000_0000 + 0x0100_0000 * u32::try_from(number & 0x7f).unwrap_or(0));
        let (ring, certs) = (keys.ring.clone(), keys.certs.clone());
        let mut engine = Endpoint::new(EndpointConfig {
            setup: SetupSpec { limits, ..setup },
            vendor_id: b"OEsimulated1".to_vec(),
            kernel_name: "noklips",
            updown_always: false,
            entropy: Box::new(Entropy::new(seed, 2 * number)),
            secrets: Box::new(keys),
        });
        engine.set_keyring(ring);
        let mut host = Host {
            addr,
            engine,
            kernel,
            log: Vec::new(),
            replies: Vec::new(),
            scripts: Vec::new(),
            script_status: 0,
            users: Vec::new(),
            pool_of_user: None,
            checks: 0,
            conns: conns.len(),
            shared: Secrets::new(),
            busy: Duration::ZERO,
            job_fails: None,
            refreshes: Vec::new(),
            certs,
            pending: BTreeMap::new(),
            submitted: 0,
            entropy: Entropy::new(seed, 2 * number + 1),
        };
        let interfaces = vec![Interface { name: "eth0".into(), addr, port: 500 }];
        host.engine.handle(Now::default(), Input::Listening { interfaces, client: None });
        for conn in conns {
            host.whack(Instant::default(), Request::Add(Box::new(conn)));
        }
        host
    }

    /// Hands an input to the engine.
    pub fn handle(&mut self, now: Instant, input: Input) {
        // Some day in 2023; only texts depend on it.
        let wall = 1_700_000_000 + now.0 / 1_000_000_000;
        self.engine.handle(Now { mono: now, wall }, input);
    }

    /// A request on the control socket.
    pub fn whack(&mut self, now: Instant, request: Request) {
        // The shell reads what a conn names.
        if let Request::Add(spec) | Request::Load { spec, .. } = &request {
            for (name, cert) in &self.certs {
                if [&spec.left.cert, &spec.right.cert].contains(&&Some(name.clone())) {
                    self.engine.set_cert(name.clone(), Ok(cert.clone()));
                }
            }
        }
        self.handle(now, Input::Whack { client: ClientId(1), request: Box::new(request) });
    }

    fn later(&mut self, now: Instant, input: Input) {
        let most = u32::try_from(self.busy.as_micros()).unwrap_or(u32::MAX);
        let wait = if most == 0 { 0 } else { self.entropy.below(most) };
        self.submitted += 1;
        self.pending.insert((now + Duration::from_micros(wait.into()), self.submitted), input);
    }

    /// When the host next has something to do by itself.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let timer = self.engine.poll_timeout().map(|(at, _)| at);
        let done = self.pending.first_key_value().map(|((at, _), _)| *at);
        [timer, done].into_iter().flatten().min()
    }

    /// Does all that is due: timers, answers of workers and kernel, outputs. `told` is shown every output first.
    /// Returns what is sent.
    pub fn drive(&mut self, now: Instant, told: &mut dyn FnMut(&Output)) -> Vec<Datagram> {
        let mut sent = Vec::new();
        loop {
            while let Some(output) = self.engine.poll_output() {
                told(&output);
                self.carry_out(now, output, &mut sent);
            }
            if let Some(first) = self.pending.first_entry().filter(|e| e.key().0 <= now) {
                let input = first.remove();
                self.handle(now, input);
            } else if self.engine.poll_timeout().is_some_and(|(at, _)| at <= now) {
                self.handle(now, Input::Timeout);
            } else {
                return sent;
            }
        }
    }

    fn carry_out(&mut self, now: Instant, output: Output, sent: &mut Vec<Datagram>) {
        match output {
            Output::Transmit { local, remote, data } => {
                sent.push(Datagram { src: local, dst: remote, data });
            }
            Output::Crypto(token, job) => {
                let result = match self.job_fails.take() {
                    Some((0, error)) => Err(error),
                    left => {
                        self.job_fails = left.map(|(n, error)| (n - 1, error));
                        run_crypto(&job)
                    }
                };
                if let (CryptoJob::KeyExchange(KeyExchange { peer: Some(peer), .. }), Ok(done)) =
                    (&job, &result)
                {
                    self.shared.push((peer.clone(), done.shared.clone()));
                }
                self.later(now, Input::CryptoDone(token, result));
            }
            Output::Kernel(token, request) => {
                self.kernel.submit(token, request);
                self.collect_kernel(now);
            }
            Output::CheckPassword(token, check) => {
                let right = self.users.contains(&(check.user.clone(), check.password.clone()));
                self.checks += 1;
                let verdict = PasswordVerdict {
                    right,
                    pool: self.pool_of_user,
                    lines: vec![format!("checking user({})", check.user)],
                };
                self.later(now, Input::PasswordChecked(token, verdict));
            }
            Output::RefreshCrls { old_at } => self.refreshes.push((now, old_at)),
            Output::Log(record) => self.log.push(record.text),
            Output::Whack(_, line) => self.replies.push(line),
            Output::Updown(token, script) => {
                self.scripts.push(script);
                let end = UpdownEnd::Exit(self.script_status);
                self.later(now, Input::UpdownDone(token, UpdownResult { lines: Vec::new(), end }));
            }
            _ => {}
        }
    }

    /// Takes what the kernel has to tell; needed after something was injected into it.
    pub fn collect_kernel(&mut self, now: Instant) {
        while let Some(event) = self.kernel.poll_event() {
            // The kernel answers in the order in which it was asked.
            let last = self.pending.iter().rev().find(|(_, i)| matches!(i, Input::Kernel(_)));
            let now = last.map_or(now, |((at, _), _)| (*at).max(now));
            self.later(now, Input::Kernel(event));
        }
    }

    /// Whether a log line contains `text`.
    pub fn logged(&self, text: &str) -> bool {
        self.times_logged(text) > 0
    }

    /// How many log lines contain `text`.
    pub fn times_logged(&self, text: &str) -> usize {
        self.log.iter().filter(|l| l.contains(text)).count()
    }
}
