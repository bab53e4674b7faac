//! XAUTH: who is let in, and that nothing goes before its turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::time::Duration;

use common::GROUP;
use common::xauth::{answer, asked, client, config, env, pair_of, server, stranger};
use ike::wire::Exchange;
use ike::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};
use ike::wire::payload::Kind;
use ike::{ClientId, Input};
use ipsec_types::auth::XauthFail;
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, SecretBytes};
use sim::{
    CLIENT, Keys, Link, Outcome, PSK, Pair, PairConfig, SERVER, clean, client_conn, outcome, server_conn,
    settled,
};

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
        let end = settled(&mut pair).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        established += u32::from(end == Outcome::Established);
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

/// CVE-2005-0162: names and passwords as long as they may be, one octet less and one more.
#[test]
fn cve_2005_0162_names_and_passwords_of_every_length() {
    let of = |octet: u8, n: usize| vec![octet; n];
    let lengths = [254, 255, 256].map(|n| (n, 5)).into_iter().chain([499, 500, 501].map(|n| (5, n)));
    for (name, password) in lengths.chain([(65_000, 5), (5, 60_000)]) {
        let mut pair = pair_of(config());
        let user = String::from_utf8(of(b'a', name)).unwrap();
        pair.server().users = vec![(user.clone(), SecretBytes::new(of(b'b', password)))];
        let mut peer = stranger("198.51.100.77:500", 1);
        peer.main_mode(&mut pair, &[]);
        answer(&mut pair, &peer, user.as_bytes(), &of(b'b', password));
        let taken = name <= 255 && password <= 500;
        assert_eq!(pair.server().logged("Authentication Successful"), taken, "{name} {password}");
        assert_eq!(pair.server().checks, usize::from(taken), "{name} {password}");
        pair.run_for(Duration::from_secs(3700));
        clean(pair.server()).unwrap();
    }
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
