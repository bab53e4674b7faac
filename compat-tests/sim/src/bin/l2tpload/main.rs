//! `l2tpload`: many callers dial one LNS at once, through one real socket.
//!
//! Every caller is a tunnel with one call, from the SCCRQ to the acknowledgement of the ICCN; there is no PPP behind it.
//! Prints what came of it in one line for people and one of JSON, with the server's CPU time and memory if told its
//! process. With `--up` and `--down` it measures the frames that go through one call. Called as `pppd` it is what the
//! server talks to then ([`tty`]).

#![forbid(unsafe_code)]

mod caller;
mod line;
mod tty;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use l2tp_proto::header::{self, Packet};
use lexopt::ValueExt;
use sim::meter::Meter;

use caller::{Caller, State};
use line::Line;

const USAGE: &str = "usage: l2tpload [OPTIONS] SERVER
  --count N        callers (1000, at most 65000)
  --in-flight N    at once (8)
  --no-connect     calls are asked for and answered, and not connected: no pppd starts
  --stay SECS      stay that long when all are up, and tell the server's CPU time meanwhile (0)
  --port N         the server's port (1701)
  --pid PID        the server's process, for its CPU time and memory
  --up N           one call, and frames around IP packets of N octets to the server, whose pppd is this as `sink`
  --down N         the same from the server, whose pppd is this as `source:N`
  --time MS        for how long (2000)";

/// How long one caller may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Options {
    server: SocketAddr,
    count: u16,
    in_flight: usize,
    connect: bool,
    stay: Duration,
    pid: Option<u32>,
    frames: Option<Frames>,
    time: Duration,
}

/// Which way frames go, and around packets of how many octets.
#[derive(Clone, Copy)]
enum Frames {
    Up(usize),
    Down(usize),
}

fn parse() -> Result<Options, lexopt::Error> {
    use lexopt::Arg::{Long, Value};
    let mut o = Options {
        server: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1701).into(),
        count: 1000,
        in_flight: 8,
        connect: true,
        stay: Duration::ZERO,
        pid: None,
        frames: None,
        time: Duration::from_secs(2),
    };
    let (mut server, mut port) = (None, 1701);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("count") => o.count = args.value()?.parse()?,
            Long("in-flight") => o.in_flight = args.value()?.parse()?,
            Long("no-connect") => o.connect = false,
            Long("stay") => o.stay = Duration::from_secs(args.value()?.parse()?),
            Long("port") => port = args.value()?.parse()?,
            Long("pid") => o.pid = Some(args.value()?.parse()?),
            Long("up") => o.frames = Some(Frames::Up(args.value()?.parse()?)),
            Long("down") => o.frames = Some(Frames::Down(args.value()?.parse()?)),
            Long("time") => o.time = Duration::from_millis(args.value()?.parse()?),
            Value(v) if server.is_none() => server = Some(v.parse::<Ipv4Addr>()?),
            _ => return Err(arg.unexpected()),
        }
    }
    o.server = SocketAddrV4::new(server.ok_or("the server's address is missing")?, port).into();
    if o.frames.is_some() {
        o.count = 1;
    }
    if !(1..=65_000).contains(&o.count) {
        return Err("--count is from 1 to 65000".into());
    }
    Ok(o)
}

/// The callers and their socket.
struct Load {
    line: Line,
    callers: Vec<Caller>,
    /// Those that are neither up nor failed, by index.
    busy: VecDeque<usize>,
    out: Vec<Vec<u8>>,
    slowest: Duration,
}

impl Load {
    fn new(server: SocketAddr) -> std::io::Result<Self> {
        Ok(Load {
            line: Line::new(server)?,
            callers: Vec::new(),
            busy: VecDeque::new(),
            out: Vec::new(),
            slowest: Duration::ZERO,
        })
    }

    fn send(&mut self) {
        // What the kernel does not take is said again in a second.
        self.line.send(&self.out);
        self.out.clear();
    }

