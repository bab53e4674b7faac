//! What fuzzers call: one function per reader of octets from outside. None may panic, hang or keep growing.
//!
//! The fuzz crate beside this one searches for new inputs; the tests here replay those that are kept in `corpora`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ike::wire::cfg::{CfgPayload, CfgWriter, MAX_TEXT};
use ike::wire::fragment::{Fragment, cut};
use ike::wire::ident::{IdPayload, parse_nat_oa};
use ike::wire::notify::{Delete, Notification};
use ike::wire::payload::Chain;
use ike::wire::{Attr, Header, SaPayload};
use ipsec_types::SecretBytes;
use ipsec_types::whack::Request;

use crate::conns::SERVER;
use crate::pair::{Pair, PairConfig};

mod foreign;
mod ike_conversation;
mod l2tp;
mod l2tp_conversation;
mod script;

pub use foreign::{censor, http_answer, ip_xfrm, l2tp_protected, packet_filter, sa_news};
pub use ike_conversation::ike_conversation;
pub use l2tp::{hdlc, l2tp_connection, l2tp_data, l2tp_feed_endpoint, l2tp_hidden, l2tp_message};
pub use l2tp_conversation::l2tp_conversation;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders and programs.
pub const ALL: [(&str, Target); 35] = [
    ("censor", censor),
    ("certificate", certificate),
    ("cfg_payload", cfg_payload),
    ("crl", crl),
    ("dn", dn),
    ("feed_endpoint", feed_endpoint),
    ("hdlc", hdlc),
    ("http_answer", http_answer),
    ("ike_conversation", ike_conversation),
    ("ip_xfrm", ip_xfrm),
    ("ipsec_conf", ipsec_conf),
    ("ipsec_secrets", ipsec_secrets),
    ("isakmp_message", isakmp_message),
    ("l2tp_connection", l2tp_connection),
    ("l2tp_conversation", l2tp_conversation),
    ("l2tp_data", l2tp_data),
    ("l2tp_feed_endpoint", l2tp_feed_endpoint),
    ("l2tp_hidden", l2tp_hidden),
    ("l2tp_message", l2tp_message),
    ("l2tp_protected", l2tp_protected),
    ("l2tp_secrets", l2tp_secrets),
    ("ocsp_answer", ocsp_answer),
    ("packet_filter", packet_filter),
    ("pkcs7", pkcs7),
    ("policy_group", policy_group),
    ("ppp_database", ppp_database),
    ("ppp_secrets", ppp_secrets),
    ("rsa_key", rsa_key),
    ("sa_news", sa_news),
    ("updown", updown),
    ("whack_request", whack_request),
    ("xfrm_event", xfrm_event),
    ("xl2tpd_addresses", xl2tpd_addresses),
    ("xl2tpd_conf", xl2tpd_conf),
    ("xl2tpd_control", xl2tpd_control),
];

/// A certificate as a peer sends it: all that is read out of it, and the judgement on it.
pub fn certificate(data: &[u8]) {
    use ipsec_crypto::Certificate;
    use ipsec_crypto::trust::Trust;
    let Ok(certs) = Certificate::from_file(data) else { return };
    let trust = Trust { authorities: certs.clone(), ..Trust::default() };
    for cert in &certs {
        let _ =
            (cert.serial(), cert.crl_uris(), cert.ocsp_uris(), cert.subject_key_id(), cert.check_purpose());
        assert!(cert.names().iter().all(|n| n.to_string().chars().all(|c| !c.is_control())));
        let _ = ipsec_types::dn::text(cert.subject());
        let _ = trust.judge(cert, &certs, 1_700_000_000, ipsec_types::auth::StrictCrl::Yes);
        let _ = ipsec_crypto::trust::path_to_send(cert, &certs);
    }
}

/// Certificates wrapped as Windows does.
pub fn pkcs7(data: &[u8]) {
    let _ = ipsec_crypto::cert::from_pkcs7(data);
}

/// A revocation list of a file or a server.
pub fn crl(data: &[u8]) {
    if let Ok(crl) = ipsec_crypto::crl::Crl::from_file(data) {
        let _ = (crl.this_update(), crl.next_update(), crl.revoked(), ipsec_types::dn::text(crl.issuer()));
    }
}

