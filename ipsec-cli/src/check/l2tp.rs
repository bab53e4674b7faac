//! `ipsec.conf` against `xl2tpd.conf`: ports, addresses, modes.

use std::net::IpAddr;

use ipsec_conf::Conn;
use ipsec_conf::keywords::Side;
use ipsec_types::conn::{ClientSpec, ConnType, EndSpec, HostSpec, Port};
use l2tp_proto::RangeRule;

use super::finding::Finding;
use super::keys::is_any;
use super::site::{L2tp, View};

/// The protocol of L2TP.
const UDP: u8 = 17;
/// Its usual port.
const USUAL: u16 = 1701;

/// Runs the rules.
pub(super) fn rules(view: &View<'_>, out: &mut Vec<Finding>) {
    let Some(l2tp) = &view.site.l2tp else { return };
    let serves = l2tp.lns().next().is_some();
    let port = l2tp.conf.global.port;
    let servers: Vec<(&Conn, Side, &EndSpec)> = view
        .loaded()
        .filter_map(|c| view.ends(c).map(|(ours, peer)| (c, ours, peer)))
        .filter(|(_, _, peer)| is_any(peer.1))
        .map(|(c, (side, ours), _)| (c, side, ours))
        .collect();
    for trap in l2tpd::check::traps(&l2tp.conf) {
        let level = if trap.works { Finding::warning } else { Finding::error };
        let at = l2tp.at(trap.kind, &trap.name, trap.keyword);
        out.push(level("xl2tpd-trap", at, trap.text, trap.fix));
    }
    for (conn, side, _) in servers.iter().filter(|(_, _, ours)| one_port(ours) == Some(USUAL)) {
        server(view, conn, *side, out);
        // Who dials may have a conn for everybody, too.
        if !serves && l2tp.conf.lac.is_empty() {
            let message =
                format!("conn \"{}\" is for L2TP clients, and no [lns] section serves them", conn.spec.name);
            let fix = "[lns default] with ip range and local ip, see xl2tpd.conf(5)";
            let f = Finding::error("l2tp-no-lns", l2tp.at("lns", "default", ""), message, fix);
            out.push(f.see(view.word(conn, "protoport", *side)));
        }
    }
    if serves {
        ports(view, l2tp, port, &servers, out);
        listen(view, l2tp, &servers, out);
        for lns in l2tp.lns() {
            pool(view, l2tp, lns, out);
        }
    }
    for lac in &l2tp.conf.lac {
        dial(view, l2tp, lac, out);
    }
}

/// The one UDP port of an end, if it has one.
fn one_port(end: &EndSpec) -> Option<u16> {
    match (end.protoport.proto, end.protoport.port) {
        (UDP, Port::Number(port)) => Some(port),
        _ => None,
    }
}

fn covers(end: &EndSpec, port: u16) -> bool {
    match end.protoport.proto {
        0 => true,
        UDP => one_port(end).is_none_or(|p| p == port),
        _ => false,
    }
}

/// What Windows, Apple and Android expect of a server.
fn server(view: &View<'_>, conn: &Conn, side: Side, out: &mut Vec<Finding>) {
    let name = &conn.spec.name;
    if conn.spec.conn_type == ConnType::Tunnel {
        let message = format!("conn \"{name}\": L2TP clients ask for transport mode, and this is a tunnel");
        out.push(Finding::error(
            "l2tp-tunnel",
            view.word(conn, "type", Side::Both),
            message,
            "type=transport",
        ));
    }
    if conn.spec.pfs {
        let message = format!("conn \"{name}\": pfs=yes, which no usual L2TP client offers: each is refused");
        out.push(Finding::error("l2tp-pfs", view.word(conn, "pfs", Side::Both), message, "pfs=no"));
    }
    let peer =
        if side == Side::Left { (Side::Right, &conn.spec.right) } else { (Side::Left, &conn.spec.left) };
    if one_port(peer.1) == Some(USUAL) {
        let prefix = peer.0.prefix();
        let message = format!(
            "conn \"{name}\": {prefix}protoport=17/1701 keeps out clients that send from another port, as Apple's and those behind some NATs do"
        );
        let fix = format!("{prefix}protoport=17/%any");
        out.push(Finding::warning("l2tp-peer-port", view.word(conn, "protoport", peer.0), message, fix));
    }
}

