//! What the kernel sends, from octets to data.
//!
//! ```text
//! nlmsghdr  | length u32 | type u16 | flags u16 | sequence u32 | port u32 | body, padded to 4
//! body      | fixed struct of the type | attributes: length u16, kind u16, value, padded to 4 …
//! ```
//! Every length is checked before it is used: a short or lying message yields nothing. Attributes with keys are
//! passed over and never copied.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ipsec_types::kernel::{KernelEvent, REQID_RANGE, SaId, SaProto, SaUsage, Selector};
use netlink_packet_xfrm::constants::{
    XFRM_MSG_ACQUIRE, XFRM_MSG_EXPIRE, XFRM_MSG_MAPPING, XFRMA_IF_ID, XFRMA_LASTUSED, XFRMA_MARK,
    XFRMA_REPLAY_ESN_VAL, XFRMA_REPLAY_VAL, XFRMA_TMPL,
};
use netlink_packet_xfrm::{
    Address, Mark, Replay, ReplayEsn, Selector as RawSelector, UserAcquire, UserExpire, UserMapping,
    UserPolicyInfo, UserSaInfo, UserTemplate, XFRM_USER_ACQUIRE_LEN, XFRM_USER_POLICY_INFO_LEN,
    XFRM_USER_SA_INFO_LEN, XFRM_USER_TEMPLATE_LEN, XfrmAttrs,
};

const HEADER_LEN: usize = 16;
/// Kind bits of an attribute header; the others are flags.
const KIND_MASK: u16 = 0x3fff;

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Cuts `len` octets off the front of `rest`, and the padding after them.
fn cut<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let item = rest.get(..len)?;
    *rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some(item)
}

/// One netlink message of a datagram.
pub(super) struct Frame<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) seq: u32,
    pub(super) body: &'a [u8],
}

impl Frame<'_> {
    /// The error number of an `NLMSG_ERROR`: 0 is an acknowledgement.
    pub(super) fn errno(&self) -> Option<i32> {
        u32_at(self.body, 0).map(|n| n.cast_signed().wrapping_neg())
    }
}

/// The messages of a datagram; stops at the first that does not fit.
pub(super) struct Frames<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let len = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let message = cut(&mut self.0, len)?;
        Some(Frame {
            kind: u16_at(message, 4)?,
            flags: u16_at(message, 6)?,
            seq: u32_at(message, 8)?,
            body: message.get(HEADER_LEN..)?,
        })
    }
}

/// The attributes after a fixed struct; stops at the first that does not fit.
struct Attrs<'a>(&'a [u8]);

impl<'a> Attrs<'a> {
    fn after(body: &'a [u8], fixed: usize) -> Self {
        Attrs(body.get(fixed.next_multiple_of(4)..).unwrap_or_default())
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let len = usize::from(u16_at(self.0, 0)?);
        let attr = cut(&mut self.0, len)?;
        Some((u16_at(attr, 2)? & KIND_MASK, attr.get(4..)?))
    }
}

fn address(family: u16, a: &Address) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => Some(a.to_ipv4().into()),
        libc::AF_INET6 => Some(a.to_ipv6().into()),
        _ => None,
    }
}

fn selector(raw: &RawSelector) -> Option<Selector> {
    let net = |a, len| IpNet::new(address(raw.family, a)?, len).ok();
    Some(Selector {
        src: net(&raw.saddr, raw.prefixlen_s)?,
        dst: net(&raw.daddr, raw.prefixlen_d)?,
        proto: raw.proto,
        sport: raw.sport,
        dport: raw.dport,
    })
}

fn templates(value: &[u8]) -> impl Iterator<Item = UserTemplate> + '_ {
    value.chunks_exact(XFRM_USER_TEMPLATE_LEN).filter_map(|t| UserTemplate::parse(t).ok())
}

fn protocol(number: u8) -> Option<SaProto> {
    [SaProto::Esp, SaProto::Ah, SaProto::Comp].into_iter().find(|p| super::encode::protocol(*p) == number)
}

fn sa_id(info: &UserSaInfo) -> Option<SaId> {
    let src = address(info.family, &info.saddr)?;
    let dst = address(info.family, &info.id.daddr)?;
    Some(SaId { src, dst, spi: info.id.spi, proto: protocol(info.id.proto)? })
}

/// The news in a datagram of the event socket. News of SAs and policies that are not ours are left out, as is
/// everything that is not understood.
pub fn decode_events(datagram: &[u8]) -> Vec<KernelEvent> {
    Frames(datagram).filter_map(|f| event(&f)).collect()
}

