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

/// libreswan's `vti-interface=`: the device comes first, routes lead into it, and it goes last.
#[test]
fn a_tunnel_device_is_made_before_its_route_and_goes_after_it() {
    let base = [
        ("PLUTO_ME", "192.0.2.1"),
        ("PLUTO_PEER", "203.0.113.1"),
        ("PLUTO_CONN_KIND", "CK_PERMANENT"),
        ("PLUTO_MY_SOURCEIP", ""),
        ("CONNMARK_IN", "5/0xffffffff"),
        ("CONNMARK_OUT", "6/0x000000ff"),
        ("VTI_IFACE", "vti01"),
        ("VTI_ROUTING", "yes"),
        ("VTI_SHARED", "no"),
        ("VTI_IP", "169.254.10.2/30"),
    ];
    let with = |more: &[(&'static str, &'static str)]| steps(&[&base[..], more].concat());
    let made = with(&[("PLUTO_VERB", "prepare-client")]);
    let want = Tunnel {
        interface: "vti01".into(),
        local: "192.0.2.1".parse().unwrap(),
        remote: "203.0.113.1".parse().ok(),
        mark_in: 5,
        mark_out: 6,
        address: "169.254.10.2/30".parse().ok(),
    };
    assert_eq!(made, [Step::AddTunnel(want.clone())]);
    let all = with(&[]);
    let r = route(&all[0]);
    assert_eq!((all.len(), r.interface.as_str(), r.hop), (1, "vti01", None));
    let all = with(&[("PLUTO_VERB", "unroute-client")]);
    assert!(matches!(&all[..], [Step::Unroute(_), Step::RemoveTunnel(name)] if name == "vti01"), "{all:?}");
    // Without vti-routing=, the routes are the administrator's; one to the peer itself would lead the tunnel into itself.
    assert_eq!(with(&[("VTI_ROUTING", "no")]), []);
    for net in ["0.0.0.0/0", "203.0.113.1/32", "203.0.113.0/24"] {
        assert_eq!(with(&[("PLUTO_PEER_CLIENT", net)]), [], "{net}");
        let all = with(&[("PLUTO_PEER_CLIENT", net), ("PLUTO_MY_SOURCEIP", "10.1.0.1")]);
        assert!(matches!(&all[..], [Step::AddAddress(_)]), "{all:?}");
    }
    // Shared with other conns or instances, it has no far end and stays.
    for shared in [("VTI_SHARED", "yes"), ("PLUTO_CONN_KIND", "CK_INSTANCE")] {
        let made = with(&[shared, ("PLUTO_VERB", "prepare-client")]);
        assert_eq!(made, [Step::AddTunnel(Tunnel { remote: None, ..want.clone() })]);
        let all = with(&[shared, ("PLUTO_VERB", "unroute-client")]);
        assert!(matches!(&all[..], [Step::Unroute(_)]), "{all:?}");
    }
    // Without both marks there is none.
    assert_eq!(with(&[("CONNMARK_IN", ""), ("PLUTO_VERB", "prepare-client")]), []);
    let bad = vars(&[&base[..], &[("CONNMARK_OUT", "x"), ("PLUTO_VERB", "prepare-client")]].concat());
    assert_eq!(plan(&bad, &Settings::default()), Err("CONNMARK_OUT: `x' is not understood".into()));
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
        match &steps(&[("PLUTO_VERB", verb), ("PLUTO_CONN_FIREWALL", fw), ("PLUTO_CONN_HOSTACCESS", host)])[..]
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
    for (name, text) in [("PLUTO_MY_SOURCEIP", "$(id)"), ("PLUTO_MTU", "1 ; x"), ("PLUTO_PEER_CLIENT", "")] {
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
