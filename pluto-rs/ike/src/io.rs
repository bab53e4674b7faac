//! Everything that crosses the engine's boundary.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use ipsec_crypto::trust::Wanted;
use ipsec_crypto::{CryptoError, PrivateKey};
use ipsec_types::algo::DhGroup;
use ipsec_types::auth::XauthBy;
use ipsec_types::kernel::{KernelEvent, KernelRequest, ReqToken};
use ipsec_types::modecfg::AddressPool;
use ipsec_types::whack::{Request, Reread};
use ipsec_types::{Id, SecretBytes};

use crate::claim::{Claim, Verdict};

/// Where random octets come from: the operating system in the daemon, a seed in tests. Cookies, nonces, message
/// IDs, fuzz and Diffie-Hellman exponents are all drawn here.
pub trait EntropySource {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// A record of `ipsec.secrets` for the list: whose, never what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretLine {
    /// The file it stands in.
    pub file: String,
    /// Its line there, from 1.
    pub line: u32,
    /// `PSK`, `RSA` and the like.
    pub kind: String,
    /// Its indices; [`Id::None`] is `%any`.
    pub ids: Vec<Id>,
}

/// Finds pre-shared keys.
pub trait PskLookup {
    /// All secrets that serve this pair of identities equally well, best first, without duplicates.
    fn lookup(&self, me: &Id, him: &Id) -> Vec<SecretBytes>;

    /// What there is, in order.
    fn list(&self) -> Vec<SecretLine> {
        Vec::new()
    }

    /// The password of `user`, to answer XAUTH with.
    fn xauth(&self, _user: &str) -> Option<SecretBytes> {
        None
    }
}

/// One connection to the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// Pairs a crypto job with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CryptoToken(pub u64);

/// A local address the shell listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The address.
    pub addr: IpAddr,
    /// The port that is listened on, 500 but for `ikeport=`; NAT traversal has the one that is 4,000 higher.
    pub port: u16,
}

/// Pairs an updown script with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpdownToken(pub u64);

/// A script to run: its words are split at blanks, no shell reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updown {
    /// Scripts of one queue are run one after another, in order.
    pub queue: u64,
    /// The command line.
    pub command: String,
    /// What is set in its environment.
    pub env: Vec<(&'static str, String)>,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdownEnd {
    /// With this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It took too long and was ended.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
}

/// What came of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdownResult {
    /// Its output, line by line; the shell sets a limit.
    pub lines: Vec<String>,
    /// Its end.
    pub end: UpdownEnd,
}

/// Pairs the check of a password with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PasswordToken(pub u64);

