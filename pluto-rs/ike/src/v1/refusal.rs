//! What a refused peer leaves in the log: what it offered, which words in `ipsec.conf` would let it in, and what it looks
//! like. Nothing here decides anything.

use ipsec_types::algo::{EspSuite, HashAlg, IkeSuite, PolicyClass};
use ipsec_types::auth::CryptoPolicy;
use ipsec_types::conn::ConnSpec;
use ipsec_types::kernel::SaProto;

use super::auth_method::AuthMethod;
use super::{phase1, phase2};
use crate::wire::sa::{PROTO_ISAKMP, SaPayload};

/// Suites of an offer that are listed: Windows makes five, Android twelve.
const LISTED: usize = 12;

/// First octets of a vendor ID, and who sends it. The first line that fits counts: what others send, too, comes last.
const LOOKS: [(&[u8], &str); 18] = [
    // MS NT5 ISAKMPOAKLEY and a version.
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x02", "Windows 2000"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x03", "Windows XP"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x04", "Windows XP"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x05", "Windows Vista"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x07", "Windows 7"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x08", "Windows 7"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x09", "Windows 8 or later"),
    (b"\x01\x52\x8b\xbb\xc0\x06\x96\x12\x18\x49\xab\x9a\x1c\x5b\x2a\x51", "Windows Vista or later"),
    (b"\xfb\x1d\xe3\xcd\xf3\x41\xb7\xea\x16\xb7\xe5\xbe\x08\x55\xf1\x20", "Windows Vista or later"),
    (b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61", "Windows"),
    (b"\x4d\xf3\x79\x28\xe9\xfc\x4f\xd1\xb3\x26\x21\x70\xd5\x15\xc6\x62", "macOS or iOS"),
    (b"\x8f\x8d\x83\x82\x6d\x24\x6b\x6f\xc7\xa8\xa6\xa4\x28\xc1\x1d\xe8", "macOS or iOS"),
    (b"\x3e\x98\x40\x48", "Cisco IOS"),
    (b"\x44\x85\x15\x2d\x18\xb6\xbb\xcd\x0b\xe8\xa8\x46\x95\x79\xdd\xcc", "Android or racoon"),
    (b"\x88\x2f\xe5\x6d\x6f\xd2\x0d\xbc\x22\x51\x61\x3b\x2e\xbe\x5b\xeb", "strongSwan"),
    (b"OE", "Openswan, libreswan or Cygnet"),
    // Cisco-Unity and its version.
    (b"\x12\xf5\xf2\x8c\x45\x71\x68\xa9\x70\x2d\x9f\xe2\x74\xcc", "Cisco's VPN client or vpnc"),
    (b"\x09\x00\x26\x89\xdf\xd6\xb7\x12", "strongSwan or another client with XAUTH"),
];

/// What class of client sends these vendor IDs.
pub(crate) fn looks_like<'a>(vids: impl Iterator<Item = &'a [u8]>) -> Option<&'static str> {
    let vids: Vec<&[u8]> = vids.collect();
    LOOKS.iter().find(|(id, _)| vids.iter().any(|v| v.starts_with(id))).map(|(_, name)| *name)
}

/// One algorithm list as the log and `ipsec.conf` write it.
struct Listed {
    words: Vec<String>,
    /// The best that was offered.
    best: Option<(PolicyClass, String)>,
}

impl Listed {
    fn of(all: impl Iterator<Item = (String, PolicyClass, String)>) -> Self {
        let mut listed = Listed { words: Vec::new(), best: None };
        for (name, class, conf) in all {
            if !listed.words.contains(&name) {
                listed.words.push(name);
            }
            if listed.best.as_ref().is_none_or(|(b, _)| class < *b) {
                listed.best = Some((class, conf));
            }
        }
        listed
    }