/// An answer about a certificate whose issuer we trust. One that is believed tells of its date.
pub fn ocsp_answer(data: &[u8]) {
    use ipsec_crypto::{Certificate, ocsp::Answer, trust::Trust};
    let read = |der: &[u8]| Certificate::from_der(der);
    let files = (
        read(include_bytes!("../../../pluto-rs/crypto/tests/ocsp/good.cert.der")),
        read(include_bytes!("../../../pluto-rs/crypto/tests/ocsp/ca.cert.der")),
    );
    let (Ok(cert), Ok(ca)) = files else { return };
    let trust = Trust { authorities: vec![ca.clone()], ocsp_signers: vec![ca.clone()], ..Trust::default() };
    let now = u64::try_from(cert.not_before()).unwrap_or(0) + 1000;
    if let Ok(answer) = Answer::read(data, &cert, &ca, &trust, now) {
        assert!(answer.is_about(&cert, &ca) && answer.dates().0 <= answer.dates().1);
    }
}

/// A distinguished name, as text and as octets.
pub fn dn(data: &[u8]) {
    use ipsec_types::dn;
    let text = dn::text(data);
    assert!(text.chars().all(|c| !c.is_control()));
    let _ = (dn::wildcards(data), dn::matches(data, &data[data.len() / 2..]));
    if let Ok(der) = dn::parse(&String::from_utf8_lossy(data)) {
        assert!(dn::is_dn(&der) && dn::matches(&der, &der), "{text}");
    }
}

/// A public key as RFC 3110 writes it, which fits together again, and the same octets as the numbers of a private one.
pub fn rsa_key(data: &[u8]) {
    use ipsec_crypto::rsa;
    if let Some((e, n)) = rsa::split_public_key(data) {
        let joined = rsa::public_key(e, n);
        let again = rsa::split_public_key(&joined);
        assert!(joined.is_empty() || again.is_some_and(|(e, n)| rsa::public_key(e, n) == joined));
    }
    let mut parts = data.splitn(8, |b| *b == 0xff).map(SecretBytes::from);
    let mut next = || parts.next().unwrap_or_default();
    let (n, e, d, p) = (next(), next(), next(), next());
    let (q, dp, dq, qinv) = (next(), next(), next(), next());
    let key = ipsec_types::auth::RsaNumbers { n, e, d, p, q, dp, dq, qinv };
    let _ = rsa::defect(&key);
}

/// The variables and words of an updown script: lines `NAME=value`, then an empty one, then the text of the distribution's
/// file; `--` begins a word after `_updown`.
pub fn updown(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (variables, file) = text.split_once("\n\n").unwrap_or((&text, ""));
    let args: Vec<String> = variables.lines().filter(|l| l.starts_with("--")).map(str::to_string).collect();
    let variables = variables.lines().filter_map(|l| l.split_once('='));
    let variables = ipsec_updown::Variables::new(variables.map(|(n, v)| (n.to_string(), v.to_string())));
    if let Ok(settings) = ipsec_updown::Settings::of_text(file, &args) {
        let _ = ipsec_updown::check(&variables, &settings);
    }
}

/// One ISAKMP message, and every payload as everything it could be.
pub fn isakmp_message(data: &[u8]) {
    let Ok((header, body)) = Header::parse(data) else { return };
    let _ = Fragment::parse(body).map(|f| f.emit(&header));
    cut(data, 1, 576);
    let Ok(chain) = Chain::parse(header.next, body) else { return };
    chain.behind_first();
    for p in &chain.payloads {
        let _ = SaPayload::parse(p.body);
        let _ = Attr::parse_all(p.body).map(|all| all.iter().filter_map(Attr::number).count());
        let _ = IdPayload::parse(p.body).map(|id| (id.identity().is_ok(), id.network()));
        let _ = Notification::parse(p.body);
        let _ = Delete::parse(p.body);
        cfg_payload(p.body);
        parse_nat_oa(p.body);
    }
}

/// One attribute payload of a Transaction exchange.
pub fn cfg_payload(data: &[u8]) {
    let Ok(c) = CfgPayload::parse(data) else { return };
    for a in &c.attrs {
        let text = c.text(a.kind).unwrap_or_default();
        assert!(text.len() <= 3 * MAX_TEXT && !text.contains(char::is_control));
        let mut w = CfgWriter::new(c.kind, c.identifier);
        w.networks(a.kind, &c.networks(a.kind));
        c.addresses(a.kind).into_iter().for_each(|x| {
            w.address(a.kind, x);
        });
        c.subnets(a.kind).into_iter().for_each(|x| {
            w.subnet(a.kind, x);
        });
        assert!(CfgPayload::parse(&w.finish()).is_ok() || c.addresses(a.kind).len() > 30);
    }
}

/// A policy group file.
pub fn policy_group(data: &[u8]) {
    ipsec_conf::groups::parse(&String::from_utf8_lossy(data));
}

/// Pieces of the input: a length in two octets, then as many as there are.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let piece;
        (piece, data) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        Some(piece)
    })
}

