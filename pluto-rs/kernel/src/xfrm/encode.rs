//! Requests to the kernel: from the engine's words to XFRM messages.
//!
//! Nothing here may be printed: the message types show keys in their `Debug`. What holds a key is wiped on drop.

use std::net::IpAddr;

use ipsec_types::algo::{EspCipher, EspInteg};
use ipsec_types::kernel::{
    Dir, Encap, Mark, Mode, PolicyAction, PolicyId, PolicySpec, SaId, SaProto, SaSpec, Selector,
};
use netlink_packet_core::Emitable;
use netlink_packet_xfrm::constants::{
    UDP_ENCAP_ESPINUDP, XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL, XFRM_POLICY_ALLOW, XFRM_POLICY_BLOCK,
    XFRM_POLICY_FWD, XFRM_POLICY_IN, XFRM_POLICY_OUT,
};
use netlink_packet_xfrm::policy::{DelGetMessage as PolicyIdMessage, ModifyMessage as PolicyMessage};
use netlink_packet_xfrm::state::{AllocSpiMessage, DelGetMessage as SaIdMessage, ModifyMessage};
use netlink_packet_xfrm::{
    Address, Alg, AlgAead, AlgAuth, EncapTmpl, Id, LifetimeConfig, Mark as RawMark, ReplayEsn,
    Selector as RawSelector, UserPolicyId, UserPolicyInfo, UserSaId, UserSaInfo, UserSpiInfo, UserTemplate,
    XFRM_ALG_NAME_LEN, XfrmAttrs,
};
use zeroize::Zeroize;

use super::decode::PolicyState;

/// SPIs the kernel draws from: the upper quarter, away from those people choose by hand.
const SPI_RANGE: std::ops::RangeInclusive<u32> = 0xc000_0000..=0xffff_ffff;
/// CPIs that are negotiated (RFC 3173 section 3.3).
const CPI_RANGE: std::ops::RangeInclusive<u32> = 256..=61_439;
/// Highest direction of a policy that is not a socket's.
pub(super) const LAST_DIRECTION: u8 = XFRM_POLICY_FWD;
/// `XFRM_STATE_AF_UNSPEC`: inner packets may be of the other family.
const AF_UNSPEC_FLAG: u8 = 32;
/// Largest window of the fixed struct; above it comes the attribute with a bitmap.
const SMALL_WINDOW: u32 = 32;
/// Largest window the kernel takes (`XFRMA_REPLAY_ESN_MAX`, in packets).
const LARGEST_WINDOW: u32 = 4096;

/// `EINVAL`, before the kernel says it.
#[derive(Debug)]
pub(super) struct Invalid;

fn family(a: IpAddr) -> u16 {
    // AF_INET is 2, AF_INET6 is 10: both fit.
    (if a.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u16
}

fn mode(m: Mode) -> u8 {
    match m {
        Mode::Transport => XFRM_MODE_TRANSPORT,
        Mode::Tunnel => XFRM_MODE_TUNNEL,
    }
}

/// IP protocol number.
pub(super) fn protocol(p: SaProto) -> u8 {
    match p {
        SaProto::Esp => 50,
        SaProto::Ah => 51,
        SaProto::Comp => 108,
    }
}

fn alg_name(name: &str) -> [u8; XFRM_ALG_NAME_LEN] {
    let mut field = [0; XFRM_ALG_NAME_LEN];
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    field
}

fn cipher_name(c: EspCipher) -> &'static str {
    match c {
        EspCipher::Des => "cbc(des)",
        EspCipher::TripleDes => "cbc(des3_ede)",
        EspCipher::Null => "ecb(cipher_null)",
        EspCipher::Aes(_) => "cbc(aes)",
        EspCipher::AesCtr(_) => "rfc3686(ctr(aes))",
        EspCipher::AesCcm(..) => "rfc4309(ccm(aes))",
        EspCipher::AesGcm(..) => "rfc4106(gcm(aes))",
        EspCipher::AesGmac(_) => "rfc4543(gcm(aes))",
        EspCipher::Camellia(_) => "cbc(camellia)",
        EspCipher::ChaCha20Poly1305 => "rfc7539esp(chacha20,poly1305)",
    }
}