    /// `it offered A, B; crypto-policy=legacy would allow it; it looks like C`.
    fn line(mut self, key: &str, named: bool, looks: Option<&str>) -> String {
        let more = self.words.len().saturating_sub(LISTED);
        self.words.truncate(LISTED);
        let mut text = match self.words.is_empty() {
            true => "it offered nothing that is known here".into(),
            false => format!("it offered {}", self.words.join(", ")),
        };
        if more > 0 {
            text += &format!(" and {more} more");
        }
        if let Some((class, conf)) = self.best {
            text += &match (class.least(), named) {
                (Some(policy), false) => {
                    format!("; crypto-policy={} or {key}={conf} would allow it", word(policy))
                }
                _ => format!("; {key}={conf} would allow it"),
            };
            text += match class {
                PolicyClass::Modern | PolicyClass::Compat => "",
                PolicyClass::Legacy => " (weak)",
                PolicyClass::Named => " (broken: who listens can read it)",
            };
        }
        if let Some(looks) = looks {
            text += &format!("; it looks like {looks}");
        }
        text
    }
}

fn word(policy: CryptoPolicy) -> &'static str {
    match policy {
        CryptoPolicy::Modern => "modern",
        CryptoPolicy::Compat => "compat",
        CryptoPolicy::Legacy => "legacy",
    }
}

/// `aes256-sha1-modp1024`, as `ike=` takes it.
fn ike_conf(s: IkeSuite) -> String {
    use ipsec_types::algo::IkeCipher::{Aes, Camellia, Des, TripleDes};
    let cipher = match s.cipher {
        Des => "des".into(),
        TripleDes => "3des".into(),
        Aes(bits) => format!("aes{bits}"),
        Camellia(bits) => format!("camellia{bits}"),
    };
    let hash = match s.hash {
        HashAlg::Md5 => "md5",
        HashAlg::Sha1 => "sha1",
        HashAlg::Sha256 => "sha2_256",
        HashAlg::Sha384 => "sha2_384",
        HashAlg::Sha512 => "sha2_512",
    };
    format!("{cipher}-{hash}-{}", s.group.name())
}

/// `AES_128-HMAC_SHA1`.
fn esp_name(proto: SaProto, s: EspSuite) -> String {
    match proto {
        SaProto::Ah => format!("AH {}", s.integ.name()),
        SaProto::Esp | SaProto::Comp => format!("{}-{}", s.cipher.name(), s.integ.name()),
    }
}

/// `aes128-sha1`, as `esp=` takes it.
fn esp_conf(proto: SaProto, s: EspSuite) -> String {
    use ipsec_types::algo::EspCipher::{Aes, AesCcm, AesCtr, AesGcm, AesGmac, Camellia, ChaCha20Poly1305};
    use ipsec_types::algo::EspCipher::{Des, Null, TripleDes};
    use ipsec_types::algo::EspInteg;
    let cipher = match s.cipher {
        Des => "des".into(),
        TripleDes => "3des".into(),
        Null => "null".into(),
        Aes(bits) => format!("aes{bits}"),
        AesCtr(bits) => format!("aes_ctr{bits}"),
        AesCcm(bits, tag) => format!("aes{bits}ccm{tag}"),
        AesGcm(bits, tag) => format!("aes{bits}gcm{tag}"),
        AesGmac(bits) => format!("aes{bits}gmac"),
        Camellia(bits) => format!("camellia{bits}"),
        ChaCha20Poly1305 => "chacha20poly1305".into(),
    };
    let integ = match s.integ {
        EspInteg::None => return cipher,
        EspInteg::Md5 => "md5",
        EspInteg::Sha1 => "sha1",
        EspInteg::Sha256 | EspInteg::Sha256Trunc96 => "sha2_256",
        EspInteg::Sha384 => "sha2_384",
        EspInteg::Sha512 => "sha2_512",
        EspInteg::AesXcbc => "aes_xcbc",
        EspInteg::AesCmac => "aes_cmac",
    };
    if proto == SaProto::Ah { integ.into() } else { format!("{cipher}-{integ}") }
}