/// Datagrams to a server with an established peer, from that peer's address and another; then a minute passes.
pub fn feed_endpoint(data: &[u8]) {
    let mut pair = Pair::new(PairConfig::default());
    pair.connect();
    let peer = SocketAddr::new(pair.hosts[1].addr, 500);
    let stranger = SocketAddr::new(IpAddr::from([203, 0, 113, 9]), 500);
    for (n, piece) in pieces(data).take(64).enumerate() {
        let from = if n % 2 == 0 { peer } else { stranger };
        let port = if n % 3 == 2 { 4500 } else { 500 };
        pair.inject(from, SocketAddr::new(SERVER, port), piece.to_vec());
    }
    pair.run_for(Duration::from_secs(60));
}

/// `ipsec.conf`.
pub fn ipsec_conf(data: &[u8]) {
    let (path, Ok(text)) = (Path::new("ipsec.conf"), std::str::from_utf8(data)) else { return };
    let Ok(config) = ipsec_conf::load_str(path, text) else { return };
    let Ok(written) = ipsec_conf::canonical::text(path, text) else { return };
    // What is written out in full may be longer than what is read.
    if text.len() < 4096 {
        let again = ipsec_conf::load_str(path, &written).map(|c| (c.conns.len(), c.dialect));
        assert_eq!(again, Ok((config.conns.len(), config.dialect)), "{written}");
    }
}

/// `ipsec.secrets`, with a resolver that knows nobody.
pub fn ipsec_secrets(data: &[u8]) {
    use ipsec_types::auth::Secret;
    let (records, _) = ipsec_conf::secrets::parse_all(Path::new("ipsec.secrets"), data, &|_| None);
    for record in records {
        if let Secret::Pin { token, .. } = record.secret {
            let _ = token.parse::<ipsec_conf::secrets::TokenName>();
        }
    }
}

/// Requests of the control socket, one a line, carried out by an engine with a peer: half a minute lies between them.
pub fn whack_request(data: &[u8]) {
    let requests: Vec<Request> =
        data.split(|b| *b == b'\n').take(32).filter_map(|l| serde_json::from_slice(l).ok()).collect();
    if requests.is_empty() {
        return;
    }
    let mut pair = Pair::new(PairConfig::default());
    pair.connect();
    for request in requests {
        let now = pair.now;
        pair.hosts[0].whack(now, request);
        pair.run_for(Duration::from_secs(30));
    }
    pair.run_for(Duration::from_secs(60));
}

/// What is read from the control FIFO; sections in it are added to an LNS's settings.
pub fn xl2tpd_control(data: &[u8]) {
    let base = "[lns default]\nip range = 10.0.0.2-10.0.0.9\n[lac isp]\nlns = 192.0.2.1\n";
    let Ok(mut conf) = l2tpd::conf::load("xl2tpd.conf", base) else { return };
    for r in l2tpd::control_pipe::parse(data).into_iter().flatten() {
        let kind = match r.command {
            'a' => "lac",
            'z' => "lns",
            _ => continue,
        };
        let (name, options) = r.argument.split_once(' ').unwrap_or((&r.argument, ""));
        if let Ok(new) = l2tpd::conf::with_section_with(&conf, kind, name, options, &|_| None) {
            conf = new;
            conf.endpoint("host");
        }
    }
}

/// `l2tp-secrets`.
pub fn l2tp_secrets(data: &[u8]) {
    let (table, _) = l2tp_proto::SecretTable::parse(&String::from_utf8_lossy(data));
    table.lookup("vpn", "client");
}

/// pppd's `chap-secrets`, and its option files.
pub fn ppp_secrets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    l2tpd::ppp_secrets::addresses(&text);
    l2tpd::ppp_secrets::users(&text);
    l2tpd::optfile::words(&text);
}

/// pppd's database of its links.
pub fn ppp_database(data: &[u8]) {
    l2tpd::ppp_db::parse(data);
}

/// The file of addresses that callers had last.
pub fn xl2tpd_addresses(data: &[u8]) {
    l2tpd::lease_file::parse(&String::from_utf8_lossy(data));
}

/// `xl2tpd.conf`, with a resolver that knows nobody but `localhost`.
pub fn xl2tpd_conf(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        l2tpd::conf::settings(text);
        let resolver = |name: &str| (name == "localhost").then_some(std::net::Ipv4Addr::LOCALHOST);
        let _ = l2tpd::conf::load_with("xl2tpd.conf", text, &resolver).map(|c| c.endpoint("host"));
    }
}

/// A datagram of the kernel's event socket.
pub fn xfrm_event(data: &[u8]) {
    ipsec_kernel::xfrm::decode_events(data);
    ipsec_kernel::xfrm::decode_answers(data);
}
