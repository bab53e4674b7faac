//! Conns that cannot be reached, stand in each other's way, or contradict themselves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use ipsec_conf::Conn;
use ipsec_conf::keywords::Side;
use ipsec_types::Id;
use ipsec_types::conn::{Auto, ClientSpec, ConnSpec, ConnType, DpdAction, EndSpec, HostSpec, VirtualWord};

use super::finding::{At, Finding};
use super::site::{Ours, View};

/// What is left of an Ethernet packet for the inner one, at best: IPv4, UDP, ESP of 3DES and MD5.
const TUNNEL_MTU: u32 = 1500 - 20 - 8 - 8 - 8 - 2 - 12;
/// Pairs of conns that are compared with each other in one group.
const MAX_GROUP: usize = 200;

/// Runs the rules.
pub(super) fn rules(view: &View<'_>, out: &mut Vec<Finding>) {
    setup(view, out);
    for conn in view.loaded() {
        reach(view, conn, out);
        selectors(view, conn, out);
        options(view, conn, out);
    }
    for conn in view.site.config.conns.iter().filter(|c| c.spec.auto != Auto::Ignore) {
        files(view, conn, out);
    }
    names(view, out);
    shadows(view, out);
}

fn setup(view: &View<'_>, out: &mut Vec<Finding>) {
    let setup = &view.site.config.setup;
    if let (Some(address), Some(host)) = (setup.listen, &view.site.host)
        && !host.has(address)
    {
        let message = format!("listen={address} is no address of this machine: pluto hears nobody");
        let fix = "name an address of an interface, or leave listen= out";
        out.push(Finding::error("listen-address", view.setup("listen"), message, fix));
    }
    let first = view
        .loaded()
        .find(|c| c.spec.force_encaps || [&c.spec.left, &c.spec.right].iter().any(|e| has_priv(e)));
    if let (false, Some(conn)) = (setup.engine.nat_traversal, first) {
        let message = format!("nat_traversal=no, but conn \"{}\" is for clients behind NAT", conn.spec.name);
        let f =
            Finding::error("nat-traversal-off", view.setup("nat_traversal"), message, "nat_traversal=yes");
        out.push(f.see(view.conn(conn)));
    }
}

/// Whether an end's network is a `vhost:` or `vnet:` list with `%priv`.
pub(super) fn has_priv(end: &EndSpec) -> bool {
    matches!(&end.client, ClientSpec::Virtual { words, .. } if words.contains(&VirtualWord::Priv))
}

/// Whether there are peers it can have.
fn reach(view: &View<'_>, conn: &Conn, out: &mut Vec<Finding>) {
    let spec = &conn.spec;
    let name = &spec.name;
    for (side, end) in [(Side::Left, &spec.left), (Side::Right, &spec.right)] {
        if end.host == HostSpec::Unset {
            let message = format!("conn \"{name}\": {}= end is not defined, conn not loaded", side.prefix());
            let fix = format!("{}=ADDRESS, %any or %defaultroute; or auto=ignore", side.prefix());
            return out.push(Finding::error("end-missing", view.conn(conn), message, fix));
        }
    }
    let addresses = || -> String {
        let list: Vec<String> =
            view.site.host.iter().flat_map(|h| h.addresses()).map(|a| a.to_string()).take(8).collect();
        list.join(", ")
    };
    match view.ours(conn) {
        Ours::Both => {
            let message = format!("conn \"{name}\": both ends are this machine");
            let fix = "left= or right= must be the peer";
            out.push(Finding::error("both-ours", view.word(conn, "", Side::Right), message, fix));
        }
        Ours::Neither => {
            let message = format!(
                "conn \"{name}\": neither left= nor right= is an address of this machine ({}), so that nobody reaches it",
                addresses()
            );
            let fix = "left=%defaultroute; behind a NAT the address in front of it is no address of this machine, say it with leftid=";
            out.push(Finding::error("not-ours", view.word(conn, "", Side::Left), message, fix));
        }
        Ours::Left | Ours::Right | Ours::Unknown => {}
    }
    let template = [&spec.left, &spec.right].into_iter().find(|e| e.host == HostSpec::Any);
    if template.is_some() && spec.auto == Auto::Start {
        let message = format!("conn \"{name}\": cannot initiate connection without knowing peer IP address");
        let fix = "auto=add, the peer comes to us; or give the peer's address";
        out.push(Finding::error("start-any", view.word(conn, "auto", Side::Both), message, fix));
    }
}

