//! Answers to `i WHAT` (`xl2tpd-control show`) and `j` (`xl2tpd-control status --json`).

use std::fmt::Write;

use l2tp_proto::Instant;
use l2tp_proto::status::{LacState, LacStatus};
use serde_json::{Value, json};

use crate::status::View;

/// What a `[lac]` section does, in words.
pub fn lac_state(l: &LacStatus, now: Instant) -> String {
    match l.state {
        LacState::Idle => "idle".into(),
        LacState::Dialling => "dialling".into(),
        LacState::Up => "up".into(),
        LacState::Waiting(at) => format!("redials in {} s", at.since(now).as_secs()),
    }
}

/// The counters by name.
fn counters(v: &View<'_>) -> Vec<(&'static str, u64)> {
    let c = &v.counters;
    vec![
        ("tunnels_up", c.tunnels_up),
        ("calls_up", c.calls_up),
        ("junk", c.junk),
        ("unknown_tunnel", c.unknown_tunnel),
        ("retransmissions", c.retransmissions),
        ("denied", c.denied),
        ("limit_half_open_per_peer", c.limit_half_open_per_peer),
        ("limit_half_open", c.limit_half_open),
        ("limit_tunnels", c.limit_tunnels),
        ("limit_calls_per_tunnel", c.limit_calls_per_tunnel),
        ("limit_calls", c.limit_calls),
        ("pool_empty", c.pool_empty),
        ("data_lost", c.data_lost),
        ("moved", c.moved),
        ("dropped_for_slow_pppds", v.dropped),
    ]
}

/// How many addresses the `ip range` lines of a section have, those taken away not counted.
fn pool_size(rules: &[l2tp_proto::RangeRule]) -> u64 {
    // Cut at every border, so that a rule holds for all of a piece or for none of it.
    let mut cuts: Vec<u64> = Vec::new();
    for r in rules {
        cuts.extend([u64::from(u32::from(r.range.start)), u64::from(u32::from(r.range.end)) + 1]);
    }
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = cuts.iter().zip(cuts.iter().skip(1));
    pieces
        .filter(|(from, _)| {
            let addr = u32::try_from(**from).unwrap_or(u32::MAX).into();
            l2tp_proto::pool::verdict(rules, addr) == Some(true)
        })
        .map(|(from, to)| to - from)
        .sum()
}

/// The answer to `i WHAT`.
pub fn text(what: &str, v: &View<'_>) -> String {
    let mut out = String::from("00 OK\n");
    match what {
        "tunnels" => {
            let _ = writeln!(
                out,
                "LOCAL  REMOTE PEER                  MARK       SECTION      STATE        CALLS  HOST"
            );
            for t in &v.tunnels {
                let state = if t.established { "established" } else { "half-open" };
                let _ = writeln!(
                    out,
                    "{:<6} {:<6} {:<21} {:<#10x} {:<12} {state:<12} {:<6} {}",
                    t.id,
                    t.peer_id,
                    t.peer.to_string(),
                    t.mark,
                    t.section.name(),
                    t.calls.len(),
                    t.peer_host
                );
            }
            for l in &v.lacs {
                let _ = writeln!(out, "lac {}: {}", l.name, lac_state(l, v.now));
            }
        }
        "calls" => {
            let _ = writeln!(
                out,
                "CALL   TUNNEL PID      USER             ADDRESS         INTERFACE PATH    SECONDS   TX BYTES     RX BYTES"
            );
            for c in v.tunnels.iter().flat_map(|t| &t.calls) {
                let n = v.traffic(c);
                let link = v.link(c);
                let address = c.remote_ip.map(|a| a.to_string());
                let address = link.and_then(|l| l.remote.clone()).or(address);
                let _ = writeln!(
                    out,
                    "{:<6} {:<6} {:<8} {:<16} {:<15} {:<9} {:<7} {:<9} {:<12} {}",
                    c.id.session,
                    c.id.tunnel,
                    c.pid.unwrap_or(0),
                    v.user(c).unwrap_or("-"),
                    address.as_deref().unwrap_or("-"),
                    link.and_then(|l| l.interface.as_deref()).unwrap_or("-"),
                    v.path(c),
                    v.now.since(c.since).as_secs(),
                    n.tx_bytes,
                    n.rx_bytes
                );
            }
        }
        "pool" => {
            let _ = writeln!(out, "in use: {}", v.leased);
            for l in v.conf.lns.iter().chain(&v.conf.default_lns) {
                let _ = writeln!(out, "lns {}: {} addresses", l.name, pool_size(&l.pool));
            }
            for (t, c) in v.tunnels.iter().flat_map(|t| t.calls.iter().map(move |c| (t, c))) {
                if let (Some(a), Some(_)) = (c.remote_ip, t.section.lns()) {
                    let _ = writeln!(out, "{a} call {} user {}", c.id.session, v.user(c).unwrap_or("-"));
                }
            }
        }
        "counters" => {
            for (name, n) in counters(v) {
                let _ = writeln!(out, "{name} {n}");
            }
        }
        _ => return format!("01 show: '{what}' is none of tunnels, calls, pool, counters\n"),
    }
    out
}

