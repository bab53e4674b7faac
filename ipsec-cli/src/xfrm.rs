//! What the kernel has of IPsec, as `ip xfrm` tells it, and without the keys. Reads text; changes nothing.

use std::net::IpAddr;
use std::time::Duration;

use ipsec_netio::program::{self, Limits};

/// How long `ip` may take, and how much of what it says is looked at.
const LIMITS: Limits = Limits { time: Duration::from_secs(20), output: 64 << 20 };

/// An SA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sa {
    /// Where from.
    pub src: String,
    /// Where to.
    pub dst: String,
    /// `esp`, `ah`, `comp`.
    pub proto: String,
    /// Its SPI, or its CPI.
    pub spi: u32,
    /// What its policies name it by.
    pub reqid: u32,
    /// `tunnel`, `transport`.
    pub mode: String,
    /// `cbc(aes)`, `hmac(sha1)`: names without keys.
    pub algorithms: Vec<String>,
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Where from.
    pub src: String,
    /// Where to.
    pub dst: String,
    /// `proto udp sport 1701` and so on; empty for all.
    pub selector: String,
    /// `in`, `out`, `fwd`.
    pub dir: String,
    /// What it covers is dropped.
    pub blocks: bool,
    /// The lowest counts first.
    pub priority: u32,
    /// The outermost last.
    pub templates: Vec<Template>,
}

/// What a policy wants packets to be put into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Where from.
    pub src: String,
    /// Where to.
    pub dst: String,
    /// `esp`, `ah`, `comp`.
    pub proto: String,
    /// What its SAs have.
    pub reqid: u32,
    /// `tunnel`, `transport`.
    pub mode: String,
}

/// Runs `ip xfrm WHAT`.
///
/// # Errors
/// One line for the user.
pub fn ask(what: &str) -> Result<String, String> {
    let ip = program::find("ip").ok_or("the `ip' command is not installed")?;
    let ran = program::run(&ip, ["xfrm", what], b"", true, LIMITS).map_err(|e| format!("ip: {e}"))?;
    match ran.is_success() {
        true => Ok(ran.text()),
        false => Err(format!("ip xfrm {what}: {}", ran.text().lines().next().unwrap_or("it took too long"))),
    }
}

/// The word behind `name`.
fn after<'t>(words: &[&'t str], name: &str) -> &'t str {
    words.iter().position(|w| *w == name).and_then(|i| words.get(i + 1)).copied().unwrap_or_default()
}

/// A number as `ip` writes it: `0x1f` or `31`, perhaps with another form in brackets glued to it.
fn number(text: &str) -> u32 {
    let text = text.split('(').next().unwrap_or_default();
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.unwrap_or(0)
}

/// The SAs in the text of `ip xfrm state`.
pub fn states(text: &str) -> Vec<Sa> {
    let mut all: Vec<Sa> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with("src ") {
            let (src, dst) = (after(&words, "src").into(), after(&words, "dst").into());
            all.push(Sa { src, dst, ..Sa::default() });
            continue;
        }
        let Some(sa) = all.last_mut() else { continue };
        match words.first().copied() {
            Some("proto") => {
                sa.proto = after(&words, "proto").into();
                sa.spi = number(after(&words, "spi"));
                sa.reqid = number(after(&words, "reqid"));
                sa.mode = after(&words, "mode").into();
            }
            Some("enc" | "auth" | "auth-trunc" | "aead" | "comp") => {
                sa.algorithms.extend(words.get(1).map(|w| w.to_string()));
            }
            _ => {}
        }
    }
    all
}

/// The policies in the text of `ip xfrm policy`; those of sockets are left out.
pub fn policies(text: &str) -> Vec<Policy> {
    let mut all: Vec<Policy> = Vec::new();
    let mut is_socket = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with("src ") {
            let selector = words.get(4..).unwrap_or_default().join(" ");
            let (src, dst) = (after(&words, "src").into(), after(&words, "dst").into());
            all.push(Policy { src, dst, selector, ..Policy::default() });
            is_socket = false;
            continue;
        }
        match words.first().copied() {
            Some("socket") if !is_socket => {
                all.pop();
                is_socket = true;
            }
            Some("dir") => {
                let Some(policy) = all.last_mut().filter(|_| !is_socket) else { continue };
                policy.dir = after(&words, "dir").into();
                policy.blocks = after(&words, "action") == "block";
                policy.priority = number(after(&words, "priority"));
            }
            Some("tmpl") => {
                let Some(policy) = all.last_mut().filter(|_| !is_socket) else { continue };
                let (src, dst) = (after(&words, "src").into(), after(&words, "dst").into());
                policy.templates.push(Template { src, dst, ..Template::default() });
            }
            Some("proto") => {
                let Some(policy) = all.last_mut().filter(|_| !is_socket) else { continue };
                let Some(template) = policy.templates.last_mut() else { continue };
                template.proto = after(&words, "proto").into();
                template.reqid = number(after(&words, "reqid"));
                template.mode = after(&words, "mode").into();
            }
            _ => {}
        }
    }
    all
}