    /// Takes what comes for at most a few milliseconds.
    fn receive(&mut self) -> Result<(), String> {
        loop {
            let (callers, out, slowest, mut settled) =
                (&mut self.callers, &mut self.out, &mut self.slowest, false);
            let now = Instant::now();
            let n = self.line.receive(|datagram| {
                let Ok(Packet::Control(c)) = header::parse(datagram) else { return };
                let Some(caller) = usize::from(c.tunnel).checked_sub(1).and_then(|i| callers.get_mut(i))
                else {
                    return;
                };
                let before = caller.state;
                caller.hear(c, now, out);
                if caller.state == State::Up && before != State::Up {
                    *slowest = (*slowest).max(caller.began.elapsed());
                }
                settled |= caller.state != before && matches!(caller.state, State::Up | State::Failed(_));
            });
            let n = n.map_err(|e| format!("the server does not listen: {e}"))?;
            self.send();
            if settled || n == 0 {
                return Ok(());
            }
        }
    }

    fn dial(&mut self, o: &Options) -> Result<(), String> {
        let mut next = 0;
        while next < o.count || !self.busy.is_empty() {
            let now = Instant::now();
            while next < o.count && self.busy.len() < o.in_flight {
                self.busy.push_back(self.callers.len());
                next += 1;
                self.callers.push(Caller::new(next, o.connect, now, &mut self.out));
            }
            self.send();
            self.receive()?;
            let now = Instant::now();
            let (callers, out) = (&mut self.callers, &mut self.out);
            self.busy.retain(|&i| {
                let Some(c) = callers.get_mut(i) else { return false };
                c.tick(now, out);
                if now - c.began > PATIENCE {
                    c.state = State::Failed("too slow");
                }
                !matches!(c.state, State::Up | State::Failed(_))
            });
        }
        Ok(())
    }

    fn stay(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.receive()?;
        }
        Ok(())
    }

    /// Frames to the server for a time, never more on their way than its pppd may have waiting; how many arrived there.
    fn up(&mut self, size: usize, time: Duration) -> Result<u64, String> {
        let (start, mut under_way, mut arrived) = (Instant::now(), 0usize, 0u64);
        let mut datagram = Vec::new();
        self.callers.iter().for_each(|c| c.data(&tty::frame(size), &mut datagram));
        let all = [&datagram[..]; 4 * tty::RECEIPT];
        while start.elapsed() < time {
            self.line.send(all.get(under_way..).unwrap_or(&[]));
            under_way = all.len();
            let mut receipts = 0;
            let n = self
                .line
                .receive(|d| receipts += usize::from(matches!(header::parse(d), Ok(Packet::Data(_)))))
                .map_err(|e| e.to_string())?;
            under_way = under_way.saturating_sub(receipts * tty::RECEIPT);
            arrived += (receipts * tty::RECEIPT) as u64;
            if n == 0 {
                // Some were lost.
                under_way = 0;
            }
        }
        Ok(arrived)
    }

    /// Counts frames from the server for a time.
    fn down(&mut self, time: Duration) -> Result<u64, String> {
        let mut datagram = Vec::new();
        // The server may hold its pppd's frames back until the peer has said something.
        self.callers.iter().for_each(|c| c.data(&tty::frame(20), &mut datagram));
        self.line.send(&[datagram]);
        let (start, mut arrived) = (Instant::now(), 0);
        while start.elapsed() < time {
            self.line
                .receive(|d| arrived += u64::from(matches!(header::parse(d), Ok(Packet::Data(_)))))
                .map_err(|e| e.to_string())?;
        }
        Ok(arrived)
    }

    fn farewell(&mut self) -> Result<(), String> {
        let now = Instant::now();
        for i in 0..self.callers.len() {
            self.callers[i].farewell(now, &mut self.out);
            self.send();
            if i % 64 == 63 {
                self.receive()?;
            }
        }
        self.stay(Duration::from_millis(200))
    }
}

/// One percent of the time is 10 ms in a second.
fn percent(m: Meter, time: Duration) -> f64 {
    (m.user_ms + m.system_ms) / time.as_secs_f64() / 10.0
}

