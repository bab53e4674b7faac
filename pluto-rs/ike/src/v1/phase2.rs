//! Phase 2 proposals (RFC 2407 §4.4.4, §4.5): ESP transforms offered and taken.

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite};
use ipsec_types::conn::ConnSpec;
use ipsec_types::kernel::Mode;

use super::natt::NatT;
use super::phase1::MAX_LIFE;
use crate::wire::attr;
use crate::wire::sa::{PROTO_ESP, Proposal, SaPayload, SaWriter, Transform};

const ATTR_LIFE_TYPE: u16 = 1;
const ATTR_LIFE: u16 = 2;
const ATTR_GROUP: u16 = 3;
const ATTR_ENCAPSULATION: u16 = 4;
const ATTR_INTEG: u16 = 5;
const ATTR_KEY_LEN: u16 = 6;
const LIFE_SECONDS: u64 = 1;
const LIFE_KILOBYTES: u64 = 2;

/// Smallest SPI that is not reserved (RFC 4303 §2.1).
pub(crate) const MIN_SPI: u32 = 256;

/// How the reason ends that is a matter of policy alone.
pub(crate) const NOT_ALLOWED: &str = "refused due to strict flag";

/// What an initiator offers when `esp=` is not set.
pub(crate) fn default_suites() -> Vec<EspSuite> {
    [
        (EspCipher::Aes(128), EspInteg::Sha1),
        (EspCipher::Aes(256), EspInteg::Sha1),
        (EspCipher::Aes(256), EspInteg::Sha256),
        (EspCipher::Aes(128), EspInteg::Sha256),
        (EspCipher::TripleDes, EspInteg::Sha1),
    ]
    .map(|(cipher, integ)| EspSuite { cipher, integ })
    .to_vec()
}

/// `esp=`, or what of the default list the policy allows.
pub(crate) fn offered(spec: &ConnSpec) -> Vec<EspSuite> {
    match spec.esp.is_empty() {
        true => default_suites().into_iter().filter(|s| allowed(spec, *s)).collect(),
        false => spec.esp.clone(),
    }
}

/// The SA payload an initiator sends.
pub(crate) fn offer(spec: &ConnSpec, mode: Mode, natt: NatT, pfs: Option<DhGroup>, spi: u32) -> Vec<u8> {
    let suites = offered(spec);
    let tunnel = mode == Mode::Tunnel;
    let encapsulation = match natt.method.filter(|_| natt.detected()) {
        Some(m) => m.encapsulation(tunnel),
        None => 2 - u16::from(tunnel),
    };
    let transforms: Vec<(u8, u8, Vec<u8>)> = suites
        .iter()
        .take(64)
        .enumerate()
        .map(|(i, s)| {
            let mut a = Vec::new();
            if let Some(group) = pfs {
                attr::emit(ATTR_GROUP, group.number().into(), &mut a);
            }
            attr::emit(ATTR_ENCAPSULATION, encapsulation.into(), &mut a);
            attr::emit(ATTR_LIFE_TYPE, LIFE_SECONDS as u32, &mut a);
            attr::emit(ATTR_LIFE, spec.sa_lifetime, &mut a);
            if let Ok(kilobytes @ 1..) = u32::try_from(spec.life_bytes / 1024) {
                attr::emit(ATTR_LIFE_TYPE, LIFE_KILOBYTES as u32, &mut a);
                attr::emit(ATTR_LIFE, kilobytes, &mut a);
            }
            if s.integ != EspInteg::None {
                attr::emit(ATTR_INTEG, s.integ.number().into(), &mut a);
            }
            if let Some(bits) = s.cipher.key_len_attribute() {
                attr::emit(ATTR_KEY_LEN, bits.into(), &mut a);
            }
            (i as u8, s.cipher.number(), a)
        })
        .collect();
    let mut w = SaWriter::new();
    w.proposal(0, PROTO_ESP, &spi.to_be_bytes(), &transforms, true);
    w.finish()
}

/// A transform in our terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub suite: EspSuite,
    pub mode: Mode,
    pub group: Option<DhGroup>,
    pub life: Option<u32>,
    /// Octets.
    pub life_bytes: Option<u64>,
    pub spi: u32,
}

/// Every suite of an offer that is known.
pub(crate) fn suites<'p>(sa: &'p SaPayload<'_>) -> impl Iterator<Item = EspSuite> + 'p {
    let esp = sa.proposals.iter().filter(|p| p.protocol == PROTO_ESP);
    let natt = NatT { us: true, ..NatT::default() };
    esp.flat_map(|p| &p.transforms).filter_map(move |t| read(t, 0, natt).ok()).map(|o| o.suite)
}