/// A name and password that a peer gave, to be checked.
#[derive(Clone, Debug)]
pub struct PasswordCheck {
    /// Who knows.
    pub by: XauthBy,
    /// Name of the conn, without an instance number.
    pub conn: String,
    /// User; no control characters are in it.
    pub user: String,
    /// Password.
    pub password: SecretBytes,
    /// The peer's address.
    pub peer: IpAddr,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordVerdict {
    /// Name and password are right.
    pub right: bool,
    /// Addresses that this user has instead of the conn's.
    pub pool: Option<AddressPool>,
    /// For the log.
    pub lines: Vec<String>,
}

/// What enters.
#[derive(Debug)]
pub enum Input {
    /// A datagram from port 500 or 4500, as received.
    Datagram {
        /// Our address and port.
        local: SocketAddr,
        /// The sender.
        remote: SocketAddr,
        /// The octets.
        data: Vec<u8>,
    },
    /// A datagram of ours did not arrive, as the system says, or somebody with an ICMP message.
    Undelivered {
        /// Our address and port.
        local: SocketAddr,
        /// Where it was to go.
        remote: SocketAddr,
        /// `complainant 192.0.2.1: Connection refused [errno 111, origin …]`.
        why: String,
    },
    /// The time named by `poll_timeout` has come.
    Timeout,
    /// A request on the control socket.
    Whack {
        /// Who asks.
        client: ClientId,
        /// What.
        request: Box<Request>,
    },
    /// A client of the control socket went away.
    WhackGone(ClientId),
    /// The shell has scanned the interfaces and bound its sockets, as [`Output::Listen`] asked.
    Listening {
        /// Addresses with sockets.
        interfaces: Vec<Interface>,
        /// Who asked.
        client: Option<ClientId>,
    },
    /// The shell has found the address of a host name ([`Endpoint::unresolved`](crate::Endpoint::unresolved)).
    Resolved {
        /// The name.
        name: String,
        /// Its address.
        addr: IpAddr,
    },
    /// The shell has read the policy group files: networks by the group's name.
    Groups(BTreeMap<String, Vec<IpNet>>),
    /// The kernel answered, or tells by itself.
    Kernel(KernelEvent),
    /// A worker is done.
    CryptoDone(CryptoToken, Result<CryptoResult, CryptoError>),
    /// A script has ended.
    UpdownDone(UpdownToken, UpdownResult),
    /// A password was checked.
    PasswordChecked(PasswordToken, PasswordVerdict),
}

/// Work for a thread.
#[derive(Debug)]
pub enum CryptoJob {
    /// Diffie-Hellman.
    KeyExchange(KeyExchange),
    /// Our signature.
    Sign {
        /// Our key.
        key: Arc<PrivateKey>,
        /// What is signed.
        hash: Vec<u8>,
    },
    /// The peer's signature.
    Verify(Box<Claim>),
}

/// Diffie-Hellman: our public value, the shared secret, or both.
#[derive(Debug)]
pub struct KeyExchange {
    /// Group.
    pub group: DhGroup,
    /// Our exponent.
    pub secret: SecretBytes,
    /// Whether our public value is wanted.
    pub public: bool,
    /// The peer's public value, if the shared secret is wanted.
    pub peer: Option<Vec<u8>>,
}

/// What came of a job: what it was for is filled in.
#[derive(Debug, Default)]
pub struct CryptoResult {
    /// Our public value; empty if it was not asked for.
    pub public: Vec<u8>,
    /// The shared secret; empty if it was not asked for.
    pub shared: SecretBytes,
    /// Our signature.
    pub signature: Vec<u8>,
    /// What became of the peer's.
    pub verdict: Verdict,
}

/// Does a job: what a worker thread calls.
pub fn run_crypto(job: &CryptoJob) -> Result<CryptoResult, CryptoError> {
    let mut done = CryptoResult::default();
    match job {
        CryptoJob::KeyExchange(job) => {
            if let Some(peer) = &job.peer {
                done.shared = ipsec_crypto::dh::shared(job.group, &job.secret, peer)?;
            }
            if job.public {
                done.public = ipsec_crypto::dh::public(job.group, &job.secret)?;
            }
        }
        CryptoJob::Sign { key, hash } => done.signature = key.sign(hash)?,
        CryptoJob::Verify(claim) => done.verdict = claim.judge(),
    }
    Ok(done)
}

/// One line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Text with Openswan's prefix.
    pub text: String,
    /// Whether it is about junk from strangers, which the shell limits in rate.
    pub junk: bool,
}

/// A local endpoint that must not be spoken to in clear, for the L2TP daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protected {
    /// Our address.
    pub addr: IpAddr,
    /// Our UDP port.
    pub port: u16,
}

/// What leaves.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// From.
        local: SocketAddr,
        /// To.
        remote: SocketAddr,
        /// Octets, with the non-ESP marker where one is due.
        data: Vec<u8>,
    },
    /// Compute, then [`Input::CryptoDone`].
    Crypto(CryptoToken, CryptoJob),
    /// Ask the kernel, then [`Input::Kernel`].
    Kernel(ReqToken, KernelRequest),
    /// Run a script, then [`Input::UpdownDone`].
    Updown(UpdownToken, Updown),
    /// Check a password, then [`Input::PasswordChecked`].
    CheckPassword(PasswordToken, PasswordCheck),
    /// A reply line `NNN TEXT` to a control client, or several with newlines between them.
    Whack(ClientId, String),
    /// Nothing more for this client.
    WhackDone(ClientId),
    /// Write to the log.
    Log(Record),
    /// Scan interfaces, bind sockets, read secrets, then [`Input::Listening`].
    Listen(ClientId),
    /// Close the sockets.
    Unlisten,
    /// Read secrets again, tell the client what is wrong with them, and close the client.
    RereadSecrets(ClientId),
    /// The passphrase of a key file that somebody was asked for; the shell ends the client.
    Passphrase {
        /// Who answers, not who was asked.
        client: ClientId,
        /// Which file.
        file: PathBuf,
        /// Empty if nobody is there who could type.
        text: SecretBytes,
    },
    /// Fetch news about revocation; what comes of it is in a later keyring.
    Fetch(Vec<Wanted>),
    /// Fetch lists anew that came from a network and that will be old by then, in seconds since 1970; and what was asked for in
    /// vain.
    RefreshCrls {
        /// By when.
        old_at: u64,
    },
    /// Read certificates and CRLs again, tell the client, and close it.
    Reread(ClientId, Reread),
    /// No conn names this certificate of `leftcert=` any more: what stood beside it can be forgotten, too.
    ForgetCert(String),
    /// The set of protected endpoints has changed to this.
    Protect(Vec<Protected>),
    /// Leave, after everything before this has been done.
    Exit,
}