/// The text of `ip xfrm state` with `[...]` for each key.
pub fn without_keys(text: &str) -> String {
    let is_key =
        |w: &str| w.len() > 10 && w.starts_with("0x") && w[2..].bytes().all(|b| b.is_ascii_hexdigit());
    let mut out = String::new();
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if matches!(first, "enc" | "auth" | "auth-trunc" | "aead" | "comp") {
            for piece in line.split_inclusive(char::is_whitespace) {
                let word = piece.trim_end();
                let shown = if is_key(word) { "[...]" } else { word };
                out.push_str(shown);
                out.push_str(&piece[word.len()..]);
            }
        } else if is_key(line.trim()) {
            // A line that only goes on with a key.
            out.push_str("\t[...]");
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// `esp0x1234@192.0.2.1`, as KLIPS named SAs.
pub fn said(proto: &str, spi: u32, dst: &str) -> String {
    let dot = if dst.parse::<IpAddr>().is_ok_and(|a| a.is_ipv6()) { ":" } else { "." };
    match spi {
        0 => format!("{proto}{dot}?@{dst}"),
        _ => format!("{proto}0x{spi:x}@{dst}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATE: &str = "src 192.0.2.1 dst 203.0.113.20\n\tproto esp spi 0xc1234567 reqid 1132003329 mode tunnel\n\
        \treplay-window 0 \n\tauth-trunc hmac(sha1) 0x00112233445566778899aabbccddeeff00112233 96\n\
        \tenc cbc(aes) 0x00112233445566778899aabbccddeeff\n\tanti-replay context: seq 0x0, oseq 0x2, bitmap 0x00000000\n";
    const POLICY: &str = "src 10.50.1.0/24 dst 10.60.1.0/24 proto udp dport 1701 \n\tdir out priority 1132003328 \n\
        \ttmpl src 192.0.2.1 dst 203.0.113.20\n\t\tproto esp reqid 1132003329 mode tunnel\n\
        src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket in priority 0 \n\
        src 10.0.0.0/8 dst 10.9.0.0/16 \n\tdir fwd action block priority 5 \n";

    #[test]
    fn the_text_of_ip_is_read() {
        let sas = states(STATE);
        assert_eq!((sas.len(), sas[0].spi, sas[0].reqid), (1, 0xc123_4567, 1_132_003_329));
        assert_eq!(
            (sas[0].mode.as_str(), sas[0].algorithms.join(",")),
            ("tunnel", "hmac(sha1),cbc(aes)".into())
        );
        let all = policies(POLICY);
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!((all[0].dir.as_str(), all[0].selector.as_str()), ("out", "proto udp dport 1701"));
        assert_eq!(
            (all[0].templates[0].reqid, all[0].templates[0].dst.as_str()),
            (1_132_003_329, "203.0.113.20")
        );
        assert!(all[1].blocks && all[1].dir == "fwd" && all[1].templates.is_empty());
    }

    #[test]
    fn keys_are_not_shown_and_the_rest_is() {
        let tabs = without_keys("\tauth\thmac(sha1)\t0x00112233445566778899\t96\n");
        assert_eq!(tabs, "\tauth\thmac(sha1)\t[...]\t96\n");
        let shown = without_keys(STATE);
        assert!(!shown.contains("0x0011") && shown.contains("\tenc cbc(aes) [...]\n"), "{shown}");
        assert!(
            shown.contains("hmac(sha1) [...] 96\n")
                && shown.contains("spi 0xc1234567")
                && shown.contains("bitmap 0x00000000")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(lines in proptest::collection::vec("(src |\tproto |\tsocket|\tdir |\ttmpl |\tenc )?\\PC{0,20}", 0..8)) {
            let text = lines.join("\n");
            states(&text);
            policies(&text);
            without_keys(&text);
        }
    }
}
