//! Status: xl2tpd's dump to the log, its answers to `y` and `x`; the answers to the newer commands are in `show`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use l2tp_proto::status::{CallStatus, Counters, LacStatus, TunnelStatus};

use crate::conf::Config;
use crate::datapath::Traffic;
use crate::ppp_db::Link;

/// Everything there is to tell at one moment.
#[derive(Debug)]
pub struct View<'a> {
    /// The settings.
    pub conf: &'a Config,
    /// Tunnels with their calls.
    pub tunnels: Vec<TunnelStatus>,
    /// `[lac]` sections.
    pub lacs: Vec<LacStatus>,
    /// The engine's counters.
    pub counters: Counters,
    /// Addresses given to callers.
    pub leased: usize,
    /// Frames lost for slow pppds.
    pub dropped: u64,
    /// Data paths by generation of their calls.
    pub paths: BTreeMap<u64, (&'static str, Option<Traffic>)>,
    /// What pppds know, by process id.
    pub links: BTreeMap<u32, Link>,
    /// Now, on the clock of the engine.
    pub now: l2tp_proto::Instant,
}

impl View<'_> {
    /// Who is at the other end of a call.
    pub fn user<'a>(&'a self, c: &'a CallStatus) -> Option<&'a str> {
        c.user.as_deref().or_else(|| self.link(c)?.user.as_deref())
    }

    /// What its pppd knows.
    pub fn link(&self, c: &CallStatus) -> Option<&Link> {
        self.links.get(&c.pid?)
    }

    /// Name of its data path.
    pub fn path(&self, c: &CallStatus) -> &'static str {
        self.paths.get(&c.id.generation).map_or("none", |p| p.0)
    }

    /// What has gone through it, whoever has counted.
    pub fn traffic(&self, c: &CallStatus) -> Traffic {
        let ours = Traffic {
            tx_packets: c.tx.packets,
            tx_bytes: c.tx.bytes,
            rx_packets: c.rx.packets,
            rx_bytes: c.rx.bytes,
        };
        self.paths.get(&c.id.generation).and_then(|p| p.1).unwrap_or(ours)
    }

    fn lns_names(&self) -> impl Iterator<Item = &str> {
        self.conf.lns.iter().chain(&self.conf.default_lns).map(|l| l.name.as_str())
    }
}

/// The dump of SIGUSR1 and `s`, a log line each.
pub fn dump(v: &View<'_>) -> Vec<String> {
    let mut out = vec!["====== xl2tpd statistics ========".to_string()];
    out.push(format!("Number of tunnels open: {}", v.tunnels.len()));
    for t in &v.tunnels {
        out.push(format!(
            "Tunnel {}, ID = {} (local), {} (remote) to {}:{}, control_seq_num = {}, control_rec_seq_num = {}, call count = {}, mark = {:#x}, {}",
            t.section.name(),
            t.id,
            t.peer_id,
            t.peer.ip(),
            t.peer.port(),
            t.ns,
            t.nr,
            t.calls.len(),
            t.mark,
            if t.established { "established" } else { "half-open" },
        ));
        for (i, c) in t.calls.iter().enumerate() {
            let n = v.traffic(c);
            out.push(format!(
                "Call {} # {i}, ID = {} (local), {} (remote), serno = {}, pid = {}, user = {}, address = {}, path = {}, tx = {} bytes ({}), rx= {} bytes ({})",
                t.section.name(),
                c.id.session,
                c.peer_session,
                c.serial,
                c.pid.unwrap_or(0),
                v.user(c).unwrap_or("unknown"),
                c.remote_ip.map_or_else(|| "none".into(), |a| a.to_string()),
                v.path(c),
                n.tx_bytes,
                n.tx_packets,
                n.rx_bytes,
                n.rx_packets,
            ));
        }
    }
    out.extend(v.lns_names().map(|l| format!("LNS section {l}")));
    out.extend(
        v.lacs.iter().map(|l| format!("LAC section {}, {}", l.name, crate::show::lac_state(l, v.now))),
    );
    out.push(format!("Addresses in use: {}, frames dropped for slow pppds: {}", v.leased, v.dropped));
    out.push("================================".into());
    out
}

/// One line about a call that is over: who, how long, how much, why.
pub fn summary(
    c: &CallStatus,
    peer: Ipv4Addr,
    unseen: Option<Traffic>,
    now: l2tp_proto::Instant,
    words: &str,
) -> String {
    let (rx, tx) = unseen.map_or((c.rx.bytes, c.tx.bytes), |t| (t.rx_bytes, t.tx_bytes));
    let mut line = format!("call_close: call {} with {peer}", c.id.session);
    let about =
        [("user", &c.user), ("number", &c.calling_number), ("address", &c.remote_ip.map(|a| a.to_string()))];
    for (what, value) in about.into_iter().filter_map(|(w, v)| Some((w, v.as_ref()?))) {
        let _ = write!(line, ", {what} {value}");
    }
    let seconds = now.since(c.since).as_secs();
    let _ = write!(line, ": {seconds} s, {rx} octets received, {tx} sent; {words}");
    line
}

/// The answer to `y NAME`.
pub fn lns(name: &str, v: &View<'_>) -> String {
    if !v.lns_names().any(|n| n.eq_ignore_ascii_case(name)) {
        return "01 Error: Could not find lns\n".into();
    }
    let mut out = String::from("00 OK\n");
    let mut count = 0;
    let served =
        v.tunnels.iter().filter(|t| t.section.lns().is_some_and(|l| l.name.eq_ignore_ascii_case(name)));
    for (i, t) in served.enumerate() {
        count += 1;
        let _ = writeln!(out, "00 STATUS tunnels.{i}.id={}", t.peer_id);
        let _ = writeln!(out, "00 STATUS tunnels.{i}.peer={}:{}", t.peer.ip(), t.peer.port());
        for (j, c) in t.calls.iter().enumerate() {
            let mut put = |key: &str, value: u64| {
                let _ = writeln!(out, "00 STATUS tunnels.{i}.calls.{j}.{key}={value}");
            };
            let n = v.traffic(c);
            put("id", c.id.session.into());
            put("tx_bytes", n.tx_bytes);
            put("rx_bytes", n.rx_bytes);
            put("tx_pkts", n.tx_packets);
            put("rx_pkts", n.rx_packets);
        }
        let _ = writeln!(out, "00 STATUS tunnels.{i}.calls.count={}", t.calls.len());
    }
    let _ = writeln!(out, "00 STATUS tunnels.count={count}");
    out
}

/// The answer to `x`.
pub fn available(v: &View<'_>) -> String {
    let mut out = String::from("00 OK\n");
    let mut count = 0;
    for (i, n) in v.lns_names().enumerate() {
        count += 1;
        let _ = writeln!(out, "00 AVAILABLE lns.{i}.name={n}");
    }
    let _ = writeln!(out, "00 AVAILABLE lns.count={count}");
    for (i, l) in v.conf.lac.iter().enumerate() {
        let _ = writeln!(out, "00 AVAILABLE lac.{i}.name={}", l.name);
    }
    let _ = writeln!(out, "00 AVAILABLE lac.count={}", v.conf.lac.len());
    for t in &v.tunnels {
        let _ = writeln!(
            out,
            "00 AVAILABLE tunnel {}, id {}, ourtid {} has {} calls",
            t.section.name(),
            t.peer_id,
            t.id,
            t.calls.len()
        );
    }
    let calls: usize = v.tunnels.iter().map(|t| t.calls.len()).sum();
    let _ = writeln!(out, "00 AVAILABLE tunnels count={}\n00 AVAILABLE calls count={calls}", v.tunnels.len());
    out
}
