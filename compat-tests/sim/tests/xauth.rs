//! XAUTH and Mode Config: who is let in, what he is given, and that nothing goes before its turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{Script, ike_attrs_of};
use ike::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ISAKMP, SaWriter};
use ike::wire::{Exchange, Header};
use ike::{ClientId, Input, PskLookup};
use ipsec_types::algo::DhGroup;
use ipsec_types::auth::XauthFail;
use ipsec_types::conn::{ClientSpec, ConnType};
use ipsec_types::kernel::Dir;
use ipsec_types::modecfg::{AddressPool, ModeConfig};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, Id, ProtoPort, SecretBytes};
use sim::{
    CLIENT, Keys, Link, Outcome, PSK, Pair, PairConfig, SERVER, clean, client_conn, outcome, server_conn,
};

const GROUP: DhGroup = DhGroup::Ecp256;

/// The server's conn: everything through the tunnel, addresses from a pool of two.
fn server() -> ConnSpec {
    let mut c = ConnSpec { name: "xauth-psk".into(), conn_type: ConnType::Tunnel, ..server_conn(GROUP) };
    c.left.client = ClientSpec::Net("0.0.0.0/0".parse().unwrap());
    c.right.client = ClientSpec::Host;
    (c.left.protoport, c.right.protoport) = (ProtoPort::default(), ProtoPort::default());
    (c.left.xauth_server, c.right.xauth_client) = (true, true);
    (c.left.modecfg_server, c.right.modecfg_client) = (true, true);
    let range = |a: &str| a.parse().unwrap();
    c.right.address_pool = Some(AddressPool { first: range("10.9.0.1"), last: range("10.9.0.2") });
    c.modecfg = ModeConfig {
        pull: true,
        dns: vec!["10.1.0.53".parse().unwrap()],
        domains: vec!["example.com".into()],
        banner: Some("Be nice".into()),
        split: vec!["10.1.0.0/16".parse().unwrap()],
        ..ModeConfig::default()
    };
    c
}

fn client() -> ConnSpec {
    let mut c = ConnSpec { conn_type: ConnType::Tunnel, ..client_conn(GROUP, CLIENT) };
    c.right.client = ClientSpec::Net("0.0.0.0/0".parse().unwrap());
    (c.left.protoport, c.right.protoport) = (ProtoPort::default(), ProtoPort::default());
    (c.left.xauth_client, c.right.xauth_server) = (true, true);
    (c.left.modecfg_client, c.right.modecfg_server) = (true, true);
    c.left.xauth_username = Some("joe".into());
    c.modecfg.pull = true;
    c.keyingtries = 1;
    c
}

/// `ipsec.secrets` of a client: the group's key and a password.
struct Secrets(&'static [u8]);

impl PskLookup for Secrets {
    fn lookup(&self, _: &Id, _: &Id) -> Vec<SecretBytes> {
        vec![SecretBytes::from(PSK)]
    }

    fn xauth(&self, user: &str) -> Option<SecretBytes> {
        (user == "joe").then(|| SecretBytes::from(self.0))
    }
}

fn pair_of(config: PairConfig) -> Pair {
    let mut pair = Pair::new(config);
    pair.server().users = vec![("joe".into(), SecretBytes::from(&b"right"[..]))];
    pair.client().engine.set_secrets(Box::new(Secrets(b"right")));
    pair
}

fn config() -> PairConfig {
    PairConfig { server: vec![server()], client: client(), ..PairConfig::default() }
}

fn replies(pair: &mut Pair, host: usize, request: Request) -> Vec<String> {
    let now = pair.now;
    pair.hosts[host].replies.clear();
    pair.hosts[host].whack(now, request);
    pair.run_for(Duration::from_millis(1));
    pair.hosts[host].replies.iter().flat_map(|r| r.lines()).map(str::to_string).collect()
}

fn env<'a>(pair: &'a Pair, host: usize, verb: &str, name: &str) -> Option<&'a str> {
    let is = |s: &&ike::Updown| s.env.contains(&("PLUTO_VERB", verb.into()));
    let script = pair.hosts[host].scripts.iter().rev().find(is)?;
    script.env.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
}

