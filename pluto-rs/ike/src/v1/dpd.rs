//! Dead peer detection (RFC 3706): answers always, asks when the conn wants it and nothing else shows that the peer lives.
//! What his SAs have carried is asked of the kernel when a probe is due, never per packet.

use std::time::Duration;

use ipsec_types::conn::DpdAction;
use ipsec_types::kernel::{KernelError, KernelReply, KernelRequest, SaId};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind};
use crate::endpoint::KernelWait;
use crate::sa::Serial;
use crate::timer::TimerKind;
use crate::wire::notify::{NotifyType, emit_notification};
use crate::wire::payload::Kind;
use crate::wire::sa::PROTO_ISAKMP;

/// Most Child SAs that are asked about for one probe: the newest.
const MAX_ASKED: usize = 8;

/// A probe that is due, while the kernel counts what came from the peer.
#[derive(Debug)]
pub(crate) struct Due {
    ike: Serial,
    /// Inbound SAs still to be asked about.
    left: Vec<SaId>,
    /// Octets of those that were.
    octets: u64,
}

impl Endpoint {
    /// Both `dpddelay=` and `dpdtimeout=` are set.
    pub(crate) fn dpd_wanted(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some_and(|c| c.spec.dpd_delay > 0 && c.spec.dpd_timeout > 0)
    }

    fn send_dpd(&mut self, ike: Serial, kind: NotifyType, seq: u32) {
        let Some(sa) = self.ikes.get(&ike) else { return };
        let spi = [sa.icookie, sa.rcookie].concat();
        let body = emit_notification(kind, PROTO_ISAKMP, &spi, &seq.to_be_bytes());
        self.send_informational(ike, Kind::Notify, &body);
    }

    /// A probe of the peer: its number must rise; a few repetitions are forgiven.
    pub(crate) fn on_r_u_there(&mut self, ike: Serial, data: &[u8]) {
        let Ok(seq) = <[u8; 4]>::try_from(data).map(u32::from_be_bytes) else { return };
        let Some(sa) = self.ikes.get_mut(&ike) else { return };
        if sa.later.dpd.peer_seq.is_some_and(|last| seq <= last) {
            sa.later.dpd.duplicates += 1;
            let answer = sa.later.dpd.duplicates < 3;
            let text = if answer {
                "received less than 3 duplicate R_U_THERE's - will reluctantly answer"
            } else {
                "received 3 or more duplicate R_U_THERE's - will no longer answer"
            };
            self.log_sa(ike, rc::LOG, &format!("DPD: {text}"));
            if !answer {
                return;
            }
        } else {
            sa.later.dpd.peer_seq = Some(seq);
            sa.later.dpd.duplicates = 0;
            // Who asks is there: ours is due as long after his as after one of our own.
            if sa.later.dpd.next_seq > 0 {
                sa.later.dpd.unanswered_since = None;
                let conn = sa.conn;
                self.next_dpd(ike, conn);
            }
        }
        self.send_dpd(ike, NotifyType::RUThereAck, seq);
    }

    pub(crate) fn on_r_u_there_ack(&mut self, ike: Serial, data: &[u8]) {
        let Ok(seq) = <[u8; 4]>::try_from(data).map(u32::from_be_bytes) else { return };
        let Some(sa) = self.ikes.get_mut(&ike) else { return };
        if sa.later.dpd.expected_ack == Some(seq) {
            sa.later.dpd.expected_ack = None;
            sa.later.dpd.unanswered_since = None;
        }
    }

    /// Starts probing, if the conn wants it and the peer can.
    pub(crate) fn start_dpd(&mut self, ike: Serial) {
        let Some((conn, peer)) = self.ikes.get(&ike).map(|s| (s.conn, s.peer_dpd)) else { return };
        if !self.dpd_wanted(conn) {
            return;
        }
        if !peer {
            let text = "Dead Peer Detection (RFC 3706): not enabled because peer did not advertise it";
            return self.log_sa(ike, rc::LOG, text);
        }
        self.log_sa(ike, rc::LOG, "Dead Peer Detection (RFC 3706): enabled");
        let first = u32::from(u16::from_be_bytes(self.random()) >> 1) + 1;
        if let Some(sa) = self.ikes.get_mut(&ike) {
            sa.later.dpd.next_seq = first;
        }
        self.next_dpd(ike, conn);
    }

    fn next_dpd(&mut self, ike: Serial, conn: ConnId) {
        let at = self.in_seconds(self.conns.get(conn).map_or(30, |c| c.spec.dpd_delay));
        self.timers.set(ike, TimerKind::Dpd, at);
    }