fn read(t: &Transform<'_>, spi: u32, natt: NatT) -> Result<Offered, String> {
    let (mut life_type, mut kilobytes) = (LIFE_SECONDS, None);
    let (mut integ, mut bits, mut group, mut encapsulation, mut life) = (None, None, None, 0, None);
    for a in &t.attrs {
        let n = a.number().ok_or_else(|| format!("attribute {} has an unusable length", a.kind))?;
        match a.kind {
            ATTR_LIFE_TYPE => life_type = n,
            ATTR_LIFE if life_type == LIFE_SECONDS => life = Some(n),
            ATTR_LIFE if life_type == LIFE_KILOBYTES => kilobytes = Some(n),
            ATTR_GROUP => group = Some(n),
            ATTR_ENCAPSULATION => encapsulation = n,
            ATTR_INTEG => integ = Some(n),
            ATTR_KEY_LEN => bits = Some(n),
            _ => {}
        }
    }
    let cipher = EspCipher::from_wire(t.id, bits).ok_or_else(|| {
        let bits = bits.map_or_else(String::new, |b| format!(" ({b})"));
        format!("ESP transform {}{bits} not supported", esp_name(t.id))
    })?;
    let integ = match integ {
        None | Some(0) => EspInteg::None,
        Some(n) => u16::try_from(n)
            .ok()
            .and_then(EspInteg::from_number)
            .ok_or_else(|| format!("AUTH_ALGORITHM {n} not supported"))?,
    };
    // Some peers name an integrity algorithm beside a cipher that needs none: it has no meaning there.
    let integ = if cipher.tag_len().is_some() { EspInteg::None } else { integ };
    let suite = EspSuite { cipher, integ };
    if !suite.is_sound() {
        return Err(format!("ESP transform {} without an AUTH_ALGORITHM", esp_name(t.id)));
    }
    let group = match group {
        None => None,
        Some(n) => Some(
            u16::try_from(n)
                .ok()
                .and_then(DhGroup::from_number)
                .ok_or_else(|| format!("OAKLEY_GROUP {n} not supported for PFS"))?,
        ),
    };
    let name = |n: u64| match n {
        1 => "ENCAPSULATION_MODE_TUNNEL",
        2 => "ENCAPSULATION_MODE_TRANSPORT",
        3 => "ENCAPSULATION_MODE_UDP_TUNNEL_RFC",
        4 => "ENCAPSULATION_MODE_UDP_TRANSPORT_RFC",
        61443 => "ENCAPSULATION_MODE_UDP_TUNNEL_DRAFTS",
        _ => "ENCAPSULATION_MODE_UDP_TRANSPORT_DRAFTS",
    };
    let mode = match encapsulation {
        // Plain values with a NAT between are accepted: some clients never learn the other numbers.
        0 | 1 => Mode::Tunnel,
        2 => Mode::Transport,
        3 | 4 | 61443 | 61444 if !natt.detected() => {
            return Err(format!("{} must only be used if NAT-Traversal is detected", name(encapsulation)));
        }
        3 | 61443 => Mode::Tunnel,
        4 | 61444 => Mode::Transport,
        n => return Err(format!("unknown ENCAPSULATION_MODE {n}")),
    };
    let life = match life {
        Some(n) if n > MAX_LIFE => Some(MAX_LIFE as u32),
        Some(0) | None => None,
        Some(n) => u32::try_from(n).ok(),
    };
    let life_bytes = kilobytes.filter(|k| *k > 0).map(|k| k.saturating_mul(1024));
    Ok(Offered { suite, mode, group, life, life_bytes, spi })
}

/// A list in the conn is exclusive; without one the named policy decides.
fn allowed(spec: &ConnSpec, suite: EspSuite) -> bool {
    // Cut tags are not negotiated: on the wire they are plain SHA2-256.
    let plain = |s: &EspSuite| EspSuite {
        integ: if s.integ == EspInteg::Sha256Trunc96 { EspInteg::Sha256 } else { s.integ },
        ..*s
    };
    match spec.esp.is_empty() {
        true => suite.class().allowed_by(spec.crypto_policy.unwrap_or_default()),
        false => spec.esp.iter().any(|s| plain(s) == suite),
    }
}

/// The smaller of our limit and the peer's, in octets; 0 is none.
pub(crate) fn smaller_life(ours: u64, theirs: Option<u64>) -> u64 {
    [Some(ours), theirs].into_iter().flatten().filter(|n| *n > 0).min().unwrap_or(0)
}

fn esp_name(id: u8) -> String {
    let name = match id {
        2 => "ESP_DES",
        3 => "ESP_3DES",
        6 => "ESP_CAST",
        7 => "ESP_BLOWFISH",
        11 => "ESP_NULL",
        12 => "ESP_AES",
        13 => "ESP_AES_CTR",
        14..=16 => "ESP_AES_CCM",
        18..=20 => "ESP_AES_GCM",
        22 => "ESP_CAMELLIA",
        23 => "ESP_NULL_AUTH_AES_GMAC",
        n => return format!("ESP transform {n}"),
    };
    name.into()
}

