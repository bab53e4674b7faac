//! `ipsec algparse`: what an `ike=` or `esp=` text comes to. `ipsec showdefaults`: what `%defaultroute` is.

use ipsec_conf::algs;

use crate::{info, resolve};

const USAGE: &str = "Usage: ipsec algparse [-v1] [ike=|esp=|phase2alg=]algorithms ...";

/// Runs `ipsec algparse`. The exit status is 1 if a text is not understood, else 0.
pub(crate) fn run(args: &[String]) -> i32 {
    let texts: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    if texts.is_empty() || args.iter().any(|a| a.starts_with('-') && a != "-v1") {
        eprintln!("{USAGE}");
        return 2;
    }
    let mut status = 0;
    for text in texts {
        let (kind, list) = text.split_once('=').unwrap_or(("esp", text));
        let result = match kind {
            "ike" => ike(list),
            "esp" | "phase2alg" => esp(list),
            _ => Err(format!("unknown kind of algorithms `{kind}'; expected ike= or esp=")),
        };
        match result {
            Ok((proposals, warnings)) => {
                println!("{kind}={}", proposals.join(", "));
                warnings.iter().for_each(|w| eprintln!("ipsec algparse: {text}: {w}"));
            }
            Err(why) => {
                eprintln!("ipsec algparse: {text}: {why}");
                status = 1;
            }
        }
    }
    status
}

type Parsed = Result<(Vec<String>, Vec<String>), String>;

fn ike(list: &str) -> Parsed {
    let s = algs::ike(list)?;
    let word = |s: &ipsec_types::algo::IkeSuite| {
        format!("{}-{}-{}", s.cipher.name(), s.hash.name(), s.group.name())
            .to_uppercase()
            .replace("OAKLEY_", "")
    };
    Ok((s.suites.iter().map(word).collect(), s.warnings))
}

fn esp(list: &str) -> Parsed {
    let s = algs::esp(list)?;
    let group = s.group.map_or(String::new(), |g| format!("-{}", g.name().to_uppercase()));
    let word = |s: &ipsec_types::algo::EspSuite| format!("{}-{}{group}", s.cipher.name(), s.integ.name());
    Ok((s.suites.iter().map(word).collect(), s.warnings))
}

/// Runs `ipsec showdefaults`; the exit status is 1 when there is no default route.
pub(crate) fn show_defaults(args: &[String]) -> i32 {
    match args.first().map(String::as_str) {
        Some("--help") => {
            println!("Usage: ipsec showdefaults [--json]");
            return 0;
        }
        Some("--version") => {
            println!("ipsec showdefaults {}", info::version_code());
            return 0;
        }
        _ => {}
    }
    let Some(route) = resolve::default_route((None, None)) else {
        eprintln!("ipsec showdefaults: there is no default route");
        return 1;
    };
    let nexthop = route.nexthop.map_or_else(String::new, |n| n.to_string());
    if args.iter().any(|a| a == "--json") {
        let object = serde_json::json!({"routephys": route.interface, "routevirt": null, "routeaddr": route.address,
            "routenexthop": route.nexthop});
        println!("{object}");
        return 0;
    }
    println!("routephys={}", route.interface);
    println!("routevirt=none");
    println!("routeaddr={}", route.address);
    println!("routenexthop={nexthop}");
    0
}