    /// Time to probe, unless packets came from the peer. Through a NAT a probe is sent all the same: it keeps the mapping.
    pub(crate) fn on_dpd(&mut self, ike: Serial) {
        let Some((conn, nat)) = self.ikes.get(&ike).map(|s| (s.conn, s.natt.detected())) else { return };
        self.next_dpd(ike, conn);
        if nat {
            return self.probe(ike);
        }
        let mut children = self.children.of_ike(ike);
        children.extend(self.children.of_conn(conn));
        children.sort_unstable();
        children.dedup();
        let up = children.iter().rev().filter_map(|c| self.children.get(c)).filter(|c| c.is_up());
        let left = up.filter_map(|c| c.in_sa).take(MAX_ASKED).collect();
        self.ask_traffic(Due { ike, left, octets: 0 });
    }

    /// Asks about the next SA; when there is none left, what they carried decides.
    fn ask_traffic(&mut self, mut due: Due) {
        if let Some(id) = due.left.pop() {
            return self.kernel(KernelRequest::QuerySa(id), Some(KernelWait::Traffic(due)));
        }
        let Some(dpd) = self.ikes.get_mut(&due.ike).map(|s| &mut s.later.dpd) else { return };
        // Fewer than before are those of another set of SAs, and say nothing.
        if due.octets <= std::mem::replace(&mut dpd.octets, due.octets) {
            return self.probe(due.ike);
        }
        (dpd.unanswered_since, dpd.expected_ack) = (None, None);
    }

    /// The kernel's answer; an SA that is gone has carried nothing.
    pub(crate) fn on_traffic(&mut self, mut due: Due, result: Result<KernelReply, KernelError>) {
        if let Ok(KernelReply::Usage(u)) = result {
            due.octets = due.octets.saturating_add(u.bytes);
        }
        self.ask_traffic(due);
    }

    /// Asks the peer, or gives him up.
    fn probe(&mut self, ike: Serial) {
        let now = self.now.mono;
        let Some(sa) = self.ikes.get_mut(&ike) else { return };
        let Some(spec) = self.conns.get(sa.conn).map(|c| c.spec.clone()) else { return };
        let silent = sa.later.dpd.unanswered_since.map_or(Duration::ZERO, |t| now - t);
        if silent >= Duration::from_secs(spec.dpd_timeout.into()) {
            return self.peer_is_dead(ike, spec.dpd_action);
        }
        let seq = sa.later.dpd.next_seq;
        sa.later.dpd.next_seq = seq.wrapping_add(1);
        sa.later.dpd.expected_ack = Some(seq);
        sa.later.dpd.unanswered_since.get_or_insert(now);
        self.send_dpd(ike, NotifyType::RUThere, seq);
    }

    /// What `dpdaction=` says: `clear` forgets, `hold` sets a trap first, `restart` calls the peer again for this conn,
    /// `restart_by_peer` for every conn with him. Road warriors are only ever forgotten: they call us.
    fn peer_is_dead(&mut self, ike: Serial, action: DpdAction) {
        let Some(conn) = self.ikes.get(&ike).map(|s| s.conn) else { return };
        self.log_sa(ike, rc::LOG, "DPD: No response from peer - declaring peer dead");
        let Some(c) = self.conns.get(conn) else { return };
        let peer = c.peer;
        let callable = !matches!(c.kind, ConnKind::Instance(_));
        let action = if callable { action } else { DpdAction::Clear };
        let text = match action {
            DpdAction::Clear => "DPD: Clearing Connection",
            DpdAction::Hold => "DPD: Putting connection into %trap",
            DpdAction::Restart => "DPD: Restarting Connection",
            DpdAction::RestartByPeer => "DPD: Restarting all connections that share this peer",
        };
        self.log_sa(ike, rc::LOG, text);
        // Every conn whose children stand on this IKE SA is as dead as the one it was made with.
        let with_peer = |c: &crate::conn::Connection| c.peer == peer && c.up_children > 0;
        let mut conns: Vec<ConnId> = match (action, peer) {
            (DpdAction::RestartByPeer, Some(peer)) => self.conns.with_peer(peer),
            _ => Vec::new(),
        };
        conns.retain(|c| self.conns.get(*c).is_some_and(with_peer));
        let on_it = self.children.of_ike(ike);
        conns.extend(on_it.iter().filter_map(|c| self.children.get(c)).map(|c| c.conn).chain([conn]));
        conns.sort_unstable();
        conns.dedup();
        if action == DpdAction::Hold {
            conns.iter().for_each(|c| self.route(*c, None));
        }
        // The conns outlive their SAs until all is done.
        conns.iter().for_each(|c| self.conn_ref(*c));
        let lost = conns.iter().flat_map(|c| self.children.of_conn(*c)).collect::<Vec<_>>();
        for c in lost.into_iter().chain(on_it) {
            self.delete_child(c, false);
        }
        let stale = conns.iter().flat_map(|c| self.ikes.of_conn(*c)).collect::<Vec<_>>();
        for s in stale.into_iter().chain([ike]) {
            self.delete_ike(s, false);
        }
        if matches!(action, DpdAction::Restart | DpdAction::RestartByPeer) {
            for c in &conns {
                self.quick_or_main(*c, None, None);
            }
        }
        conns.iter().for_each(|c| self.conn_unref(*c));
    }
}
