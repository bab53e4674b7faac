//! The daemons: ours, their ports and conns, and those of others.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use ipsec_types::whack::{Request, Show};

use super::Needs;
use super::host::Host;
use super::machine::is_private;
use super::report::{Report, Verdict, advice};
use crate::firewall::{self, Packet};
use crate::{ctl, paths, sockets};

/// Programs that speak IKE, by their process names.
const IKE: [&str; 9] =
    ["charon", "charon-systemd", "starter", "racoon", "racoon2", "isakmpd", "iked", "vpnc", "strongswan"];
/// Programs that speak L2TP.
const L2TP: [&str; 5] = ["openl2tpd", "accel-pppd", "l2tpns", "prol2tpd", "rp-l2tpd"];

/// Whether `port` is bound by one of `programs`, or by someone this user may not look at; and the others that hold it.
pub(crate) fn held(port: u16, programs: &[&str]) -> (bool, Option<String>) {
    let bound = sockets::udp(port);
    let (ours, others): (Vec<_>, Vec<_>) =
        sockets::owners(&bound).into_iter().partition(|o| programs.contains(&o.name.as_str()));
    let who: Vec<String> = others.iter().map(|o| format!("{} (pid {})", o.name, o.pid)).collect();
    let taken = (!who.is_empty()).then(|| format!("UDP port {port} is taken by {}", who.join(", ")));
    (!ours.is_empty() || (taken.is_none() && !bound.is_empty()), taken)
}

/// `pluto`: does it run, listen, and know the conns.
pub(crate) fn pluto(r: &mut Report, needs: &Needs) {
    let running = ctl::answers(&paths::ctlbase());
    r.check(
        "Checking that pluto is running",
        running,
        "FAILED",
        advice("no conn can come up", "`ipsec setup start'"),
    );
    let natt = needs.ike_port.checked_add(4000).filter(|_| needs.natt);
    if !running {
        for taken in [Some(needs.ike_port), natt].into_iter().flatten().filter_map(|p| held(p, &["pluto"]).1)
        {
            r.note(&format!("{taken}: stop it, or pluto cannot start"));
        }
        return;
    }
    listens(r, &format!(" Pluto listening for IKE on udp {}", needs.ike_port), needs.ike_port, "FAILED");
    let tcp = || advice("IKE is spoken over UDP only, as every usual client does", "nothing to do");
    r.bad(" Pluto listening for IKE on tcp 500", Verdict::Warn, "NOT IMPLEMENTED", tcp());
    match natt {
        Some(port) => {
            listens(r, &format!(" Pluto listening for IKE/NAT-T on udp {port}"), port, "DISABLED");
        }
        None => r.advise(
            " Pluto listening for IKE/NAT-T on udp 4500",
            false,
            "DISABLED",
            advice("clients behind NAT cannot connect", "nat_traversal=yes in ipsec.conf"),
        ),
    }
    r.bad(" Pluto listening for IKE/NAT-T on tcp 4500", Verdict::Warn, "NOT IMPLEMENTED", tcp());
    r.bad(" Pluto listening for IKE on tcp 10000 (cisco)", Verdict::Warn, "NOT IMPLEMENTED", tcp());
    let mut known = BTreeSet::new();
    let request = Request::Show { what: Show::Connections, name: None, json: false };
    let asked = ctl::ask(&paths::ctlbase(), &request, false, Some(Duration::from_secs(30)), |line| {
        known.extend(line.split('"').nth(1).map(str::to_string));
    });
    if asked.is_ok() {
        loaded(r, needs, &known);
    }
}

fn loaded(r: &mut Report, needs: &Needs, known: &BTreeSet<String>) {
    let missing: Vec<&str> =
        needs.names.iter().filter(|n| !known.contains(*n)).map(String::as_str).take(20).collect();
    let unknown = advice(
        format!("pluto does not know {}: their peers get no answer", missing.join(", ")),
        "`ipsec setup reload'",
    );
    r.check(" Pluto knows the conns of ipsec.conf", missing.is_empty(), "FAILED", unknown);
}

fn listens(r: &mut Report, text: &str, port: u16, word: &str) {
    let (good, taken) = held(port, &["pluto"]);
    let deaf = match taken {
        Some(taken) => advice(format!("{taken}: no peer is heard"), "stop it, then `ipsec auto --ready'"),
        None => advice("no peer is heard", "`ipsec auto --ready'"),
    };
    r.check(text, good, word, deaf);
}

