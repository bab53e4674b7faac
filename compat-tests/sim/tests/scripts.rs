//! Updown scripts: what they are told and when, and what comes of one that fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::tunnel::{pair_of, route, tunnel, whack};
use ipsec_types::kernel::Dir;
use ipsec_types::marks::{Marks, Vti};
use ipsec_types::whack::Request;
use sim::Pair;

const HOUR: Duration = Duration::from_secs(3600);

fn verbs(pair: &Pair, host: usize) -> Vec<String> {
    let verb = |s: &ike::Updown| s.env.iter().find(|(n, _)| *n == "PLUTO_VERB").unwrap().1.clone();
    pair.hosts[host].scripts.iter().map(verb).collect()
}

/// `mark=` and `vti-interface=`: the script is told, in libreswan's form, and the policies want the marks.
#[test]
fn marks_of_a_conn_are_in_its_policies_and_told_to_scripts() {
    let mut conn = tunnel();
    conn.marks = Some(Box::new(Marks {
        inbound: Some("5/0xffffff".parse().unwrap()),
        outbound: Some("0x64".parse().unwrap()),
        vti: Some(Vti { interface: "vti01".into(), routing: true, shared: false }),
    }));
    conn.left.vti = Some("169.254.10.2/30".parse().unwrap());
    let mut pair = pair_of(&conn);
    assert!(pair.connect());
    assert_eq!(
        verbs(&pair, 1),
        ["prepare-client", "route-client", "up-client"],
        "the built-in script has work to do"
    );
    let env = &pair.hosts[1].scripts[0].env;
    for (name, value) in [
        ("CONNMARK_IN", "5/0x00ffffff"),
        ("CONNMARK_OUT", "100/0xffffffff"),
        ("VTI_IFACE", "vti01"),
        ("VTI_ROUTING", "yes"),
        ("VTI_SHARED", "no"),
        ("VTI_IP", "169.254.10.2/30"),
    ] {
        assert!(env.iter().any(|(n, v)| *n == name && v == value), "{name}={value} {env:?}");
    }
    let policies = pair.hosts[1].kernel.policies();
    let marks =
        |dir| policies.iter().filter(move |p| p.id.dir == dir).map(|p| p.id.mark.map(|m| (m.value, m.mask)));
    assert_eq!(marks(Dir::Out).collect::<Vec<_>>(), [Some((100, u32::MAX))]);
    assert_eq!(marks(Dir::In).chain(marks(Dir::Fwd)).collect::<Vec<_>>(), [Some((5, 0xff_ffff)); 2]);
}

#[test]
fn scripts_are_told_in_order_and_once() {
    let mut conn = tunnel();
    conn.left.updown = Some("/usr/local/sbin/my-updown --route yes".into());
    conn.left.source_ip = Some("10.2.0.1".parse().unwrap());
    let mut pair = pair_of(&conn);
    assert!(pair.connect());
    pair.run_for(HOUR * 24);
    assert!(pair.client().times_logged("STATE_QUICK_I2") > 2, "it was renewed");
    assert_eq!(verbs(&pair, 1), ["prepare-client", "route-client", "up-client"]);
    assert!(verbs(&pair, 0).is_empty(), "the built-in script has nothing to do");
    pair.client().kernel.carry(1234, 56789);
    pair.down(1);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(verbs(&pair, 1)[3..], ["down-client", "unroute-client"]);
    let told = |n: usize, name: &str| {
        let env = &pair.hosts[1].scripts[n].env;
        env.iter().filter(|(x, _)| *x == name).map(|(_, v)| v.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(3, "PLUTO_INBYTES"), ["1234"]);
    assert_eq!(told(3, "PLUTO_OUTBYTES"), ["56789"]);
    assert!(told(2, "PLUTO_INBYTES").is_empty() && told(4, "PLUTO_INBYTES").is_empty());
    let script = &pair.hosts[1].scripts[2];
    assert_eq!(script.command, "/usr/local/sbin/my-updown --route yes");
    for (name, value) in [
        ("PLUTO_VERSION", "2.0"),
        ("PLUTO_CONNECTION", "L2TP-PSK"),
        ("PLUTO_INTERFACE", "eth0"),
        ("PLUTO_ME", "198.51.100.2"),
        ("PLUTO_MY_CLIENT", "10.2.0.0/16"),
        ("PLUTO_MY_CLIENT_NET", "10.2.0.0"),
        ("PLUTO_MY_CLIENT_MASK", "255.255.0.0"),
        ("PLUTO_PEER", "192.0.2.1"),
        ("PLUTO_PEER_CLIENT", "10.1.0.0/16"),
        ("PLUTO_MY_SOURCEIP", "10.2.0.1"),
        ("PLUTO_CONN_ADDRFAMILY", "ipv4"),
    ] {
        assert!(script.env.contains(&(name, value.into())), "{name}: {:?}", script.env);
    }
    // Every other one Openswan's and libreswan's scripts look at is there too.
    for name in "PLUTO_NEXT_HOP PLUTO_MY_ID PLUTO_MY_PORT PLUTO_MY_PROTOCOL PLUTO_PEER_ID PLUTO_PEER_CLIENT_NET \
        PLUTO_PEER_CLIENT_MASK PLUTO_PEER_PORT PLUTO_PEER_PROTOCOL PLUTO_PEER_CA PLUTO_STACK PLUTO_CONN_POLICY \
        PLUTO_CONN_CLIENTFAMILY PLUTO_CONN_ENDFAMILY PLUTO_IS_PEER_CISCO PLUTO_CISCO_DNS_INFO PLUTO_CISCO_DOMAIN_INFO \
        PLUTO_PEER_BANNER PLUTO_NM_CONFIGURED PLUTO_SA_REQID PLUTO_SA_TYPE PLUTO_ADD_TIME PLUTO_CONN_KIND \
        PLUTO_PEER_DNS_INFO PLUTO_PEER_DOMAIN_INFO PLUTO_XAUTH_FAILED XAUTH_FAILED CONNMARK_IN CONNMARK_OUT VTI_IFACE \
        VTI_ROUTING VTI_SHARED PLUTO_CFG_CLIENT PLUTO_CFG_SERVER SPI_IN SPI_OUT"
        .split_whitespace()
    {
        assert_eq!(script.env.iter().filter(|(n, _)| *n == name).count(), 1, "{name}: {:?}", script.env);
    }
}

#[test]
fn nothing_overtakes_a_script_that_waits_for_the_counters() {
    let mut conn = tunnel();
    conn.left.updown = Some("/up".into());
    let mut pair = pair_of(&conn);
    assert!(pair.connect());
    // Deleted, with what was set for its trap, and all that at the very end.
    route(&mut pair, 1);
    whack(&mut pair, 1, Request::Delete { name: "L2TP-PSK".into() });
    whack(&mut pair, 1, Request::Shutdown);
    assert_eq!(
        verbs(&pair, 1),
        ["prepare-client", "route-client", "up-client", "down-client", "unroute-client"]
    );
}

#[test]
fn a_script_that_fails_takes_the_sa_down_again() {
    let mut conn = tunnel();
    conn.left.updown = Some("/bin/false".into());
    conn.keyingtries = 1;
    let mut pair = pair_of(&conn);
    pair.hosts[1].script_status = 1;
    pair.up(1);
    pair.run_for(Duration::from_secs(10));
    assert!(pair.client().logged("route-client command exited with status 1"));
    assert!(pair.hosts.iter().all(|h| h.engine.established().is_empty()));
}
