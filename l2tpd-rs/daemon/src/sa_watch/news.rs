//! The kernel's messages about SAs (netlink, `NETLINK_XFRM`), as far as [`super`] needs them. Reads octets and nothing else.
//!
//! ```text
//! nlmsghdr          | length u32 | type u16 | flags u16 | sequence u32 | port u32
//! NEWSA, UPDSA      | xfrm_usersa_info (224)                               | attributes
//! EXPIRE            | xfrm_usersa_info (224)              | hard u8, pad 7 | attributes
//! DELSA             | xfrm_usersa_id (24) | XFRMA_SA: length u16, kind u16, xfrm_usersa_info (224) | attributes
//! FLUSHSA           | protocol u8
//!
//! xfrm_usersa_info  | selector (56) | destination (16) | SPI u32 | protocol u8 | ... | reqid u32 at 208 | ...
//! ```
//! The keys are in the attributes at the end. News are read no further than what is drawn here, so they stay in the
//! kernel; the answer to a question does hold keys, and is wiped.

use std::collections::BTreeSet;
use std::io;

use ipsec_types::kernel::mark_of_reqid;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
pub(super) const XFRM_MSG_NEWSA: u16 = 0x10;
pub(super) const XFRM_MSG_DELSA: u16 = 0x11;
pub(super) const XFRM_MSG_GETSA: u16 = 0x12;
pub(super) const XFRM_MSG_EXPIRE: u16 = 0x18;
pub(super) const XFRM_MSG_UPDSA: u16 = 0x1a;
pub(super) const XFRM_MSG_FLUSHSA: u16 = 0x1c;
pub(super) const XFRMA_SA: u16 = 6;

pub(super) const HEADER: usize = 16;
/// Length of `xfrm_usersa_info`, and where its destination, its SPI, its protocol and its reqid are.
pub(super) const INFO: usize = 224;
pub(super) const INFO_DST: usize = 56;
pub(super) const INFO_SPI: usize = 72;
pub(super) const INFO_PROTO: usize = 76;
pub(super) const INFO_REQID: usize = 208;
/// Length of `xfrm_usersa_id`.
pub(super) const ID: usize = 24;
/// As far as news are read.
pub(super) const NEWS: usize = HEADER + ID + 4 + INFO;

/// An SA of pluto's: its reqid, and what the kernel knows it by. SAs with the same reqid are neighbours in an ordered set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sa {
    /// Its reqid, one that has a mark.
    pub reqid: u32,
    /// SPI, in network order.
    pub(super) spi: [u8; 4],
    /// Destination, IPv4 in its first four octets.
    pub(super) dst: [u8; 16],
    /// IP protocol.
    pub(super) proto: u8,
}

/// What one message of the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// There is this SA.
    Here(Sa),
    /// This SA is gone.
    Gone(Sa),
    /// All SAs of some protocol are gone.
    Flushed,
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    b.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    b.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The SA of an `xfrm_usersa_info`, if its reqid is one that pluto gives.
fn sa(info: &[u8]) -> Option<Sa> {
    let info = info.get(..INFO)?;
    let reqid = u32_at(info, INFO_REQID).filter(|r| mark_of_reqid(*r).is_some())?;
    Some(Sa {
        reqid,
        spi: info.get(INFO_SPI..)?.first_chunk().copied()?,
        dst: info.get(INFO_DST..)?.first_chunk().copied()?,
        proto: *info.get(INFO_PROTO)?,
    })
}

/// Reads one message, of which the end may be cut off. `None` for SAs that are not pluto's, for a lifetime that is not
/// the last (soft), and for whatever is too short or something else.
pub fn news(message: &[u8]) -> Option<News> {
    let kind = u16_at(message, 4)?;
    let body = message.get(HEADER..)?;
    match kind {
        // Without an SPI it is a place kept for an SA that a packet wants, and protects nothing.
        XFRM_MSG_NEWSA | XFRM_MSG_UPDSA => sa(body).filter(|s| s.spi != [0; 4]).map(News::Here),
        XFRM_MSG_EXPIRE if *body.get(INFO)? != 0 => sa(body).map(News::Gone),
        XFRM_MSG_DELSA => {
            let attribute = body.get(ID..)?;
            let whole = usize::from(u16_at(attribute, 0)?) >= 4 + INFO && u16_at(attribute, 2)? == XFRMA_SA;
            sa(attribute.get(4..)?).filter(|_| whole).map(News::Gone)
        }
        XFRM_MSG_FLUSHSA => Some(News::Flushed),
        _ => None,
    }
}

/// Reads one datagram of the list of all SAs into `sas`. True when it was the last.
///
/// # Errors
/// The kernel's, and `EBADMSG` for a message that does not fit.
pub fn listed(mut datagram: &[u8], sas: &mut BTreeSet<Sa>) -> io::Result<bool> {
    let bad = || io::Error::from_raw_os_error(libc::EBADMSG);
    while !datagram.is_empty() {
        let len = u32_at(datagram, 0).and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)?;
        let message = datagram.get(..len).filter(|m| m.len() >= HEADER).ok_or_else(bad)?;
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
        match u16_at(message, 4) {
            Some(NLMSG_DONE) => return Ok(true),
            Some(NLMSG_ERROR) => {
                let errno = u32_at(message, HEADER).map_or(libc::EBADMSG, |n| n.cast_signed().wrapping_neg());
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => {
                if let Some(News::Here(s)) = news(message) {
                    sas.insert(s);
                }
            }
        }
    }
    Ok(false)
}