fn selectors(view: &View<'_>, conn: &Conn, out: &mut Vec<Finding>) {
    let spec = &conn.spec;
    let name = &spec.name;
    let (l, r) = (spec.left.protoport, spec.right.protoport);
    if l.proto != r.proto {
        let message = format!(
            "conn \"{name}\": leftprotoport={l} and rightprotoport={r}: the protocol must be the same at both ends"
        );
        let f = Finding::error(
            "protoport-differ",
            view.word(conn, "protoport", Side::Left),
            message,
            "give both ends the same protocol",
        );
        out.push(f.see(view.word(conn, "protoport", Side::Right)));
    }
    for (side, end) in [(Side::Left, &spec.left), (Side::Right, &spec.right)] {
        let host = |net: &ipnet::IpNet| net.prefix_len() == net.max_prefix_len();
        if let (ConnType::Transport, ClientSpec::Net(net)) = (spec.conn_type, &end.client)
            && !host(net)
        {
            let message = format!("conn \"{name}\": cannot handle TRANSPORT mode with subnets ({net})");
            let fix = format!("type=tunnel, or without {}subnet=", side.prefix());
            out.push(Finding::error("transport-subnet", view.word(conn, "subnet", side), message, fix));
        }
    }
    if spec.conn_type == ConnType::Tunnel {
        one_network(view, conn, out);
    }
}

/// Networks at both ends that have addresses in common.
fn one_network(view: &View<'_>, conn: &Conn, out: &mut Vec<Finding>) {
    let name = &conn.spec.name;
    let (ClientSpec::Net(left), ClientSpec::Net(right)) = (&conn.spec.left.client, &conn.spec.right.client)
    else {
        return;
    };
    if left == right && left.prefix_len() > 0 {
        let message = format!(
            "conn \"{name}\": leftsubnet= and rightsubnet= are both {left}: no packet leaves it for the other"
        );
        let fix = "renumber one of the networks";
        let f = Finding::error("same-subnet", view.word(conn, "subnet", Side::Left), message, fix);
        return out.push(f.see(view.word(conn, "subnet", Side::Right)));
    }
    let Some(((side, ours), (_, peer))) = view.ends(conn) else { return };
    let (ClientSpec::Net(ours), ClientSpec::Net(peer)) = (&ours.client, &peer.client) else { return };
    let let_go = |c: &Conn| {
        let within = |e: &EndSpec| matches!(&e.client, ClientSpec::Net(n) if n.contains(ours));
        c.spec.conn_type == ConnType::Passthrough && within(&c.spec.left) && within(&c.spec.right)
    };
    if ours != peer && peer.contains(ours) && !view.site.config.conns.iter().any(let_go) {
        let message = format!(
            "conn \"{name}\": {ours}, which is ours, is part of the peer's {peer}: what this machine sends to its own network goes into the tunnel"
        );
        let fix = format!("a conn with type=passthrough, auto=route and {ours} at both ends");
        out.push(Finding::warning("lan-captured", view.word(conn, "subnet", side), message, fix));
    }
}

fn options(view: &View<'_>, conn: &Conn, out: &mut Vec<Finding>) {
    let spec = &conn.spec;
    let name = &spec.name;
    let template = spec.left.host == HostSpec::Any || spec.right.host == HostSpec::Any;
    let restarts = matches!(spec.dpd_action, DpdAction::Restart | DpdAction::RestartByPeer);
    if template && restarts && spec.dpd_delay > 0 {
        let message = format!(
            "conn \"{name}\": dpdaction=restart calls a client that has gone, at an address nobody knows"
        );
        out.push(Finding::warning(
            "dpd-restart-any",
            view.word(conn, "dpdaction", Side::Both),
            message,
            "dpdaction=clear",
        ));
    }
    if spec.mtu > TUNNEL_MTU && spec.conn_type == ConnType::Tunnel {
        let message = format!(
            "conn \"{name}\": mtu={} does not fit into ESP in UDP on Ethernet: at most {TUNNEL_MTU}, and less with AES",
            spec.mtu
        );
        out.push(Finding::error("mtu-too-large", view.word(conn, "mtu", Side::Both), message, "mtu=1400"));
    }
    // The name comes too late for the key of Main Mode when the address is not known.
    for (side, end) in [(Side::Left, &spec.left), (Side::Right, &spec.right)] {
        let named = matches!(end.id, Id::Fqdn(_) | Id::UserFqdn(_) | Id::KeyId(_));
        let by_key = spec.authby.psk && !spec.authby.rsasig && !spec.authby.ecdsa && !spec.aggressive;
        if end.host == HostSpec::Any && named && by_key {
            let message = format!(
                "conn \"{name}\": in Main Mode the key of {}id={} is chosen before the peer says that name; two such conns with different keys cannot be told apart",
                side.prefix(),
                end.id
            );
            let fix = "one key for all peers of unknown address, or aggrmode=yes";
            out.push(Finding::warning("key-by-name", view.word(conn, "id", side), message, fix));
        }
    }
}

/// Files a conn names.
fn files(view: &View<'_>, conn: &Conn, out: &mut Vec<Finding>) {
    let spec = &conn.spec;
    for (side, end) in [(Side::Left, &spec.left), (Side::Right, &spec.right)] {
        let command = end.updown.as_deref().and_then(|c| c.split_whitespace().next());
        if let Some(program) = command.filter(|c| c.starts_with('/'))
            && !view.site.below(Path::new(program)).exists()
        {
            let message = format!("conn \"{}\": {}updown={program} is not there", spec.name, side.prefix());
            let fix = "correct the path; without it no route is made and the conn does not come up";
            out.push(Finding::error("updown-missing", view.word(conn, "updown", side), message, fix));
        }
        let group = matches!(end.host, HostSpec::Group | HostSpec::OpportunisticGroup);
        let dir = view.site.config.setup.ipsecdir.clone().unwrap_or_else(|| "/etc/ipsec.d".into());
        let file = dir.join("policies").join(&spec.name);
        // Those that oe=yes makes need no file.
        if group && conn.section.is_some() && !view.site.below(&file).exists() {
            let message = format!("conn \"{}\" is a group, and {} is not there", spec.name, file.display());
            let fix = "write the networks of the group into that file";
            out.push(Finding::error("policy-missing", view.conn(conn), message, fix));
        }
    }
}

