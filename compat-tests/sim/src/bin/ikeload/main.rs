//! `ikeload`: many road warriors dial one responder at once, through real sockets.
//!
//! Every handshake is a Main Mode and a Quick Mode of its own address, as initiator, with our engine and a kernel
//! backend that only remembers; the responder may be any IKEv1 daemon with the L2TP-PSK conn. Prints what came of it in
//! one line for people and one of JSON, with the responder's CPU time and memory if told its process.
//!
//! The addresses have to be this machine's: `ip route add local 10.99.0.0/16 dev lo`.

#![forbid(unsafe_code)]

mod floor;
mod handshake;
mod proof;

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ipsec_types::algo::DhGroup;
use lexopt::ValueExt;

use handshake::Dialler;
use proof::Proof;
use sim::meter::Meter;

const USAGE: &str = "usage: ikeload [OPTIONS] SERVER
  --count N        handshakes that count (1000)
  --warm-up N      handshakes before them that do not (20)
  --in-flight N    at once (8)
  --rekeys N       Quick Modes after each handshake, the old SA being deleted (0)
  --prefix NET     source addresses (10.99.0.0/16)
  --hold N         handshakes before all others, whose SAs stay (0)
  --psk KEY        pre-shared key (keysharedbyallclients)
  --own-key FILE   signatures instead: the private RSA key of @peer, whom all of them claim to be
  --peer-key FILE  and the responder's, who is @server
  --group NAME     modp1024, modp1536, modp2048, modp3072, modp4096, ecp256 or ecp384 (modp2048)
  --timeout SECS   for one handshake (30)
  --pid PID        the responder's process, for its CPU time and memory";

struct Options {
    server: IpAddr,
    count: usize,
    warm_up: usize,
    in_flight: usize,
    rekeys: u32,
    hold: usize,
    prefix: IpNet,
    proof: Proof,
    group: DhGroup,
    timeout: Duration,
    pid: Option<u32>,
}

fn parse() -> Result<Options, lexopt::Error> {
    use lexopt::Arg::{Long, Value};
    let mut o = Options {
        server: sim::SERVER,
        count: 1000,
        warm_up: 20,
        in_flight: 8,
        rekeys: 0,
        hold: 0,
        prefix: "10.99.0.0/16".parse().map_err(|_| "no default prefix")?,
        proof: Proof::Psk(sim::PSK.to_vec()),
        group: DhGroup::Modp2048,
        timeout: Duration::from_secs(30),
        pid: None,
    };
    let mut server = None;
    let (mut own_key, mut peer_key) = (None, None);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("count") => o.count = args.value()?.parse()?,
            Long("warm-up") => o.warm_up = args.value()?.parse()?,
            Long("in-flight") => o.in_flight = args.value()?.parse()?,
            Long("hold") => o.hold = args.value()?.parse()?,
            Long("rekeys") => o.rekeys = args.value()?.parse()?,
            Long("prefix") => o.prefix = args.value()?.parse()?,
            Long("psk") => o.proof = Proof::Psk(args.value()?.string()?.into_bytes()),
            Long("own-key") => own_key = Some(args.value()?.string()?),
            Long("peer-key") => peer_key = Some(args.value()?.string()?),
            Long("group") => o.group = args.value()?.parse_with(group)?,
            Long("timeout") => o.timeout = Duration::from_secs(args.value()?.parse()?),
            Long("pid") => o.pid = Some(args.value()?.parse()?),
            Value(v) if server.is_none() => server = Some(v.parse()?),
            _ => return Err(arg.unexpected()),
        }
    }
    o.server = server.ok_or("the responder's address is missing")?;
    match (own_key, peer_key) {
        (None, None) => {}
        (Some(own), Some(peer)) => o.proof = Proof::rsa(&own, &peer)?,
        _ => return Err("--own-key and --peer-key go together".into()),
    }
    if o.prefix.hosts().nth(o.count + o.warm_up + o.hold).is_none() {
        return Err("the prefix has fewer addresses than handshakes are wanted".into());
    }
    Ok(o)
}

fn group(name: &str) -> Result<DhGroup, String> {
    DhGroup::ALL.into_iter().find(|g| g.name() == name).ok_or_else(|| format!("no group is called {name}"))
}

/// What came of a number of handshakes.
#[derive(Default)]
struct Tally {
    good: usize,
    failures: Vec<String>,
    took: Duration,
    slowest: Duration,
}

