//! A peer that says what the test wants said: Main Mode by hand, then any phase 2 message.

#![allow(dead_code, reason = "each test program uses its own part of it")]

pub(crate) mod tunnel;
pub(crate) mod xauth;

use std::net::SocketAddr;
use std::time::Duration;

use ike::wire::attr;
use ike::wire::ident;
use ike::wire::payload::Kind;
use ike::wire::sa::{PROTO_ESP, PROTO_ISAKMP, SaWriter};
use ike::wire::{Chain, Exchange, Header, MessageWriter};
use ipsec_crypto::keymat::{self, PhaseOneKeys};
use ipsec_crypto::{cipher, dh, hmac};
use ipsec_types::algo::{DhGroup, HashAlg, IkeCipher};
use ipsec_types::whack::{Request, Show};
use ipsec_types::{Id, SecretBytes};
use sim::{Datagram, PSK, Pair, SERVER};

pub(crate) const HASH: HashAlg = HashAlg::Sha1;
pub(crate) const CIPHER: IkeCipher = IkeCipher::Aes(128);
pub(crate) const GROUP: DhGroup = DhGroup::Ecp256;

/// The vendor IDs of NAT traversal that our client offers: RFC 3947, drafts 03, 02 and 02 with a newline.
pub(crate) const OFFERED: [u128; 4] = [
    0x4a13_1c81_0703_5845_5c57_28f2_0e95_452f,
    0x7d94_19a6_5310_ca6f_2c17_9d92_1552_9d56,
    0xcd60_4643_35df_21f8_7cfd_b2fc_68b6_a448,
    0x90cb_8091_3ebb_696e_0863_81b5_ec42_7b1f,
];

/// Has it offer the method with the vendor ID `id` alone.
pub(crate) fn offer_only(d: &mut Datagram, id: u128) {
    if d.data.get(8..16) == Some(&[0; 8]) {
        for old in OFFERED {
            let new = if old == OFFERED[0] { id } else { old ^ 1 };
            if let Some(at) = d.data.windows(16).position(|w| w == old.to_be_bytes()) {
                d.data[at..at + 16].copy_from_slice(&new.to_be_bytes());
            }
        }
    }
}

/// Port 500 of the server.
pub(crate) fn server500() -> SocketAddr {
    SocketAddr::new(SERVER, 500)
}

/// A peer with an IKE SA, or on its way to one.
pub(crate) struct Script {
    pub(crate) at: SocketAddr,
    pub(crate) icookie: [u8; 8],
    pub(crate) rcookie: [u8; 8],
    pub(crate) sa_i: Vec<u8>,
    pub(crate) keys: Option<PhaseOneKeys>,
    pub(crate) cipher_key: SecretBytes,
    pub(crate) last_block: Vec<u8>,
    secret: SecretBytes,
    g_xi: Vec<u8>,
    ni: Vec<u8>,
}

/// The one transform the server takes.
pub(crate) fn ike_attrs() -> Vec<u8> {
    ike_attrs_of(19, 1)
}

/// The same with another group and authentication method.
pub(crate) fn ike_attrs_of(group: u32, method: u32) -> Vec<u8> {
    let mut a = Vec::new();
    for (kind, value) in [(1, 7), (2, 2), (3, method), (4, group), (14, 128), (11, 1), (12, 3600)] {
        attr::emit(kind, value, &mut a);
    }
    a
}

/// A limit as `ipsec auto --status --json` tells it: the bound, what is held, how often it was met.
pub(crate) fn limit(pair: &mut Pair, keyword: &str) -> (u64, Option<u64>, u64) {
    let now = pair.now;
    let server = pair.server();
    server.replies.clear();
    server.whack(now, Request::Show { what: Show::Global, name: None, json: true });
    pair.drain();
    let line = pair.server().replies.iter().find_map(|l| l.strip_prefix("000 {").map(|l| format!("{{{l}")));
    let all: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
    let row = &all["daemon"]["limits"][keyword];
    (row["limit"].as_u64().unwrap(), row["held"].as_u64(), row["refused"].as_u64().unwrap())
}

/// What the control socket of a host answers.
pub(crate) fn replies(pair: &mut Pair, host: usize, request: Request) -> Vec<String> {
    pair.run_for(Duration::from_millis(1));
    let now = pair.now;
    pair.hosts[host].replies.clear();
    pair.hosts[host].whack(now, request);
    pair.run_for(Duration::from_millis(1));
    pair.hosts[host].replies.iter().flat_map(|r| r.lines()).map(str::to_string).collect()
}

