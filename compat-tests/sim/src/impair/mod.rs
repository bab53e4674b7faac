//! libreswan's impairments: what one end may do wrong, done to it here from outside, and how the other must end.
//!
//! Whatever is wrong, both ends agree on an SA or have none, nothing waits for ever, and what the kernel was asked for is
//! given back. The table keeps libreswan's names; a row that does not apply says why.

mod kernel;
mod payloads;
mod proposals;
mod time;
mod wire;

use std::time::Duration;

use ipsec_crypto::CryptoError;
use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite, HashAlg, IkeCipher};

use crate::check::{Outcome, clean, outcome};
use crate::conns::{PASSWORD, USER};
use crate::keys::by_raw_keys;
use crate::message::Message;
use crate::net::Datagram;
use crate::pair::{Pair, PairConfig};
use crate::spy::{Spy, Suite};

/// Which end is impaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server.
    Responder,
    /// The client.
    Initiator,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Initiator, Side::Responder];

    /// Its number among a pair's hosts.
    pub fn host(self) -> usize {
        usize::from(self == Side::Initiator)
    }
}

/// How the two ends prove who they are.
#[derive(Clone, Copy)]
pub struct Auth {
    /// Its name.
    pub name: &'static str,
    /// Conns and keys of both ends.
    pub config: fn() -> PairConfig,
    /// Whether `SKEYID` is made of the pre-shared key.
    pub psk: bool,
}

/// The authentications the table is run with.
pub const AUTHS: &[Auth] = &[
    Auth { name: "Main PSK", config: main_psk, psk: true },
    Auth { name: "Main RSA", config: main_rsa, psk: false },
    Auth { name: "Aggressive PSK", config: aggressive_psk, psk: true },
    Auth { name: "Aggressive RSA", config: aggressive_rsa, psk: false },
    Auth { name: "XAUTH", config: xauth_psk, psk: true },
];

fn main_psk() -> PairConfig {
    let mut config = PairConfig::default();
    let esp = vec![EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha1 }];
    config.client.esp.clone_from(&esp);
    config.client.keyingtries = 1;
    config.server.iter_mut().for_each(|c| c.esp.clone_from(&esp));
    config
}

fn main_rsa() -> PairConfig {
    by_raw_keys(main_psk())
}

fn aggressive_psk() -> PairConfig {
    aggressive(main_psk())
}

fn aggressive_rsa() -> PairConfig {
    aggressive(main_rsa())
}

fn aggressive(mut config: PairConfig) -> PairConfig {
    config.client.aggressive = true;
    config.server.iter_mut().for_each(|c| c.aggressive = true);
    config
}

fn xauth_psk() -> PairConfig {
    let mut config = main_psk();
    let client = &mut config.client;
    (client.left.xauth_client, client.right.xauth_server) = (true, true);
    client.left.xauth_username = Some(USER.into());
    for c in &mut config.server {
        (c.left.xauth_server, c.right.xauth_client) = (true, true);
    }
    config
}

/// A datagram that leaves the impaired end, and what has left it before.
pub struct Sent<'a> {
    /// The datagram.
    pub now: &'a Datagram,
    /// Which it is, from 0.
    pub number: usize,
    /// Those before it.
    pub before: &'a [Datagram],
}

/// What goes on its way instead: after how long, and what.
pub type Delivery = Vec<(Duration, Datagram)>;

/// What is done to a world, or to what it is made of, at one end.
pub type Done<W> = Box<dyn Fn(&mut W, Side)>;

