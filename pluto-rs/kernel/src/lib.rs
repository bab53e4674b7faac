//! The kernel's IPsec behind one trait: [`xfrm`] speaks netlink to Linux, [`noklips`] speaks to nobody and remembers.
//!
//! A backend does what it is asked and tells what the kernel tells. It must not decide anything about a negotiation,
//! log, or touch an SA or policy that is not ours. Ours is what carries a reqid of [`REQID_RANGE`], or, for a policy
//! without template (block, allow), a priority of [`PRIORITY_RANGE`]; that is how a later run knows the leftovers of
//! one that was killed. There is no call that empties a whole table.

#![deny(unsafe_code)]

use std::os::fd::BorrowedFd;

use ipsec_types::kernel::{KernelEvent, KernelRequest, ReqToken};

pub mod noklips;
pub mod sockopt;
pub mod xfrm;

pub use ipsec_types::kernel::{PASS_PRIORITY, REQID_RANGE};

/// Priorities of the policies of ours that have no template. `AddPolicy` refuses (`EINVAL`) a block or allow policy
/// with another one, as nothing would tell it from an administrator's. Policies with a template may have any.
pub const PRIORITY_RANGE: std::ops::RangeInclusive<u32> = 0x4379_0000..=0x4379_ffff;

/// Whether a policy without a template may have this priority: it is in [`PRIORITY_RANGE`], or it is
/// [`PASS_PRIORITY`].
pub fn is_shunt_priority(priority: u32) -> bool {
    PRIORITY_RANGE.contains(&priority) || priority == PASS_PRIORITY
}

/// Something that carries out [`KernelRequest`]s. No call blocks.
pub trait KernelBackend {
    /// The name in `protostack=` and in the log: `netkey`, `noklips`.
    fn name(&self) -> &'static str;

    /// Asks. Every request gets exactly one [`KernelEvent::Done`] with its token, in the order of asking.
    fn submit(&mut self, token: ReqToken, req: KernelRequest);

    /// The next answer or piece of news. Call until `None` after each [`submit`](Self::submit) and whenever
    /// [`event_fd`](Self::event_fd) is readable.
    fn poll_event(&mut self) -> Option<KernelEvent>;

    /// Readable when the kernel has something to tell by itself; `None` for a backend without such a thing.
    fn event_fd(&self) -> Option<BorrowedFd<'_>>;
}
