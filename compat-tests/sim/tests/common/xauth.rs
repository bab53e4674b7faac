//! A server that asks with XAUTH and gives by Mode Config, its client, and a peer by hand that answers it.

use ike::PskLookup;
use ike::wire::Exchange;
use ike::wire::Header;
use ike::wire::cfg::{self, CfgPayload, CfgType, CfgWriter};
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ISAKMP, SaWriter};
use ipsec_types::conn::{ClientSpec, ConnType};
use ipsec_types::modecfg::{AddressPool, ModeConfig};
use ipsec_types::{ConnSpec, Id, ProtoPort, SecretBytes};
use sim::{CLIENT, PSK, Pair, PairConfig, client_conn, server_conn};

use super::{GROUP, Script, ike_attrs_of};

/// The server's conn: everything through the tunnel, addresses from a pool of two.
pub(crate) fn server() -> ConnSpec {
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

pub(crate) fn client() -> ConnSpec {
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
pub(crate) struct Secrets(pub(crate) &'static [u8]);

impl PskLookup for Secrets {
    fn lookup(&self, _: &Id, _: &Id) -> Vec<SecretBytes> {
        vec![SecretBytes::from(PSK)]
    }

    fn xauth(&self, user: &str) -> Option<SecretBytes> {
        (user == "joe").then(|| SecretBytes::from(self.0))
    }
}

pub(crate) fn pair_of(config: PairConfig) -> Pair {
    let mut pair = Pair::new(config);
    pair.server().users = vec![("joe".into(), SecretBytes::from(&b"right"[..]))];
    pair.client().engine.set_secrets(Box::new(Secrets(b"right")));
    pair
}

pub(crate) fn config() -> PairConfig {
    PairConfig { server: vec![server()], client: client(), ..PairConfig::default() }
}

pub(crate) fn env<'a>(pair: &'a Pair, host: usize, verb: &str, name: &str) -> Option<&'a str> {
    let is = |s: &&ike::Updown| s.env.contains(&("PLUTO_VERB", verb.into()));
    let script = pair.hosts[host].scripts.iter().rev().find(is)?;
    script.env.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
}

/// A peer by hand that offers XAUTH with the group's key.
pub(crate) fn stranger(at: &str, number: u8) -> Script {
    let mut peer = Script::new(at, number);
    let mut w = SaWriter::new();
    w.proposal(0, PROTO_ISAKMP, &[], &[(0, 1, ike_attrs_of(19, 65001))], true);
    peer.sa_i = w.finish();
    peer
}

/// The attribute payload of the newest message to `peer`, with its message ID.
pub(crate) fn asked(pair: &Pair, peer: &Script) -> (u32, Vec<u8>, Vec<u8>) {
    let last = super::answers(pair, peer.at).pop().unwrap();
    let (h, _) = Header::parse(&last).unwrap();
    let body = peer.read(&last).into_iter().find(|(k, _)| *k == Kind::Attributes).unwrap().1;
    let iv = last[last.len() - 16..].to_vec();
    (h.msgid, body, iv)
}

pub(crate) fn answer(pair: &mut Pair, peer: &Script, user: &[u8], password: &[u8]) {
    let (msgid, body, iv) = asked(pair, peer);
    let id = CfgPayload::parse(&body).unwrap().identifier;
    let reply = CfgWriter::new(CfgType::Reply, id)
        .value(cfg::XAUTH_USER_NAME, user)
        .value(cfg::XAUTH_USER_PASSWORD, password)
        .finish();
    let message = peer.phase2_with_iv(Exchange::Transaction, msgid, &[(Kind::Attributes, reply)], &iv);
    peer.send(pair, message);
}
