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
        // Preparing was for KLIPS, the SPD verbs and saref for MAST.
        "prepare" | "spdadd" | "spddel" | "saref" => Ok(Vec::new()),
        "route" => routes(v, s),
        "unroute" => Ok(unroutes(routes(v, s)?)),
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
    if source.is_none() && !s.route {
        return Ok(Vec::new());
    }
    let client: IpNet = needed(v, "PLUTO_PEER_CLIENT")?;
    let words = &s.words;
    // A source of the other family is none for this network.
    let source = words.src.or(source).filter(|a| a.is_ipv4() == client.addr().is_ipv4());
    let hop = words.via.or(value(v, "PLUTO_NEXT_HOP")?);
    let route = Route {
        to: client.trunc(),
        // Without one family in common, a hop is none.
        hop: hop
            .filter(|h| words.dev.is_none() && h.is_ipv4() == client.addr().is_ipv4() && !h.is_unspecified()),
        interface: words.dev.clone().unwrap_or_else(|| interface(v)),
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vars(more: &[(&str, &str)]) -> Variables {
        let base = [
            ("PLUTO_VERB", "route-client"),
            ("PLUTO_INTERFACE", "eth0:1"),
            ("PLUTO_NEXT_HOP", "192.0.2.254"),
            ("PLUTO_MY_CLIENT", "10.1.0.0/16"),
            ("PLUTO_PEER_CLIENT", "10.2.0.0/16"),
            ("PLUTO_MY_SOURCEIP", "10.1.0.1"),
        ];
        let mut all: Vec<(String, String)> = Vec::new();
        for (n, v) in base.iter().chain(more) {
            all.retain(|(name, _)| name != n);
            all.push((n.to_string(), v.to_string()));
        }
        Variables::new(all)
    }

    fn steps(more: &[(&str, &str)]) -> Vec<Step> {
        plan(&vars(more), &Settings::default()).unwrap()
    }

    fn route(step: &Step) -> &Route {
        match step {
            Step::Route(r) | Step::Unroute(r) => r,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_source_address_makes_a_route_and_none_makes_none() {
        let all = steps(&[("PLUTO_MTU", "1400"), ("PLUTO_METRIC", "10")]);
        let Step::AddAddress(a) = &all[0] else { panic!("{all:?}") };
        assert_eq!((a.net.to_string().as_str(), a.interface.as_str()), ("10.1.0.1/32", "eth0"));
        let r = route(&all[1]);
        assert_eq!((r.to.to_string().as_str(), r.hop), ("10.2.0.0/16", "192.0.2.254".parse().ok()));
        assert_eq!((r.source, r.mtu, r.metric), ("10.1.0.1".parse().ok(), Some(1400), Some(10)));
        assert_eq!(all.len(), 2);
        assert_eq!(steps(&[("PLUTO_MY_SOURCEIP", "")]), []);
        let s = Settings { route: true, ..Settings::default() };
        let all = plan(&vars(&[("PLUTO_MY_SOURCEIP", "")]), &s).unwrap();
        assert!(all.len() == 1 && route(&all[0]).source.is_none(), "{all:?}");
    }

    #[test]
    fn a_route_to_everything_is_two_and_both_go() {
        for (verb, count) in [("route-client", 3), ("unroute-client", 2)] {
            let all = steps(&[("PLUTO_PEER_CLIENT", "0.0.0.0/0"), ("PLUTO_VERB", verb)]);
            let nets: Vec<String> = all[count - 2..].iter().map(|s| route(s).to.to_string()).collect();
            assert_eq!((all.len(), nets), (count, vec!["0.0.0.0/1".into(), "128.0.0.0/1".into()]));
        }
        let six = [
            ("PLUTO_PEER_CLIENT", "::/0"),
            ("PLUTO_MY_SOURCEIP", "2001:db8::1"),
            ("PLUTO_VERB", "route-client-v6"),
        ];
        let all = steps(&six);
        assert_eq!(route(&all[2]).to.to_string(), "8000::/1");
        // IPv6 inside of IPv4: no hop of the other family.
        assert!(route(&all[2]).hop.is_none());
    }

    #[test]
    fn down_takes_a_leased_address_away_and_no_other() {
        assert_eq!(steps(&[("PLUTO_VERB", "down-client")]), []);
        let all = steps(&[("PLUTO_VERB", "down-client"), ("PLUTO_CFG_CLIENT", "1")]);
        assert!(matches!(&all[..], [Step::Unroute(_), Step::RemoveAddress(_)]), "{all:?}");
        let all = steps(&[("PLUTO_VERB", "down-client"), ("PLUTO_IS_PEER_CISCO", "1")]);
        let [Step::Unroute(_), Step::RemoveAddress(a)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(a.net.to_string(), "10.1.0.1/16");
    }

    #[test]
    fn the_firewall_opens_for_what_is_asked() {
        let hooks = |verb, fw, host| -> Vec<Hook> {
            match &steps(&[
                ("PLUTO_VERB", verb),
                ("PLUTO_CONN_FIREWALL", fw),
                ("PLUTO_CONN_HOSTACCESS", host),
            ])[..]
            {
                [] => Vec::new(),
                [Step::Open(o) | Step::Close(o)] => o.iter().map(|o| o.hook).collect(),
                other => panic!("{other:?}"),
            }
        };
        use Hook::{Forward, Input, Masquerade, Output};
        assert_eq!(hooks("up-client", "no", "no"), []);
        assert_eq!(hooks("up-client", "yes", "no"), [Forward, Forward, Masquerade]);
        assert_eq!(hooks("down-client", "yes", "yes"), [Input, Output, Forward, Forward, Masquerade]);
        assert_eq!(hooks("up-host", "yes", "no"), [Input, Output]);
        assert_eq!(hooks("up-client", "no", "yes"), [Input, Output]);
    }

    #[test]
    fn what_is_no_verb_or_no_address_is_told() {
        for verb in ["", "route", "frob-host", "up-client-v7", "-host"] {
            let why = plan(&vars(&[("PLUTO_VERB", verb)]), &Settings::default()).unwrap_err();
            assert_eq!(why, format!("unknown verb `{verb}' or parameter `'"));
        }
        for (name, text) in
            [("PLUTO_MY_SOURCEIP", "$(id)"), ("PLUTO_MTU", "1 ; x"), ("PLUTO_PEER_CLIENT", "")]
        {
            assert!(plan(&vars(&[(name, text)]), &Settings::default()).is_err(), "{name}");
        }
    }

    #[test]
    fn the_peers_words_for_the_resolver_are_names_and_addresses() {
        let all = steps(&[
            ("PLUTO_VERB", "updateresolvconf-client"),
            ("PLUTO_CISCO_DNS_INFO", "10.0.0.1 nonsense 10.0.0.2"),
            ("PLUTO_CISCO_DOMAIN_INFO", "a.example\nnameserver 6.6.6.6"),
        ]);
        let [Step::Resolver(Resolver::Update { servers, domain, by_manager: false })] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!((servers.len(), domain), (2, &None));
    }

    proptest! {
        #[test]
        fn no_variable_makes_it_panic(
            verb in "(route|unroute|up|down|updateresolvconf)-(host|client)(-v6)?",
            name in "PLUTO_(MY_SOURCEIP|PEER_CLIENT|MY_CLIENT|NEXT_HOP|MTU|METRIC|INTERFACE|MY_PORT|CISCO_DNS_INFO)",
            text in "\\PC{0,30}|[0-9a-f.:/]{0,20}",
        ) {
            let v = vars(&[("PLUTO_VERB", &verb), ("PLUTO_CONN_FIREWALL", "yes"), (&name, &text)]);
            let _ = plan(&v, &Settings { route: true, ..Settings::default() });
        }
    }
}