#[test]
fn a_client_proves_himself_gets_an_address_and_uses_it() {
    for n in 0..8u8 {
        let (aggressive, pull, nat) = (n & 1 > 0, n & 2 > 0, n & 4 > 0);
        let make = |mut c: ConnSpec| {
            c.modecfg.pull = pull;
            c.cisco_unity = true;
            ConnSpec { aggressive, ..c }
        };
        let (mut server, mut client) = (make(server()), make(client()));
        if !pull {
            (server.cisco_unity, client.cisco_unity) = (false, false);
        }
        server.left.updown = Some("/etc/up".into());
        client.left.updown = Some("/etc/up".into());
        let mut pair = pair_of(PairConfig { server: vec![server], client, nat, ..config() });
        assert!(pair.connect(), "{n}: {:?} {:?}", pair.hosts[0].log, pair.hosts[1].log);
        pair.run_for(Duration::from_secs(100));
        assert_eq!(outcome(&pair), Outcome::Established, "{n}");
        let out = pair.hosts[1].kernel.policies().iter().find(|p| p.id.dir == Dir::Out).unwrap();
        assert_eq!(out.id.selector.src, "10.9.0.1/32".parse().unwrap());
        assert_eq!(out.id.selector.dst, "0.0.0.0/0".parse().unwrap());
        for text in [
            "XAUTH: Sending Username/Password request (XAUTH_R0)",
            "XAUTH: User joe: Attempting to login",
            "XAUTH: User joe: Authentication Successful",
            if pull { "modecfg: Sending IP reply (MODECFG_R0): 10.9.0.1" } else { "Sending MODE CONFIG set" },
        ] {
            assert!(pair.server().logged(text), "{n}: {text}: {:?}", pair.hosts[0].log);
        }
        for text in [
            "XAUTH: Answering XAUTH challenge with user='joe'",
            "XAUTH: Successfully Authenticated",
            "setting client address to 10.9.0.1/32",
            "Received DNS 10.1.0.53",
        ] {
            assert!(pair.client().logged(text), "{n}: {text}");
        }
        assert_eq!(pair.client().logged("Received Banner: Be nice"), pull);
        assert_eq!(pair.client().logged("Received subnet 10.1.0.0/16"), pull);
        assert_eq!(env(&pair, 0, "up-client", "PLUTO_XAUTH_USERNAME"), Some("joe"));
        assert_eq!(env(&pair, 1, "up-client", "PLUTO_MY_SOURCEIP"), Some("10.9.0.1"));
        assert_eq!(env(&pair, 1, "up-client", "PLUTO_CISCO_DNS_INFO"), Some("10.1.0.53"));
        let traffic = replies(&mut pair, 0, Request::TrafficStatus).join("\n");
        assert!(traffic.contains(" username=joe,") && traffic.ends_with(", lease=10.9.0.1/32"), "{traffic}");
        let status = replies(&mut pair, 0, Request::Status).join("\n");
        assert!(status.contains("    xauth info: hisxauthuser=joe; "), "{status}");
        assert!(status.contains("[+MS+XS]") && status.contains("+XAUTH"), "{status}");
        pair.down(1);
        pair.run_for(Duration::from_secs(120));
        pair.hosts.iter().for_each(|h| clean(h).unwrap());
        // The name servers of a Cisco peer, and of no other; and of the server's nobody is told.
        let told = |host, verb| env(&pair, host, verb, "PLUTO_CISCO_DNS_INFO");
        for verb in ["updateresolvconf-client", "restoreresolvconf-client"] {
            assert_eq!((told(0, verb), told(1, verb)), (None, pull.then_some("10.1.0.53")), "{n}: {verb}");
        }
    }
}