/// Two sections of one name.
fn names(view: &View<'_>, out: &mut Vec<Finding>) {
    let mut seen: HashMap<&str, &Conn> = HashMap::new();
    for conn in view.site.config.conns.iter().filter(|c| c.spec.auto != Auto::Ignore) {
        if let Some(first) = seen.insert(&conn.spec.name, conn) {
            let message = format!("a second conn \"{}\" takes the place of the first", conn.spec.name);
            let f = Finding::error("same-name", view.conn(conn), message, "give one of them another name");
            out.push(f.see(view.conn(first)));
        }
    }
}

/// Two conns for the same packets of the same peers.
fn shadows(view: &View<'_>, out: &mut Vec<Finding>) {
    let mut groups: HashMap<String, Vec<&Conn>> = HashMap::new();
    for conn in view.loaded() {
        let group = groups.entry(key(view, conn)).or_default();
        if group.len() < MAX_GROUP {
            group.push(conn);
        }
    }
    for group in groups.values().filter(|g| g.len() > 1) {
        for (i, conn) in group.iter().enumerate().skip(1) {
            let earlier =
                group.iter().take(i).find(|e| e.spec.name != conn.spec.name && choice(&e.spec, &conn.spec));
            let Some(first) = earlier else { continue };
            let (a, b) = (&first.spec.name, &conn.spec.name);
            let finding = match same_but_name(&first.spec, &conn.spec) {
                true => {
                    let message = format!("conn \"{b}\" says the same as conn \"{a}\"");
                    Finding::warning("duplicate-conn", view.conn(conn), message, "delete one of them")
                }
                false => {
                    let message = format!(
                        "conns \"{a}\" and \"{b}\" have the same ends, networks and ports: what else \"{b}\" says counts for nobody"
                    );
                    let fix = "make them one conn, or tell them apart by ids, networks or ports";
                    Finding::error("shadowed-conn", view.conn(conn), message, fix)
                }
            };
            out.push(finding.see(view.conn(first)));
        }
    }
}

/// What decides which packets of which peers are a conn's, our end first.
fn key(view: &View<'_>, conn: &Conn) -> String {
    let spec = &conn.spec;
    let (ours, peer) = view.ends(conn).map_or((&spec.left, &spec.right), |(o, p)| (o.1, p.1));
    let route = view.site.host.as_ref().and_then(|h| h.route);
    let one = |e: &EndSpec| {
        let host = match (&e.host, route) {
            (HostSpec::DefaultRoute, Some(a)) => HostSpec::Addr(a),
            (host, _) => host.clone(),
        };
        let id = match (&e.id, &host) {
            (Id::None, HostSpec::Addr(a)) => Id::Addr(*a),
            (id, _) => id.clone(),
        };
        format!("{host:?} {id:?} {:?} {:?} {:?} {:?} {:?}", e.client, e.protoport, e.cert, e.ca, e.ike_port)
    };
    format!("{:?} {} {} {:?}", spec.conn_type, one(ours), one(peer), spec.aggressive)
}

/// Whether nothing a peer offers could make it one conn or the other.
fn choice(a: &ConnSpec, b: &ConnSpec) -> bool {
    let proof = |e: &EndSpec| (e.auth, e.xauth_server, e.xauth_client);
    let both = |c: &ConnSpec| (c.authby, proof(&c.left), proof(&c.right));
    both(a) == both(b) && a.ike == b.ike && a.esp == b.esp && a.phase2 == b.phase2
}

fn same_but_name(a: &ConnSpec, b: &ConnSpec) -> bool {
    let b = ConnSpec { name: a.name.clone(), aliases: a.aliases.clone(), ..b.clone() };
    *a == b
}

/// The address an identity stands for, or that stands for it.
pub(super) fn identity(view: &View<'_>, end: &EndSpec) -> Option<Id> {
    match (&end.id, &end.host) {
        (Id::None, HostSpec::Addr(a)) => Some(Id::Addr(*a)),
        (Id::None, HostSpec::DefaultRoute) => {
            let route: Option<IpAddr> = view.site.host.as_ref().and_then(|h| h.route);
            route.map(Id::Addr)
        }
        (Id::None, HostSpec::Any) => Some(Id::None),
        (Id::None, _) => None,
        (id, _) => Some(id.clone()),
    }
}

/// Where a file as a whole is.
pub(super) fn file(name: &str) -> At {
    At { file: name.into(), line: 0 }
}
