//! What servers, the kernel and the system's tools say, and what is shown to others of files with secrets.

use std::collections::BTreeSet;
use std::path::Path;

use ipsec_cli::{censor as filter, firewall, xfrm};
use ipsec_netio::http::{self, Answer};
use ipsec_types::auth::{Passphrase, Secret};

/// What must not be shown.
const MARK: &str = "TOPSECRET";

fn censored(kind: filter::Kind, text: &[u8]) -> String {
    let mut out = Vec::new();
    let _ = filter::filter(kind, text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a record of `ipsec.secrets` has the mark in what it keeps secret.
fn has_mark(secret: &Secret) -> bool {
    let of = |s: &ipsec_types::SecretBytes| s.expose().windows(MARK.len()).any(|w| w == MARK.as_bytes());
    match secret {
        Secret::Psk(s) | Secret::Xauth(s) => of(s),
        Secret::Rsa(k) => [&k.d, &k.p, &k.q, &k.dp, &k.dq, &k.qinv].into_iter().any(of),
        Secret::KeyFile { passphrase: Passphrase::Text(s), .. } => of(s),
        Secret::Pin { pin: Passphrase::Text(s), .. } => of(s),
        _ => false,
    }
}

/// What a bug report shows of `ipsec.secrets` and `ipsec.conf`: no mark that is a secret to pluto, and none in the value
/// of a key.
pub fn censor(data: &[u8]) {
    let shown = censored(filter::Kind::Secrets, data);
    let (records, _) = ipsec_conf::secrets::parse_all(Path::new("ipsec.secrets"), data, &|_| None);
    let marks = data.windows(MARK.len()).filter(|w| *w == MARK.as_bytes()).count();
    // One that stands elsewhere too is no secret.
    if marks == 1 && records.iter().any(|r| has_mark(&r.secret)) {
        assert!(!shown.contains(MARK), "{shown}");
    }
    censored(filter::Kind::Keys, data);
    let text = String::from_utf8_lossy(data);
    let (name, value) = text.split_once('=').unwrap_or(("\tespenckey", &text));
    // What begins with these is no key.
    let odd = |c: char| matches!(c, '%' | '#') || c.is_whitespace() || c.is_control();
    let value = value.lines().next().unwrap_or_default().trim_start_matches(odd);
    if name.trim() == "espenckey" {
        let shown = censored(filter::Kind::Keys, format!("{name}={value}{MARK}\n").as_bytes());
        assert!(!shown.contains(MARK), "{shown}");
        let shown = censored(filter::Kind::Keys, format!("{name}={MARK}{value}\n").as_bytes());
        assert!(!shown.contains(MARK), "{shown}");
    }
}

/// An answer of a server of CRLs, as much as has come: nothing that is taken is longer than the limit, which the first octet
/// says.
pub fn http_answer(data: &[u8]) {
    let Some((limit, data)) = data.split_first() else { return };
    let limit = usize::from(*limit);
    for end in (0..=data.len()).step_by(7).chain([data.len()]) {
        match http::read(&data[..end], limit, end == data.len()) {
            Ok(Some(Answer::Body(body))) => assert!(body.len() <= limit),
            Ok(Some(Answer::Elsewhere(url))) => {
                if let Ok(u) = http::split(&url) {
                    let odd = |c: char| c.is_control() || c == ' ';
                    assert!(!u.host.is_empty() && u.path.starts_with('/') && !url.contains(odd), "{url}");
                }
            }
            _ => {}
        }
    }
}

/// What the kernel tells of SAs to the L2TP daemon: one message, and a list of them.
pub fn sa_news(data: &[u8]) {
    l2tpd::sa_watch::news(data);
    let mut reqids = BTreeSet::new();
    let _ = l2tpd::sa_watch::listed(data, &mut reqids);
    assert!(reqids.len() <= data.len() / 16);
}

/// The file of endpoints that IPsec covers.
pub fn l2tp_protected(data: &[u8]) {
    l2tpd::protected::parse(&String::from_utf8_lossy(data));
}

/// What `ip xfrm` says; a key in it is not shown.
pub fn ip_xfrm(data: &[u8]) {
    const KEY: &str = "0x00c0ffee00c0ffee";
    let text = String::from_utf8_lossy(data);
    let count = text.lines().count();
    assert!(xfrm::states(&text).len() <= count && xfrm::policies(&text).len() <= count);
    let shown = xfrm::without_keys(&text);
    let is_key = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("enc" | "auth" | "auth-trunc" | "aead")) && words.any(|w| w == KEY)
    };
    if text.matches(KEY).count() == 1 && text.lines().any(is_key) {
        assert!(!shown.contains(KEY), "{shown}");
    }
}

/// The rules of a packet filter: of `iptables-save` or of `nft -j list ruleset`.
pub fn packet_filter(data: &[u8]) {
    let packets = [(17, 500), (17, 4500), (50, 0)].map(|(proto, port)| firewall::Packet { proto, port });
    let text = String::from_utf8_lossy(data);
    let rules = serde_json::from_slice(data).ok();
    for (packet, reply) in packets.into_iter().flat_map(|p| [(p, false), (p, true)]) {
        firewall::iptables_drops(&text, packet, reply);
        if let Some(rules) = &rules {
            firewall::nft_drops(rules, packet, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the target looks for is there to be found.
    #[test]
    fn a_record_with_the_mark_is_known_and_masked() {
        for text in [": PSK \"TOPSECRET\"", "@u : XAUTH TOPSECRET", ": RSA key.pem \"TOPSECRET\""] {
            let (records, _) = ipsec_conf::secrets::parse_all(Path::new("x"), text.as_bytes(), &|_| None);
            assert!(records.iter().any(|r| has_mark(&r.secret)), "{text}");
            assert!(!censored(filter::Kind::Secrets, text.as_bytes()).contains(MARK));
        }
    }
}