#[test]
fn bad_lines_end_in_a_connection_or_in_nothing() {
    let mut established = 0;
    for seed in 0..200 {
        let (aggressive, pull) = (seed % 2 == 0, seed % 4 < 2);
        let make = |mut c: ConnSpec| {
            c.modecfg.pull = pull;
            ConnSpec { aggressive, keyingtries: 3, ..c }
        };
        let link = Link::bad(if seed % 3 == 0 { 20 } else { 5 });
        let config = PairConfig {
            seed,
            link,
            busy: Duration::from_millis(20),
            nat: seed % 8 < 4,
            server: vec![make(server())],
            client: make(client()),
            ..config()
        };
        let mut pair = pair_of(config);
        pair.up(1);
        pair.run_for(Duration::from_secs(1000));
        match outcome(&pair) {
            Outcome::Established => established += 1,
            Outcome::Failed => {}
            Outcome::Stuck(why) => panic!("seed {seed}: {why}"),
        }
        pair.run_for(Duration::from_secs(86_400));
        pair.hosts.iter().for_each(|h| clean(h).unwrap_or_else(|e| panic!("seed {seed}: {e}")));
    }
    assert!(established >= 196, "only {established} of 200");
}

/// Everything comes three times, everything old comes again.
#[test]
fn duplicates_and_replays_change_nothing() {
    let mut pair = pair_of(config());
    pair.net.link.duplicate = 1000;
    pair.up(1);
    let mut seen = 0;
    pair.run_until(Duration::from_secs(5), |p| {
        let old = p.delivered.clone();
        if old.len() > seen && old.len() < 60 {
            old.into_iter().for_each(|d| p.deliver(d));
        }
        seen = p.delivered.len();
        false
    });
    pair.run_for(Duration::from_secs(300));
    assert_eq!(outcome(&pair), Outcome::Established);
    assert_eq!(pair.server().engine.counts(), [1, 1, 2, 0]);
    assert_eq!(pair.server().checks, 1, "a password is checked once");
}

#[test]
fn three_wrong_passwords_end_it_and_soft_failure_tells_the_script() {
    let mut pair = pair_of(config());
    pair.server().users.clear();
    pair.up(1);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.server().logged("XAUTH: User joe: Authentication Failed: Incorrect Username or Password"));
    assert!(pair.client().logged("XAUTH-Message: Incorrect username or password"));
    assert!(pair.client().logged("no file descriptor available for prompt"));
    assert_eq!(pair.server().checks, 1, "a password that was wrong is not said again");
    pair.run_for(Duration::from_secs(200));
    pair.hosts.iter().for_each(|h| clean(h).unwrap());

    let soft = ConnSpec { xauth_fail: XauthFail::Soft, ..server() };
    let soft =
        ConnSpec { left: ipsec_types::EndSpec { updown: Some("/up".into()), ..soft.left.clone() }, ..soft };
    let mut pair = pair_of(PairConfig { server: vec![soft], ..config() });
    pair.server().users.clear();
    assert!(pair.connect());
    assert_eq!(env(&pair, 0, "up-client", "PLUTO_XAUTH_FAILED"), Some("1"));
}

/// A peer by hand that offers XAUTH with the group's key.
fn stranger(at: &str, number: u8) -> Script {
    let mut peer = Script::new(at, number);
    let mut w = SaWriter::new();
    w.proposal(0, PROTO_ISAKMP, &[], &[(0, 1, ike_attrs_of(19, 65001))], true);
    peer.sa_i = w.finish();
    peer
}

/// The attribute payload of the newest message to `peer`, with its message ID.
fn asked(pair: &Pair, peer: &Script) -> (u32, Vec<u8>, Vec<u8>) {
    let last = common::answers(pair, peer.at).pop().unwrap();
    let (h, _) = Header::parse(&last).unwrap();
    let body = peer.read(&last).into_iter().find(|(k, _)| *k == Kind::Attributes).unwrap().1;
    let iv = last[last.len() - 16..].to_vec();
    (h.msgid, body, iv)
}

