//! An onlooker who knows what each end may have under way.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use l2tp_proto::SecretBytes;
use l2tp_proto::header::Control;
use l2tp_proto::message::{Message, MessageType};

/// One direction of a control connection: who sends, and the receiver's tunnel id.
type Way = (SocketAddrV4, u16);

/// Watches that nobody sends more than the peer's Receive Window Size before an acknowledgement (RFC 2661 §5.8).
#[derive(Default)]
pub(crate) struct Windows {
    /// What an end has said it takes, by the way to it.
    size: BTreeMap<Way, u16>,
    /// The way back.
    back: BTreeMap<Way, Way>,
    /// The highest Nr that has reached the sender of a way.
    acknowledged: BTreeMap<Way, u16>,
    /// Messages of which others of the same end were under way.
    pub(crate) together: usize,
}

impl Windows {
    /// A message leaves `from`; panics when it may not.
    pub(crate) fn leaves(
        &mut self,
        from: SocketAddrV4,
        to: SocketAddrV4,
        c: &Control<'_>,
        secret: &SecretBytes,
    ) {
        if c.body.is_empty() {
            return;
        }
        let m = Message::decode(c.body, Some(secret));
        let here = (from, c.tunnel);
        if let (Some(MessageType::SCCRQ | MessageType::SCCRP), Some(own)) = (m.kind, m.assigned_tunnel) {
            self.size.insert((to, own), m.receive_window.unwrap_or(4));
            let there = (to, own);
            // A repetition changes nothing; a tunnel with the ids of one that is gone starts anew.
            if m.kind == Some(MessageType::SCCRP) && self.back.insert(here, there) != Some(there) {
                self.back.insert(there, here);
                self.acknowledged.insert(here, 0);
                self.acknowledged.insert(there, 0);
            }
        }
        let (Some(size), Some(acknowledged)) = (self.size.get(&here), self.acknowledged.get(&here)) else {
            return;
        };
        let ahead = c.ns.wrapping_sub(*acknowledged);
        // The farewell of one who has given up comes on top: there is nothing to wait for any more.
        let size = size + u16::from(m.kind == Some(MessageType::STOPCCN));
        // What is older than the acknowledgement is a repetition that has crossed it.
        assert!(ahead >= 0x8000 || ahead < size, "{from} has {} under way, its peer takes {size}", ahead + 1);
        self.together += usize::from(ahead > 0 && ahead < 0x8000);
    }

    /// A message reaches `at`.
    pub(crate) fn arrives(&mut self, at: SocketAddrV4, from: SocketAddrV4, c: &Control<'_>) {
        let Some(there) = self.back.get(&(from, c.tunnel)).filter(|w| w.0 == at) else { return };
        let Some(n) = self.acknowledged.get_mut(there) else { return };
        if c.nr.wrapping_sub(*n) < 0x8000 {
            *n = c.nr;
        }
    }
}
