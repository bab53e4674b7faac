//! What the engine asks of the kernel's IPsec, and what the kernel tells: plain data, no netlink.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::algo::{EspCipher, EspInteg};
use crate::secret::SecretBytes;

/// Pairs a request with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReqToken(pub u64);

/// Every SA and policy of ours carries a reqid from this range, so that after a crash our own are known from
/// everybody else's ("clean removal of what is ours only").
/// Behind the first come [`MARKS`] that have a mark; the others are for tunnels, which need none.
pub const REQID_RANGE: std::ops::RangeInclusive<u32> = 0x4379_0000..=0x437c_ffff;

/// Priority of our policies for the narrowest SAs; wider ones come behind, those that want a mark one before.
pub const SA_PRIORITY: u32 = 2080;

/// Priority of our `Block` and `Allow` policies, which have no reqid: behind every SA's, and how they are known.
pub const SHUNT_PRIORITY: u32 = 0x4379_0001;

/// Priority of the policies of `type=passthrough`, `drop` and `reject`: before every SA's, as they make exceptions.
/// With [`SHUNT_PRIORITY`] the only one by which a policy without a reqid is known as ours.
pub const PASS_PRIORITY: u32 = 1743;

/// The bits of a packet mark that are ours: the upper 17. The value 0 is "not through IPsec". They are as many as tell
/// 100,000 clients apart by the mark alone; the lower ones are the administrator's.
pub const MARK_MASK: u32 = 0xffff_8000;

/// How many different marks there are.
pub const MARKS: u32 = MARK_MASK >> MARK_MASK.trailing_zeros();

/// A mark under a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Value; bits outside `mask` are zero.
    pub value: u32,
    /// Which bits count.
    pub mask: u32,
}

/// The mark of what SAs with this reqid decapsulate: the place in [`REQID_RANGE`], from 1 to [`MARKS`], in the bits of
/// [`MARK_MASK`]. `None` for a reqid that has no mark: somebody else's, the first of the range (its mark would be "not
/// through IPsec") or one too far up.
pub fn mark_of_reqid(reqid: u32) -> Option<Mark> {
    let shift = MARK_MASK.trailing_zeros();
    let place = reqid.checked_sub(*REQID_RANGE.start())?;
    (1..=MARKS).contains(&place).then_some(Mark { value: place << shift, mask: MARK_MASK })
}

/// Which protocol an SA is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SaProto {
    /// ESP (RFC 4303).
    #[default]
    Esp,
    /// AH (RFC 4302).
    Ah,
    /// IPComp with DEFLATE (RFC 3173, RFC 2394): its SPI is a CPI, 256 to 61,439.
    Comp,
}

/// What is put around a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layers {
    /// ESP or AH.
    pub proto: SaProto,
    /// IPComp inside it. In tunnel mode the tunnel is IPComp's then, as it is what comes first.
    pub comp: bool,
}

/// Names one SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SaId {
    /// Outer source.
    pub src: IpAddr,
    /// Outer destination.
    pub dst: IpAddr,
    /// Security parameter index, host order.
    pub spi: u32,
    /// Protocol.
    pub proto: SaProto,
}

/// Transport or tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Transport mode.
    Transport,
    /// Tunnel mode.
    Tunnel,
}

/// ESP in UDP (RFC 3948).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encap {
    /// UDP source port of the SA's packets.
    pub sport: u16,
    /// UDP destination port.
    pub dport: u16,
    /// The peer's original address (NAT-OA), if told.
    pub original: Option<IpAddr>,
}

/// Addresses, protocol and ports; `None` and 0 are "all".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Source network.
    pub src: IpNet,
    /// Destination network.
    pub dst: IpNet,
    /// IP protocol, 0 for all.
    pub proto: u8,
    /// Source port, 0 for all.
    pub sport: u16,
    /// Destination port, 0 for all.
    pub dport: u16,
}

/// One SA to install. AH has no cipher ([`EspCipher::Null`]), IPComp neither that nor an integrity algorithm.
#[derive(Clone, Debug)]
pub struct SaSpec {
    /// Name.
    pub id: SaId,
    /// Groups the SA with its policy; in [`REQID_RANGE`].
    pub reqid: u32,
    /// Mode.
    pub mode: Mode,
    /// Encryption.
    pub cipher: EspCipher,
    /// Encryption key.
    pub cipher_key: SecretBytes,
    /// Integrity.
    pub integ: EspInteg,
    /// Integrity key.
    pub integ_key: SecretBytes,
    /// UDP encapsulation.
    pub encap: Option<Encap>,
    /// Anti-replay window in packets; 0 on outbound SAs.
    pub replay_window: u32,
    /// Hard lifetime in seconds, after which the kernel tells [`KernelEvent::Expire`]; 0 is none.
    pub hard_seconds: u64,
    /// Octets after which the kernel tells [`KernelEvent::Expire`], first (soft) and last (hard); 0 is none.
    pub life_bytes: (u64, u64),
    /// Packets, likewise.
    pub life_packets: (u64, u64),
    /// Mark the kernel puts on what this SA decapsulated (`XFRMA_SET_MARK`); inbound only.
    pub set_mark: Option<Mark>,
    /// The larval SA of [`KernelRequest::GetSpi`] is replaced (inbound), or a new SA is added (outbound).
    pub inbound: bool,
}

