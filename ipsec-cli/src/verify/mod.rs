//! `ipsec verify`: looks at this machine and says what would keep the configured conns from working.
//!
//! ```text
//!   ipsec.conf ──► Needs ─┐
//!   /proc, /sys (Host) ───┴─► Report ──► the old lines, or JSON
//! ```
//! Reads `/proc` and asks the daemon, `iptables-save` and `nft`; changes nothing. What no configured conn needs is at
//! most a warning.

mod files;
pub(crate) mod host;
mod machine;
pub(crate) mod needs;
mod report;
mod services;

use std::io::IsTerminal;
use std::path::Path;
use std::time::SystemTime;

use crate::{info, paths, resolve};
use host::Host;
use needs::Needs;
use report::{Report, Verdict, advice};

/// Runs `ipsec verify`.
pub(crate) fn run(args: &[String]) -> i32 {
    if let Some(option) =
        args.iter().find(|a| !matches!(a.as_str(), "--nocolour" | "--nocolor" | "--colour" | "--json"))
    {
        eprintln!("ipsec verify: unknown option `{option}'");
        return 2;
    }
    let plain = args.iter().any(|a| a.starts_with("--nocolo"));
    let mut r = Report::default();
    r.heading("Checking if IPsec got installed and started correctly:\n");
    let host = Host::new(Path::new("/"));
    look(&mut r, &host);
    match args.iter().any(|a| a == "--json") {
        true => println!("{}", r.json()),
        false => {
            print!("{}", r.text(!plain && std::io::stdout().is_terminal()));
            if r.failed() {
                eprintln!("\nipsec verify: encountered errors");
            }
        }
    }
    i32::from(r.failed())
}

fn look(r: &mut Report, host: &Host) {
    let config = ipsec_conf::load(&paths::config());
    let needs = config.as_ref().map(Needs::of).unwrap_or_default();
    r.check(
        "Version check and ipsec on-path",
        host.program("ipsec"),
        "FAILED",
        advice("scripts that say `ipsec' find nothing", "put the directory of ipsec into PATH"),
    );
    r.heading(&info::version_line());
    r.heading("See `ipsec --copyright' for copyright information.");
    if !machine::kernel(r, host, &needs) {
        r.heading(" The ipsec service should be started before running 'ipsec verify'");
    }
    machine::settings(r, host, &needs);
    machine::time(r, &needs, SystemTime::now());
    services::pluto(r, &needs);
    services::clashes(r, host, &needs);
    services::l2tp(r, host, &needs);
    files::configuration(r, &config);
    files::secrets(r, &config);
    let address = resolve::default_route((None, None)).map(|d| d.address);
    machine::nat(r, &needs, address);
    services::firewall(r, &needs, address);
    let cannot = advice(
        "whether masquerading spares the networks of tunnels cannot be told from here",
        "look for MASQUERADE and SNAT in `iptables-save -t nat': tunnelled packets must keep their addresses",
    );
    r.bad("Checking NAT and MASQUERADEing", Verdict::Warn, "TEST INCOMPLETE", cannot);
    r.check(
        "Checking 'ip' command",
        host.program("ip"),
        "FAILED",
        advice("the built-in updown cannot make routes", "install iproute2"),
    );
    r.advise(
        "Checking 'iptables' command",
        host.program("iptables"),
        "MISSING",
        advice("leftupdown= scripts that open the firewall cannot", "install iptables if there are any"),
    );
    if needs.oe {
        let cannot =
            advice("oe=yes: no name server is asked for keys, so no conn comes up by itself", "oe=no");
        r.advise("Opportunistic Encryption Support", false, "DISABLED", cannot);
    }
}

#[cfg(test)]
mod tests;
