//! Status in xl2tpd's forms: the dump to the log, and the answers to `y` and `x`.

use std::fmt::Write;

use l2tp_proto::TunnelStatus;

use crate::conf::Config;

/// The dump of SIGUSR1 and `s`, a log line each.
pub fn dump(tunnels: &[TunnelStatus], conf: &Config, leased: usize, dropped: u64) -> Vec<String> {
    let mut out = vec!["====== xl2tpd statistics ========".to_string()];
    out.push(format!("Number of tunnels open: {}", tunnels.len()));
    for t in tunnels {
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
            out.push(format!(
                "Call {} # {i}, ID = {} (local), {} (remote), serno = {}, pid = {}, address = {}, tx = {} bytes ({}), rx= {} bytes ({})",
                t.section.name(),
                c.id.session,
                c.peer_session,
                c.serial,
                c.pid.unwrap_or(0),
                c.remote_ip.map_or_else(|| "none".into(), |a| a.to_string()),
                c.tx.bytes,
                c.tx.packets,
                c.rx.bytes,
                c.rx.packets,
            ));
        }
    }
    for l in lns_names(conf) {
        out.push(format!("LNS section {l}"));
    }
    out.push(format!("Addresses in use: {leased}, frames dropped for slow pppds: {dropped}"));
    out.push("================================".into());
    out
}

fn lns_names(conf: &Config) -> impl Iterator<Item = &str> {
    conf.lns.iter().chain(&conf.default_lns).map(|l| l.name.as_str())
}

/// The answer to `y NAME`.
pub fn lns(name: &str, tunnels: &[TunnelStatus], conf: &Config) -> String {
    if !lns_names(conf).any(|n| n.eq_ignore_ascii_case(name)) {
        return "01 Error: Could not find lns\n".into();
    }
    let mut out = String::from("00 OK\n");
    let mut count = 0;
    for (i, t) in tunnels.iter().filter(|t| t.section.name().eq_ignore_ascii_case(name)).enumerate() {
        count += 1;
        let _ = writeln!(out, "00 STATUS tunnels.{i}.id={}", t.peer_id);
        let _ = writeln!(out, "00 STATUS tunnels.{i}.peer={}:{}", t.peer.ip(), t.peer.port());
        for (j, c) in t.calls.iter().enumerate() {
            let mut put = |key: &str, value: u64| {
                let _ = writeln!(out, "00 STATUS tunnels.{i}.calls.{j}.{key}={value}");
            };
            put("id", c.id.session.into());
            put("tx_bytes", c.tx.bytes);
            put("rx_bytes", c.rx.bytes);
            put("tx_pkts", c.tx.packets);
            put("rx_pkts", c.rx.packets);
        }
        let _ = writeln!(out, "00 STATUS tunnels.{i}.calls.count={}", t.calls.len());
    }
    let _ = writeln!(out, "00 STATUS tunnels.count={count}");
    out
}

/// The answer to `x`.
pub fn available(tunnels: &[TunnelStatus], conf: &Config) -> String {
    let mut out = String::from("00 OK\n");
    let mut count = 0;
    for (i, n) in lns_names(conf).enumerate() {
        count += 1;
        let _ = writeln!(out, "00 AVAILABLE lns.{i}.name={n}");
    }
    let _ = writeln!(out, "00 AVAILABLE lns.count={count}");
    for (i, n) in conf.lac.iter().enumerate() {
        let _ = writeln!(out, "00 AVAILABLE lac.{i}.name={n}");
    }
    let _ = writeln!(out, "00 AVAILABLE lac.count={}", conf.lac.len());
    for t in tunnels {
        let _ = writeln!(
            out,
            "00 AVAILABLE tunnel {}, id {}, ourtid {} has {} calls",
            t.section.name(),
            t.peer_id,
            t.id,
            t.calls.len()
        );
    }
    let calls: usize = tunnels.iter().map(|t| t.calls.len()).sum();
    let _ = writeln!(out, "00 AVAILABLE tunnels count={}\n00 AVAILABLE calls count={calls}", tunnels.len());
    out
}
