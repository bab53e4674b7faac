//! What the loop begins with: the kernel, the threads, the control socket, the signals.

use ike::{EntropySource, Input};
use ipsec_kernel::KernelBackend;
use ipsec_kernel::noklips::NoKernel;
use ipsec_kernel::xfrm::Xfrm;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, channel, unbounded_channel};

use crate::ctl::{self, CtlEvent};
use crate::fetch::{Fetcher, News};
use crate::keeper::{Keeper, Told};
use crate::logging::Log;
use crate::names::{self, Found, Names};
use crate::options::{Options, VERSION};
use crate::reload::Reloader;
use crate::signals::Signals;
use crate::workers::{Done, Workers};

/// Datagrams on their way to the engine.
const DATAGRAMS: usize = 256;

#[derive(Default)]
pub(super) struct OsEntropy(ipsec_netio::OsEntropy);

impl EntropySource for OsEntropy {
    #[expect(clippy::expect_used, reason = "keys without randomness are worse than no daemon")]
    fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out).expect("the operating system gives no random octets");
    }
}

fn open_kernel(options: &Options) -> Result<Box<dyn KernelBackend>, String> {
    if options.no_kernel {
        return Ok(Box::new(NoKernel::names_only()));
    }
    let kernel = Xfrm::open()
        .map_err(|e| format!("the kernel's IPsec (XFRM) cannot be used: {e}; --noklips runs without"))?;
    Ok(Box::new(kernel))
}

/// All of it, and the ends of the channels that lead to the loop.
pub(super) struct Parts {
    pub fetcher: Fetcher,
    pub fetched: UnboundedReceiver<News>,
    pub names: Names,
    pub answers: UnboundedReceiver<Found>,
    pub keeper: Keeper,
    pub told: UnboundedReceiver<Told>,
    pub kernel: Box<dyn KernelBackend>,
    pub workers: Workers,
    pub done: UnboundedReceiver<Done>,
    pub heard: (Sender<Input>, Receiver<Input>),
    pub events: Receiver<CtlEvent>,
    pub signals: Signals,
    pub reloader: Reloader,
}

/// Starts it; the log says what there is.
pub(super) fn start(options: &Options, log: &mut Log) -> Result<Parts, String> {
    let text = |what: &str, e: std::io::Error| format!("{what}: {e}");
    log.line(&format!("Starting Pluto ({VERSION}; Vendor ID {}) pid:{}", vendor_id(), std::process::id()));
    let kernel = open_kernel(options)?;
    let (send_done, done) = unbounded_channel();
    let (workers, n) = Workers::start(options.helpers, send_done).map_err(|e| text("crypto helpers", e))?;
    log.line(&match n {
        0 => "no helpers will be started, all cryptographic operations will be done inline".to_string(),
        n => format!("starting up {n} cryptographic helpers"),
    });
    let (send_news, fetched) = unbounded_channel();
    let fetcher = Fetcher::start(send_news).map_err(|e| text("fetching", e))?;
    let (send_answer, answers) = unbounded_channel();
    let names = Names::start(send_answer, names::system, names::PAUSE).map_err(|e| text("host names", e))?;
    let (send_told, told) = unbounded_channel();
    let keeper = Keeper::start(options.ipsecdir.clone(), send_told).map_err(|e| text("keys", e))?;
    let name = if kernel.name() == "netkey" { "Linux XFRM/NETKEY" } else { "no kernel" };
    log.line(&format!("Using {name} IPsec interface code"));
    let path = options.ctl_path();
    let listener = ctl::bind(&path).map_err(|e| text(&path.display().to_string(), e))?;
    let (send_event, events) = channel(16);
    tokio::task::spawn_local(ctl::serve(listener, send_event));
    let signals = Signals::open().map_err(|e| text("signals", e))?;
    Ok(Parts {
        kernel,
        workers,
        fetcher,
        fetched,
        names,
        answers,
        keeper,
        told,
        done,
        heard: channel(DATAGRAMS),
        events,
        signals,
        reloader: Reloader::default(),
    })
}

/// Our vendor ID: `OE` and ten printable octets made of the version, as Openswan's.
pub(super) fn vendor_id() -> String {
    let digest =
        ipsec_crypto::hash(ipsec_types::algo::HashAlg::Md5, &[VERSION.as_bytes()]).unwrap_or_default();
    let tail: String = digest.iter().take(10).map(|b| char::from(b'@' + b % 62)).collect();
    format!("OE{tail}")
}
