//! `eroute`, `spi`, `spigrp`, `tncfg`, `klipsdebug`, `pf_key`, `manual`: commands on KLIPS' tables. Without arguments they
//! print what the kernel's own IPsec has in KLIPS' form; what would change a table is refused with what to use instead.

use serde_json::json;

use crate::xfrm::{self, Policy, Sa};
use crate::{info, policy};

const SAID: &str = "            where <SA> is '--af <inet | inet6> --edst <edst> --spi <spi> --proto <proto>'
                       OR '--said <said>'
                       OR '--said <%passthrough | %passthrough4 | %passthrough6 | %drop | %reject | %trap | %hold | %pass>'.";

fn usage(command: &str) -> String {
    let common = format!(
        "        [ --debug ] is optional to any {command} command.\n        [ --label <label> ] is optional to any {command} command."
    );
    match command {
        "eroute" => format!(
            "usage: eroute --{{add,addin,replace,replacein}} --eraf <inet | inet6> --src <src>/<srcmaskbits>|<srcmask> --dst <dst>/<dstmaskbits>|<dstmask> [ --transport-proto <protocol> ] [ --src-port <source-port> ] [ --dst-port <dest-port> ] <SA>\n{SAID}\n       eroute --del --eraf <inet | inet6>--src <src>/<srcmaskbits>|<srcmask> --dst <dst>/<dstmaskbits>|<dstmask> [ --transport-proto <protocol> ] [ --src-port <source-port> ] [ --dst-port <dest-port> ]\n       eroute --clear\n       eroute --help\n       eroute --version\n       eroute\n{common}"
        ),
        "spi" => "Usage:\n\tin the following, <SA> is: --af <inet | inet6> --edst <dstaddr> --spi <spi> --proto <proto>\n\
            \x20                              OR: --said <proto><.|:><spi>@<dstaddr>\n\
            spi --clear\nspi --help\nspi --version\nspi\nspi --del <SA>\n\
            spi --ip4 <SA> --src <encap-src> --dst <encap-dst>\nspi --ip6 <SA> --src <encap-src> --dst <encap-dst>\n\
            spi --ah <algo> <SA> [<life> ][ --replay_window <replay_window> ] --authkey <key>\n\
            spi --esp <algo> <SA> [<life> ][ --replay_window <replay-window> ] --enckey <ekey> --authkey <akey>\n\
            spi --comp <algo> <SA>\n[ --debug ] is optional to any spi command.\n[ --label <label> ] is optional to any spi command."
            .into(),
        "spigrp" => format!(
            "usage: Note: position of options and arguments is important!\nusage: spigrp [ --debug ] [ --label <label> ] af1 dst1 spi1 proto1 [ af2 dst2 spi2 proto2 [ af3 dst3 spi3 proto3 [ af4 dst4 spi4 proto4 ] ] ]\nusage: spigrp [ --debug ] [ --label <label> ] --said <SA1> [ <SA2> [ <SA3> [ <SA4> ] ] ]\nusage: spigrp --help\nusage: spigrp --version\nusage: spigrp\n{common}"
        ),
        "tncfg" => format!(
            "tncfg --create <virtual>\ntncfg --delete <virtual>\ntncfg --attach --virtual <virtual-device> --physical <physical-device>\ntncfg --detach --virtual <virtual-device>\ntncfg --clear\ntncfg --help\ntncfg --version\ntncfg\n{common}"
        ),
        "klipsdebug" => format!(
            "usage: klipsdebug {{--set|--clear}} {{tunnel|tunnel-xmit|netlink|xform|eroute|spi|radij|esp|ah|rcv|pfkey|ipcomp|verbose}}\n       klipsdebug {{--all|--none}}\n       klipsdebug --help\n       klipsdebug --version\n       klipsdebug\n{common}"
        ),
        _ => "pf_key: Usage: pf_key [--help]\n\tby default listens for AH, ESP, IPIP and IPCOMP\n\
            \t--daemon <file>     fork before printing, stuffing the PID in the file\n\
            \t--dumpfile <file>   decode file of pfkey messages\n\t--encodefile <file> encode file of pfkey messages\n\
            \t--esp               listen for ESP messages\n\t--ah                listen for AH messages\n\
            \t--ipip              listen for IPIP messages\n\t--ipcomp            listen for IPCOMP messages"
            .into(),
    }
}