fn event(frame: &Frame<'_>) -> Option<KernelEvent> {
    match frame.kind {
        XFRM_MSG_EXPIRE => {
            let expire = UserExpire::parse(frame.body).ok()?;
            let ours = REQID_RANGE.contains(&expire.state.reqid);
            let id = sa_id(&expire.state)?;
            ours.then_some(KernelEvent::Expire { id, hard: expire.hard != 0 })
        }
        XFRM_MSG_ACQUIRE => {
            let acquire = UserAcquire::parse(frame.body).ok()?;
            let (_, value) =
                Attrs::after(frame.body, XFRM_USER_ACQUIRE_LEN).find(|(k, _)| *k == XFRMA_TMPL)?;
            let reqid = templates(value).map(|t| t.reqid).find(|r| REQID_RANGE.contains(r))?;
            Some(KernelEvent::Acquire { selector: selector(&acquire.selector)?, reqid })
        }
        XFRM_MSG_MAPPING => {
            let mapping = UserMapping::parse(frame.body).ok()?;
            let family = mapping.id.family;
            let id = SaId {
                src: address(family, &mapping.old_saddr)?,
                dst: address(family, &mapping.id.daddr)?,
                spi: mapping.id.spi,
                proto: protocol(mapping.id.proto)?,
            };
            let new = SocketAddr::new(address(family, &mapping.new_saddr)?, mapping.new_sport);
            REQID_RANGE.contains(&mapping.reqid).then_some(KernelEvent::Mapping { id, new })
        }
        _ => None,
    }
}

/// What is read of an SA (`XFRM_MSG_NEWSA` as an answer).
pub(super) struct SaState {
    pub(super) info: UserSaInfo,
    /// `None` for a family that is none.
    pub(super) id: Option<SaId>,
    pub(super) mark: Option<Mark>,
    pub(super) usage: SaUsage,
    /// Sequence numbers and window, to be carried over to a successor.
    pub(super) replay: Option<XfrmAttrs>,
}

pub(super) fn sa_state(body: &[u8]) -> Option<SaState> {
    let info = UserSaInfo::parse(body).ok()?;
    let cur = &info.lifetime_cur;
    let mut state = SaState {
        id: sa_id(&info),
        mark: None,
        usage: SaUsage {
            bytes: cur.bytes,
            packets: cur.packets,
            last_used: cur.use_time,
            integrity_failed: info.stats.integrity_failed,
        },
        replay: None,
        info,
    };
    for (kind, value) in Attrs::after(body, XFRM_USER_SA_INFO_LEN) {
        match kind {
            XFRMA_MARK => state.mark = Mark::parse(value).ok(),
            XFRMA_LASTUSED => {
                if let Some(seconds) = value.try_into().ok().map(u64::from_ne_bytes) {
                    state.usage.last_used = seconds;
                }
            }
            XFRMA_REPLAY_ESN_VAL => {
                state.replay = ReplayEsn::parse(value).ok().map(XfrmAttrs::ReplayStateEsn)
            }
            XFRMA_REPLAY_VAL if state.replay.is_none() => {
                state.replay = Replay::parse(value).ok().map(XfrmAttrs::ReplayState);
            }
            _ => {}
        }
    }
    Some(state)
}

/// What is read of a policy (`XFRM_MSG_NEWPOLICY` as an answer).
pub(super) struct PolicyState {
    pub(super) info: UserPolicyInfo,
    pub(super) mark: Option<Mark>,
    pub(super) if_id: Option<u32>,
    reqids: Vec<u32>,
}

impl PolicyState {
    /// Whether it is one of ours: by the reqid of a template, or, without templates, by its priority. A policy of a
    /// socket (directions 3 and up) goes away with the socket and is nobody's.
    pub(super) fn is_ours(&self) -> bool {
        self.info.direction <= super::encode::LAST_DIRECTION
            && match self.reqids.as_slice() {
                [] => crate::is_shunt_priority(self.info.priority),
                reqids => reqids.iter().any(|r| REQID_RANGE.contains(r)),
            }
    }
}

pub(super) fn policy_state(body: &[u8]) -> Option<PolicyState> {
    let info = UserPolicyInfo::parse(body).ok()?;
    let mut state = PolicyState { info, mark: None, if_id: None, reqids: Vec::new() };
    for (kind, value) in Attrs::after(body, XFRM_USER_POLICY_INFO_LEN) {
        match kind {
            XFRMA_MARK => state.mark = Mark::parse(value).ok(),
            XFRMA_IF_ID => state.if_id = u32_at(value, 0),
            XFRMA_TMPL => state.reqids = templates(value).map(|t| t.reqid).collect(),
            _ => {}
        }
    }
    Some(state)
}

