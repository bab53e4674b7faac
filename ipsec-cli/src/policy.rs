//! `ipsec policy`: the kernel's policies in a readable form. `ipsec showpolicy`: is what comes through a socket protected.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use ipsec_conf::source;
use serde_json::{Value, json};

use crate::info;
use crate::xfrm::{self, Policy, Sa};

const USAGE: &str = "Usage:
    # detect what stack is used
    ipsec policy --detect-stack

    # display policy information
    ipsec policy [ --all | [ --inbound | --outbound | --forward ] ]
                 [ --stack=name ] [ --read=file ] [ --debug ] [ --json ]

    # provide usage information
    ipsec policy --usage
    ipsec policy --help";

/// What a policy does with its packets, as KLIPS' table of eroutes said it.
pub(crate) fn what(p: &Policy, states: &[Sa]) -> String {
    if p.blocks {
        return "%drop".into();
    }
    let Some(template) = p.templates.last() else { return "%pass".into() };
    let is_it = |s: &&Sa| s.reqid == template.reqid && s.proto == template.proto && s.reqid != 0;
    match states.iter().rev().filter(is_it).find(|s| template.dst == s.dst || template.dst == "0.0.0.0") {
        Some(sa) => xfrm::said(&sa.proto, sa.spi, &sa.dst),
        None => "%trap".into(),
    }
}

/// The same as JSON.
pub(crate) fn object(p: &Policy, states: &[Sa]) -> Value {
    let templates: Vec<Value> = p
        .templates
        .iter()
        .map(|t| json!({"src": t.src, "dst": t.dst, "proto": t.proto, "reqid": t.reqid, "mode": t.mode}))
        .collect();
    json!({"src": p.src, "dst": p.dst, "selector": p.selector, "dir": p.dir, "priority": p.priority,
        "action": what(p, states), "templates": templates})
}

/// Runs `ipsec policy`: 1 when the kernel does not answer, 2 for nonsense.
pub(crate) fn run(args: &[String]) -> i32 {
    let (mut show, mut read, mut json) = (Vec::new(), None, false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, glued) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (arg.as_str(), None),
        };
        match name {
            "--detect-stack" => {
                return match info::has_xfrm() {
                    true => {
                        println!("netkey");
                        0
                    }
                    false => {
                        eprintln!("ipsec policy: no kernel code presently loaded");
                        1
                    }
                };
            }
            "--all" => show.extend(["in", "out", "fwd"]),
            "--inbound" | "--in" => show.push("in"),
            "--outbound" | "--out" => show.push("out"),
            "--forward" | "--fwd" => show.push("fwd"),
            "--json" => json = true,
            "--debug" => {}
            "--help" | "--usage" => {
                println!("{USAGE}");
                return 0;
            }
            "--read" | "--stack" => {
                let Some(value) = glued.or_else(|| args.next().cloned()) else {
                    eprintln!("Option {} requires an argument\n{USAGE}", &name[2..]);
                    return 2;
                };
                match (name, value.as_str()) {
                    ("--read", _) => read = Some(value),
                    (_, "netkey") => {}
                    (_, other) => {
                        eprintln!("Unknown stack: {other}");
                        return 255;
                    }
                }
            }
            _ => {
                eprintln!("Unknown option: {}\n{USAGE}", name.trim_start_matches('-'));
                return 2;
            }
        }
    }
    let policies = match &read {
        None => xfrm::ask("policy"),
        Some(file) => source::read(Path::new(file)).map_err(|why| format!("failed to read {file}: {why}")),
    };
    let policies = match policies {
        Ok(text) => xfrm::policies(&text),
        Err(why) => {
            eprintln!("ipsec policy: {why}");
            return 1;
        }
    };
    let states =
        if read.is_some() { Vec::new() } else { xfrm::states(&xfrm::ask("state").unwrap_or_default()) };
    let wanted = |p: &&Policy| show.is_empty() || show.contains(&p.dir.as_str());
    if json {
        let all: Vec<Value> = policies.iter().filter(wanted).map(|p| object(p, &states)).collect();
        println!("{}", Value::from(all));
        return 0;
    }
    eprintln!("stack: netkey");
    for dir in ["in", "out", "fwd"] {
        for p in policies.iter().filter(wanted).filter(|p| p.dir == dir) {
            let reqid = p.templates.last().map_or(0, |t| t.reqid);
            let selector = if p.selector.is_empty() { String::new() } else { format!(" {}", p.selector) };
            println!(
                "{:<3}  {:<18} -> {:<18}     {}     reqid:{reqid}{selector}",
                dir.to_uppercase(),
                p.src,
                p.dst,
                what(p, &states)
            );
        }
    }
    0
}

const SHOW_USAGE: &str = "Usage:\n\nshowpolicy [--cgi]        lookup the particulars from CGI variables.
 [--socket]     lookup the particulars from the socket on stdin.
 [--udp X]      open a UDP socket on port X
 [--tcp X]      open a TCP socket on port X
 [--sockpolicy] dump based upon IP_IPSEC_RECVREF.
 [--textual]    dump output in human friendly form
 [--maxpacket N]    packets after which to end
 [--plaintext X]    string to dump if no security
 [--vpntext X]      string to dump if VPN configured tunnel
 [--privacytext X]  string to dump if just plain DNS OE
 [--dnssectext X]   string to dump if just DNSSEC OE\n";

