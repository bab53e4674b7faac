//! `ipsec look`: a quick look at tunnels, policies and routes. Runs programs one by one, no shell.

use std::time::Duration;

use ipsec_netio::program::{self, Limits};

use crate::{info, keys, resolve, xfrm};

const LIMITS: Limits = Limits { time: Duration::from_secs(20), output: 32 << 20 };

/// Runs `ipsec look`.
pub(crate) fn run(args: &[String]) -> i32 {
    match args.first().map(String::as_str) {
        Some("--help") => {
            println!("Usage: ipsec look");
            return 0;
        }
        Some("--version") => {
            println!("ipsec look {}", info::version_code());
            return 0;
        }
        _ => {}
    }
    println!("{} {}", keys::hostname(), keys::now(true));
    println!("XFRM state:");
    match xfrm::ask("state") {
        Ok(text) => print!("{}", xfrm::without_keys(&text)),
        Err(why) => eprintln!("ipsec look: {why}"),
    }
    println!("XFRM policy:");
    match xfrm::ask("policy") {
        Ok(text) if text.is_empty() => {}
        Ok(text) => println!("{text}"),
        Err(why) => eprintln!("ipsec look: {why}"),
    }
    println!("XFRM done");
    for chain in ["IPSEC", "NEW_IPSEC_CONN"] {
        println!("{chain} mangle TABLES");
        for name in ["iptables", "ip6tables"] {
            // Only KLIPS in its MAST mode made these chains.
            if let Some(text) = output(name, &["-n", "-t", "mangle", "-L", chain]) {
                println!("{text}");
            }
        }
    }
    println!("ROUTING TABLES");
    let interface = resolve::default_route((None, None)).map(|r| r.interface);
    for family in ["-4", "-6"] {
        let text = output("ip", &[family, "route"]).unwrap_or_default();
        let wanted = |l: &&str| interface.as_ref().is_none_or(|i| l.contains(i.as_str()));
        text.lines().filter(wanted).for_each(|l| println!("{l}"));
    }
    0
}

/// What a program says if all is well with it.
fn output(name: &str, args: &[&str]) -> Option<String> {
    let ran = program::run(&program::find(name)?, args, b"", false, LIMITS).ok()?;
    ran.is_success().then(|| ran.text())
}
