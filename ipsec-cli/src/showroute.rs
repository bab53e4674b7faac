//! `ipsec showroute`: how the kernel would send to an address.

use std::net::{IpAddr, ToSocketAddrs};

const ME: &str = "ipsec showroute";
const USAGE: &str = "Usage: ipsec showroute [--interface] [--source] [--gateway] [--destination] [--ipv4|--ipv6] [--json] <destination>\n\
    Prints:\n  <source-address>%<interface> <gateway-address> <destination-address>\nfor the given <destination>";

/// Runs `ipsec showroute`; the exit status is 1 when there is no route, or for nonsense.
pub(crate) fn run(args: &[String]) -> i32 {
    let has = |name: &str| args.iter().any(|a| a == name);
    if has("--help") {
        println!("{USAGE}");
        return 0;
    }
    let known =
        ["--interface", "--source", "--gateway", "--destination", "--ipv4", "--ipv6", "--verbose", "--json"];
    let words: Vec<&String> = args.iter().filter(|a| !a.starts_with("--")).collect();
    let unknown = args.iter().find(|a| a.starts_with("--") && !known.contains(&a.as_str()));
    let text = match (unknown, words.as_slice()) {
        (Some(option), _) => {
            eprintln!("{ME}: unknown option `{option}'\n{USAGE}");
            return 1;
        }
        (None, []) => {
            eprintln!("{ME}: missing <destination>");
            return 1;
        }
        (None, [_, extra, ..]) => {
            eprintln!("{ME}: extra parameter {extra}");
            return 1;
        }
        (None, [text]) => text.as_str(),
    };
    let family = |ip: &IpAddr| if has("--ipv6") { ip.is_ipv6() } else { ip.is_ipv4() || !has("--ipv4") };
    let looked_up = || (text, 0).to_socket_addrs().ok()?.map(|a| a.ip()).find(family);
    let Some(to) = text.parse().ok().or_else(looked_up) else {
        eprintln!("{ME}: {text}: does not look numeric and name lookup failed");
        return 1;
    };
    let found = match ipsec_updown::lookup(to) {
        Ok(found) => found,
        Err(e) => {
            eprintln!("{ME}: {to}: {e}");
            return 1;
        }
    };
    let source = found.source.map_or_else(String::new, |a| a.to_string());
    let gateway = found.gateway.unwrap_or(to);
    if has("--json") {
        let gateway = found.gateway;
        println!(
            "{}",
            serde_json::json!({"source": found.source, "interface": found.interface, "gateway": gateway, "destination": to})
        );
        return 0;
    }
    let all = !["--interface", "--source", "--gateway", "--destination"].iter().any(|o| has(o));
    let mut line = String::new();
    if all || has("--source") {
        line.push_str(&source);
    }
    if all || has("--interface") {
        line.push_str(&format!("%{}", found.interface));
    }
    for (option, address) in [("--gateway", gateway), ("--destination", to)] {
        if all || has(option) {
            line.push_str(&format!(" {address}"));
        }
    }
    println!("{}", line.trim_start());
    0
}
