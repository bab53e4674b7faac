//! Whether the firewall of this host lets a peer's packets in: a cautious reading of `iptables-save` and `nft -j list ruleset`.
//!
//! ```text
//!   rule text ──► does it match the packet: yes, no, maybe ──► walk of the input chain ──► Dropped, or not
//! ```
//! What is not understood is a maybe, and a maybe is never an alarm.

use std::collections::HashMap;

use serde_json::Value;

/// The first packet of a peer.
#[derive(Clone, Copy)]
pub struct Packet {
    /// IP protocol: 17 or 50.
    pub proto: u8,
    /// Destination port; 0 for ESP.
    pub port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    Maybe,
}

enum Act {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    Nothing,
}

struct Rule {
    matches: Match,
    act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accepted,
    Dropped,
    Unclear,
    /// Through the whole chain.
    Fell,
}

type Chains = HashMap<String, Vec<Rule>>;

/// How deep chains are followed.
const DEPTH: usize = 16;
/// How many rules are looked at in all.
const RULES: usize = 100_000;

fn walk(chains: &Chains, name: &str, depth: usize, left: &mut usize) -> Fate {
    let Some(rules) = chains.get(name) else { return Fate::Unclear };
    if depth > DEPTH {
        return Fate::Unclear;
    }
    for rule in rules {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return Fate::Unclear;
        }
        if rule.matches == Match::No {
            continue;
        }
        let fate = match &rule.act {
            Act::Accept => Fate::Accepted,
            Act::Drop => Fate::Dropped,
            Act::Jump(to) | Act::Goto(to) => walk(chains, to, depth + 1, left),
            Act::Return => Fate::Fell,
            Act::Nothing => continue,
        };
        let ends = matches!(rule.act, Act::Return | Act::Goto(_));
        match (rule.matches, fate) {
            (Match::Yes, Fate::Fell) if ends => return Fate::Fell,
            (_, Fate::Fell) if !ends => {}
            (Match::Yes, fate) => return fate,
            // Some packets are dropped or skip the rest, perhaps not the peer's.
            (_, Fate::Dropped) => {}
            _ => return Fate::Unclear,
        }
    }
    Fate::Fell
}

/// Whether `iptables-save` text drops the packet on its way in.
pub fn iptables_drops(text: &str, packet: Packet, reply: bool) -> bool {
    let mut chains = Chains::new();
    let mut policy_drops = false;
    let mut filter = false;
    for line in text.lines() {
        if let Some(table) = line.strip_prefix('*') {
            filter = table == "filter";
        } else if !filter {
            continue;
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let name = words.next().unwrap_or_default().to_string();
            policy_drops |= name == "INPUT" && words.next() == Some("DROP");
            chains.entry(name).or_default();
        } else if let Some((name, rule)) = iptables_rule(line, packet, reply) {
            chains.entry(name).or_default().push(rule);
        }
    }
    match walk(&chains, "INPUT", 0, &mut RULES.clone()) {
        Fate::Dropped => true,
        Fate::Fell => policy_drops,
        Fate::Accepted | Fate::Unclear => false,
    }
}

fn in_ports(list: &str, port: u16) -> bool {
    list.split(',').any(|p| match p.split_once(':') {
        Some((a, b)) => (a.parse().unwrap_or(0)..=b.parse().unwrap_or(u16::MAX)).contains(&port),
        None => p.parse() == Ok(port),
    })
}

fn iptables_rule(line: &str, packet: Packet, reply: bool) -> Option<(String, Rule)> {
    let mut words = line.split_whitespace();
    if words.next() != Some("-A") {
        return None;
    }
    let chain = words.next()?.to_string();
    let mut rule = Rule { matches: Match::Yes, act: Act::Nothing };
    let mut not = false;
    let mut require = |m: Match| match (rule.matches, m) {
        (Match::No, _) | (_, Match::Yes) => {}
        (_, m) => rule.matches = m,
    };
    let is = |yes: bool| if yes { Match::Yes } else { Match::No };
    while let Some(word) = words.next() {
        if word == "!" {
            not = true;
            continue;
        }
        let mut value = || words.next().unwrap_or_default();
        let found = match word {
            "-p" => is(match value() {
                "udp" | "17" => packet.proto == 17,
                "esp" | "50" => packet.proto == 50,
                other => other == "all",
            }),
            "--dport" | "--dports" | "--destination-port" => {
                is(packet.proto == 17 && in_ports(value(), packet.port))
            }
            "--state" | "--ctstate" => {
                let states = value();
                match (states.split(',').any(|s| s == "NEW"), states == "INVALID") {
                    (true, _) => Match::Yes,
                    (_, false) if reply => Match::Maybe,
                    _ => Match::No,
                }
            }
            "-i" => match value() {
                "lo" => Match::No,
                _ => Match::Maybe,
            },
            "-m" => match value() {
                "udp" | "esp" | "multiport" | "comment" | "state" | "conntrack" | "tcp" => continue,
                _ => Match::Maybe,
            },
            "--comment" => {
                // The text may have blanks; it stands in quotes then.
                let mut text = value().to_string();
                while text.starts_with('"') && !(text.len() > 1 && text.ends_with('"')) {
                    let Some(next) = words.next() else { break };
                    text = format!("\"{next}");
                }
                continue;
            }
            "-j" | "-g" => {
                let target = value();
                rule.act = match (target, word) {
                    ("ACCEPT", _) => Act::Accept,
                    ("DROP" | "REJECT", _) => Act::Drop,
                    ("RETURN", _) => Act::Return,
                    ("LOG" | "NFLOG" | "MARK" | "CONNMARK" | "TRACE", _) => Act::Nothing,
                    (chain, "-g") => Act::Goto(chain.into()),
                    (chain, _) => Act::Jump(chain.into()),
                };
                // What follows are the target's own options.
                break;
            }
            _ => Match::Maybe,
        };
        require(if not { Match::Maybe } else { found });
        not = false;
    }
    Some((chain, rule))
}

