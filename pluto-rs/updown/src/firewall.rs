//! Rules that let a tunnel's packets through the firewall of this host: `leftfirewall=` and `lefthostaccess=`.
//!
//! They go to the head of the chains that are there, as a rule elsewhere would not keep those from dropping. `iptables` where
//! it is installed, else `nft` with every base chain of the hook; its rules are found again by their comment.

use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use ipsec_netio::program::{self, Limits};
use serde_json::{Value, json};

use crate::plan::{Hook, Opening};

/// How long one call may take; iptables waits for its lock for half of that.
const LIMITS: Limits = Limits { time: Duration::from_secs(10), output: 16 << 20 };

/// Adds the rules that are not there.
pub(crate) fn open(openings: &[Opening]) -> Result<(), String> {
    each(openings, true)
}

/// Takes them away.
pub(crate) fn close(openings: &[Opening]) -> Result<(), String> {
    each(openings, false)
}

fn each(openings: &[Opening], opens: bool) -> Result<(), String> {
    let mut first = Ok(());
    for opening in openings {
        let name = if opening.from.addr().is_ipv4() { "iptables" } else { "ip6tables" };
        let result = match (program::find(name), program::find("nft")) {
            (Some(iptables), _) => with_iptables(&iptables, opening, opens),
            (None, Some(nft)) => with_nft(&nft, opening, opens),
            (None, None) => Err("leftfirewall, lefthostaccess: neither iptables nor nft is installed".into()),
        };
        first = first.and(result);
    }
    first
}

fn call(program: &Path, args: &[String], input: &[u8], errors: bool) -> Result<program::Ran, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", program.display());
    program::run(program, args, input, errors, LIMITS).map_err(failed)
}

fn with_iptables(iptables: &Path, o: &Opening, opens: bool) -> Result<(), String> {
    let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<String>>();
    if o.hook == Hook::Masquerade {
        // Nobody's source address is changed here: looking would load what tracks every connection.
        let tables = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
        if !tables.is_empty() && !tables.lines().any(|t| t == "nat") {
            return Ok(());
        }
        let rules = call(iptables, &words("-w 5 -t nat -S POSTROUTING"), b"", false)?;
        if !rules.text().contains("-A POSTROUTING") {
            return Ok(());
        }
    }
    let (table, chain) = match o.hook {
        Hook::Input => ("filter", "INPUT"),
        Hook::Output => ("filter", "OUTPUT"),
        Hook::Forward => ("filter", "FORWARD"),
        Hook::Masquerade => ("nat", "POSTROUTING"),
    };
    let full = |action: &str| [words(&format!("-w 5 -t {table} {action} {chain}")), rule(o)].concat();
    let is_there = call(iptables, &full("-C"), b"", true)?.is_success();
    if is_there == opens {
        return Ok(());
    }
    let ran = call(iptables, &full(if opens { "-I" } else { "-D" }), b"", true)?;
    match ran.is_success() {
        true => Ok(()),
        false => {
            Err(format!("iptables {chain}: {}", ran.text().lines().next().unwrap_or("it took too long")))
        }
    }
}

/// The matches of a rule, as words of `iptables`.
fn rule(o: &Opening) -> Vec<String> {
    let mut words: Vec<String> = vec!["-s".into(), o.from.to_string(), "-d".into(), o.to.to_string()];
    if o.protocol != 0 {
        words.extend(["-p".into(), o.protocol.to_string()]);
    }
    for (option, port) in [("--sport", o.from_port), ("--dport", o.to_port)] {
        if port != 0 && has_ports(o.protocol) {
            words.extend([option.into(), port.to_string()]);
        }
    }
    let way = if o.inbound { "in" } else { "out" };
    words.extend(["-m", "policy", "--dir", way, "--pol", "ipsec", "-j", "ACCEPT"].map(String::from));
    words
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 33 | 132 | 136)
}

fn with_nft(nft: &Path, o: &Opening, opens: bool) -> Result<(), String> {
    let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<String>>();
    let ran = call(nft, &words("-j list ruleset"), b"", false)?;
    let ruleset: Value = serde_json::from_slice(&ran.output).unwrap_or_default();
    let commands = nft_commands(&ruleset, o, opens);
    if commands.is_empty() {
        return Ok(());
    }
    let text = json!({ "nftables": commands }).to_string();
    let ran = call(nft, &words("-j -f -"), text.as_bytes(), true)?;
    match ran.is_success() {
        true => Ok(()),
        false => Err(format!("nft: {}", ran.text().lines().next().unwrap_or("it took too long"))),
    }
}