/// The answer to `j`: one line of JSON after `00 OK`.
pub fn json(v: &View<'_>) -> String {
    let tunnels: Vec<Value> = v.tunnels.iter().map(|t| tunnel(t, v)).collect();
    let pools: Vec<Value> = v
        .conf
        .lns
        .iter()
        .chain(&v.conf.default_lns)
        .map(|l| json!({ "lns": l.name, "size": pool_size(&l.pool) }))
        .collect();
    let lacs: Vec<Value> = v
        .lacs
        .iter()
        .map(|l| json!({ "name": l.name, "state": lac_state(l, v.now), "tunnel": l.tunnel, "redials": l.redials }))
        .collect();
    let all = json!({
        "pid": std::process::id(),
        "tunnels": tunnels,
        "lacs": lacs,
        "pool": { "in_use": v.leased, "sections": pools },
        "counters": counters(v).into_iter().map(|(k, n)| (k.to_string(), Value::from(n))).collect::<serde_json::Map<_, _>>(),
    });
    format!("00 OK\n{all}\n")
}

fn tunnel(t: &l2tp_proto::TunnelStatus, v: &View<'_>) -> Value {
    let calls: Vec<Value> = t
        .calls
        .iter()
        .map(|c| {
            let n = v.traffic(c);
            json!({
                "id": c.id.session, "peer_id": c.peer_session, "serial": c.serial, "pid": c.pid, "user": v.user(c),
                "local_ip": c.local_ip, "remote_ip": c.remote_ip,
                "interface": v.link(c).and_then(|l| l.interface.as_deref()),
                "ppp_remote_ip": v.link(c).and_then(|l| l.remote.as_deref()),
                "calling_number": c.calling_number, "path": v.path(c), "seconds": v.now.since(c.since).as_secs(),
                "tx_bytes": n.tx_bytes, "tx_packets": n.tx_packets,
                "rx_bytes": n.rx_bytes, "rx_packets": n.rx_packets, "rx_lost": c.rx_lost,
            })
        })
        .collect();
    json!({
        "id": t.id, "peer_id": t.peer_id, "peer": t.peer.to_string(), "local": t.local, "mark": t.mark,
        "role": if t.section.lns().is_some() { "lns" } else { "lac" }, "section": t.section.name(),
        "peer_host": t.peer_host, "established": t.established, "seconds": v.now.since(t.since).as_secs(),
        "silent_seconds": v.now.since(t.last_heard).as_secs(), "unacknowledged": t.unacknowledged, "calls": calls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::load;

    #[test]
    fn the_size_of_a_pool_counts_each_address_once() {
        let size = |text: &str| {
            pool_size(&load("x", &format!("[lns default]\n{text}")).unwrap().default_lns.unwrap().pool)
        };
        assert_eq!(size("ip range = 10.0.0.1-10.0.0.6\n"), 6);
        assert_eq!(size("ip range = 10.0.0.1-6\nno ip range = 10.0.0.2-5\nip range = 10.0.0.4-9\n"), 1 + 6);
        assert_eq!(size("ip range = 0.0.0.0-255.255.255.255\n"), 1 << 32);
        assert_eq!(size(""), 0);
    }
}