/// The options that change something, and how many words follow each (of `eroute`, those that say what).
fn changes(command: &str) -> &'static [&'static str] {
    match command {
        "eroute" => &["--add", "--addin", "--replace", "--replacein", "--del", "--clear"],
        "spi" => {
            &["--clear", "--del", "--ip4", "--ip6", "--ah", "--esp", "--comp", "--dumpsaref", "--listenreply"]
        }
        "spigrp" => &["--said"],
        "tncfg" => &["--create", "--delete", "--attach", "--detach", "--clear"],
        "klipsdebug" => &["--set", "--clear", "--all", "--none"],
        _ => &["--esp", "--ah", "--ipip", "--ipcomp", "--daemon", "--dumpfile", "--encodefile"],
    }
}

fn advice(command: &str) -> &'static str {
    match command {
        "eroute" => "use a conn with type=passthrough, drop or reject, see ipsec.conf(5)",
        "spi" | "spigrp" => "SAs are made by pluto, see ipsec_auto(8); keys by hand are gone",
        "tncfg" => "packets go through the interfaces themselves",
        "klipsdebug" => "the kernel's own counters are in /proc/net/xfrm_stat",
        _ => "use `ip xfrm monitor'",
    }
}

/// Runs one of them. Nonsense prints the usage and exits 1 (`spi`: 255), as ever.
pub(crate) fn run(command: &str, args: &[String]) -> i32 {
    let json = args.iter().any(|a| a == "--json");
    let args: Vec<&str> =
        args.iter().map(String::as_str).filter(|a| !matches!(*a, "--debug" | "--json")).collect();
    let args = match args.as_slice() {
        ["--label", _, rest @ ..] => rest,
        all => all,
    };
    match args {
        [] => list(command, json),
        ["--version"] => {
            println!("{command} {}", info::version_code());
            0
        }
        [first, ..] if changes(command).contains(first) || (command == "spigrp" && args.len() % 4 == 0) => {
            eprintln!(
                "ipsec {command}: this is of KLIPS, and the stack in use is netkey: {}",
                advice(command)
            );
            1
        }
        _ if command == "spi" => {
            eprintln!("spi:{}", usage(command));
            if args == ["--help"] { 0 } else { 255 }
        }
        _ => {
            println!("{}", usage(command));
            1
        }
    }
}

fn list(command: &str, json: bool) -> i32 {
    let (policies, states) = match command {
        "tncfg" | "klipsdebug" | "pf_key" => {
            if json {
                println!("[]");
            }
            // Their tables are empty: no ipsecN devices, no debugging.
            return match command {
                "pf_key" => {
                    eprintln!("ipsec pf_key: {}", advice(command));
                    1
                }
                _ => 0,
            };
        }
        "eroute" => (xfrm::ask("policy"), xfrm::ask("state")),
        _ => (Ok(String::new()), xfrm::ask("state")),
    };
    let (policies, states) = match (policies, states) {
        (Ok(p), Ok(s)) => (xfrm::policies(&p), xfrm::states(&s)),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("ipsec {command}: {why}");
            return 1;
        }
    };
    match command {
        "eroute" => {
            let out: Vec<&Policy> = policies.iter().filter(|p| p.dir == "out").collect();
            if json {
                let all: Vec<_> = out.iter().map(|p| policy::object(p, &states)).collect();
                println!("{}", serde_json::Value::from(all));
                return 0;
            }
            for p in out {
                let what = policy::what(p, &states);
                // KLIPS counted packets here, XFRM counts them at the SA.
                println!("{:<10} {:<18} -> {:<18} => {what}", 0, p.src, p.dst);
            }
        }
        "spi" => {
            for sa in &states {
                match json {
                    true => println!("{}", object(sa)),
                    false => println!("{}", line(sa)),
                }
            }
        }
        _ => groups(&states).iter().for_each(|g| match json {
            true => println!("{}", json!(g)),
            false => println!("{}", g.join(" ")),
        }),
    }
    0
}

