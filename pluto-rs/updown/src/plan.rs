//! From a verb and its variables to the steps that are to be done. Pure: looks at nothing and changes nothing.
//!
//! ```text
//!  route      the source address on our interface, then the route(s)        unroute   the route(s)
//!  up         the firewall opened, if the conn asks                         down      closed; a leased address goes
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::Variables;
use crate::settings::{MAIN, Settings};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Our address on an interface, unless this machine has it.
    AddAddress(Address),
    /// It goes again.
    RemoveAddress(Address),
    /// A route, or another in its place.
    Route(Route),
    /// A route that may be gone already.
    Unroute(Route),
    /// A tunnel device, unless it is there.
    AddTunnel(Tunnel),
    /// It goes again.
    RemoveTunnel(String),
    /// Rules that let a tunnel's packets through.
    Open(Vec<Opening>),
    /// Those rules go.
    Close(Vec<Opening>),
    /// The name servers of a Cisco peer.
    Resolver(Resolver),
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) net: IpNet,
    pub(crate) interface: String,
}

/// A virtual tunnel interface (libreswan's `vti-interface=`): what it sends has the one mark, what it lets in the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) interface: String,
    pub(crate) local: IpAddr,
    /// None where others use it too.
    pub(crate) remote: Option<IpAddr>,
    pub(crate) mark_in: u32,
    pub(crate) mark_out: u32,
    pub(crate) address: Option<IpNet>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: IpNet,
    /// Where packets go first: on our network, or behind the gateway the kernel has for it.
    pub(crate) hop: Option<IpAddr>,
    /// Where there is no hop.
    pub(crate) interface: String,
    pub(crate) source: Option<IpAddr>,
    pub(crate) table: u32,
    pub(crate) metric: Option<u32>,
    pub(crate) mtu: Option<u32>,
    pub(crate) advmss: Option<u32>,
    pub(crate) protocol: u8,
    pub(crate) onlink: bool,
}

/// Which packets a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// To this host.
    Input,
    /// From this host.
    Output,
    /// Through it.
    Forward,
    /// To the peer, about to get another source address.
    Masquerade,
}

/// A rule: packets that came through IPsec, or will go through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) hook: Hook,
    pub(crate) inbound: bool,
    pub(crate) from: IpNet,
    pub(crate) to: IpNet,
    /// 0: any.
    pub(crate) protocol: u8,
    /// 0: any.
    pub(crate) from_port: u16,
    /// 0: any.
    pub(crate) to_port: u16,
}

/// What becomes of the resolver's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// The peer's servers, and the domain they serve.
    Update { servers: Vec<IpAddr>, domain: Option<String>, by_manager: bool },
    /// As it was.
    Restore { by_manager: bool },
    /// NetworkManager learns that the conn failed.
    Disconnect,
}

/// The steps of a call.
///
/// # Errors
/// An unknown verb, or a variable that is not what its name says, in one line.
pub(crate) fn plan(v: &Variables, s: &Settings) -> Result<Vec<Step>, String> {
    let verb = v.get("PLUTO_VERB");
    let plain = verb.strip_suffix("-v6").unwrap_or(verb);
    let (what, client) = match (plain.strip_suffix("-host"), plain.strip_suffix("-client")) {
        (Some(what), _) => (what, false),
        (_, Some(what)) => (what, true),
        _ => return Err(format!("unknown verb `{verb}' or parameter `'")),
    };
    match what {
        "prepare" => Ok(tunnel(v)?.map(Step::AddTunnel).into_iter().collect()),
        // These were for KLIPS and MAST.
        "spdadd" | "spddel" | "saref" => Ok(Vec::new()),
        "route" => routes(v, s),
        "unroute" => {
            let mut steps = unroutes(routes(v, s)?);
            // Instances, and conns that say so, share theirs.
            let alone = v.get("PLUTO_CONN_KIND") == "CK_PERMANENT" && v.get("VTI_SHARED") != "yes";
            steps.extend(tunnel(v)?.filter(|_| alone).map(|t| Step::RemoveTunnel(t.interface)));
            Ok(steps)
        }
        "up" => Ok(firewall(v, client)?.map(Step::Open).into_iter().collect()),
        "down" => {
            let mut steps: Vec<Step> = firewall(v, client)?.map(Step::Close).into_iter().collect();
            if leased(v) {
                steps.extend(unroutes(routes(v, s)?));
                steps.extend(address(v, s)?.map(Step::RemoveAddress));
            }
            Ok(steps)
        }
        "updateresolvconf" => Ok(vec![Step::Resolver(resolver(v))]),
        "restoreresolvconf" => Ok(vec![Step::Resolver(Resolver::Restore { by_manager: managed(v) })]),
        "disconnectNM" => Ok(vec![Step::Resolver(Resolver::Disconnect)]),
        _ => Err(format!("unknown verb `{verb}' or parameter `'")),
    }
}