fn answer(pair: &mut Pair, peer: &Script, user: &[u8], password: &[u8]) {
    let (msgid, body, iv) = asked(pair, peer);
    let id = CfgPayload::parse(&body).unwrap().identifier;
    let reply = CfgWriter::new(CfgType::Reply, id)
        .value(cfg::XAUTH_USER_NAME, user)
        .value(cfg::XAUTH_USER_PASSWORD, password)
        .finish();
    let message = peer.phase2_with_iv(Exchange::Transaction, msgid, &[(Kind::Attributes, reply)], &iv);
    peer.send(pair, message);
}

#[test]
fn three_wrong_answers_are_the_limit() {
    let mut pair = pair_of(config());
    let mut peer = stranger("198.51.100.77:500", 1);
    peer.main_mode(&mut pair, &[]);
    for n in 1..=3 {
        let (_, body, _) = asked(&pair, &peer);
        let request = CfgPayload::parse(&body).unwrap();
        assert!(request.has(cfg::XAUTH_USER_NAME) && request.has(cfg::XAUTH_USER_PASSWORD), "{n}");
        answer(&mut pair, &peer, b"joe", b"guess");
        assert_eq!(pair.server().engine.counts()[0], usize::from(n < 3), "answer {n}");
    }
    assert!(pair.server().logged("XAUTH: 3 wrong passwords: deleting the ISAKMP SA"));
    clean(pair.server()).unwrap();
}

/// CVE-2013-5018 and whatever else a name can be made of.
#[test]
fn cve_2013_5018_names_that_are_none() {
    let long = [b'a'; 256];
    for name in [&b""[..], b"\x30\x82", b"\xff\xfe", b"joe\n", b"joe\0x", &long] {
        let mut pair = pair_of(config());
        let mut peer = stranger("198.51.100.77:500", 1);
        peer.main_mode(&mut pair, &[]);
        answer(&mut pair, &peer, name, b"right");
        assert_eq!(pair.server().engine.established().len(), 0);
        assert!(pair.server().logged("Authentication Failed") || pair.server().checks == 1, "{name:?}");
        assert!(!pair.server().logged("Successful"));
        pair.run_for(Duration::from_secs(400));
        clean(pair.server()).unwrap();
    }
    // A NUL at the end is what some clients put there.
    let mut pair = pair_of(config());
    let mut peer = stranger("198.51.100.77:500", 1);
    peer.main_mode(&mut pair, &[]);
    answer(&mut pair, &peer, b"joe\0", b"right\0");
    assert!(pair.server().logged("XAUTH: User joe: Authentication Successful"));
}

