//! Phase 2 proposals (RFC 2407 §4.4.3 to §4.5, RFC 3173 §4): ESP, AH and IPComp transforms offered and taken.
//!
//! ```text
//!  compress=yes:   #0 ESP | AH      #0 IPCOMP       together, or
//!                  #1 ESP | AH                      alone
//! ```

mod read;
#[cfg(test)]
mod tests;

use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite, PolicyClass};
use ipsec_types::conn::{ConnSpec, Phase2};
use ipsec_types::kernel::{Layers, Mode, SaProto};

use super::natt::NatT;
use crate::wire::attr;
use crate::wire::sa::{PROTO_AH, PROTO_ESP, PROTO_IPCOMP, SaWriter};

pub(crate) use read::{Answer, NOT_ALLOWED, choose, suites};

const ATTR_LIFE_TYPE: u16 = 1;
const ATTR_LIFE: u16 = 2;
const ATTR_GROUP: u16 = 3;
const ATTR_ENCAPSULATION: u16 = 4;
const ATTR_INTEG: u16 = 5;
const ATTR_KEY_LEN: u16 = 6;
const ATTR_ESN: u16 = 11;
const LIFE_SECONDS: u64 = 1;
const LIFE_KILOBYTES: u64 = 2;
/// IPCOMP_DEFLATE.
const DEFLATE: u8 = 2;

/// Smallest SPI that is not reserved (RFC 4303 §2.1), and smallest CPI that is not (RFC 3173 §3.3).
pub(crate) const MIN_SPI: u32 = 256;

/// Protocol number in proposals and Delete payloads.
pub(crate) fn number(proto: SaProto) -> u8 {
    match proto {
        SaProto::Esp => PROTO_ESP,
        SaProto::Ah => PROTO_AH,
        SaProto::Comp => PROTO_IPCOMP,
    }
}

/// What `phase2=` and `compress=` ask for.
pub(crate) fn layers(spec: &ConnSpec) -> Layers {
    let proto = if spec.phase2 == Phase2::Ah { SaProto::Ah } else { SaProto::Esp };
    Layers { proto, comp: spec.compress }
}

/// What an initiator offers when `esp=` is not set.
fn default_suites(proto: SaProto) -> Vec<EspSuite> {
    let suite = |cipher, integ| EspSuite { cipher, integ };
    match proto {
        SaProto::Ah => {
            [EspInteg::Sha256, EspInteg::Sha1, EspInteg::Md5].map(|i| suite(EspCipher::Null, i)).to_vec()
        }
        SaProto::Esp | SaProto::Comp => [
            suite(EspCipher::Aes(128), EspInteg::Sha1),
            suite(EspCipher::Aes(256), EspInteg::Sha1),
            suite(EspCipher::Aes(256), EspInteg::Sha256),
            suite(EspCipher::Aes(128), EspInteg::Sha256),
            suite(EspCipher::TripleDes, EspInteg::Sha1),
        ]
        .to_vec(),
    }
}

/// How far a suite can be trusted. AH has no cipher.
pub(crate) fn class(proto: SaProto, suite: EspSuite) -> PolicyClass {
    match proto {
        SaProto::Ah => suite.integ.class(),
        SaProto::Esp | SaProto::Comp => suite.class(),
    }
}

/// `esp=`, or what of the default list the policy allows.
pub(crate) fn offered(spec: &ConnSpec) -> Vec<EspSuite> {
    let proto = layers(spec).proto;
    match spec.esp.is_empty() {
        true => default_suites(proto).into_iter().filter(|s| allowed(spec, proto, *s)).collect(),
        false => spec.esp.clone(),
    }
}

/// `proposal=` of Openswan's lines: `defaults`, or the suites of `esp=` with their numbers and key bits, as
/// `AES(12)_128-SHA1(2)_160, 3DES(3)_192-MD5(1)_128`. AH has no cipher.
pub(crate) fn words(spec: &ConnSpec) -> String {
    let ah = layers(spec).proto == SaProto::Ah;
    let one = |s: &EspSuite| {
        let (cipher, integ) = (s.cipher.name(), s.integ.name());
        let cipher = cipher.rsplit_once('_').map_or(&*cipher, |(name, _)| name);
        let integ = integ.strip_prefix("HMAC_").unwrap_or(integ);
        let bits = s.cipher.key_len_attribute().map_or(8 * s.cipher.key_len(), usize::from);
        let integ = format!("{integ}({})_{:03}", s.integ.number(), 8 * s.integ.key_len());
        if ah { integ } else { format!("{cipher}({})_{bits:03}-{integ}", s.cipher.number()) }
    };
    match spec.esp.is_empty() {
        true => "defaults".into(),
        false => spec.esp.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}

/// A list in the conn is exclusive; without one the named policy decides.
pub(crate) fn allowed(spec: &ConnSpec, proto: SaProto, suite: EspSuite) -> bool {
    // Cut tags are not negotiated: on the wire they are plain SHA2-256.
    let plain = |s: &EspSuite| EspSuite {
        integ: if s.integ == EspInteg::Sha256Trunc96 { EspInteg::Sha256 } else { s.integ },
        ..*s
    };
    match spec.esp.is_empty() {
        true => class(proto, suite).allowed_by(spec.crypto_policy.unwrap_or_default()),
        false => spec.esp.iter().any(|s| plain(s) == suite),
    }
}

/// The SA payload an initiator sends; `cpi` is 0 without compression.
pub(crate) fn offer(
    spec: &ConnSpec,
    mode: Mode,
    natt: NatT,
    pfs: Option<DhGroup>,
    spi: u32,
    cpi: u32,
) -> Vec<u8> {
    let proto = layers(spec).proto;
    let tunnel = mode == Mode::Tunnel;
    let encapsulation = match natt.method.filter(|_| natt.detected()) {
        Some(m) => m.encapsulation(tunnel),
        None => 2 - u16::from(tunnel),
    };
    let common = || {
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
        a
    };
    let transforms: Vec<(u8, u8, Vec<u8>)> = offered(spec)
        .iter()
        .take(64)
        .enumerate()
        .map(|(i, s)| {
            let mut a = common();
            if s.integ != EspInteg::None {
                attr::emit(ATTR_INTEG, s.integ.number().into(), &mut a);
            }
            if let Some(bits) = s.cipher.key_len_attribute() {
                attr::emit(ATTR_KEY_LEN, bits.into(), &mut a);
            }
            let id = if proto == SaProto::Ah { s.integ.ah_transform() } else { s.cipher.number() };
            (i as u8, id, a)
        })
        .collect();
    let mut w = SaWriter::new();
    let (protocol, spi) = (number(proto), spi.to_be_bytes());
    let alone = match u16::try_from(cpi) {
        Ok(cpi @ 1..) => {
            w.proposal(0, protocol, &spi, &transforms, false);
            w.proposal(0, PROTO_IPCOMP, &cpi.to_be_bytes(), &[(0, DEFLATE, common())], false);
            1
        }
        _ => 0,
    };
    w.proposal(alone, protocol, &spi, &transforms, true);
    w.finish()
}

/// The smaller of our limit and the peer's, in octets; 0 is none.
pub(crate) fn smaller_life(ours: u64, theirs: Option<u64>) -> u64 {
    [Some(ours), theirs].into_iter().flatten().filter(|n| *n > 0).min().unwrap_or(0)
}