/// Direction of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dir {
    /// Towards us.
    In,
    /// From us.
    Out,
    /// Through us.
    Fwd,
}

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyAction {
    /// ESP or AH with this template, perhaps IPComp inside.
    Esp {
        /// Outer source.
        src: IpAddr,
        /// Outer destination.
        dst: IpAddr,
        /// Which SA.
        reqid: u32,
        /// Mode.
        mode: Mode,
        /// What is put around the packet.
        layers: Layers,
    },
    /// Drop.
    Block,
    /// Let pass in clear.
    Allow,
}

/// Names one policy: the kernel keys them by selector, direction and mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId {
    /// Selector.
    pub selector: Selector,
    /// Direction.
    pub dir: Dir,
    /// Mark a packet must carry.
    pub mark: Option<Mark>,
}

/// One policy to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Name.
    pub id: PolicyId,
    /// Lower wins.
    pub priority: u32,
    /// What it does. `Block` and `Allow` policies of ours carry a template-less reqid-free entry; the backend
    /// remembers them (and finds them after a crash by their priority, see `ipsec-kernel`).
    pub action: PolicyAction,
}

/// What the engine asks.
#[derive(Clone, Debug)]
pub enum KernelRequest {
    /// Reserve an SPI for an inbound SA (`XFRM_MSG_ALLOCSPI`).
    GetSpi {
        /// Peer.
        src: IpAddr,
        /// Us.
        dst: IpAddr,
        /// Reqid of the SA to come.
        reqid: u32,
        /// Its protocol.
        proto: SaProto,
    },
    /// Install an SA.
    AddSa(Box<SaSpec>),
    /// Change peer address and ports of an encapsulated SA after a NAT mapping change.
    UpdateEncap {
        /// Old name.
        id: SaId,
        /// New name.
        new_id: SaId,
        /// New ports.
        encap: Encap,
    },
    /// Give an SA another integrity algorithm that takes the key it has: SHA2-256 with the other truncation.
    SetIntegrity {
        /// Its name.
        id: SaId,
        /// The algorithm.
        integ: EspInteg,
    },
    /// Remove an SA; one that is gone already is no error.
    DelSa(SaId),
    /// Counters of an SA.
    QuerySa(SaId),
    /// Install or replace a policy (`XFRM_MSG_UPDPOLICY`).
    AddPolicy(PolicySpec),
    /// Remove a policy; one that is gone already is no error.
    DelPolicy(PolicyId),
    /// Remove every SA and policy of ours, whoever installed it (an earlier run that was killed), nobody else's.
    FlushOurs,
}

/// Counters of one SA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaUsage {
    /// Octets.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Wall-clock second of the last packet, 0 for none.
    pub last_used: u64,
    /// Packets that failed the integrity check, which are in no other number.
    pub integrity_failed: u32,
}

/// A good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelReply {
    /// Done.
    Done,
    /// The reserved SPI, host order.
    Spi(u32),
    /// Counters.
    Usage(SaUsage),
    /// What [`KernelRequest::FlushOurs`] removed.
    Flushed {
        /// SAs.
        sas: u32,
        /// Policies.
        policies: u32,
    },
}

/// A bad answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelError {
    /// What was asked, in the words of the log line (`XFRM_MSG_NEWSA`, …).
    pub request: &'static str,
    /// `errno`, or 0 when the kernel did not answer at all.
    pub errno: i32,
    /// Text of it.
    pub text: String,
}

impl std::fmt::Display for KernelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ERROR: netlink response for {} included errno {}: {}", self.request, self.errno, self.text)
    }
}
impl std::error::Error for KernelError {}

/// What the kernel tells by itself, and answers.
#[derive(Clone, Debug)]
pub enum KernelEvent {
    /// The answer to a request.
    Done(ReqToken, Result<KernelReply, KernelError>),
    /// A lifetime of an SA ran out.
    Expire {
        /// Which (source is unset by the kernel for some versions).
        id: SaId,
        /// The SA is gone, not just old.
        hard: bool,
    },
    /// Somebody sends what a trap policy covers.
    Acquire {
        /// The packet.
        selector: Selector,
        /// Reqid of the trap policy.
        reqid: u32,
    },
    /// Packets of an encapsulated SA come from a new address or port (`XFRM_MSG_MAPPING`).
    Mapping {
        /// Which.
        id: SaId,
        /// The new source.
        new: std::net::SocketAddr,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_that_fit_the_mask_have_a_mark() {
        let first = *REQID_RANGE.start();
        let value = |reqid| mark_of_reqid(reqid).map(|m| m.value);
        assert_eq!(value(first + 1), Some(0x8000));
        assert_eq!(value(first + 100_000), Some(100_000 * 0x8000));
        assert_eq!(value(first + MARKS), Some(MARK_MASK));
        for none in [0, first - 1, first, first + MARKS + 1, *REQID_RANGE.end(), u32::MAX] {
            assert_eq!(value(none), None, "{none:#x}");
        }
    }
}