/// The value of a variable; `None` if it is empty or missing.
fn value<T: FromStr>(v: &Variables, name: &str) -> Result<Option<T>, String> {
    let text = v.get(name);
    match text {
        "" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| format!("{name}: `{text}' is not understood")),
    }
}

fn needed<T: FromStr>(v: &Variables, name: &str) -> Result<T, String> {
    value(v, name)?.ok_or_else(|| format!("{name} is missing"))
}

fn is_cisco(v: &Variables) -> bool {
    v.get("PLUTO_IS_PEER_CISCO") == "1"
}

/// Whether our address inside of the tunnel is lent by the peer: it goes when the tunnel does.
fn leased(v: &Variables) -> bool {
    !v.get("PLUTO_MY_SOURCEIP").is_empty() && (is_cisco(v) || v.get("PLUTO_CFG_CLIENT") == "1")
}

fn managed(v: &Variables) -> bool {
    !matches!(v.get("PLUTO_NM_CONFIGURED"), "" | "0")
}

/// `leftsourceip=`, with or without a length, or the default.
fn source(v: &Variables, s: &Settings) -> Result<Option<IpAddr>, String> {
    let text = v.get("PLUTO_MY_SOURCEIP");
    let bare = text.split('/').next().unwrap_or_default();
    match bare {
        "" => Ok(s.source),
        _ => bare.parse().map(Some).map_err(|_| format!("PLUTO_MY_SOURCEIP: `{text}' is not understood")),
    }
}

/// The interface without the number of an alias.
fn interface(v: &Variables) -> String {
    v.get("PLUTO_INTERFACE").split(':').next().unwrap_or_default().to_string()
}

/// The tunnel device, if there is one and it has both marks.
fn tunnel(v: &Variables) -> Result<Option<Tunnel>, String> {
    let interface = v.get("VTI_IFACE");
    let [mark_in, mark_out] = ["CONNMARK_IN", "CONNMARK_OUT"].map(|name| {
        let text = v.get(name).split('/').next().unwrap_or_default();
        (!text.is_empty())
            .then(|| text.parse().map_err(|_| format!("{name}: `{text}' is not understood")))
            .transpose()
    });
    let (Some(mark_in), Some(mark_out), false) = (mark_in?, mark_out?, interface.is_empty()) else {
        return Ok(None);
    };
    let shared = v.get("VTI_SHARED") == "yes" || v.get("PLUTO_CONN_KIND") == "CK_INSTANCE";
    Ok(Some(Tunnel {
        interface: interface.to_string(),
        local: needed(v, "PLUTO_ME")?,
        remote: Some(needed(v, "PLUTO_PEER")?).filter(|_| !shared),
        mark_in,
        mark_out,
        address: value(v, "VTI_IP")?,
    }))
}

fn address(v: &Variables, s: &Settings) -> Result<Option<Address>, String> {
    let Some(source) = source(v, s)? else { return Ok(None) };
    let client: IpNet = needed(v, "PLUTO_PEER_CLIENT")?;
    let net = match is_cisco(v) && client.addr().is_ipv4() == source.is_ipv4() {
        true => IpNet::new(source, client.prefix_len()).unwrap_or_else(|_| source.into()),
        false => source.into(),
    };
    Ok(Some(Address { net, interface: interface(v) }))
}