/// `protoport` against `port`.
fn ports(
    view: &View<'_>,
    l2tp: &L2tp,
    port: u16,
    servers: &[(&Conn, Side, &EndSpec)],
    out: &mut Vec<Finding>,
) {
    let at = l2tp.at("global", "", "port");
    let mut told = false;
    for (conn, side, ours) in servers {
        let Some(theirs) = one_port(ours).filter(|p| *p != port) else { continue };
        // One of another service is none of ours, if L2TP has its own.
        if theirs != USUAL && servers.iter().any(|(_, _, e)| covers(e, port)) {
            continue;
        }
        told = true;
        let prefix = side.prefix();
        let message = format!(
            "conn \"{}\": {prefix}protoport=17/{theirs}, but xl2tpd listens on port {port}: clients get IPsec and nothing behind it",
            conn.spec.name
        );
        let fix = format!("port = {theirs} in {}, or {prefix}protoport=17/{port}", l2tp.file);
        let f = Finding::error("l2tp-port", view.word(conn, "protoport", *side), message, fix);
        out.push(f.see(at.clone()));
    }
    let covered = view.loaded().any(|c| [&c.spec.left, &c.spec.right].into_iter().any(|e| covers(e, port)));
    if !told && !covered && view.loaded().next().is_some() {
        let message = format!("no conn protects UDP port {port}: L2TP is spoken in clear");
        let fix = "a conn with leftprotoport=17/1701 and right=%any, or listen-plain = yes if it is meant";
        out.push(Finding::warning("l2tp-clear", at, message, fix));
    }
}

/// `listen-addr` against the conn's own address.
fn listen(view: &View<'_>, l2tp: &L2tp, servers: &[(&Conn, Side, &EndSpec)], out: &mut Vec<Finding>) {
    let address = l2tp.conf.global.listen_addr;
    if address.is_unspecified() {
        return;
    }
    let at = l2tp.at("global", "", "listen-addr");
    if view.site.host.as_ref().is_some_and(|h| !h.has(address.into())) {
        let message = format!("listen-addr = {address} is no address of this machine");
        out.push(Finding::error(
            "l2tp-listen",
            at.clone(),
            message,
            "an address of this machine, or leave it out",
        ));
    }
    for (conn, side, ours) in servers.iter().filter(|(_, _, e)| covers(e, l2tp.conf.global.port)) {
        let here = match ours.host {
            HostSpec::Addr(a) => Some(a),
            HostSpec::DefaultRoute => view.site.host.as_ref().and_then(|h| h.route),
            _ => None,
        };
        if let Some(here) = here.filter(|a| *a != IpAddr::V4(address)) {
            let message = format!(
                "listen-addr = {address}, but the clients of conn \"{}\" come to {here}: nobody answers them",
                conn.spec.name
            );
            let f = Finding::error("l2tp-listen", at.clone(), message, format!("listen-addr = {here}"));
            out.push(f.see(view.word(conn, "", *side)));
        }
    }
}

/// Whether two lists of ranges share an address that both give.
fn overlap(a: &[RangeRule], b: &[RangeRule]) -> bool {
    let ends = |r: &RangeRule| [r.range.start, r.range.end];
    let both =
        |x| l2tp_proto::pool::verdict(a, x) == Some(true) && l2tp_proto::pool::verdict(b, x) == Some(true);
    a.iter().chain(b).flat_map(ends).any(both)
}

