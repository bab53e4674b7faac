//! What of the kernel and its settings the conns need.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Needs;
use super::host::Host;
use super::report::{Report, Verdict, advice};

/// The start of the year this was written, seconds since 1970: a clock before it is wrong.
const WRITTEN: u64 = 1_767_225_600;

/// The pieces of the kernel. `false`: there is no IPsec in it.
pub(crate) fn kernel(r: &mut Report, host: &Host, needs: &Needs) -> bool {
    let xfrm = ["/proc/net/xfrm_stat", "/proc/sys/net/core/xfrm_larval_drop"].iter().any(|p| host.exists(p));
    r.check(
        "Checking for IPsec support in kernel",
        xfrm,
        "FAILED",
        advice(
            "The kernel has no XFRM, so no packet can be protected",
            "modprobe xfrm_user, or a kernel with CONFIG_XFRM_USER",
        ),
    );
    if !xfrm {
        return false;
    }
    for (text, wanted, module, symbol, option) in [
        (" NETKEY: ESP in the kernel", true, "esp4", "esp_init_state", "CONFIG_INET_ESP"),
        (" NETKEY: AH in the kernel", needs.ah, "ah4", "ah_init_state", "CONFIG_INET_AH"),
        (" NETKEY: IPComp in the kernel", needs.ipcomp, "ipcomp", "ipcomp4_init_state", "CONFIG_INET_IPCOMP"),
    ] {
        if wanted {
            let fix = format!("modprobe {module}, or a kernel with {option}");
            let not = advice("conns that use it cannot come up", fix);
            r.check(text, host.kernel_has(module, symbol), "FAILED", not);
        }
    }
    r.heading(" NETKEY: Testing XFRM related proc values");
    for word in ["send_redirects", "accept_redirects"] {
        let text = format!("         ICMP default/{word}");
        let values = host.per_interface(word);
        if values.is_empty() {
            let cannot = advice("whether bogus redirects are sent cannot be told", "mount /proc");
            r.bad(&text, Verdict::Warn, "VERY BROKEN KERNEL", cannot);
            continue;
        }
        let on: Vec<&str> = values.iter().filter(|(_, v)| v != "0").map(|(n, _)| n.as_str()).collect();
        let doing = if word == "send_redirects" { "sending" } else { "accepting" };
        let follows = format!(
            "Disable /proc/sys/net/ipv4/conf/*/{word} or NETKEY will cause the {doing} of bogus ICMP redirects! On for: {}",
            on.join(" ")
        );
        let fix = format!(
            "for f in /proc/sys/net/ipv4/conf/*/{word}; do echo 0 > $f; done, and in /etc/sysctl.conf"
        );
        // Tunnels work all the same, and every distribution ships them on: no error.
        r.advise(&text, on.is_empty(), "NOT DISABLED", advice(follows, fix));
    }
    let text = "         XFRM larval drop";
    match host.read("/proc/sys/net/core/xfrm_larval_drop").as_deref() {
        None => {
            let old = advice("programs may wait while a tunnel comes up", "a newer kernel");
            r.bad(text, Verdict::Warn, "OLD OR BROKEN KERNEL", old);
        }
        value => r.advise(
            text,
            value == Some("1"),
            "NOT ENABLED",
            advice("programs wait while a tunnel comes up", "echo 1 > /proc/sys/net/core/xfrm_larval_drop"),
        ),
    }
    true
}

/// The random device, forwarding, the reverse path filter, the clock and the address.
pub(crate) fn settings(r: &mut Report, host: &Host, needs: &Needs) {
    let running = |name: &str| host.processes().iter().any(|(n, _)| n == name);
    let word = match (running("rngd"), running("clrngd")) {
        (true, _) => "RNGD",
        (_, true) => "CLRNGD",
        // The kernel feeds itself from a hardware source; no daemon is needed for that.
        _ => "N/A",
    };
    r.line("Hardware random device check", word);
    if host.interfaces().len() > 1 {
        let text = "Two or more interfaces found, checking IP forwarding";
        let fix = "echo 1 > /proc/sys/net/ipv4/ip_forward, and net.ipv4.ip_forward=1 in /etc/sysctl.conf";
        match (host.read("/proc/sys/net/ipv4/ip_forward").as_deref(), needs.forwarding) {
            (Some("1"), _) => r.line(text, "OK"),
            (Some(_), true) => {
                r.check(text, false, "FAILED", advice("packets of tunnels are not passed on", fix));
            }
            (Some(_), false) => {
                r.advise(text, false, "FAILED", advice("no conn needs it; a gateway would", fix))
            }
            (None, _) => {
                let cannot = advice("whether packets are passed on cannot be told", "mount /proc");
                r.bad(text, Verdict::Bad, "MISSING ip_forward proc file", cannot);
            }
        }
    }
    rp_filter(r, host);
}

/// The kernel uses the larger of the value for `all` and the interface's own; only 1 is strict.
fn rp_filter(r: &mut Report, host: &Host) {
    let values = host.per_interface("rp_filter");
    let number = |v: &str| v.parse::<u32>().unwrap_or(0);
    let all = values.iter().find(|(n, _)| n == "all").map_or(0, |(_, v)| number(v));
    let strict: Vec<&str> = values
        .iter()
        .filter(|(n, v)| n != "all" && n != "default" && number(v).max(all) == 1)
        .map(|(n, _)| n.as_str())
        .collect();
    r.advise(
        "Checking rp_filter",
        strict.is_empty(),
        "ENABLED",
        advice(
            "strict reverse path filtering drops decrypted packets whose source is routed elsewhere",
            "set these to 0 or 2, and net.ipv4.conf.all.rp_filter too:",
        ),
    );
    for name in strict {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/rp_filter");
        let drops = advice("packets out of a tunnel may not get in here", format!("echo 2 > {path}"));
        r.bad(&format!(" {path}"), Verdict::Warn, "ENABLED", drops);
    }
}

/// The clock: certificates and CRLs are judged by it.
pub(crate) fn time(r: &mut Report, needs: &Needs, now: SystemTime) {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let text = "Checking the system time";
    let wrong = advice(
        format!("the clock stands {since} s after 1970: certificates look not yet valid"),
        "set the clock (ntp, chrony)",
    );
    match (since >= WRITTEN, needs.certificates) {
        (good, true) => r.check(text, good, "WRONG", wrong),
        (good, false) => r.advise(text, good, "WRONG", wrong),
    }
}

/// Whether somebody translates our address on the way to the peers.
pub(crate) fn nat(r: &mut Report, needs: &Needs, address: Option<IpAddr>) {
    if !needs.responder || needs.oriented_private {
        return;
    }
    let private = is_private(address);
    let shown = address.map_or_else(String::new, |a| a.to_string());
    let probably = advice(
        format!("{shown} is a private address: if there is a NAT in front, peers do not reach it by itself"),
        "forward UDP 500 and 4500 to it, and see leftnat-hide= in ipsec.conf(5) for Windows clients",
    );
    r.advise("Checking for a NAT in front of this host", !private, "PROBABLY", probably);
}

/// Whether an address is one of those that many have (RFC 1918, RFC 6598).
pub(crate) fn is_private(address: Option<IpAddr>) -> bool {
    match address {
        Some(IpAddr::V4(a)) => a.is_private() || (a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64),
        _ => false,
    }
}
