//! A peer's phase 2 proposals in our terms, and the choice among them.

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite};
use ipsec_types::conn::ConnSpec;
use ipsec_types::kernel::{Layers, Mode, SaProto};

use super::{
    ATTR_ENCAPSULATION, ATTR_ESN, ATTR_GROUP, ATTR_INTEG, ATTR_KEY_LEN, ATTR_LIFE, ATTR_LIFE_TYPE, DEFLATE,
    LIFE_KILOBYTES, LIFE_SECONDS, MIN_SPI, allowed, layers, number,
};
use crate::v1::natt::NatT;
use crate::v1::phase1::MAX_LIFE;
use crate::wire::sa::{PROTO_AH, PROTO_ESP, PROTO_IPCOMP, Proposal, SaPayload, SaWriter, Transform};

/// How the reason ends that is a matter of policy alone.
pub(crate) const NOT_ALLOWED: &str = "refused due to strict flag";

/// A transform, or a bundle of them, in our terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub suite: EspSuite,
    pub mode: Mode,
    pub layers: Layers,
    pub group: Option<DhGroup>,
    pub life: Option<u32>,
    /// Octets.
    pub life_bytes: Option<u64>,
    pub spi: u32,
    /// Compression parameter index, 0 without compression.
    pub cpi: u32,
}

/// What a responder sends back: one transform of each protocol, attributes unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(super) number: u8,
    /// Protocol, transform number, transform ID, attributes.
    parts: Vec<(u8, u8, u8, Vec<u8>)>,
}

impl Answer {
    /// The body of the SA payload with our SPI and CPI in it.
    pub(crate) fn emit(&self, spi: u32, cpi: u32) -> Vec<u8> {
        let mut w = SaWriter::new();
        let cpi = u16::try_from(cpi).unwrap_or(0).to_be_bytes();
        let spi = spi.to_be_bytes();
        for (i, (protocol, n, id, attrs)) in self.parts.iter().enumerate() {
            let spi = if *protocol == PROTO_IPCOMP { &cpi[..] } else { &spi[..] };
            let last = i + 1 == self.parts.len();
            w.proposal(self.number, *protocol, spi, &[(*n, *id, attrs.clone())], last);
        }
        w.finish()
    }
}

/// Every suite of an offer that is known.
pub(crate) fn suites<'p>(sa: &'p SaPayload<'_>) -> impl Iterator<Item = (SaProto, EspSuite)> + 'p {
    let natt = NatT { us: true, ..NatT::default() };
    let ours = sa.proposals.iter().filter_map(|p| Some((proto(p.protocol)?, p)));
    ours.flat_map(|(proto, p)| p.transforms.iter().map(move |t| (proto, t)))
        .filter_map(move |(proto, t)| Some((proto, read(proto, t, 0, natt).ok()?.suite)))
}

fn proto(protocol: u8) -> Option<SaProto> {
    match protocol {
        PROTO_ESP => Some(SaProto::Esp),
        PROTO_AH => Some(SaProto::Ah),
        _ => None,
    }
}

fn read(proto: SaProto, t: &Transform<'_>, spi: u32, natt: NatT) -> Result<Offered, String> {
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
            // RFC 4304: to take it and not do it would be an SA that carries nothing.
            ATTR_ESN if n != 0 => return Err("extended sequence numbers are not supported".into()),
            _ => {}
        }
    }
    let integ = match integ {
        None | Some(0) => EspInteg::None,
        Some(n) => u16::try_from(n)
            .ok()
            .and_then(EspInteg::from_number)
            .ok_or_else(|| format!("AUTH_ALGORITHM {n} not supported"))?,
    };
    let suite = if proto == SaProto::Ah { ah_suite(t.id, integ)? } else { esp_suite(t.id, bits, integ)? };
    let group = match group {
        None => None,
        Some(n) => Some(
            u16::try_from(n)
                .ok()
                .and_then(DhGroup::from_number)
                .ok_or_else(|| format!("OAKLEY_GROUP {n} not supported for PFS"))?,
        ),
    };
    let mode = mode(encapsulation, natt)?;
    let life = match life {
        Some(n) if n > MAX_LIFE => Some(MAX_LIFE as u32),
        Some(0) | None => None,
        Some(n) => u32::try_from(n).ok(),
    };
    let life_bytes = kilobytes.filter(|k| *k > 0).map(|k| k.saturating_mul(1024));
    let layers = Layers { proto, comp: false };
    Ok(Offered { suite, mode, layers, group, life, life_bytes, spi, cpi: 0 })
}

fn esp_suite(id: u8, bits: Option<u64>, integ: EspInteg) -> Result<EspSuite, String> {
    let cipher = EspCipher::from_wire(id, bits).ok_or_else(|| {
        let bits = bits.map_or_else(String::new, |b| format!(" ({b})"));
        format!("ESP transform {}{bits} not supported", esp_name(id))
    })?;
    // Some peers name an integrity algorithm beside a cipher that needs none: it has no meaning there.
    let integ = if cipher.tag_len().is_some() { EspInteg::None } else { integ };
    let suite = EspSuite { cipher, integ };
    match suite.is_sound() {
        true => Ok(suite),
        false => Err(format!("ESP transform {} without an AUTH_ALGORITHM", esp_name(id))),
    }
}