/// Whether a ruleset of `nft -j list ruleset` drops the packet on its way in.
pub fn nft_drops(ruleset: &Value, packet: Packet, reply: bool) -> bool {
    let empty = Vec::new();
    let items = ruleset["nftables"].as_array().unwrap_or(&empty);
    let mut tables: HashMap<String, Chains> = HashMap::new();
    let mut bases = Vec::new();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    for item in items {
        let (chain, rule) = (&item["chain"], &item["rule"]);
        let of = if chain.is_object() { chain } else { rule };
        if !matches!(of["family"].as_str(), Some("ip" | "inet")) {
            continue;
        }
        let table = format!("{} {}", text(&of["family"]), text(&of["table"]));
        let chains = tables.entry(table.clone()).or_default();
        if chain.is_object() {
            let name = text(&chain["name"]);
            chains.entry(name.clone()).or_default();
            if chain["hook"] == "input" && chain["type"] == "filter" {
                bases.push((table, name, chain["policy"] == "drop"));
            }
        } else {
            let exprs = rule["expr"].as_array().unwrap_or(&empty);
            chains.entry(text(&rule["chain"])).or_default().push(nft_rule(exprs, packet, reply));
        }
    }
    bases.iter().any(|(table, name, policy_drops)| {
        let fate = tables.get(table).map(|chains| walk(chains, name, 0, &mut RULES.clone()));
        fate == Some(Fate::Dropped) || fate == Some(Fate::Fell) && *policy_drops
    })
}

fn nft_rule(exprs: &[Value], packet: Packet, reply: bool) -> Rule {
    let mut rule = Rule { matches: Match::Yes, act: Act::Nothing };
    let target = |v: &Value| v["target"].as_str().unwrap_or_default().to_string();
    for expr in exprs {
        let Some((kind, value)) = expr.as_object().and_then(|o| o.iter().next()) else { continue };
        let found = match kind.as_str() {
            "match" => nft_match(value, packet, reply),
            "counter" | "log" | "mangle" => Match::Yes,
            "accept" => return Rule { act: Act::Accept, ..rule },
            "drop" | "reject" => return Rule { act: Act::Drop, ..rule },
            "return" => return Rule { act: Act::Return, ..rule },
            "jump" => return Rule { act: Act::Jump(target(value)), ..rule },
            "goto" => return Rule { act: Act::Goto(target(value)), ..rule },
            // A verdict map, or a match of the old kind: it may accept.
            "vmap" | "xt" | "queue" => return Rule { matches: Match::Maybe, act: Act::Accept },
            _ => Match::Maybe,
        };
        match (rule.matches, found) {
            (Match::No, _) | (_, Match::Yes) => {}
            (_, m) => rule.matches = m,
        }
    }
    rule
}

fn nft_match(m: &Value, packet: Packet, reply: bool) -> Match {
    let (left, right) = (&m["left"], &m["right"]);
    let plain = matches!(m["op"].as_str(), Some("==" | "in"));
    let is = |holds: Option<bool>| match holds {
        Some(true) if plain => Match::Yes,
        Some(false) if plain => Match::No,
        _ => Match::Maybe,
    };
    let payload = (left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str());
    let proto = |v: &Value| match v.as_str() {
        Some("udp") => Some(packet.proto == 17),
        Some("esp") => Some(packet.proto == 50),
        Some(word) if word.starts_with('@') => None,
        Some(_) => Some(false),
        None => v.as_u64().map(|n| n == u64::from(packet.proto)),
    };
    let port = |v: &Value| v.as_u64().map(|n| n == u64::from(packet.port));
    match payload {
        (Some("udp" | "th"), Some("dport")) if packet.proto == 17 => return is(member(right, &port)),
        (Some("ip"), Some("protocol")) => return is(member(right, &proto)),
        (Some("udp" | "tcp" | "icmp" | "icmpv6" | "sctp" | "dccp" | "ah"), Some(_))
            if payload.0 != Some("udp") || packet.proto != 17 =>
        {
            return Match::No;
        }
        _ => {}
    }
    if left["meta"]["key"] == "l4proto" {
        return is(member(right, &proto));
    }
    if left["ct"]["key"] == "state" {
        let new = member(right, &|v: &Value| v.as_str().map(|s| s == "new"));
        return match new {
            Some(false) if reply && right != "invalid" => Match::Maybe,
            new => is(new),
        };
    }
    if matches!(left["meta"]["key"].as_str(), Some("iif" | "iifname")) && plain && right == "lo" {
        return Match::No;
    }
    Match::Maybe
}