#[test]
fn nothing_goes_before_its_turn() {
    let mut pair = pair_of(config());
    let mut peer = stranger("198.51.100.77:500", 1);
    peer.main_mode(&mut pair, &[]);
    let (msgid, request, iv) = asked(&pair, &peer);
    let id = CfgPayload::parse(&request).unwrap().identifier;
    let body = |kind, of: &[(u16, &[u8])]| {
        let mut w = CfgWriter::new(kind, id);
        of.iter().for_each(|(k, v)| {
            w.value(*k, v);
        });
        vec![(Kind::Attributes, w.finish())]
    };
    // Quick Mode before the password.
    let qi1 = peer.phase2(Exchange::Quick, 5, &peer.qi1(12, 0xabcd_0001, peer.l2tp_ids()));
    assert!(peer.send(&mut pair, qi1).is_empty());
    assert!(pair.server().logged("Cannot do Quick Mode until XAUTH done."));
    // A verdict of the client's own; an address; an acknowledgement; a password nobody asked for; a question to us.
    let hostile = [
        body(CfgType::Set, &[(cfg::XAUTH_STATUS, &[0, 1])]),
        body(CfgType::Request, &[(cfg::IP4_ADDRESS, &[])]),
        body(CfgType::Set, &[(cfg::IP4_ADDRESS, &[10, 9, 0, 1])]),
        body(CfgType::Ack, &[(cfg::XAUTH_STATUS, &[0, 1])]),
        body(CfgType::Reply, &[(cfg::XAUTH_USER_NAME, b"joe"), (cfg::XAUTH_USER_PASSWORD, b"right")]),
        body(CfgType::Request, &[(cfg::XAUTH_USER_NAME, &[]), (cfg::XAUTH_USER_PASSWORD, &[])]),
        vec![],
    ];
    for (n, payloads) in (0x700..).zip(&hostile) {
        let message = peer.phase2(Exchange::Transaction, n, payloads);
        assert!(peer.send(&mut pair, message).is_empty(), "{n:x}");
    }
    // Our own question back at us, and an acknowledgement in its place.
    let ours = common::answers(&pair, peer.at).pop().unwrap();
    assert!(peer.send(&mut pair, ours).is_empty());
    let wrong = body(CfgType::Ack, &[(cfg::XAUTH_USER_NAME, b"joe")]);
    let wrong = peer.phase2_with_iv(Exchange::Transaction, msgid, &wrong, &iv);
    assert!(peer.send(&mut pair, wrong).is_empty());
    // In clear, with a message ID of none, for no SA, under no key.
    let clear = peer.clear(Exchange::Transaction, &hostile[0]);
    let mut unencrypted = clear.clone();
    unencrypted[20..24].copy_from_slice(&7u32.to_be_bytes());
    let mut garbage = peer.phase2(Exchange::Transaction, 9, &hostile[1]);
    *garbage.last_mut().unwrap() ^= 1;
    let mut unknown = peer.phase2(Exchange::Transaction, 10, &hostile[1]);
    unknown[0] ^= 1;
    for message in [clear, unencrypted, garbage, unknown] {
        assert!(peer.send(&mut pair, message).is_empty());
    }
    assert_eq!(pair.server().checks, 0);
    assert_eq!(pair.server().engine.counts()[..2], [1, 0]);
    // The right answer still counts, and then its configuration does.
    answer(&mut pair, &peer, b"joe", b"right");
    assert!(pair.server().logged("XAUTH: User joe: Authentication Successful"));
    let pull = peer.phase2(Exchange::Transaction, 0x800, &hostile[1]);
    let got = peer.send(&mut pair, pull.clone());
    assert_eq!(got.len(), 1);
    assert_eq!(peer.send(&mut pair, pull), got, "asked again, it is said again");
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.server().engine.counts()[0], 1);
}

#[test]
fn a_transaction_of_a_stranger_or_before_phase_1_is_nothing() {
    let mut pair = pair_of(config());
    let mut peer = stranger("198.51.100.77:500", 1);
    let set = CfgWriter::new(CfgType::Set, 1).short(cfg::XAUTH_STATUS, 1).finish();
    let message = peer.clear(Exchange::Transaction, &[(Kind::Attributes, set.clone())]);
    assert!(peer.send(&mut pair, message).is_empty());
    assert!(pair.server().logged("Transaction message is for a non-existent (expired?) ISAKMP SA"));
    peer.open(&mut pair);
    let mut message = peer.clear(Exchange::Transaction, &[(Kind::Attributes, set)]);
    (message[19], message[23]) = (1, 1);
    assert!(peer.send(&mut pair, message).is_empty());
    assert!(pair.server().logged("it is for an incomplete ISAKMP SA"));
}

/// Who has the group's key but no name is forgotten after a while, and counts as half-open until then.
#[test]
fn who_gives_no_name_is_half_open_and_forgotten() {
    let mut pair = pair_of(config());
    let limit = ike::Limits::default().half_open_per_peer;
    for n in 1..=limit {
        stranger("198.51.100.77:500", n as u8).main_mode(&mut pair, &[]);
    }
    let more = stranger("198.51.100.77:500", 99);
    assert!(more.send(&mut pair, more.mi1()).is_empty());
    pair.run_for(Duration::from_secs(200));
    assert!(pair.server().logged("XAUTH: the client does not answer: deleting the ISAKMP SA"));
    clean(pair.server()).unwrap();
}