/// The responder's choice: the first ESP transform, in the initiator's order, that `spec` allows. Proposals that want
/// AH or IPCOMP together with ESP are passed over.
///
/// # Errors
/// What was wrong with each transform, for the log.
pub(crate) fn choose<'p, 'a>(
    sa: &'p SaPayload<'a>,
    spec: &ConnSpec,
    natt: NatT,
) -> Result<(&'p Proposal<'a>, &'p Transform<'a>, Offered), Vec<String>> {
    let mut why = Vec::new();
    for p in &sa.proposals {
        let alone = sa.proposals.iter().filter(|o| o.number == p.number).count() == 1;
        let spi = <[u8; 4]>::try_from(p.spi).map(u32::from_be_bytes);
        let spi = match (p.protocol, alone, spi) {
            (PROTO_ESP, true, Ok(spi)) if spi >= MIN_SPI => spi,
            (PROTO_ESP, true, _) => {
                why.push("invalid SPI in IPsec SA proposal".into());
                continue;
            }
            (PROTO_ESP, false, _) => continue,
            (n, _, _) => {
                why.push(format!("protocol {n} not supported"));
                continue;
            }
        };
        for t in &p.transforms {
            match read(t, spi, natt) {
                Ok(o) if allowed(spec, o.suite) => return Ok((p, t, o)),
                Ok(o) => why.push(format!(
                    "IPsec Transform [{}, {}] {NOT_ALLOWED}",
                    o.suite.cipher.name(),
                    o.suite.integ.name()
                )),
                Err(e) => why.push(e),
            }
        }
    }
    why.dedup();
    why.truncate(8);
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_offer_is_what_we_accept() {
        let spec = ConnSpec::default();
        let body = offer(&spec, Mode::Transport, NatT::default(), Some(DhGroup::Modp2048), 0x1234_5678);
        let sa = SaPayload::parse(&body).unwrap();
        let (_, _, o) = choose(&sa, &spec, NatT::default()).unwrap();
        assert_eq!(
            (o.suite, o.mode, o.group),
            (default_suites()[0], Mode::Transport, Some(DhGroup::Modp2048))
        );
        assert_eq!((o.life, o.spi), (Some(28800), 0x1234_5678));
    }

    #[test]
    fn every_cipher_is_offered_and_taken_when_it_is_named() {
        for cipher in EspCipher::ALL {
            let integ = if cipher.tag_len().is_some() { EspInteg::None } else { EspInteg::AesXcbc };
            let spec = ConnSpec { esp: vec![EspSuite { cipher, integ }], ..ConnSpec::default() };
            let body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711);
            let sa = SaPayload::parse(&body).unwrap();
            assert_eq!(choose(&sa, &spec, NatT::default()).unwrap().2.suite, spec.esp[0]);
            let plain = choose(&sa, &ConnSpec::default(), NatT::default());
            let wanted = !matches!(cipher, EspCipher::Des | EspCipher::Null);
            assert_eq!(plain.is_ok(), wanted, "{cipher:?} without being named");
        }
    }

    #[test]
    fn cut_tags_are_negotiated_as_sha2() {
        let suite = |integ| EspSuite { cipher: EspCipher::Aes(128), integ };
        let spec = ConnSpec { esp: vec![suite(EspInteg::Sha256Trunc96)], ..ConnSpec::default() };
        let body = offer(&spec, Mode::Tunnel, NatT::default(), None, 4711);
        let sa = SaPayload::parse(&body).unwrap();
        let chosen = choose(&sa, &spec, NatT::default()).unwrap().2;
        assert_eq!(chosen.suite, suite(EspInteg::Sha256));
    }

    #[test]
    fn encapsulation_must_fit_the_nat() {
        let natt = NatT { method: Some(super::super::natt::Method::Draft02), peer: true, ..NatT::default() };
        let body = offer(&ConnSpec::default(), Mode::Transport, natt, None, 4711);
        let sa = SaPayload::parse(&body).unwrap();
        assert_eq!(choose(&sa, &ConnSpec::default(), natt).unwrap().2.mode, Mode::Transport);
        let why = choose(&sa, &ConnSpec::default(), NatT::default()).unwrap_err();
        assert!(why[0].contains("must only be used if NAT-Traversal is detected"));
    }

    /// CVE-2024-3652: AES-GMAC, which has no key material of its own here, is refused.
    #[test]
    fn cve_2024_3652_gmac_is_refused() {
        let mut a = Vec::new();
        attr::emit(ATTR_ENCAPSULATION, 2, &mut a);
        let mut w = SaWriter::new();
        w.proposal(0, PROTO_ESP, &9999u32.to_be_bytes(), &[(0, 23, a)], true);
        let body = w.finish();
        let why =
            choose(&SaPayload::parse(&body).unwrap(), &ConnSpec::default(), NatT::default()).unwrap_err();
        assert!(why[0].contains("GMAC"), "{why:?}");
    }
}