/// Daemons of others that would be in the way.
pub(crate) fn clashes(r: &mut Report, host: &Host, needs: &Needs) {
    let processes = host.processes();
    let found: Vec<String> = processes
        .iter()
        .filter(|(n, _)| IKE.contains(&n.as_str()) || needs.l2tp && L2TP.contains(&n.as_str()))
        .map(|(n, pid)| format!("{n} (pid {pid})"))
        .collect();
    let plutos: Vec<u32> = processes.iter().filter(|(n, _)| n == "pluto").map(|(_, pid)| *pid).collect();
    let clash = advice(
        "they take our ports and change our policies",
        format!("stop and disable: {}", found.join(", ")),
    );
    r.advise("Checking for other IKE and L2TP daemons", found.is_empty(), "FOUND", clash);
    if plutos.len() > 1 {
        let list: Vec<String> = plutos.iter().map(u32::to_string).collect();
        let two = advice(
            format!("pids {}; one that `ipsec setup' did not start may be left over", list.join(", ")),
            "kill the one that is not in /run/pluto/pluto.pid, then `ipsec setup restart'",
        );
        r.bad(" More than one pluto runs", Verdict::Warn, "FOUND", two);
    }
}

/// What L2TP needs, if a conn protects it.
pub(crate) fn l2tp(r: &mut Report, host: &Host, needs: &Needs) {
    if !needs.l2tp {
        return;
    }
    let ppp = host.exists("/dev/ppp") || host.kernel_has("ppp_generic", "ppp_register_channel");
    let no_call = |fix: &str| advice("no L2TP call can be set up", fix);
    let modules = no_call("modprobe ppp_generic, or a kernel with CONFIG_PPP and CONFIG_PPP_ASYNC");
    r.check("Checking PPP support (/dev/ppp)", ppp, "MISSING", modules);
    r.check("Checking 'pppd' command", host.program("pppd"), "MISSING", no_call("install ppp"));
    r.advise(
        "Checking L2TP support in kernel",
        host.kernel_has("l2tp_ppp", "pppol2tp_recv"),
        "MISSING",
        advice(
            "calls work, but slower, through a pty",
            "modprobe l2tp_ppp, or a kernel with CONFIG_PPPOL2TP",
        ),
    );
    let (good, taken) = held(1701, &["xl2tpd", "l2tpd"]);
    let nothing = match taken {
        Some(taken) => {
            advice(format!("{taken}: clients get IPsec and nothing behind it"), "stop it, start xl2tpd")
        }
        None => advice("clients get IPsec and nothing behind it", "start xl2tpd"),
    };
    r.check("Checking that an L2TP daemon listens on udp 1701", good, "NOT RUNNING", nothing);
}

/// Whether the firewall of this host drops what peers send.
pub(crate) fn firewall(r: &mut Report, needs: &Needs, address: Option<IpAddr>) {
    let text = "Checking the firewall for IKE and ESP";
    let mut packets = vec![(format!("UDP {}", needs.ike_port), Packet { proto: 17, port: needs.ike_port })];
    if let Some(port) = needs.ike_port.checked_add(4000).filter(|_| needs.natt) {
        packets.push((format!("UDP {port}"), Packet { proto: 17, port }));
    }
    packets.push(("ESP (protocol 50)".into(), Packet { proto: 50, port: 0 }));
    let rules = ["iptables-legacy-save", "iptables-save"].map(|p| output(p, &["-t", "filter"]));
    let nft = output("nft", &["-j", "list", "ruleset"]);
    let nft = nft.and_then(|t| serde_json::from_str::<serde_json::Value>(&t).ok());
    if nft.is_none() && rules.iter().all(Option::is_none) {
        return r.line(text, "N/A");
    }
    let reply = !needs.responder;
    let blocked: Vec<&str> = packets
        .iter()
        .filter(|(_, p)| {
            rules.iter().flatten().any(|t| firewall::iptables_drops(t, *p, reply))
                || nft.as_ref().is_some_and(|n| firewall::nft_drops(n, *p, reply))
        })
        .map(|(name, _)| name.as_str())
        .collect();
    // Behind a NAT, and where the conns ask for it, ESP comes in UDP; without IKE nothing works.
    let in_udp = !needs.plain_esp || (is_private(address) && !needs.oriented_private);
    let bad = blocked.iter().any(|b| b.starts_with("UDP") || !in_udp);
    let list = blocked.join(", ");
    let dropped = advice(
        format!("the input chain drops {list}"),
        format!("let it in, before the rule that drops it: {list}"),
    );
    match bad {
        true => r.check(text, false, "BLOCKED", dropped),
        false => r.advise(text, blocked.is_empty(), "BLOCKED", dropped),
    }
}

/// What a program prints, if there is one and it succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let dirs = ["/usr/sbin", "/sbin"].iter().map(|d| std::path::Path::new(d).join(program));
    let path = dirs.into_iter().find(|p| p.is_file())?;
    let out = Command::new(path).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_taken_by_another_program_is_no_success_and_says_who() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (good, taken) = held(port, &["pluto"]);
        assert!(!good);
        assert!(taken.unwrap().contains(&format!("(pid {})", std::process::id())));
    }

    #[test]
    fn a_conn_pluto_does_not_know_is_named() {
        let needs = Needs { names: vec!["a".into(), "b".into()], ..Needs::default() };
        let mut r = Report::default();
        loaded(&mut r, &needs, &BTreeSet::from(["a".to_string()]));
        assert!(r.failed() && r.text(false).contains("does not know b:"));
    }
}
