//! Data messages: which call, in which order, with which header.

use ipsec_types::Instant;

use crate::call::EARLY_FRAMES;
use crate::endpoint::Endpoint;
use crate::header::{self, Packet};
use crate::io::{CallId, Output, Path, TimerReason};
use crate::reorder::{Place, Reorder};

impl Endpoint {
    /// Finds the call a data message belongs to, counts it, and returns its frame. `None` for everything else, and for
    /// frames that have to wait or that others have to go before: those come as [`Output::Payload`].
    pub fn demux<'a>(&mut self, now: Instant, path: &Path, data: &'a [u8]) -> Option<(CallId, &'a [u8])> {
        let Ok(Packet::Data(d)) = header::parse(data) else { return None };
        let t = self.tunnels.get_mut(&d.tunnel).filter(|t| t.path.key() == path.key())?;
        let c = self.calls.get_mut(&d.session).filter(|c| c.id.tunnel == d.tunnel)?;
        t.last_heard = now;
        if !c.has_ppp() {
            if c.early.len() < EARLY_FRAMES {
                c.early.push(d.payload.to_vec());
            }
            return None;
        }
        let id = c.id;
        if d.payload.is_empty() {
            // RFC 2661 §5.4 lets numbers be told without a frame.
            return None;
        }
        let Some(ns) = d.ns else {
            c.rx.add(d.payload.len());
            return Some((id, d.payload));
        };
        let limits = &self.cfg.limits;
        let reorder = c
            .reorder
            .get_or_insert_with(|| Reorder::new(limits.reorder_queue, limits.reorder_timeout).into());
        let before = reorder.deadline();
        let place = reorder.judge(now, ns, d.payload);
        let direct = place == Place::Deliver && self.out.is_empty();
        if place == Place::Deliver {
            c.rx.add(d.payload.len());
            if !direct {
                self.out.push_back(Output::Payload { call: id, frame: d.payload.to_vec() });
            }
        }
        self.due(now, id, before);
        direct.then_some((id, d.payload))
    }

    /// Hands on what is due of a call's kept frames, and arms its timer anew.
    fn due(&mut self, now: Instant, id: CallId, before: Option<Instant>) {
        let Some(c) = self.calls.get_mut(&id.session) else { return };
        let Some(r) = &mut c.reorder else { return };
        while let Some(frame) = r.next(now) {
            c.rx.add(frame.len());
            self.out.push_back(Output::Payload { call: id, frame });
        }
        let after = r.deadline();
        if before != after {
            if let Some(at) = before {
                self.timers.remove(&(at, id.session, TimerReason::Reorder));
            }
            self.timers.extend(after.map(|at| (at, id.session, TimerReason::Reorder)));
        }
    }

    /// The frames a call's peer has left out do not come any more.
    pub(crate) fn reorder_timeout(&mut self, now: Instant, session: u16) {
        let Some(c) = self.calls.get_mut(&session) else { return };
        let id = c.id;
        let Some(r) = &mut c.reorder else { return };
        let before = r.deadline();
        r.expire(now);
        self.due(now, id, before);
    }

    /// Appends the data message that carries `frame` to the peer; returns its way, `None` when the call is gone.
    pub fn encapsulate(&mut self, call: CallId, frame: &[u8], out: &mut Vec<u8>) -> Option<Path> {
        let c = self.calls.get_mut(&call.session).filter(|c| c.id == call)?;
        let t = self.tunnels.get(&call.tunnel)?;
        c.tx.add(frame.len());
        header::put_data(out, t.peer_id, c.peer_session, t.section.length_bit(), c.data_ns, frame);
        if let Some(ns) = &mut c.data_ns {
            *ns = ns.wrapping_add(1);
        }
        Some(t.path)
    }
}