/// Runs `ipsec showpolicy`: prints a text for the pair of addresses of a connection, by the kernel's policies.
pub(crate) fn show(args: &[String]) -> i32 {
    let (mut udp, mut most, mut cgi, mut textual) = (None, 0u64, false, false);
    let (mut plain, mut vpn) = ("clear".to_string(), "vpn".to_string());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned();
        let number = |text: Option<String>| text.and_then(|t| t.parse::<u64>().ok());
        let taken = match arg.as_str() {
            "--version" => {
                eprintln!("Openswan {}", info::version_code());
                return 0;
            }
            "--cgi" => {
                cgi = true;
                true
            }
            "--textual" => {
                textual = true;
                true
            }
            "--socket" | "--sockpolicy" => true,
            "--udp" => {
                udp = number(value()).and_then(|n| u16::try_from(n).ok());
                udp.is_some()
            }
            "--maxpacket" => number(value()).map(|n| most = n).is_some(),
            "--plaintext" => value().map(|v| plain = v).is_some(),
            "--vpntext" => value().map(|v| vpn = v).is_some(),
            // Told apart where keys came from name servers.
            "--tcp" | "--privacytext" | "--dnssectext" => value().is_some(),
            _ => false,
        };
        if !taken {
            eprintln!("{SHOW_USAGE}\nOpenswan {}", info::version_code());
            return i32::from(arg != "--help");
        }
    }
    if let Some(port) = udp {
        return echo(port, most);
    }
    let pair = if cgi {
        let variable = |name| std::env::var(name).ok()?.parse::<IpAddr>().ok();
        variable("SERVER_ADDR").zip(variable("REMOTE_ADDR"))
    } else {
        on_stdin()
    };
    let Some((ours, theirs)) = pair else {
        println!("please run this connected to a socket");
        return 1;
    };
    let (policies, states) = match (xfrm::ask("policy"), xfrm::ask("state")) {
        (Ok(p), Ok(s)) => (xfrm::policies(&p), xfrm::states(&s)),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("ipsec showpolicy: {why}");
            return 3;
        }
    };
    let found = protecting(&policies, ours, theirs).map(|p| what(p, &states));
    match textual {
        true => println!("Results of query on {ours} -> {theirs}: {}", found.as_deref().unwrap_or("%pass")),
        false => println!("{}", if found.is_some_and(|w| w.contains('@')) { vpn } else { plain }),
    }
    0
}

/// The policy for packets from `ours` to `theirs`: the one with the smallest number, which the kernel takes first.
fn protecting(policies: &[Policy], ours: IpAddr, theirs: IpAddr) -> Option<&Policy> {
    let has = |net: &str, ip: &IpAddr| {
        let net = net.parse::<ipnet::IpNet>().or_else(|_| net.parse::<IpAddr>().map(Into::into));
        net.is_ok_and(|n| n.contains(ip))
    };
    policies
        .iter()
        .filter(|p| p.dir == "out" && has(&p.src, &ours) && has(&p.dst, &theirs))
        .min_by_key(|p| p.priority)
}

/// The addresses of the socket that is standard input.
fn on_stdin() -> Option<(IpAddr, IpAddr)> {
    use std::os::fd::AsFd;
    let socket: std::net::TcpStream = std::io::stdin().as_fd().try_clone_to_owned().ok()?.into();
    Some((socket.local_addr().ok()?.ip(), socket.peer_addr().ok()?.ip()))
}

/// Sends each datagram back, and says so.
fn echo(port: u16, most: u64) -> i32 {
    let socket = match UdpSocket::bind(("0.0.0.0", port)) {
        Ok(socket) => socket,
        Err(e) => {
            eprintln!("bind: {e}");
            return 11;
        }
    };
    let mut buffer = [0; 512];
    let mut count = 0;
    while most == 0 || count < most {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { return 0 };
        println!("got message of length: {len}");
        match socket.send_to(&buffer[..len], from) {
            Ok(n) => println!("sent message of length: {n}"),
            Err(e) => eprintln!("sendmsg: {e}"),
        }
        count += 1;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_that_counts_is_found() {
        let text = "src 10.0.0.0/8 dst 10.2.0.0/16 \n\tdir out priority 9 \n\ttmpl src 1.1.1.1 dst 2.2.2.2\n\t\tproto esp reqid 5 mode tunnel\n\
            src 10.1.0.1/32 dst 10.2.0.1/32 \n\tdir out priority 3 \nsrc 10.0.0.0/8 dst 10.3.0.0/16 \n\tdir out action block priority 1 \n";
        let policies = xfrm::policies(text);
        let sa = Sa { dst: "2.2.2.2".into(), proto: "esp".into(), spi: 0x99, reqid: 5, ..Sa::default() };
        let of = |a: &str, b: &str, states: &[Sa]| {
            protecting(&policies, a.parse().unwrap(), b.parse().unwrap()).map(|p| what(p, states))
        };
        assert_eq!(of("10.1.0.2", "10.2.0.1", std::slice::from_ref(&sa)).as_deref(), Some("esp0x99@2.2.2.2"));
        assert_eq!(of("10.1.0.2", "10.2.0.1", &[]).as_deref(), Some("%trap"));
        assert_eq!(of("10.1.0.1", "10.2.0.1", &[]).as_deref(), Some("%pass"));
        assert_eq!(of("10.1.0.1", "10.3.0.1", &[]).as_deref(), Some("%drop"));
        assert_eq!(of("11.0.0.1", "10.3.0.1", &[]), None);
        assert_eq!(object(&policies[0], &[sa])["action"], "esp0x99@2.2.2.2");
    }
}
