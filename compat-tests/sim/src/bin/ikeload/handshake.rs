//! One road warrior: an engine, one socket, from MI1 to QI2.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use ike::{ClientId, Endpoint, EndpointConfig, EntropySource, Input, Interface, Output, run_crypto};
use ipsec_kernel::KernelBackend;
use ipsec_kernel::noklips::NoKernel;
use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite};
use ipsec_types::kernel::KernelEvent;
use ipsec_types::whack::Request;
use ipsec_types::{HostSpec, Now};
use socket2::{Domain, Socket, Type};

use crate::proof::Proof;

const PORT: u16 = 500;

/// What all road warriors have in common.
#[derive(Clone, Copy)]
pub(crate) struct Dialler<'a> {
    pub server: IpAddr,
    pub proof: &'a Proof,
    pub group: DhGroup,
    pub timeout: Duration,
    /// Quick Modes after the first, each followed by a Delete of its predecessor.
    pub rekeys: u32,
}

struct OsRandom;

impl EntropySource for OsRandom {
    #[expect(clippy::expect_used, reason = "without random numbers there is nothing to measure")]
    fn fill(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("getrandom");
    }
}

/// A socket at an address that need not be configured on an interface (`IP_FREEBIND`).
fn socket(addr: IpAddr, server: IpAddr) -> std::io::Result<UdpSocket> {
    let at = SocketAddr::new(addr, PORT);
    let s = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    s.set_reuse_address(true)?;
    if addr.is_ipv4() {
        s.set_freebind_v4(true)?;
    } else {
        s.set_freebind_v6(true)?;
    }
    s.bind(&at.into())?;
    s.connect(&SocketAddr::new(server, PORT).into())?;
    Ok(s.into())
}

/// One of them under way.
struct Warrior {
    engine: Endpoint,
    kernel: NoKernel,
    socket: UdpSocket,
    start: Instant,
    last_line: String,
}

impl Dialler<'_> {
    /// Main Mode and Quick Mode from `addr`, and the renewals; how long it took.
    pub(crate) fn dial(&self, addr: IpAddr) -> Result<Duration, String> {
        let mut setup = sim::setup();
        setup.keep_alive = 3600;
        let mut w = Warrior {
            engine: Endpoint::new(EndpointConfig {
                setup,
                vendor_id: b"OEikeload001".to_vec(),
                kernel_name: "noklips",
                updown_always: false,
                entropy: Box::new(OsRandom),
                secrets: Box::new(self.proof.secrets()),
            }),
            kernel: NoKernel::default(),
            socket: socket(addr, self.server).map_err(|e| format!("port {PORT}: {e}"))?,
            start: Instant::now(),
            last_line: String::new(),
        };
        let mut conn = sim::client_conn(self.group, addr);
        conn.right.host = HostSpec::Addr(self.server);
        conn.esp = vec![EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha1 }];
        conn.keyingtries = 1;
        conn.rekey = self.rekeys > 0;
        self.proof.prepare(&mut conn);
        let name = conn.name.clone();
        let interfaces = vec![Interface { name: "ikeload".into(), addr, port: PORT }];
        w.handle(Input::Listening { interfaces, client: None });
        w.engine.set_keyring(self.proof.ring());
        w.whack(Request::Add(Box::new(conn)));
        w.whack(Request::Initiate { name, asynchronous: true });
        w.run(self.timeout, |w| w.engine.established().len() == 1)?;
        for old in 2..2 + self.rekeys {
            w.renew(self.timeout, old)?;
        }
        Ok(w.start.elapsed())
    }
}

impl Warrior {
    fn now(&self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { mono: ipsec_types::Instant(mono), wall: 0 }
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle(self.now(), input);
    }

    fn whack(&mut self, request: Request) {
        self.handle(Input::Whack { client: ClientId(1), request: Box::new(request) });
    }

    /// The SA is used up: a Quick Mode, and a Delete of the SA with the number `old`.
    fn renew(&mut self, timeout: Duration, old: u32) -> Result<(), String> {
        let used = self.kernel.sas().iter().find(|s| !s.inbound).map(|s| s.id);
        let id = used.ok_or("no outbound SA")?;
        self.handle(Input::Kernel(KernelEvent::Expire { id, hard: false }));
        self.run(timeout, |w| w.engine.established().len() == 2)?;
        self.whack(Request::DeleteState { serial: old });
        self.drain()
    }

    fn run(&mut self, timeout: Duration, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let (mut buffer, begun) = ([0; 4096], Instant::now());
        loop {
            self.drain()?;
            if done(self) {
                return Ok(());
            }
            let elapsed = begun.elapsed();
            if elapsed > timeout || self.engine.counts()[0] == 0 {
                return Err(format!("no SA after {:.1} s; {}", elapsed.as_secs_f64(), self.last_line));
            }
            let due = self.engine.poll_timeout().map_or(timeout, |(at, _)| at - self.now().mono);
            if due.is_zero() {
                self.handle(Input::Timeout);
                continue;
            }
            self.socket.set_read_timeout(Some(due)).map_err(|e| e.to_string())?;
            // Whatever recv() says, the clock decides what comes next; a refused port is tried again like a lost packet.
            if let Ok(n) = self.socket.recv(&mut buffer) {
                let (local, remote) = match (self.socket.local_addr(), self.socket.peer_addr()) {
                    (Ok(local), Ok(remote)) => (local, remote),
                    (Err(e), _) | (_, Err(e)) => return Err(e.to_string()),
                };
                let data = buffer.get(..n).unwrap_or_default().to_vec();
                self.handle(Input::Datagram { local, remote, data });
            }
        }
    }

    fn drain(&mut self) -> Result<(), String> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { remote, .. } if remote.port() != PORT => {
                    return Err("the responder sees a NAT between, which there must not be".into());
                }
                // A refused port is reported here for an earlier datagram.
                Output::Transmit { data, .. } => drop(self.socket.send(&data)),
                Output::Crypto(token, job) => self.handle(Input::CryptoDone(token, run_crypto(&job))),
                Output::Kernel(token, request) => {
                    self.kernel.submit(token, request);
                    while let Some(event) = self.kernel.poll_event() {
                        self.handle(Input::Kernel(event));
                    }
                }
                Output::Log(record) => self.last_line = record.text,
                _ => {}
            }
        }
        Ok(())
    }
}