/// A change of a message, and its name.
type Named = (&'static str, fn(&mut Message));

/// What is wrong.
pub enum Fault {
    /// Messages of the impaired end are changed.
    Edit(Box<dyn Fn(&mut Message)>),
    /// The same, and once the SA is up the impaired end hangs up.
    HangUp(Box<dyn Fn(&mut Message)>),
    /// Its datagrams are lost, repeated or late.
    Wire(Box<dyn Fn(&Sent<'_>) -> Delivery>),
    /// Its kernel refuses a request: the number of the request.
    Kernel(u64),
    /// Its crypto library refuses a job: the number of the job, and why.
    Job(usize, CryptoError),
    /// It is configured so.
    Config(Done<PairConfig>),
    /// Something happens to it once the SA is up.
    Act(Done<Pair>),
}

/// One of libreswan's impairments.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What it can be set to; or why it does not apply.
    pub faults: Result<Vec<(String, Fault)>, &'static str>,
}

fn row(name: &'static str, faults: Vec<(&str, Fault)>) -> Row {
    Row { name, faults: Ok(faults.into_iter().map(|(n, f)| (n.to_string(), f)).collect()) }
}

fn no(name: &'static str, why: &'static str) -> Row {
    Row { name, faults: Err(why) }
}

fn edit(change: impl Fn(&mut Message) + 'static) -> Fault {
    Fault::Edit(Box::new(change))
}

/// The whole table.
pub fn table() -> Vec<Row> {
    [wire::rows(), payloads::rows(), proposals::rows(), time::rows(), kernel::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// An hour of a world, with what must hold at every moment.
pub(crate) fn live(pair: &mut Pair, time: Duration) -> Result<(), String> {
    let until = pair.now + time;
    let mut steps = 0u32;
    while pair.step(until) {
        for h in &pair.hosts {
            let stuck = h.engine.untimed();
            if !stuck.is_empty() {
                return Err(format!("{}: nothing will ever wake {stuck:?}", h.addr));
            }
        }
        steps += 1;
        if steps > 20_000 {
            return Err("the two never come to rest".into());
        }
    }
    Ok(())
}

pub(crate) fn suite(psk: bool) -> Suite {
    let psk = psk.then(|| crate::conns::PSK.to_vec());
    Suite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, psk }
}

fn tamper(pair: &mut Pair, auth: Auth, side: Side, fault: std::rc::Rc<Fault>) {
    let mut spy = Spy::new(suite(auth.psk));
    let mut before: Vec<Datagram> = Vec::new();
    let delay = pair.net.link.delay;
    pair.tamper = Some(Box::new(move |hosts, mut d| {
        let from_client = d.src.ip() == hosts[1].addr;
        let impaired = from_client == (side == Side::Initiator);
        match &*fault {
            Fault::Edit(change) | Fault::HangUp(change) => {
                let secrets = [&hosts[1].shared, &hosts[0].shared];
                let mut judge = |m: &mut Message| {
                    if impaired {
                        change(m);
                    }
                };
                d.data = spy.pass(secrets, from_client, &d.data, &mut judge);
                vec![(delay, d)]
            }
            Fault::Wire(deliver) if impaired => {
                let number = before.len();
                let out = deliver(&Sent { now: &d, number, before: &before });
                before.push(d);
                out.into_iter().map(|(late, d)| (delay + late, d)).collect()
            }
            _ => vec![(delay, d)],
        }
    }));
}

/// Runs one fault of one end. How it ended, or what was wrong with that.
///
/// # Errors
/// The ends disagree, something is left over, or a good client does not get in afterwards.
pub fn run(auth: Auth, side: Side, fault: Fault) -> Result<Outcome, String> {
    let mut config = (auth.config)();
    if let Fault::Config(change) = &fault {
        change(&mut config, side);
    }
    let mut pair = Pair::new(config);
    pair.server().users = vec![(USER.into(), PASSWORD.into())];
    pair.drain();
    let fault = std::rc::Rc::new(fault);
    tamper(&mut pair, auth, side, fault.clone());
    if let Fault::Kernel(n) = &*fault {
        pair.hosts[side.host()].kernel.fail_request(*n, 12);
    }
    if let Fault::Job(n, why) = &*fault {
        pair.hosts[side.host()].job_fails = Some((*n, why.clone()));
    }
    pair.up(1);
    live(&mut pair, Duration::from_secs(1000))?;
    if let Fault::Act(act) = &*fault {
        act(&mut pair, side);
        live(&mut pair, Duration::from_secs(1000))?;
    }
    let end = outcome(&pair);
    if let Outcome::Stuck(why) = end {
        return Err(why);
    }
    if matches!(*fault, Fault::HangUp(_)) {
        if end != Outcome::Established {
            return Err("there is nothing to hang up".into());
        }
        pair.down(side.host());
        live(&mut pair, Duration::from_secs(100))?;
    }
    pair.tamper = None;
    pair.hosts.iter_mut().for_each(|h| (h.busy, h.job_fails) = (Duration::ZERO, None));
    pair.down(1);
    pair.down(0);
    // What a peer was not told of goes when its life ends.
    live(&mut pair, Duration::from_secs(90_000))?;
    for h in &pair.hosts {
        clean(h)?;
        balanced(h)?;
    }
    if !pair.connect() {
        return Err("a good client does not get in afterwards".into());
    }
    Ok(end)
}

/// What the kernel was asked to add and what it was asked to remove.
pub(crate) fn balanced(host: &crate::Host) -> Result<(), String> {
    use ipsec_types::kernel::{KernelRequest, PolicyAction};
    let (mut sas, mut policies) = (std::collections::BTreeSet::new(), std::collections::HashSet::new());
    for r in host.kernel.requests() {
        match r {
            KernelRequest::AddSa(s) => drop(sas.insert((s.id.dst, s.id.spi))),
            KernelRequest::DelSa(id) => drop(sas.remove(&(id.dst, id.spi))),
            KernelRequest::UpdateEncap { id, new_id, .. } => {
                sas.remove(&(id.dst, id.spi));
                sas.insert((new_id.dst, new_id.spi));
            }
            KernelRequest::AddPolicy(p) if matches!(p.action, PolicyAction::Esp { .. }) => {
                policies.insert(p.id);
            }
            KernelRequest::DelPolicy(id) => drop(policies.remove(id)),
            _ => {}
        }
    }
    if sas.is_empty() && policies.is_empty() {
        return Ok(());
    }
    Err(format!("{}: the kernel was not asked to remove {sas:?} and {} policies", host.addr, policies.len()))
}

/// The group of every authentication here.
pub const GROUP: DhGroup = DhGroup::Ecp256;