/// What the server has sent to an address so far.
pub(crate) fn answers(pair: &Pair, to: SocketAddr) -> Vec<Vec<u8>> {
    pair.sent.iter().filter(|d| d.dst == to).map(|d| d.data.clone()).collect()
}

impl Script {
    pub(crate) fn new(at: &str, number: u8) -> Script {
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ISAKMP, &[], &[(0, 1, ike_attrs())], true);
        let secret = SecretBytes::new(vec![number.max(1); 32]);
        Script {
            at: at.parse().unwrap(),
            icookie: [number.max(1); 8],
            rcookie: [0; 8],
            sa_i: w.finish(),
            keys: None,
            cipher_key: SecretBytes::default(),
            last_block: Vec::new(),
            g_xi: dh::public(GROUP, &secret).unwrap(),
            secret,
            ni: vec![number; 16],
        }
    }

    /// Our public value.
    pub(crate) fn g_xi(&self) -> Vec<u8> {
        self.g_xi.clone()
    }

    pub(crate) fn header(&self, exchange: Exchange, msgid: u32) -> Header {
        let (icookie, rcookie) = (self.icookie, self.rcookie);
        Header { icookie, rcookie, next: 0, version: 0x10, exchange, flags: 0, msgid }
    }

    pub(crate) fn clear(&self, exchange: Exchange, payloads: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        let mut w = MessageWriter::new(self.header(exchange, 0));
        payloads.iter().for_each(|(kind, body)| {
            w.payload(*kind, body);
        });
        w.finish()
    }

    /// Sends, and returns what came back.
    pub(crate) fn send(&self, pair: &mut Pair, data: Vec<u8>) -> Vec<Vec<u8>> {
        let before = answers(pair, self.at).len();
        pair.inject(self.at, server500(), data);
        answers(pair, self.at).split_off(before)
    }

    pub(crate) fn mi1(&self) -> Vec<u8> {
        self.clear(Exchange::Main, &[(Kind::Sa, self.sa_i.clone())])
    }

    /// MI1 and MR1.
    pub(crate) fn open(&mut self, pair: &mut Pair) {
        let mr1 = self.send(pair, self.mi1()).remove(0);
        self.rcookie = Header::parse(&mr1).unwrap().0.rcookie;
    }

    pub(crate) fn mi2(&self) -> Vec<u8> {
        let payloads = [(Kind::KeyExchange, self.g_xi.clone()), (Kind::Nonce, self.ni.clone())];
        self.clear(Exchange::Main, &payloads)
    }

    /// MI2 and MR2; returns MI3.
    pub(crate) fn mi3(&mut self, pair: &mut Pair, extra: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        let mr2 = self.send(pair, self.mi2()).remove(0);
        let (h, body) = Header::parse(&mr2).unwrap();
        let chain = Chain::parse(h.next, body).unwrap();
        let (g_xr, nr) = (chain.first(Kind::KeyExchange).unwrap(), chain.first(Kind::Nonce).unwrap());
        let shared = dh::shared(GROUP, &self.secret, g_xr).unwrap();
        let skeyid = keymat::skeyid_psk(HASH, &SecretBytes::from(PSK), &self.ni, nr).unwrap();
        let keys = PhaseOneKeys::derive(HASH, &skeyid, &shared, &self.icookie, &self.rcookie).unwrap();
        self.cipher_key = keymat::cipher_key(CIPHER, HASH, &keys.e).unwrap();
        let iv = keymat::phase1_iv(HASH, &self.g_xi, g_xr, 16).unwrap();
        let id = ident::emit(&Id::Addr(self.at.ip()), 0, 0);
        let (i, r) = (&self.icookie, &self.rcookie);
        let hash = keymat::hash_i(HASH, &skeyid, &self.g_xi, g_xr, i, r, &self.sa_i, &id).unwrap();
        self.keys = Some(keys);
        let mut w = MessageWriter::new(self.header(Exchange::Main, 0));
        w.payload(Kind::Id, &id).payload(Kind::Hash, &hash);
        extra.iter().for_each(|(kind, body)| {
            w.payload(*kind, body);
        });
        self.seal(w, &iv)
    }

    /// All of Main Mode, with `extra` payloads in MI3.
    pub(crate) fn main_mode(&mut self, pair: &mut Pair, extra: &[(Kind, Vec<u8>)]) {
        self.open(pair);
        let mi3 = self.mi3(pair, extra);
        let mr3 = self.send(pair, mi3).remove(0);
        self.last_block = mr3[mr3.len() - 16..].to_vec();
    }

    fn seal(&self, w: MessageWriter, iv: &[u8]) -> Vec<u8> {
        let (h, plain) = w.finish_for_encryption(16);
        let body = cipher::encrypt(CIPHER, self.cipher_key.expose(), iv, &plain).unwrap();
        let mut out = Vec::new();
        h.emit(body.len(), &mut out);
        out.extend_from_slice(&body);
        out
    }

    fn phase2_iv(&self, msgid: u32) -> Vec<u8> {
        keymat::phase2_iv(HASH, &self.last_block, msgid, 16).unwrap()
    }

    fn a(&self) -> &[u8] {
        self.keys.as_ref().unwrap().a.expose()
    }

    /// A first phase 2 message with HASH(1).
    pub(crate) fn phase2(&self, exchange: Exchange, msgid: u32, payloads: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        self.phase2_with_iv(exchange, msgid, payloads, &self.phase2_iv(msgid))
    }

    /// The same later in an exchange.
    pub(crate) fn phase2_with_iv(
        &self,
        exchange: Exchange,
        msgid: u32,
        payloads: &[(Kind, Vec<u8>)],
        iv: &[u8],
    ) -> Vec<u8> {
        let mut w = MessageWriter::new(self.header(exchange, msgid));
        w.payload(Kind::Hash, &[0; 20]);
        payloads.iter().for_each(|(kind, body)| {
            w.payload(*kind, body);
        });
        let hash = hmac(HASH, self.a(), &[&msgid.to_be_bytes(), w.behind_first()]).unwrap();
        w.set_first(&hash);
        self.seal(w, iv)
    }

    /// The payloads of an encrypted message that begins an exchange.
    pub(crate) fn read(&self, message: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        self.read_with_iv(message, &self.phase2_iv(Header::parse(message).unwrap().0.msgid))
    }

    /// The same later in an exchange.
    pub(crate) fn read_with_iv(&self, message: &[u8], iv: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        let (h, body) = Header::parse(message).unwrap();
        let plain = cipher::decrypt(CIPHER, self.cipher_key.expose(), iv, body).unwrap();
        let chain = Chain::parse(h.next, &plain).unwrap();
        chain.payloads.iter().map(|p| (p.kind, p.body.to_vec())).collect()
    }

    /// The payloads of QI1: one ESP transform, transport mode, and the two client identities.
    pub(crate) fn qi1(&self, transform: u8, spi: u32, ids: [Vec<u8>; 2]) -> Vec<(Kind, Vec<u8>)> {
        let mut a = Vec::new();
        let mut list = vec![(4, 2), (1, 1), (2, 3600), (5, 2)];
        if transform == 12 {
            list.push((6, 128));
        }
        list.into_iter().for_each(|(kind, value)| attr::emit(kind, value, &mut a));
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ESP, &spi.to_be_bytes(), &[(0, transform, a)], true);
        let [ci, cr] = ids;
        vec![(Kind::Sa, w.finish()), (Kind::Nonce, vec![9; 16]), (Kind::Id, ci), (Kind::Id, cr)]
    }

    /// `17/1701` of our address to `17/1701` of the server.
    pub(crate) fn l2tp_ids(&self) -> [Vec<u8>; 2] {
        [self.at.ip(), SERVER].map(|a| ident::emit(&Id::Addr(a), 17, 1701))
    }

    /// A whole Quick Mode.
    pub(crate) fn quick_mode(&self, pair: &mut Pair, msgid: u32, spi: u32) {
        let payloads = self.qi1(12, spi, self.l2tp_ids());
        let qi1 = self.phase2(Exchange::Quick, msgid, &payloads);
        let iv = &qi1[qi1.len() - 16..];
        let qr1 = self.send(pair, qi1.clone()).remove(0);
        let (h, body) = Header::parse(&qr1).unwrap();
        let plain = cipher::decrypt(CIPHER, self.cipher_key.expose(), iv, body).unwrap();
        let chain = Chain::parse(h.next, &plain).unwrap();
        let nr = chain.first(Kind::Nonce).unwrap();
        let hash = hmac(HASH, self.a(), &[&[0], &msgid.to_be_bytes(), &[9; 16], nr]).unwrap();
        let mut w = MessageWriter::new(self.header(Exchange::Quick, msgid));
        w.payload(Kind::Hash, &hash);
        let qi2 = self.seal(w, &qr1[qr1.len() - 16..]);
        self.send(pair, qi2);
    }
}