/// What `nft` is to do: an accepting rule at the head of each base chain of the hook, or away with ours.
fn nft_commands(ruleset: &Value, o: &Opening, opens: bool) -> Vec<Value> {
    let (hook, kind) = match o.hook {
        Hook::Input => ("input", "filter"),
        Hook::Output => ("output", "filter"),
        Hook::Forward => ("forward", "filter"),
        Hook::Masquerade => ("postrouting", "nat"),
    };
    let ip = if o.from.addr().is_ipv4() { "ip" } else { "ip6" };
    let comment = comment(o);
    let empty = Vec::new();
    let items = ruleset["nftables"].as_array().unwrap_or(&empty);
    let place = |v: &Value| json!({"family": v["family"], "table": v["table"], "chain": v.get("name").unwrap_or(&v["chain"])});
    let chains = items
        .iter()
        .map(|i| &i["chain"])
        .filter(|c| c["hook"] == hook && c["type"] == kind && (c["family"] == "inet" || c["family"] == ip));
    let ours: Vec<&Value> =
        items.iter().map(|i| &i["rule"]).filter(|r| r["comment"] == comment.as_str()).collect();
    let mut commands = Vec::new();
    for chain in chains {
        let place = place(chain);
        let here = ours.iter().filter(|r| ["family", "table", "chain"].iter().all(|k| r[k] == place[k]));
        let handles: Vec<&Value> = here.map(|r| &r["handle"]).collect();
        if opens && handles.is_empty() {
            let mut rule = place;
            rule["expr"] = expressions(o, ip);
            rule["comment"] = comment.clone().into();
            commands.push(json!({ "insert": { "rule": rule } }));
        } else if !opens {
            for handle in handles {
                let mut rule = place.clone();
                rule["handle"] = handle.clone();
                commands.push(json!({ "delete": { "rule": rule } }));
            }
        }
    }
    commands
}

fn comment(o: &Opening) -> String {
    let way = if o.inbound { "in" } else { "out" };
    format!("ipsec {way} {} {} > {} {} {}", o.from, o.from_port, o.to, o.to_port, o.protocol)
}

fn expressions(o: &Opening, ip: &str) -> Value {
    let is = |left: Value, right: Value| json!({"match": {"op": "==", "left": left, "right": right}});
    let net = |n: &IpNet| json!({"prefix": {"addr": n.network().to_string(), "len": n.prefix_len()}});
    let field = |protocol: &str, field: &str| json!({"payload": {"protocol": protocol, "field": field}});
    let mut all = vec![is(field(ip, "saddr"), net(&o.from)), is(field(ip, "daddr"), net(&o.to))];
    if o.protocol != 0 {
        all.push(is(json!({"meta": {"key": "l4proto"}}), o.protocol.into()));
    }
    for (name, port) in [("sport", o.from_port), ("dport", o.to_port)] {
        if port != 0 && has_ports(o.protocol) {
            all.push(is(field("th", name), port.into()));
        }
    }
    let dir = if o.inbound { "in" } else { "out" };
    all.push(is(json!({"ipsec": {"key": "reqid", "dir": dir, "spnum": 0}}), json!({"range": [0, u32::MAX]})));
    all.push(json!({ "accept": null }));
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Opening {
        Opening {
            hook: Hook::Forward,
            inbound: true,
            from: "10.2.0.0/16".parse().unwrap(),
            to: "10.1.0.0/16".parse().unwrap(),
            protocol: 17,
            from_port: 0,
            to_port: 1701,
        }
    }

    #[test]
    fn words_of_iptables() {
        assert_eq!(
            rule(&opening()).join(" "),
            "-s 10.2.0.0/16 -d 10.1.0.0/16 -p 17 --dport 1701 -m policy --dir in --pol ipsec -j ACCEPT"
        );
        let any = Opening { protocol: 0, inbound: false, ..opening() };
        assert_eq!(
            rule(&any).join(" "),
            "-s 10.2.0.0/16 -d 10.1.0.0/16 -m policy --dir out --pol ipsec -j ACCEPT"
        );
    }

    #[test]
    fn nft_rules_come_once_into_each_chain_of_the_hook_and_go() {
        let chain = |family: &str, table: &str, hook: &str| json!({"chain": {"family": family, "table": table, "name": "c", "type": "filter", "hook": hook}});
        let mut set = vec![
            chain("ip", "a", "forward"),
            chain("inet", "b", "forward"),
            chain("ip6", "c", "forward"),
            chain("inet", "d", "input"),
            json!({"chain": {"family": "ip", "table": "a", "name": "plain"}}),
        ];
        let ruleset = |set: &[Value]| json!({ "nftables": set });
        let commands = nft_commands(&ruleset(&set), &opening(), true);
        assert_eq!(commands.len(), 2, "{commands:?}");
        for (n, command) in commands.iter().enumerate() {
            let mut rule = command["insert"]["rule"].clone();
            rule["handle"] = n.into();
            set.push(json!({ "rule": rule }));
        }
        assert!(nft_commands(&ruleset(&set), &opening(), true).is_empty());
        assert!(nft_commands(&ruleset(&set), &Opening { to_port: 1, ..opening() }, false).is_empty());
        let commands = nft_commands(&ruleset(&set), &opening(), false);
        assert_eq!(commands.len(), 2);
        assert_eq!(
            commands[1]["delete"]["rule"],
            json!({"family": "inet", "table": "b", "chain": "c", "handle": 1})
        );
        assert!(nft_commands(&json!(null), &opening(), true).is_empty());
    }
}