#[test]
fn without_xauth_in_the_offer_or_in_the_conn_there_is_no_sa() {
    let mut plain = client();
    (plain.left.xauth_client, plain.right.xauth_server) = (false, false);
    let mut pair = pair_of(PairConfig { client: plain.clone(), ..config() });
    assert!(!pair.connect());
    let refused = "no acceptable Oakley Transform";
    assert!(pair.server().logged(refused), "{:?}", pair.hosts[0].log);
    let mut open = server();
    (open.left.xauth_server, open.right.xauth_client) = (false, false);
    let mut pair = pair_of(PairConfig { server: vec![open.clone()], ..config() });
    assert!(!pair.connect());
    assert!(pair.server().logged(refused), "{:#?}", pair.hosts[0].log);
    // Side by side, each finds its own conn, in either order.
    for conns in [vec![server(), server_conn(GROUP)], vec![server_conn(GROUP), server()]] {
        let mut pair = pair_of(PairConfig { server: conns.clone(), ..config() });
        assert!(pair.connect(), "{:?}", pair.hosts[0].log);
        assert_eq!(pair.server().engine.established()[0].0, "xauth-psk");
        let mut pair = pair_of(PairConfig { server: conns, client: client_conn(GROUP, CLIENT), ..config() });
        assert!(pair.connect());
        assert_eq!(pair.server().engine.established()[0].0, "L2TP-PSK");
    }
}

#[test]
fn clients_behind_one_nat_have_addresses_of_their_own_up_to_the_last() {
    let mut group = client();
    group.left.id = "@[group]".parse().unwrap();
    let mut pair = pair_of(PairConfig { nat: true, client: group, ..config() });
    let more = |pair: &mut Pair, n: u8| {
        let host = pair.add_client(IpAddr::from([10, 1, 0, n]), Keys::new(&[PSK]), Some(0));
        pair.hosts[host].engine.set_secrets(Box::new(Secrets(b"right")));
        host
    };
    let (second, third) = (more(&mut pair, 12), more(&mut pair, 13));
    for host in [1, second, third] {
        pair.up(host);
        pair.run_for(Duration::from_secs(20));
    }
    assert_eq!(pair.server().engine.established().len(), 2);
    assert!(pair.client().logged("setting client address to 10.9.0.1/32"));
    assert!(pair.hosts[second].logged("setting client address to 10.9.0.2/32"));
    assert!(pair.server().logged("no address is free in the pool 10.9.0.1-10.9.0.2; the client gets none"));
    pair.down(third);
    pair.down(second);
    pair.run_for(Duration::from_secs(5));
    pair.up(third);
    pair.run_for(Duration::from_secs(20));
    assert!(pair.hosts[third].logged("setting client address to 10.9.0.2/32"), "{:?}", pair.hosts[third].log);
}

/// A new ISAKMP SA of the same client belongs to the instance it had, and the address stays.
#[test]
fn a_renewed_isakmp_sa_keeps_the_address() {
    for nat in [false, true] {
        let brief =
            ConnSpec { ike_lifetime: 1000, rekey_margin: 100, rekey: true, keyingtries: 0, ..client() };
        let mut pair = pair_of(PairConfig { nat, client: brief, ..config() });
        assert!(pair.connect());
        let first = pair.server().engine.established();
        pair.run_for(Duration::from_secs(3000));
        assert!(pair.client().times_logged("XAUTH: Successfully Authenticated") > 2);
        assert_eq!(pair.client().times_logged("our address has changed"), 0);
        assert_eq!(
            pair.client().times_logged("setting client address to 10.9.0.1/32"),
            pair.client().times_logged("XAUTH: Successfully Authenticated")
        );
        assert_eq!(pair.server().engine.established(), first, "the tunnel was not touched");
        assert_eq!(outcome(&pair), Outcome::Established);
    }
}