/// The line about a phase 1 offer; `why` is what was wrong with each transform.
pub(crate) fn of_phase1(
    sa: &SaPayload<'_>,
    spec: &ConnSpec,
    methods: &[AuthMethod],
    looks: Option<&str>,
    why: &[String],
) -> String {
    let transforms = sa.proposals.iter().filter(|p| p.protocol == PROTO_ISAKMP).flat_map(|p| &p.transforms);
    // A list of algorithms lets nobody in who is to be authenticated otherwise.
    let suites = transforms.filter_map(|t| phase1::read(t).ok()).filter(|o| methods.contains(&o.auth));
    let suites = suites.map(|o| o.suite);
    Listed::of(suites.map(|s| (phase1::suite_name(s), s.class(), ike_conf(s)))).line(
        "ike",
        !spec.ike.is_empty(),
        looks,
    ) + &others(why)
}

/// What is wrong beside the choice of algorithms.
fn others(why: &[String]) -> String {
    let others: Vec<&str> = why
        .iter()
        .map(String::as_str)
        .filter(|w| !w.ends_with(phase1::NOT_ALLOWED) && !w.ends_with(phase2::NOT_ALLOWED))
        .collect();
    if others.is_empty() { String::new() } else { format!(" ({})", others.join("; ")) }
}