/// The address and the routes towards the peer's network. A route to everything is two, which eclipse the default route
/// and do not replace it.
fn routes(v: &Variables, s: &Settings) -> Result<Vec<Step>, String> {
    let source = source(v, s)?;
    let client: IpNet = needed(v, "PLUTO_PEER_CLIENT")?;
    let vti = tunnel(v)?.filter(|_| v.get("VTI_ROUTING") == "yes").map(|t| t.interface);
    // A route to the peer's own address through the device would send the tunnel into itself.
    let peer: Option<IpAddr> = value(v, "PLUTO_PEER")?;
    let into_itself = vti.is_some() && peer.is_some_and(|peer| client.contains(&peer));
    if source.is_none() && !s.route && vti.is_none() {
        return Ok(Vec::new());
    }
    let words = &s.words;
    // A source of the other family is none for this network.
    let source = words.src.or(source).filter(|a| a.is_ipv4() == client.addr().is_ipv4());
    let hop = words.via.or(value(v, "PLUTO_NEXT_HOP")?);
    let route = Route {
        to: client.trunc(),
        // Without one family in common, a hop is none.
        hop: hop.filter(|h| {
            vti.is_none()
                && words.dev.is_none()
                && h.is_ipv4() == client.addr().is_ipv4()
                && !h.is_unspecified()
        }),
        interface: vti.or(words.dev.clone()).unwrap_or_else(|| interface(v)),
        source,
        table: words.table.unwrap_or(MAIN),
        metric: words.metric.or(value(v, "PLUTO_METRIC")?),
        mtu: words.mtu.or(value(v, "PLUTO_MTU")?),
        advmss: words.advmss,
        // As `ip route` does: RTPROT_BOOT.
        protocol: words.protocol.unwrap_or(3),
        onlink: words.onlink,
    };
    let halves: Vec<IpNet> = match client.trunc() {
        IpNet::V4(n) if n.prefix_len() == 0 => {
            [0, 128].map(|b| half(Ipv4Addr::new(b, 0, 0, 0).into())).into()
        }
        IpNet::V6(n) if n.prefix_len() == 0 => {
            [0, 0x8000].map(|w| half(Ipv6Addr::new(w, 0, 0, 0, 0, 0, 0, 0).into())).into()
        }
        one => vec![one],
    };
    let mut steps: Vec<Step> =
        address(v, s)?.filter(|_| source.is_some()).map(Step::AddAddress).into_iter().collect();
    if into_itself {
        return Ok(steps);
    }
    steps.extend(halves.into_iter().map(|to| Step::Route(Route { to, ..route.clone() })));
    Ok(steps)
}

/// Half of all addresses of a family.
fn half(start: IpAddr) -> IpNet {
    IpNet::new_assert(start, 1)
}

/// The opposite of [`routes`]; an address stays, as ever.
fn unroutes(steps: Vec<Step>) -> Vec<Step> {
    let back = |step| match step {
        Step::Route(route) => Some(Step::Unroute(route)),
        _ => None,
    };
    steps.into_iter().filter_map(back).collect()
}

/// The rules `leftfirewall=` and `lefthostaccess=` ask for.
fn firewall(v: &Variables, client: bool) -> Result<Option<Vec<Opening>>, String> {
    let asked = |name| v.get(name) == "yes";
    let (through, host) = (asked("PLUTO_CONN_FIREWALL"), asked("PLUTO_CONN_HOSTACCESS"));
    if !through && !host {
        return Ok(None);
    }
    let (ours, theirs): (IpNet, IpNet) = (needed(v, "PLUTO_MY_CLIENT")?, needed(v, "PLUTO_PEER_CLIENT")?);
    let (our_port, their_port) =
        (value(v, "PLUTO_MY_PORT")?.unwrap_or(0), value(v, "PLUTO_PEER_PORT")?.unwrap_or(0));
    let protocol = value(v, "PLUTO_MY_PROTOCOL")?.unwrap_or(0);
    let out = |hook| Opening {
        hook,
        inbound: false,
        from: ours.trunc(),
        to: theirs.trunc(),
        protocol,
        from_port: our_port,
        to_port: their_port,
    };
    let back = |hook| Opening {
        inbound: true,
        from: theirs.trunc(),
        to: ours.trunc(),
        from_port: their_port,
        to_port: our_port,
        ..out(hook)
    };
    let mut rules = Vec::new();
    if host || !client {
        rules.extend([back(Hook::Input), out(Hook::Output)]);
    }
    if through && client {
        rules.extend([back(Hook::Forward), out(Hook::Forward), out(Hook::Masquerade)]);
    }
    Ok(Some(rules))
}

fn resolver(v: &Variables) -> Resolver {
    let words = |names: [&str; 2]| -> String {
        let text = names.iter().map(|n| v.get(n)).find(|t| !t.is_empty()).unwrap_or_default();
        text.to_string()
    };
    let servers = words(["PLUTO_CISCO_DNS_INFO", "PLUTO_PEER_DNS_INFO"]);
    let domain = words(["PLUTO_CISCO_DOMAIN_INFO", "PLUTO_PEER_DOMAIN_INFO"]);
    // The peer's words end up in a file that others read: names only.
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    Resolver::Update {
        servers: servers.split_whitespace().filter_map(|w| w.parse().ok()).take(8).collect(),
        domain: Some(domain).filter(|d| !d.is_empty() && d.len() < 254 && d.chars().all(named)),
        by_manager: managed(v),
    }
}

#[cfg(test)]
mod tests;