fn line(sa: &Sa) -> String {
    let name = xfrm::said(&sa.proto, sa.spi, &sa.dst);
    let algorithms = sa.algorithms.join("_");
    format!(
        "{name} {}_{algorithms}: src={} mode={} reqid={}",
        sa.proto.to_uppercase(),
        sa.src,
        sa.mode,
        sa.reqid
    )
}

fn object(sa: &Sa) -> serde_json::Value {
    json!({"said": xfrm::said(&sa.proto, sa.spi, &sa.dst), "src": sa.src, "dst": sa.dst, "proto": sa.proto,
        "spi": sa.spi, "reqid": sa.reqid, "mode": sa.mode, "algorithms": sa.algorithms})
}

/// SAs that are used together: to one address with one reqid, compression before encryption.
fn groups(states: &[Sa]) -> Vec<Vec<String>> {
    let mut seen: Vec<(&str, &str, u32)> = Vec::new();
    let mut all: Vec<Vec<String>> = Vec::new();
    for sa in states {
        let key = (sa.src.as_str(), sa.dst.as_str(), sa.reqid);
        let name = xfrm::said(&sa.proto, sa.spi, &sa.dst);
        match seen.iter().position(|k| *k == key && sa.reqid != 0) {
            Some(i) if sa.proto == "comp" => all[i].insert(0, name),
            Some(i) => all[i].push(name),
            None => {
                seen.push(key);
                all.push(vec![name]);
            }
        }
    }
    all
}

/// `ipsec manual`: keys by hand are gone.
pub(crate) fn manual() -> i32 {
    println!("ipsec manual loaded fixed keys into the kernel. It is not supported any more:");
    println!("let pluto negotiate, with `ipsec auto' and authby=secret or authby=rsasig.");
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_told_apart_from_what_is_gone() {
        let run = |command: &str, line: &str| {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            run(command, &words)
        };
        for command in ["eroute", "spi", "spigrp", "tncfg", "klipsdebug", "pf_key"] {
            assert_eq!(run(command, "--version"), 0);
            assert_eq!(run(command, "--nonsense"), if command == "spi" { 255 } else { 1 }, "{command}");
            for change in changes(command) {
                assert_eq!(run(command, change), 1, "{command} {change}");
            }
        }
        assert_eq!(run("klipsdebug", "--label x"), 0);
        assert_eq!(run("tncfg", ""), 0);
    }

    #[test]
    fn sas_are_grouped() {
        let sa = |proto: &str, spi, reqid| Sa {
            src: "a".into(),
            dst: "192.0.2.1".into(),
            proto: proto.into(),
            spi,
            reqid,
            ..Sa::default()
        };
        let all = groups(&[
            sa("esp", 0x1234, 7),
            sa("comp", 0x12, 7),
            sa("esp", 5, 8),
            sa("esp", 6, 0),
            sa("esp", 7, 0),
        ]);
        assert_eq!(all[0], ["comp0x12@192.0.2.1", "esp0x1234@192.0.2.1"]);
        assert_eq!(all.len(), 4);
        assert_eq!(
            line(&Sa { algorithms: vec!["cbc(aes)".into()], mode: "tunnel".into(), ..sa("esp", 5, 8) }),
            "esp0x5@192.0.2.1 ESP_cbc(aes): src=a mode=tunnel reqid=8"
        );
    }
}
