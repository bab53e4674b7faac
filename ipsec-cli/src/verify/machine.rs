//! What of the kernel and its settings the conns need.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Needs;
use super::host::Host;
use super::report::{Report, Verdict};

/// The start of the year this was written, seconds since 1970: a clock before it is wrong.
const WRITTEN: u64 = 1_767_225_600;

/// The pieces of the kernel. `false`: there is no IPsec in it.
pub(crate) fn kernel(r: &mut Report, host: &Host, needs: &Needs) -> bool {
    let xfrm = ["/proc/net/xfrm_stat", "/proc/sys/net/core/xfrm_larval_drop"].iter().any(|p| host.exists(p));
    r.check(
        "Checking for IPsec support in kernel",
        xfrm,
        "FAILED",
        "The kernel has no XFRM, so no packet can be protected: CONFIG_XFRM_USER is needed (modprobe xfrm_user)",
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
            let advice = format!("conns that use it cannot come up: {option} (modprobe {module}) is needed");
            r.check(text, host.kernel_has(module, symbol), "FAILED", &advice);
        }
    }
    r.heading(" NETKEY: Testing XFRM related proc values");
    for word in ["send_redirects", "accept_redirects"] {
        let text = format!("         ICMP default/{word}");
        let values = host.per_interface(word);
        if values.is_empty() {
            r.line(&text, Verdict::Warn, "VERY BROKEN KERNEL");
            continue;
        }
        let on: Vec<&str> = values.iter().filter(|(_, v)| v != "0").map(|(n, _)| n.as_str()).collect();
        let doing = if word == "send_redirects" { "sending" } else { "accepting" };
        let advice = format!(
            "Disable /proc/sys/net/ipv4/conf/*/{word} or NETKEY will cause the {doing} of bogus ICMP redirects! On for: {}",
            on.join(" ")
        );
        // Tunnels work all the same, and every distribution ships them on: no error.
        r.advise(&text, on.is_empty(), "NOT DISABLED", &advice);
    }
    let text = "         XFRM larval drop";
    match host.read("/proc/sys/net/core/xfrm_larval_drop").as_deref() {
        None => r.line(text, Verdict::Warn, "OLD OR BROKEN KERNEL"),
        value => r.advise(
            text,
            value == Some("1"),
            "NOT ENABLED",
            "programs wait while a tunnel comes up: echo 1 > /proc/sys/net/core/xfrm_larval_drop",
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
    r.line("Hardware random device check", Verdict::Good, word);
    if host.interfaces().len() > 1 {
        let text = "Two or more interfaces found, checking IP forwarding";
        let advice = "packets of tunnels are not passed on: echo 1 > /proc/sys/net/ipv4/ip_forward, and net.ipv4.ip_forward=1 in /etc/sysctl.conf";
        match (host.read("/proc/sys/net/ipv4/ip_forward").as_deref(), needs.forwarding) {
            (Some("1"), _) => r.line(text, Verdict::Good, "OK"),
            (Some(_), true) => r.check(text, false, "FAILED", advice),
            (Some(_), false) => r.advise(text, false, "FAILED", "no conn needs it; a gateway would"),
            (None, _) => r.line(text, Verdict::Bad, "MISSING ip_forward proc file"),
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
        "strict reverse path filtering drops decrypted packets whose source is routed elsewhere; set it to 0 or 2:",
    );
    for name in strict {
        r.line(&format!(" /proc/sys/net/ipv4/conf/{name}/rp_filter"), Verdict::Warn, "ENABLED");
    }
}

/// The clock: certificates and CRLs are judged by it.
pub(crate) fn time(r: &mut Report, needs: &Needs, now: SystemTime) {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let text = "Checking the system time";
    let advice = format!(
        "the clock stands {since} s after 1970: certificates look not yet valid; set it (ntp, chrony)"
    );
    match (since >= WRITTEN, needs.certificates) {
        (good, true) => r.check(text, good, "WRONG", &advice),
        (good, false) => r.advise(text, good, "WRONG", &advice),
    }
}

/// Whether somebody translates our address on the way to the peers.
pub(crate) fn nat(r: &mut Report, needs: &Needs, address: Option<IpAddr>) {
    let private = match address {
        Some(IpAddr::V4(a)) => a.is_private() || (a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64),
        _ => false,
    };
    if !needs.responder || needs.oriented_private {
        return;
    }
    let shown = address.map_or_else(String::new, |a| a.to_string());
    let advice = format!(
        "{shown} is a private address. If there is a NAT in front, forward UDP 500 and 4500 to it, and see leftnat-hide= in ipsec.conf(5) for Windows clients"
    );
    r.advise("Checking for a NAT in front of this host", !private, "PROBABLY", &advice);
}