/// `None` where the cipher does it.
fn integ_name(i: EspInteg) -> Option<&'static str> {
    Some(match i {
        EspInteg::None => return None,
        EspInteg::Md5 => "hmac(md5)",
        EspInteg::Sha1 => "hmac(sha1)",
        EspInteg::Sha256 | EspInteg::Sha256Trunc96 => "hmac(sha256)",
        EspInteg::Sha384 => "hmac(sha384)",
        EspInteg::Sha512 => "hmac(sha512)",
        EspInteg::AesXcbc => "xcbc(aes)",
        EspInteg::AesCmac => "cmac(aes)",
    })
}

fn bits(key: &[u8]) -> Result<u32, Invalid> {
    u32::try_from(key.len()).ok().and_then(|n| n.checked_mul(8)).ok_or(Invalid)
}

fn sa_info(id: &SaId, reqid: u32) -> Result<UserSaInfo, Invalid> {
    if id.src.is_ipv4() != id.dst.is_ipv4() {
        return Err(Invalid);
    }
    Ok(UserSaInfo {
        id: Id { daddr: Address::from_ip(&id.dst), spi: id.spi, proto: protocol(id.proto) },
        saddr: Address::from_ip(&id.src),
        lifetime_cfg: LifetimeConfig::default(),
        reqid,
        family: family(id.dst),
        ..UserSaInfo::default()
    })
}

/// `XFRM_MSG_ALLOCSPI`.
pub(super) fn alloc_spi(
    src: IpAddr,
    dst: IpAddr,
    reqid: u32,
    proto: SaProto,
) -> Result<AllocSpiMessage, Invalid> {
    let info = sa_info(&SaId { src, dst, spi: 0, proto }, reqid)?;
    let range = if proto == SaProto::Comp { CPI_RANGE } else { SPI_RANGE };
    let spi_info = UserSpiInfo { info, min: *range.start(), max: *range.end() };
    Ok(AllocSpiMessage { spi_info, nlas: Vec::new() })
}

/// `XFRM_MSG_NEWSA` and `XFRM_MSG_UPDSA`, with keys. Wiped on drop, and not to be printed.
pub(super) struct SaMessage(ModifyMessage);

impl Emitable for SaMessage {
    fn buffer_len(&self) -> usize {
        self.0.buffer_len()
    }
    fn emit(&self, buffer: &mut [u8]) {
        self.0.emit(buffer);
    }
}

impl Drop for SaMessage {
    fn drop(&mut self) {
        for attr in &mut self.0.nlas {
            match attr {
                XfrmAttrs::EncryptionAlg(a) => a.alg_key.zeroize(),
                XfrmAttrs::EncryptionAlgAead(a) => a.alg_key.zeroize(),
                XfrmAttrs::AuthenticationAlgTrunc(a) => a.alg_key.zeroize(),
                _ => {}
            }
        }
    }
}