/// The transform ID and the attribute must say the same (RFC 2407 §4.4.3).
fn ah_suite(id: u8, integ: EspInteg) -> Result<EspSuite, String> {
    match integ != EspInteg::None && integ.ah_transform() == id {
        true => Ok(EspSuite { cipher: EspCipher::Null, integ }),
        false => Err(format!("AH transform {id} does not go with AUTH_ALGORITHM {}", integ.number())),
    }
}

fn mode(encapsulation: u64, natt: NatT) -> Result<Mode, String> {
    let name = |n: u64| match n {
        3 => "ENCAPSULATION_MODE_UDP_TUNNEL_RFC",
        4 => "ENCAPSULATION_MODE_UDP_TRANSPORT_RFC",
        61443 => "ENCAPSULATION_MODE_UDP_TUNNEL_DRAFTS",
        _ => "ENCAPSULATION_MODE_UDP_TRANSPORT_DRAFTS",
    };
    match encapsulation {
        // Plain values with a NAT between are accepted: some clients never learn the other numbers.
        0 | 1 => Ok(Mode::Tunnel),
        2 => Ok(Mode::Transport),
        n @ (3 | 4 | 61443 | 61444) if !natt.detected() => {
            Err(format!("{} must only be used if NAT-Traversal is detected", name(n)))
        }
        3 | 61443 => Ok(Mode::Tunnel),
        4 | 61444 => Ok(Mode::Transport),
        n => Err(format!("unknown ENCAPSULATION_MODE {n}")),
    }
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

/// The proposals that are offered together.
struct Bundle<'p, 'a> {
    main: &'p Proposal<'a>,
    spi: u32,
    comp: Option<(&'p Transform<'a>, u32)>,
}

/// ESP or AH, whichever the conn has, and perhaps IPComp; what else stands beside it makes it unusable.
fn bundle<'p, 'a>(
    all: &[&'p Proposal<'a>],
    spec: &ConnSpec,
    natt: NatT,
) -> Result<Option<Bundle<'p, 'a>>, String> {
    let want = layers(spec);
    let (mut main, mut comp) = (None, None);
    for p in all {
        match p.protocol {
            n if n == number(want.proto) && main.is_none() => main = Some(*p),
            PROTO_IPCOMP if comp.is_none() => comp = Some(*p),
            PROTO_AH | PROTO_ESP if all.len() > 1 => return Ok(None),
            PROTO_ESP => return Err("ESP proposed, but phase2=ah".into()),
            PROTO_AH => return Err("AH proposed, but phase2=esp".into()),
            n => return Err(format!("protocol {n} not supported")),
        }
    }
    let Some(main) = main else { return Err("IPCOMP proposed alone".into()) };
    if want.proto == SaProto::Ah && natt.detected() {
        return Err("AH cannot pass the NAT that was detected".into());
    }
    let spi = <[u8; 4]>::try_from(main.spi).map(u32::from_be_bytes).unwrap_or_default();
    if spi < MIN_SPI {
        return Err("invalid SPI in IPsec SA proposal".into());
    }
    let comp = match comp {
        None => None,
        Some(_) if !want.comp => return Err("compression proposed, but compress=no".into()),
        Some(p) => {
            let cpi = match *p.spi {
                [a, b] | [0, 0, a, b] => u32::from(u16::from_be_bytes([a, b])),
                _ => 0,
            };
            if cpi < MIN_SPI {
                return Err("invalid CPI in IPsec SA proposal".into());
            }
            let deflate = p.transforms.iter().find(|t| t.id == DEFLATE);
            Some((deflate.ok_or("only IPCOMP_DEFLATE is supported")?, cpi))
        }
    };
    Ok(Some(Bundle { main, spi, comp }))
}

/// Whether a peer may ask for PFS with this group: one that the policy has, or that the conn names for either phase.
fn group_allowed(spec: &ConnSpec, group: DhGroup) -> bool {
    group.class().allowed_by(spec.crypto_policy.unwrap_or_default())
        || spec.pfs_group == Some(group)
        || spec.ike.iter().any(|s| s.group == group)
}

/// The responder's choice: the first transform, in the initiator's order, that `spec` allows.
///
/// # Errors
/// What was wrong with each transform, for the log.
pub(crate) fn choose(
    sa: &SaPayload<'_>,
    spec: &ConnSpec,
    natt: NatT,
) -> Result<(Answer, Offered), Vec<String>> {
    let mut why = Vec::new();
    for group in sa.proposals.chunk_by(|a, b| a.number == b.number) {
        let group: Vec<&Proposal<'_>> = group.iter().collect();
        let b = match bundle(&group, spec, natt) {
            Ok(Some(b)) => b,
            Ok(None) => continue,
            Err(e) => {
                why.push(e);
                continue;
            }
        };
        let proto = layers(spec).proto;
        for t in &b.main.transforms {
            match read(proto, t, b.spi, natt) {
                Ok(Offered { group: Some(g), .. }) if !group_allowed(spec, g) => why.push(format!(
                    "OAKLEY_GROUP_{} for PFS is not allowed by crypto-policy=; pfsgroup={} would allow it",
                    g.name().to_uppercase(),
                    g.name()
                )),
                Ok(mut o) if allowed(spec, proto, o.suite) => {
                    let mut parts = vec![(b.main.protocol, t.number, t.id, t.raw_attrs.to_vec())];
                    if let Some((t, cpi)) = b.comp {
                        (o.cpi, o.layers.comp) = (cpi, true);
                        parts.push((PROTO_IPCOMP, t.number, t.id, t.raw_attrs.to_vec()));
                    }
                    return Ok((Answer { number: b.main.number, parts }, o));
                }
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