/// Frames through one call.
fn frames(o: &Options, which: Frames, load: &mut Load) -> Result<ExitCode, String> {
    load.dial(o)?;
    // The server's pppd gets ready.
    load.stay(Duration::from_millis(1200))?;
    let read = || o.pid.map(Meter::read).transpose();
    let (before, start) = (read()?, Instant::now());
    let (n, size) = match which {
        Frames::Up(size) => (load.up(size, o.time)?, size),
        Frames::Down(size) => (load.down(o.time)?, size),
    };
    let took = start.elapsed().as_secs_f64();
    let used = read()?.zip(before).map(|(end, begin)| end.since(&begin));
    load.farewell()?;
    if n == 0 {
        return Err("no frame arrived".into());
    }
    let cpu = used.map(|m| (m.user_ms + m.system_ms) * 1e3 / n as f64);
    // A server that has time left waits for this program, for its pppd or for a processor.
    let busy = cpu.map(|us| us * n as f64 / took / 1e4);
    let mbit = n as f64 * size as f64 * 8.0 / took / 1e6;
    let figures = serde_json::json!({
        "frames": n, "mbit_s": mbit, "cpu_us_per_frame": cpu, "server_percent": busy,
    });
    println!("{figures}");
    println!(
        "{n} frames in {took:.2} s: {mbit:.1} Mbit/s; server: {:.2} us CPU each, busy {:.0} % of the time",
        cpu.unwrap_or(0.0),
        busy.unwrap_or(0.0)
    );
    Ok(ExitCode::SUCCESS)
}

fn run(o: &Options) -> Result<ExitCode, String> {
    let mut load = Load::new(o.server).map_err(|e| format!("socket: {e}"))?;
    if let Some(which) = o.frames {
        return frames(o, which, &mut load);
    }
    let read = || o.pid.map(Meter::read).transpose();
    let (before, start) = (read()?, Instant::now());
    load.dial(o)?;
    let took = start.elapsed().as_secs_f64();
    let after = read()?;
    let mut idle = None;
    if !o.stay.is_zero() {
        load.stay(o.stay)?;
        idle = read()?.zip(after).map(|(end, begin)| percent(end.since(&begin), o.stay));
    }
    load.farewell()?;
    let up = load.callers.iter().filter(|c| c.state == State::Up).count();
    let failed: Vec<&str> = load
        .callers
        .iter()
        .filter_map(|c| if let State::Failed(w) = c.state { Some(w) } else { None })
        .collect();
    let rate = up as f64 / took;
    let mut json = serde_json::json!({
        "calls": up, "failures": failed.len(), "seconds": took, "per_second": rate,
        "slowest_ms": load.slowest.as_secs_f64() * 1e3,
    });
    let mut text = format!("{up} of {} calls in {took:.2} s: {rate:.0}/s", o.count);
    if let (Some(a), Some(b), true) = (before, after, up > 0) {
        let m = b.since(&a);
        let cpu = (m.user_ms + m.system_ms) / up as f64;
        let memory = m.rss_bytes / up as f64;
        json["cpu_us_per_call"] = (cpu * 1e3).into();
        json["rss_bytes_per_call"] = memory.into();
        text += &format!("; server: {:.0} us CPU and {memory:.0} octets each", cpu * 1e3);
    }
    if let Some(p) = idle {
        json["idle_cpu_percent"] = p.into();
        text += &format!("; {p:.2} % CPU in {} s after", o.stay.as_secs());
    }
    for why in failed.iter().take(3) {
        eprintln!("l2tpload: a call failed: {why}");
    }
    println!("{json}");
    println!("{text}");
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> ExitCode {
    if std::env::args().next().is_some_and(|n| n.ends_with("pppd")) {
        tty::run();
        return ExitCode::SUCCESS;
    }
    let result = match parse() {
        Ok(o) => run(&o),
        Err(e) => Err(format!("{e}\n{USAGE}")),
    };
    result.unwrap_or_else(|e| {
        eprintln!("l2tpload: {e}");
        ExitCode::from(2)
    })
}