#[test]
fn whack_asks_the_person_and_takes_the_answers() {
    let mut conn = client();
    conn.left.xauth_username = None;
    let mut pair = pair_of(PairConfig { client: conn, ..config() });
    pair.client().engine.set_secrets(Box::new(Keys::new(&[PSK])));
    let now = pair.now;
    let initiate = Request::Initiate { name: "L2TP-PSK".into(), asynchronous: false };
    pair.client().whack(now, initiate);
    pair.run_for(Duration::from_secs(1));
    let last = pair.client().replies.last().cloned().unwrap();
    assert_eq!(last, "041 \"L2TP-PSK\" #1: L2TP-PSK prompt for Username:");
    let mut say = |text: &str| {
        let now = pair.now;
        let request = Request::Answer { serial: 1, text: SecretBytes::from(text.as_bytes()) };
        pair.client().handle(now, Input::Whack { client: ClientId(2), request: Box::new(request) });
        pair.run_for(Duration::from_secs(1));
        pair.client().replies.last().cloned().unwrap()
    };
    assert_eq!(say("joe"), "040 \"L2TP-PSK\" #1: L2TP-PSK prompt for Password:");
    assert_eq!(say("oops"), "041 \"L2TP-PSK\" #1: L2TP-PSK prompt for Username:");
    say("joe");
    assert!(say("right").starts_with("004 \"L2TP-PSK\" #2: STATE_QUICK_I2"));
    assert!(pair.client().log.iter().all(|l| !l.contains("right") && !l.contains("oops")));
    // On the command line, nobody is asked.
    pair.down(1);
    pair.run_for(Duration::from_secs(5));
    let now = pair.now;
    let (user, password) = (Some("joe".into()), Some(SecretBytes::from(&b"right"[..])));
    let request = Request::InitiateAs { name: "L2TP-PSK".into(), asynchronous: false, user, password };
    pair.client().whack(now, request);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(outcome(&pair), Outcome::Established);
}

/// CVE-2010-3302, CVE-2010-3308 (and 3752, 3753): what a server gives is cut, and is text for scripts.
#[test]
fn cve_2010_3302_cve_2010_3308_a_server_that_gives_too_much() {
    let mut server = server();
    server.cisco_unity = true;
    server.modecfg.banner = Some(format!("$(id)';`x`{}", "A".repeat(3000)));
    server.modecfg.domains = vec!["x';reboot".into()];
    server.modecfg.dns = (0..25).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    server.left.xauth_server = true;
    let mut client = client();
    client.cisco_unity = true;
    client.left.updown = Some("/up".into());
    let mut pair = pair_of(PairConfig { server: vec![server], client, ..config() });
    assert!(pair.connect(), "{:?}", pair.hosts[1].log);
    let banner = env(&pair, 1, "up-client", "PLUTO_PEER_BANNER").unwrap();
    assert!(banner.len() < 600 && banner.starts_with("\\044(id)\\047;\\140x\\140A"), "{banner}");
    assert_eq!(env(&pair, 1, "up-client", "PLUTO_CISCO_DOMAIN_INFO"), Some("x\\047;reboot"));
    assert_eq!(env(&pair, 1, "up-client", "PLUTO_CISCO_DNS_INFO").unwrap().split(' ').count(), 16);
}

/// A client whose server does not say what it has to say gives up, tells it, and tries again.
#[test]
fn a_server_that_says_nothing_after_phase_1_is_given_up() {
    let mut pair = pair_of(config());
    pair.filter = Some(Box::new(|d| d.src.ip() != SERVER || d.data[18] != 6));
    pair.up(1);
    pair.run_for(Duration::from_secs(100));
    assert!(pair.client().logged("STATE_XAUTH_I0: the peer went silent"));
    pair.run_for(Duration::from_secs(300));
    pair.hosts.iter().for_each(|h| clean(h).unwrap());
}