/// `ip range` against everything else that has addresses.
fn pool(view: &View<'_>, l2tp: &L2tp, lns: &l2tp_proto::LnsConfig, out: &mut Vec<Finding>) {
    let name = &lns.name;
    let at = l2tp.at("lns", name, "ip range");
    let inside = |a: IpAddr| match a {
        IpAddr::V4(a) => l2tp_proto::pool::verdict(&lns.pool, a) == Some(true),
        IpAddr::V6(_) => false,
    };
    let exclude = |a: IpAddr| format!("no ip range = {a} after the range, or another range");
    if let Some(local) = lns.local_ip.filter(|a| inside((*a).into())) {
        let message = format!(
            "[lns {name}]: local ip = {local} is in the ip range: a client gets the server's address"
        );
        let fix = "a local ip outside of the range";
        let f = Finding::error("pool-local-ip", l2tp.at("lns", name, "local ip"), message, fix);
        out.push(f.see(at.clone()));
    }
    if overlap(&lns.pool, &lns.local_pool) {
        let message = format!("[lns {name}]: local ip range and ip range share addresses");
        let f = Finding::error(
            "pool-local-ip",
            l2tp.at("lns", name, "local ip range"),
            message,
            "keep them apart",
        );
        out.push(f.see(at.clone()));
    }
    if let Some(host) = &view.site.host {
        for address in host.addresses().filter(|a| inside(*a)) {
            let message = format!("[lns {name}]: the ip range has {address}, which this machine has itself");
            out.push(Finding::error("pool-own-address", at.clone(), message, exclude(address)));
        }
        if let Some(gateway) = host.gateway.filter(|a| inside(*a)) {
            let message =
                format!("[lns {name}]: the ip range has {gateway}, which is the gateway of this machine");
            out.push(Finding::error("pool-gateway", at.clone(), message, exclude(gateway)));
        }
    }
    for conn in view.loaded() {
        for (side, end) in [(Side::Left, &conn.spec.left), (Side::Right, &conn.spec.right)] {
            if let Some(given) = end.address_pool
                && lns
                    .pool
                    .iter()
                    .any(|r| r.allow && given.first <= r.range.end && IpAddr::V4(r.range.start) <= given.last)
            {
                let message = format!(
                    "conn \"{}\": {}addresspool= and the ip range of [lns {name}] share addresses",
                    conn.spec.name,
                    side.prefix()
                );
                let f = Finding::error(
                    "pool-overlap",
                    view.word(conn, "addresspool", side),
                    message,
                    "keep them apart",
                );
                out.push(f.see(at.clone()));
            }
        }
        let Some((_, (side, peer))) = view.ends(conn) else { continue };
        if let ClientSpec::Net(net) = peer.client
            && net.prefix_len() > 0
            && conn.spec.conn_type == ConnType::Tunnel
            && lns.pool.iter().any(|r| {
                r.allow
                    && (net.contains(&IpAddr::V4(r.range.start)) || net.contains(&IpAddr::V4(r.range.end)))
            })
        {
            let message = format!(
                "the ip range of [lns {name}] is part of {}subnet={net} of conn \"{}\": what clients should get goes through that tunnel",
                side.prefix(),
                conn.spec.name
            );
            let f = Finding::error("pool-remote-net", at.clone(), message, "a range outside of that network");
            out.push(f.see(view.word(conn, "subnet", side)));
        }
    }
}

/// `lns = HOST:PORT` against the conn to that host.
fn dial(view: &View<'_>, l2tp: &L2tp, lac: &l2tp_proto::LacConfig, out: &mut Vec<Finding>) {
    let at = l2tp.at("lac", &lac.name, "lns");
    for server in &lac.lns {
        let is = |end: &EndSpec| match &end.host {
            HostSpec::Addr(a) => server.host.parse() == Ok(*a),
            HostSpec::Name(name) => name.eq_ignore_ascii_case(&server.host),
            _ => false,
        };
        for conn in view.loaded() {
            for (side, end) in [(Side::Left, &conn.spec.left), (Side::Right, &conn.spec.right)] {
                let Some(port) = one_port(end).filter(|p| is(end) && *p != server.port) else { continue };
                let message = format!(
                    "[lac {}] dials port {}, but conn \"{}\" protects port {port} of {}: L2TP goes in clear",
                    lac.name, server.port, conn.spec.name, server.host
                );
                let fix = format!("{}protoport=17/{}", side.prefix(), server.port);
                let f = Finding::error("l2tp-port", at.clone(), message, fix);
                out.push(f.see(view.word(conn, "protoport", side)));
            }
        }
    }
}