/// The message for `spec`. `hard_seconds` stands in for the one in `spec`; `replay` is the state of a predecessor.
pub(super) fn sa(spec: &SaSpec, hard_seconds: u64, replay: Option<XfrmAttrs>) -> Result<SaMessage, Invalid> {
    let (cipher_key, integ_key) = (spec.cipher_key.expose(), spec.integ_key.expose());
    let sound = match spec.id.proto {
        SaProto::Esp => spec.cipher.tag_len().is_some() == (spec.integ == EspInteg::None),
        SaProto::Ah => spec.cipher == EspCipher::Null && spec.integ != EspInteg::None,
        SaProto::Comp => spec.cipher == EspCipher::Null && spec.integ == EspInteg::None,
    };
    if !sound
        || cipher_key.len() != spec.cipher.key_len()
        || integ_key.len() != spec.integ.key_len()
        || spec.replay_window > LARGEST_WINDOW
    {
        return Err(Invalid);
    }
    let mut info = sa_info(&spec.id, spec.reqid)?;
    info.mode = mode(spec.mode);
    let life = &mut info.lifetime_cfg;
    life.hard_add_expires_seconds = hard_seconds;
    let limit = |n| if n == 0 { u64::MAX } else { n };
    (life.soft_byte_limit, life.hard_byte_limit) = (limit(spec.life_bytes.0), limit(spec.life_bytes.1));
    (life.soft_packet_limit, life.hard_packet_limit) =
        (limit(spec.life_packets.0), limit(spec.life_packets.1));
    if spec.mode == Mode::Tunnel {
        info.flags |= AF_UNSPEC_FLAG;
    }
    // Counted by the drop guard from here on, whatever happens below.
    let mut message = SaMessage(ModifyMessage { user_sa_info: info, nlas: Vec::new() });
    let ModifyMessage { user_sa_info: info, nlas } = &mut message.0;
    match (spec.id.proto, spec.cipher.tag_len()) {
        (SaProto::Ah, _) => {}
        (SaProto::Comp, _) => nlas.push(XfrmAttrs::CompressionAlg(Alg {
            alg_name: alg_name("deflate"),
            alg_key_len: 0,
            alg_key: Vec::new(),
        })),
        (SaProto::Esp, None) => nlas.push(XfrmAttrs::EncryptionAlg(Alg {
            alg_name: alg_name(cipher_name(spec.cipher)),
            alg_key_len: bits(cipher_key)?,
            alg_key: cipher_key.to_vec(),
        })),
        (SaProto::Esp, Some(tag)) => nlas.push(XfrmAttrs::EncryptionAlgAead(AlgAead {
            alg_name: alg_name(cipher_name(spec.cipher)),
            alg_key_len: bits(cipher_key)?,
            alg_icv_len: u32::from(tag) * 8,
            alg_key: cipher_key.to_vec(),
        })),
    }
    if let Some(name) = integ_name(spec.integ) {
        nlas.push(XfrmAttrs::AuthenticationAlgTrunc(AlgAuth {
            alg_name: alg_name(name),
            alg_key_len: bits(integ_key)?,
            alg_trunc_len: spec.integ.trunc_bits(),
            alg_key: integ_key.to_vec(),
        }));
    }
    match u8::try_from(spec.replay_window) {
        Ok(small) if spec.replay_window <= SMALL_WINDOW => info.replay_window = small,
        _ if replay.is_none() => {
            let words = spec.replay_window.div_ceil(32);
            nlas.push(XfrmAttrs::ReplayStateEsn(ReplayEsn {
                bmp_len: words,
                oseq: 0,
                seq: 0,
                oseq_hi: 0,
                seq_hi: 0,
                replay_window: spec.replay_window,
                bmp: (0..words).map(|_| 0).collect(),
            }));
        }
        _ => {}
    }
    nlas.extend(replay);
    nlas.extend(spec.encap.map(|e| XfrmAttrs::EncapsulationTemplate(encap(e))));
    if let Some(m) = spec.set_mark {
        nlas.push(XfrmAttrs::MarkVal(m.value));
        nlas.push(XfrmAttrs::MarkMask(m.mask));
    }
    Ok(message)
}

fn encap(e: Encap) -> EncapTmpl {
    EncapTmpl {
        encap_type: UDP_ENCAP_ESPINUDP,
        encap_sport: e.sport,
        encap_dport: e.dport,
        encap_oa: e.original.map_or_else(Address::default, |a| Address::from_ip(&a)),
    }
}

/// `XFRM_MSG_DELSA` and `XFRM_MSG_GETSA`.
pub(super) fn sa_id(id: &SaId, mark: Option<RawMark>) -> SaIdMessage {
    SaIdMessage {
        user_sa_id: UserSaId {
            daddr: Address::from_ip(&id.dst),
            spi: id.spi,
            family: family(id.dst),
            proto: protocol(id.proto),
        },
        nlas: mark.map(XfrmAttrs::Mark).into_iter().collect(),
    }
}

fn raw_mark(m: Mark) -> RawMark {
    RawMark { value: m.value, mask: m.mask }
}

fn selector(s: &Selector) -> Result<RawSelector, Invalid> {
    let (src, dst) = (s.src.trunc(), s.dst.trunc());
    if src.addr().is_ipv4() != dst.addr().is_ipv4() {
        return Err(Invalid);
    }
    let all_bits = |port: u16| if port == 0 { 0 } else { u16::MAX };
    Ok(RawSelector {
        daddr: Address::from_ip(&dst.addr()),
        saddr: Address::from_ip(&src.addr()),
        dport: s.dport,
        dport_mask: all_bits(s.dport),
        sport: s.sport,
        sport_mask: all_bits(s.sport),
        family: family(dst.addr()),
        prefixlen_d: dst.prefix_len(),
        prefixlen_s: src.prefix_len(),
        proto: s.proto,
        ifindex: 0,
        user: 0,
    })
}

fn direction(d: Dir) -> u8 {
    match d {
        Dir::In => XFRM_POLICY_IN,
        Dir::Out => XFRM_POLICY_OUT,
        Dir::Fwd => XFRM_POLICY_FWD,
    }
}