/// Whether `value` is, or is a list, set or range with, what `is` says; `None` when that cannot be told.
fn member(value: &Value, is: &dyn Fn(&Value) -> Option<bool>) -> Option<bool> {
    let list = value.as_array().or_else(|| value["set"].as_array());
    if let Some(list) = list {
        let each: Vec<Option<bool>> = list.iter().map(|v| member(v, is)).collect();
        return match each.contains(&Some(true)) {
            true => Some(true),
            false => each.into_iter().collect::<Option<Vec<bool>>>().map(|_| false),
        };
    }
    if let Some([from, to]) = value["range"].as_array().map(Vec::as_slice) {
        let (from, to) = (from.as_u64()?, to.as_u64()?);
        return Some((from..=to).take(1 << 16).any(|n| is(&n.into()) == Some(true)));
    }
    is(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IKE: Packet = Packet { proto: 17, port: 500 };
    const NATT: Packet = Packet { proto: 17, port: 4500 };
    const ESP: Packet = Packet { proto: 50, port: 0 };

    #[test]
    fn iptables_rules_are_read_with_care() {
        let with = |rules: &str| format!("*filter\n:INPUT DROP [0:0]\n:in - [0:0]\n{rules}\nCOMMIT\n");
        let text = with(
            "-A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p udp -m comment --comment \"of a -j DROP\" -m udp --dport 500 -j in\n-A in -j ACCEPT",
        );
        assert_eq!([IKE, NATT, ESP].map(|p| iptables_drops(&text, p, false)), [false, true, true]);
        // We start, the answers get in.
        assert_eq!([NATT, ESP].map(|p| iptables_drops(&text, p, true)), [false, false]);
        for fine in [
            "-A INPUT -s 192.0.2.0/24 -j ACCEPT",
            "-A INPUT -p udp -m multiport --dports 1:499,500,4500 -j ACCEPT\n-A INPUT -p esp -j ACCEPT",
            "-A INPUT ! -p tcp -j ACCEPT",
            "-A INPUT -j nowhere",
        ] {
            assert_eq!([IKE, NATT, ESP].map(|p| iptables_drops(&with(fine), p, false)), [false; 3], "{fine}");
        }
        let open = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 192.0.2.1/32 -j DROP\n-A INPUT -p esp -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n*mangle\n:INPUT DROP\n";
        assert_eq!([IKE, ESP].map(|p| iptables_drops(open, p, false)), [false, true]);
        let cycle = with("-A INPUT -j in\n-A in -j in");
        assert!(!iptables_drops(&cycle, IKE, false));
    }

    #[test]
    fn nft_rules_are_read_with_care() {
        let chain = serde_json::json!({"chain": {"family": "inet", "table": "t", "name": "input", "type": "filter",
            "hook": "input", "prio": 0, "policy": "drop"}});
        let rule = |expr: Value| serde_json::json!({"rule": {"family": "inet", "table": "t", "chain": "input", "expr": expr}});
        let state = rule(serde_json::json!([
            {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]));
        let udp = rule(serde_json::json!([
            {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}},
             "right": {"set": [500, {"range": [4000, 5000]}]}}}, {"counter": {}}, {"accept": null}]));
        let ruleset = serde_json::json!({"nftables": [{"metainfo": {}}, chain, state, udp]});
        assert_eq!([IKE, NATT, ESP].map(|p| nft_drops(&ruleset, p, false)), [false, false, true]);
        assert!(!nft_drops(&ruleset, ESP, true));
        let esp = rule(serde_json::json!([
            {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "esp"}}, {"accept": null}]));
        let ruleset = serde_json::json!({"nftables": [chain, udp, esp]});
        assert!(!nft_drops(&ruleset, ESP, false));
        let set = rule(serde_json::json!([
            {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": "@ports"}}, {"accept": null}]));
        assert!(!nft_drops(&serde_json::json!({"nftables": [chain, set]}), IKE, false));
        assert!(!nft_drops(&serde_json::json!({}), IKE, false));
    }
}