/// The line about a phase 2 offer, likewise.
pub(crate) fn of_phase2(sa: &SaPayload<'_>, spec: &ConnSpec, looks: Option<&str>, why: &[String]) -> String {
    let ours = phase2::layers(spec).proto;
    let key = if ours == SaProto::Ah { "ah" } else { "esp" };
    let suites = phase2::suites(sa);
    let mut listed = Listed::of(suites.map(|(p, s)| (esp_name(p, s), phase2::class(p, s), esp_conf(p, s))));
    // It is something else that keeps the peer out.
    if phase2::suites(sa).any(|(p, s)| p == ours && phase2::allowed(spec, p, s)) {
        listed.best = None;
    }
    listed.line(key, !spec.esp.is_empty(), looks) + &others(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, IkeCipher};

    fn ike(cipher: IkeCipher, hash: HashAlg, group: DhGroup) -> IkeSuite {
        IkeSuite { cipher, hash, group }
    }

    #[test]
    fn the_smallest_change_is_named() {
        let offered = vec![
            ike(IkeCipher::TripleDes, HashAlg::Md5, DhGroup::Modp1024),
            ike(IkeCipher::Aes(256), HashAlg::Sha1, DhGroup::Modp1024),
        ];
        let body = phase1::offer(&ConnSpec { ike: offered, ..ConnSpec::default() }, &[AuthMethod::Psk]);
        let sa = SaPayload::parse(&body).unwrap();
        let windows = [&b"\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61\0\0\0\x09"[..]];
        let text =
            of_phase1(&sa, &ConnSpec::default(), &[AuthMethod::Psk], looks_like(windows.into_iter()), &[]);
        assert_eq!(
            text,
            "it offered 3DES_CBC_192-MD5-MODP1024, AES_CBC_256-SHA1-MODP1024; crypto-policy=compat or \
             ike=aes256-sha1-modp1024 would allow it; it looks like Windows 8 or later"
        );
        let strict = ConnSpec { ike: phase1::default_suites(), ..ConnSpec::default() };
        let why = ["policy does not allow authentication method 3".to_string()];
        let text = of_phase1(&sa, &strict, &[AuthMethod::Psk], None, &why);
        assert!(
            text.ends_with(
                "; ike=aes256-sha1-modp1024 would allow it (policy does not allow authentication method 3)"
            ),
            "{text}"
        );
    }

    /// The vendor IDs of each client in the order in which it sends them.
    #[test]
    fn every_class_of_client_is_known_by_its_vendor_ids() {
        const MODULES: &str = "01528bbbc00696121849ab9a1c5b2a5100000001";
        const RFC_3947: &str = "4a131c81070358455c5728f20e95452f";
        const DRAFT_02: &str = "90cb80913ebb696e086381b5ec427b1f";
        const FRAGMENTATION: &str = "4048b7d56ebce88525e7de7f00d6c2d3";
        const DPD: &str = "afcad71368a1f1c96b8696fc77570100";
        const XAUTH: &str = "09002689dfd6b712";
        let nt5 = |version: u8| format!("1e2b516905991c7d7c96fcbfb587e461000000{version:02x}");
        let clients: [(&[&str], Option<&str>); 13] = [
            (&[&nt5(2), DRAFT_02], Some("Windows 2000")),
            (&[&nt5(4), FRAGMENTATION, DRAFT_02], Some("Windows XP")),
            (&[MODULES, &nt5(8), RFC_3947, DRAFT_02, FRAGMENTATION], Some("Windows 7")),
            (&[MODULES, &nt5(9), RFC_3947, DRAFT_02, FRAGMENTATION], Some("Windows 8 or later")),
            (&[MODULES, &nt5(10), RFC_3947], Some("Windows Vista or later")),
            (&[RFC_3947, "4df37928e9fc4fd1b3262170d515c662", DRAFT_02, DPD], Some("macOS or iOS")),
            (&[RFC_3947, DRAFT_02, "4485152d18b6bbcd0be8a8469579ddcc", DPD], Some("Android or racoon")),
            // ChromeOS, and NetworkManager with strongSwan.
            (&[XAUTH, DPD, FRAGMENTATION, RFC_3947], Some("strongSwan or another client with XAUTH")),
            (&[XAUTH, "882fe56d6fd20dbc2251613b2ebe5beb", DPD], Some("strongSwan")),
            (&["4f452d4c69627265737761", DPD, RFC_3947], Some("Openswan, libreswan or Cygnet")),
            (&[XAUTH, "12f5f28c457168a9702d9fe274cc0100", DPD], Some("Cisco's VPN client or vpnc")),
            (&["3e98404800112233", RFC_3947], Some("Cisco IOS")),
            (&[DPD, RFC_3947], None),
        ];
        for (vids, class) in clients {
            let octets = |s: &&str| -> Vec<u8> {
                s.as_bytes()
                    .chunks(2)
                    .map(|h| u8::from_str_radix(std::str::from_utf8(h).unwrap(), 16).unwrap())
                    .collect()
            };
            let vids: Vec<Vec<u8>> = vids.iter().map(octets).collect();
            assert_eq!(looks_like(vids.iter().map(Vec::as_slice)), class);
        }
    }

    #[test]
    fn what_no_policy_allows_must_be_named() {
        let offered = vec![EspSuite { cipher: EspCipher::Null, integ: EspInteg::Sha1 }];
        let spec = ConnSpec { esp: offered, ..ConnSpec::default() };
        let body = phase2::offer(
            &spec,
            ipsec_types::kernel::Mode::Tunnel,
            super::super::natt::NatT::default(),
            None,
            4711,
            0,
        );
        let text = of_phase2(&SaPayload::parse(&body).unwrap(), &ConnSpec::default(), None, &[]);
        assert_eq!(
            text,
            "it offered NULL_0-HMAC_SHA1; esp=null-sha1 would allow it (broken: who listens can read it)"
        );
    }

    #[test]
    fn a_long_offer_is_cut_and_an_unknown_one_said_to_be() {
        let groups = DhGroup::ALL.map(|g| ike(IkeCipher::Des, HashAlg::Md5, g));
        let body =
            phase1::offer(&ConnSpec { ike: groups.to_vec(), ..ConnSpec::default() }, &[AuthMethod::Psk]);
        let text =
            of_phase1(&SaPayload::parse(&body).unwrap(), &ConnSpec::default(), &[AuthMethod::Psk], None, &[]);
        assert!(text.contains(" and 3 more; ike=des-md5-"), "{text}");
        let nothing = SaPayload { proposals: Vec::new() };
        assert_eq!(
            of_phase1(&nothing, &ConnSpec::default(), &[AuthMethod::Psk], None, &[]),
            "it offered nothing that is known here"
        );
    }
}