/// `XFRM_MSG_NEWPOLICY` and `XFRM_MSG_UPDPOLICY`.
pub(super) fn policy(spec: &PolicySpec) -> Result<PolicyMessage, Invalid> {
    let mut nlas = Vec::new();
    let action = match spec.action {
        PolicyAction::Esp { src, dst, reqid, mode: m, layers } => {
            if src.is_ipv4() != dst.is_ipv4() {
                return Err(Invalid);
            }
            let template = |proto, m, optional| UserTemplate {
                id: Id { daddr: Address::from_ip(&dst), spi: 0, proto: protocol(proto) },
                family: family(dst),
                saddr: Address::from_ip(&src),
                reqid,
                mode: mode(m),
                optional: u8::from(optional),
                ..UserTemplate::default()
            };
            // The innermost first. What did not get smaller comes uncompressed.
            nlas.push(XfrmAttrs::Template(match layers.comp {
                false => vec![template(layers.proto, m, false)],
                true => vec![
                    template(SaProto::Comp, m, spec.id.dir != Dir::Out),
                    template(layers.proto, Mode::Transport, false),
                ],
            }));
            XFRM_POLICY_ALLOW
        }
        _ if !crate::is_shunt_priority(spec.priority) => return Err(Invalid),
        PolicyAction::Block => XFRM_POLICY_BLOCK,
        PolicyAction::Allow => XFRM_POLICY_ALLOW,
    };
    nlas.extend(spec.id.mark.map(|m| XfrmAttrs::Mark(raw_mark(m))));
    let user_policy_info = UserPolicyInfo {
        selector: selector(&spec.id.selector)?,
        lifetime_cfg: LifetimeConfig::default(),
        priority: spec.priority,
        direction: direction(spec.id.dir),
        action,
        ..UserPolicyInfo::default()
    };
    Ok(PolicyMessage { user_policy_info, nlas })
}

/// `XFRM_MSG_GETPOLICY` and `XFRM_MSG_DELPOLICY` by name.
pub(super) fn policy_id(id: &PolicyId) -> Result<PolicyIdMessage, Invalid> {
    Ok(PolicyIdMessage {
        user_policy_id: UserPolicyId {
            selector: selector(&id.selector)?,
            index: 0,
            direction: direction(id.dir),
        },
        nlas: id.mark.map(|m| XfrmAttrs::Mark(raw_mark(m))).into_iter().collect(),
    })
}

/// `XFRM_MSG_DELPOLICY` of exactly the policy that was read, by its index.
pub(super) fn policy_index(found: &PolicyState) -> PolicyIdMessage {
    let mut nlas: Vec<_> = found.mark.map(XfrmAttrs::Mark).into_iter().collect();
    nlas.extend(found.if_id.map(XfrmAttrs::IfId));
    PolicyIdMessage {
        user_policy_id: UserPolicyId {
            selector: found.info.selector,
            index: found.info.index,
            direction: found.info.direction,
        },
        nlas,
    }
}

#[cfg(test)]
mod tests {
    use ipsec_types::SecretBytes;

    use super::*;

    /// The kernel takes 0 for a limit that is reached.
    #[test]
    fn octets_and_packets_have_a_limit_where_one_is_given() {
        let addr = |text: &str| text.parse().unwrap();
        let spec = SaSpec {
            id: SaId { src: addr("192.0.2.1"), dst: addr("192.0.2.2"), spi: 0x100, proto: SaProto::Esp },
            reqid: 1,
            mode: Mode::Transport,
            cipher: EspCipher::Aes(128),
            cipher_key: SecretBytes::new(vec![1; 16]),
            integ: EspInteg::Sha1,
            integ_key: SecretBytes::new(vec![2; 20]),
            encap: None,
            replay_window: 32,
            hard_seconds: 3600,
            life_bytes: (0, 0),
            life_packets: (0, 0),
            set_mark: None,
            inbound: true,
        };
        let limits = |spec: &SaSpec| {
            let life = &sa(spec, 3600, None).unwrap().0.user_sa_info.lifetime_cfg;
            [(life.soft_byte_limit, life.hard_byte_limit), (life.soft_packet_limit, life.hard_packet_limit)]
        };
        let none = (u64::MAX, u64::MAX);
        assert_eq!(limits(&spec), [none, none]);
        assert_eq!(limits(&SaSpec { life_packets: (900, 1000), ..spec.clone() }), [none, (900, 1000)]);
        assert_eq!(limits(&SaSpec { life_bytes: (9, 10), ..spec }), [(9, 10), none]);
    }
}