/// Runs the handshakes of addresses `range`, `in_flight` at once.
fn dial(o: &Options, range: std::ops::Range<usize>) -> Tally {
    let next = AtomicUsize::new(range.start);
    let rekeys = if range.start < o.hold { 0 } else { o.rekeys };
    let dialler = Dialler { server: o.server, proof: &o.proof, group: o.group, timeout: o.timeout, rekeys };
    let start = Instant::now();
    let worker = || {
        let mut tally = Tally::default();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(addr) = o.prefix.hosts().nth(n).filter(|_| n < range.end) else { return tally };
            match dialler.dial(addr) {
                Ok(took) => {
                    tally.good += 1;
                    tally.slowest = tally.slowest.max(took);
                }
                Err(e) => tally.failures.push(format!("{addr}: {e}")),
            }
        }
    };
    let mut all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..o.in_flight.max(1)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().filter_map(|w| w.join().ok()).fold(Tally::default(), |mut all, one| {
            all.good += one.good;
            all.failures.extend(one.failures);
            all.slowest = all.slowest.max(one.slowest);
            all
        })
    });
    all.took = start.elapsed();
    all
}

/// The responder may still be at the last QI2 when its sender is done.
fn settle() {
    std::thread::sleep(Duration::from_millis(300));
}

fn run(o: &Options) -> Result<ExitCode, String> {
    let first = o.hold + o.warm_up;
    for (range, what) in [(0..o.hold, "holding"), (o.hold..first, "warming up")] {
        if let Some(why) = dial(o, range).failures.first() {
            return Err(format!("{what}: {why}"));
        }
    }
    settle();
    let before = o.pid.map(Meter::read).transpose()?;
    let tally = dial(o, first..first + o.count);
    settle();
    let used = match (before, o.pid.map(Meter::read).transpose()?) {
        (Some(before), Some(after)) => Some(after.since(&before)),
        _ => None,
    };
    report(o, &tally, used, floor::ms(o.group, &o.proof)?);
    Ok(if tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(o: &Options, t: &Tally, used: Option<Meter>, floor: f64) {
    for why in t.failures.iter().take(5) {
        eprintln!("ikeload: {why}");
    }
    let seconds = t.took.as_secs_f64();
    let rate = t.good as f64 / seconds.max(1e-9);
    let mut json = serde_json::json!({
        "handshakes": t.good,
        "failures": t.failures.len(),
        "seconds": seconds,
        "per_second": rate,
        "slowest_ms": t.slowest.as_secs_f64() * 1e3,
        "in_flight": o.in_flight,
        "rekeys": o.rekeys,
        "held": o.hold,
        "floor_ms": floor,
        "auth": o.proof.name(),
        "rekeys_per_second": rate * f64::from(o.rekeys),
        "group": o.group.name(),
    });
    let mut text = format!(
        "{} of {} handshakes ({}, {}) in {seconds:.2} s: {rate:.1}/s, {} at once, slowest {:.0} ms",
        t.good,
        o.count,
        o.proof.name(),
        o.group.name(),
        o.in_flight,
        t.slowest.as_secs_f64() * 1e3,
    );
    if let (Some(m), true) = (used, t.good > 0) {
        let each = |ms: f64| ms / t.good as f64;
        let (user, system, children) = (each(m.user_ms), each(m.system_ms), each(m.children_ms));
        let memory = m.rss_bytes / t.good as f64;
        for (key, value) in [
            ("cpu_ms", m.user_ms + m.system_ms),
            ("cpu_ms_per_handshake", user + system),
            ("cpu_by_floor", (user + system) / floor),
            ("user_ms_per_handshake", user),
            ("system_ms_per_handshake", system),
            ("children_ms_per_handshake", children),
            ("rss_bytes_per_pair", memory),
        ] {
            json[key] = value.into();
        }
        text += &format!(
            "; responder: {:.3} ms CPU each (user {user:.3}, system {system:.3}; its children {children:.3}), \
             {:.1} KiB each; {:.2} times the arithmetic alone ({floor:.3} ms)",
            user + system,
            memory / 1024.0,
            (user + system) / floor
        );
    }
    println!("{json}");
    println!("{text}");
}

fn main() -> ExitCode {
    let result = match parse() {
        Ok(o) => run(&o),
        Err(e) => Err(format!("{e}\n{USAGE}")),
    };
    result.unwrap_or_else(|e| {
        eprintln!("ikeload: {e}");
        ExitCode::from(2)
    })
}