/// Reads a datagram as every kind of answer there is; for fuzzing.
pub fn decode_answers(datagram: &[u8]) -> usize {
    Frames(datagram)
        .filter(|f| {
            let sa = sa_state(f.body).is_some_and(|s| s.id.is_some());
            let policy = policy_state(f.body).is_some_and(|p| p.is_ours());
            f.errno().is_some() || sa || policy
        })
        .count()
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use netlink_packet_xfrm::UserSaId;
    use proptest::prelude::*;

    use super::*;

    const OURS: u32 = *REQID_RANGE.start();

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = (16 + body.len() as u32).to_ne_bytes().to_vec();
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(body);
        out
    }

    fn emitted(e: &impl Emitable) -> Vec<u8> {
        let mut out = vec![0; e.buffer_len()];
        e.emit(&mut out);
        out
    }

    fn ip(text: &str) -> Address {
        Address::from_ip(&text.parse().unwrap())
    }

    fn expire(reqid: u32) -> Vec<u8> {
        let mut state = UserSaInfo { saddr: ip("192.0.2.1"), reqid, family: 2, ..UserSaInfo::default() };
        (state.id.daddr, state.id.spi, state.id.proto) = (ip("192.0.2.2"), 0xc001_0203, 50);
        message(XFRM_MSG_EXPIRE, &emitted(&UserExpire { state, hard: 1 }))
    }

    fn acquire(reqid: u32) -> Vec<u8> {
        let selector = RawSelector {
            daddr: ip("192.0.2.2"),
            saddr: ip("192.0.2.1"),
            dport: 1701,
            sport: 1701,
            family: 2,
            prefixlen_d: 32,
            prefixlen_s: 32,
            proto: 17,
            ..RawSelector::default()
        };
        let mut body = emitted(&UserAcquire { selector, ..UserAcquire::default() });
        let template = UserTemplate { reqid, ..UserTemplate::default() };
        body.extend_from_slice(&(4 + XFRM_USER_TEMPLATE_LEN as u16).to_ne_bytes());
        body.extend_from_slice(&XFRMA_TMPL.to_ne_bytes());
        body.extend_from_slice(&emitted(&template));
        message(XFRM_MSG_ACQUIRE, &body)
    }

    fn mapping(reqid: u32) -> Vec<u8> {
        let mapping = UserMapping {
            id: UserSaId { daddr: ip("192.0.2.1"), spi: 7, family: 2, proto: 50 },
            reqid,
            old_saddr: ip("198.51.100.2"),
            new_saddr: ip("198.51.100.3"),
            old_sport: 4500,
            new_sport: 61000,
        };
        message(XFRM_MSG_MAPPING, &emitted(&mapping))
    }

    #[test]
    fn news_of_ours_is_told_and_of_others_not() {
        let all = |reqid| [expire(reqid), acquire(reqid), mapping(reqid)].concat();
        let told: Vec<String> = decode_events(&all(OURS)).iter().map(|e| format!("{e:?}")).collect();
        assert_eq!(
            told,
            [
                "Expire { id: SaId { src: 192.0.2.1, dst: 192.0.2.2, spi: 3221291523, proto: Esp }, hard: true }"
                    .to_owned(),
                format!(
                    "Acquire {{ selector: Selector {{ src: 192.0.2.1/32, dst: 192.0.2.2/32, proto: 17, \
                     sport: 1701, dport: 1701 }}, reqid: {OURS} }}"
                ),
                "Mapping { id: SaId { src: 198.51.100.2, dst: 192.0.2.1, spi: 7, proto: Esp }, \
                 new: 198.51.100.3:61000 }"
                    .to_owned(),
            ]
        );
        assert!(decode_events(&all(16385)).is_empty());
    }

    /// A library that slices before it checks panics on these.
    #[test]
    fn a_message_cut_short_is_no_news() {
        for whole in [expire(OURS), acquire(OURS), mapping(OURS)] {
            for cut in 0..whole.len() {
                assert!(decode_events(&whole[..cut]).is_empty(), "length beyond the end, {cut}");
                let honest = message(u16::from_ne_bytes([whole[4], whole[5]]), &whole[16..cut.max(16)]);
                assert!(decode_events(&honest).is_empty(), "{cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..700), kind in 0u16..0x30) {
            decode_events(&octets);
            decode_answers(&octets);
            decode_events(&message(kind, &octets));
            decode_answers(&message(kind, &octets));
        }

        #[test]
        fn no_change_of_a_real_message_panics(which in 0usize..3, at in 0usize..400, to in any::<u8>()) {
            let mut octets = [expire(OURS), acquire(OURS), mapping(OURS)][which].clone();
            let at = at % octets.len();
            octets[at] = to;
            decode_events(&octets);
            decode_answers(&octets);
        }
    }
}