/// XAUTH after signatures, and Hybrid: the server signs, the client is asked only.
#[test]
fn xauth_goes_with_signatures_and_in_place_of_the_clients() {
    use ike::Keyring;
    use ipsec_types::auth::AuthBy;
    use sim::keys::{own, rsa_keys, written};
    let [a, b, stranger] = rsa_keys();
    let rsa = AuthBy { rsasig: true, ..AuthBy::NONE };
    for (hybrid, server_key, name, good, aggressive) in [
        (false, a, "XAUTHInitRSA", true, false),
        (true, a, "HybridInitRSA", true, false),
        (true, stranger, "HybridInitRSA", false, false),
        (false, a, "XAUTHInitRSA", true, true),
        (true, a, "HybridInitRSA", true, true),
        (true, stranger, "HybridInitRSA", false, true),
    ] {
        let by = AuthBy { hybrid, ..rsa };
        let mut server = ConnSpec { authby: by, aggressive, ..server() };
        let mut client = ConnSpec { authby: by, aggressive, ..client() };
        (server.left.id, client.right.id) = ("@server".parse().unwrap(), "@server".parse().unwrap());
        client.right.public_keys = vec![written(a)];
        server.left.public_keys = vec![written(server_key)];
        if !hybrid {
            client.left.public_keys = vec![written(b)];
            server.right.public_keys = vec![written(b)];
        }
        client.left.xauth_username = Some("impaired".into());
        let rings = [vec![own(server_key)], if hybrid { Vec::new() } else { vec![own(b)] }];
        let [server_keys, client_keys] =
            rings.map(|own| Keys::of_ring(Keyring { own, ..Keyring::default() }));
        let mut pair =
            Pair::new(PairConfig { server: vec![server], client, server_keys, client_keys, ..config() });
        pair.server().users = vec![("impaired".into(), SecretBytes::from(&b"secret"[..]))];
        assert_eq!(pair.connect(), good, "{name}: {:#?} {:#?}", pair.hosts[0].log, pair.hosts[1].log);
        if good {
            assert!(pair.server().logged(&format!("ISAKMP SA established {{auth={name}")));
            assert!(pair.server().logged("XAUTH: User impaired: Authentication Successful"));
            pair.server().users.clear();
            pair.down(1);
            pair.run_for(Duration::from_secs(5));
            assert!(!pair.connect(), "{name}: no right password, no SA");
        } else {
            assert!(pair.client().logged("Signature check (on @server) failed (wrong key?)"));
        }
    }
}

fn unique(unique: bool, name: &str) -> (Pair, usize) {
    let mut server = server_conn(GROUP);
    server.right.id = Id::None;
    let mut client = client_conn(GROUP, CLIENT);
    client.left.id = name.parse().unwrap();
    let mut pair = Pair::new(PairConfig { server: vec![server], client, ..PairConfig::default() });
    let now = pair.now;
    let setup = ipsec_types::whack::SetupSpec { uniqueids: unique, ..sim::setup() };
    pair.server().whack(now, Request::Setup(setup));
    let second = pair.add_client("198.51.100.3".parse().unwrap(), Keys::new(&[PSK]), None);
    for host in [1, second] {
        pair.up(host);
        pair.run_for(Duration::from_secs(5));
    }
    (pair, second)
}

#[test]
fn uniqueids_releases_who_came_under_the_same_name_before() {
    let (mut pair, _) = unique(true, "@road");
    assert_eq!(pair.server().engine.established().len(), 1);
    assert!(pair.server().logged("uniqueids: '@road' is now at 198.51.100.3:500"));
    assert!(pair.hosts[1].engine.established().is_empty(), "he was told");
    let (mut pair, _) = unique(false, "@road");
    assert_eq!(pair.server().engine.established().len(), 2);
    // An address says nothing about who somebody behind a NAT is.
    let (mut pair, _) = unique(true, "192.168.77.2");
    assert_eq!(pair.server().engine.established().len(), 2);
}

#[test]
fn initial_contact_clears_what_a_client_that_lost_its_memory_had() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    pair.run_for(Duration::from_secs(1));
    // It comes back with nothing.
    let again = pair.add_client(CLIENT, Keys::new(&[PSK]), None);
    pair.hosts.swap(1, again);
    pair.hosts.truncate(2);
    pair.up(1);
    pair.run_for(Duration::from_secs(5));
    assert!(pair.server().logged("peer says INITIAL_CONTACT: deleting IPSEC State #2"));
    assert_eq!(pair.server().engine.established().len(), 1);
}
