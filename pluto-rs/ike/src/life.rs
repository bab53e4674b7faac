//! The end of states: what goes with an IKE SA, when a responder is half-open no longer, and the instances that nobody uses.
//! What goes with a Child SA is in `child`.

use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind};
use crate::sa::{Role, Serial};

impl Endpoint {
    /// Forgets a state of either kind without telling the peer.
    pub(crate) fn drop_state(&mut self, serial: Serial) {
        if self.ikes.contains_key(&serial) {
            self.delete_ike(serial, false);
        } else {
            self.delete_child(serial, false);
        }
    }

    /// Removes an IKE SA, and the Quick Modes under way in it; established Child SAs stay (IKEv1).
    pub(crate) fn delete_ike(&mut self, serial: Serial, tell_peer: bool) {
        if tell_peer {
            self.send_delete_ike(serial);
        }
        let unfinished = self
            .ikes
            .get_mut(&serial)
            .map(|s| std::mem::take(&mut s.later.open_children))
            .unwrap_or_default();
        for child in unfinished {
            self.delete_child(child, false);
        }
        self.fragments.remove(serial);
        self.release_whack(serial);
        self.timers.clear_all(serial);
        self.forget_first(serial);
        self.half_open.proved(serial);
        let Some(sa) = self.ikes.remove(&serial) else { return };
        self.by_cookies.remove(&(sa.icookie, sa.rcookie));
        self.by_icookie.remove(&sa.icookie);
        if let Some(peer) = sa.half_open {
            self.leave_half_open(peer);
        }
        if let Some(c) = self.conns.get_mut(sa.conn).filter(|c| c.newest_ike == Some(serial)) {
            c.newest_ike = None;
        }
        self.conn_unref(sa.conn);
    }

    /// A responder is no longer half-open.
    pub(crate) fn opened(&mut self, serial: Serial) {
        self.half_open.proved(serial);
        if let Some(peer) = self.ikes.get_mut(&serial).and_then(|s| s.half_open.take()) {
            self.leave_half_open(peer);
        }
    }

    /// Phase 1 has proved who the peer is; whom XAUTH still has to ask stays half-open.
    pub(crate) fn opened_by_phase1(&mut self, serial: Serial) {
        if self.ikes.get(&serial).is_some_and(|s| s.auth.asked() != Some(Role::Initiator)) {
            self.opened(serial);
        }
    }

    /// The first message of a responder need no longer be known.
    pub(crate) fn forget_first(&mut self, serial: Serial) {
        let Some((icookie, from)) =
            self.ikes.get_mut(&serial).and_then(|s| Some((s.icookie, s.first_from.take()?)))
        else {
            return;
        };
        self.by_first.remove(&(icookie, from));
    }

    /// A state uses the connection.
    pub(crate) fn conn_ref(&mut self, conn: ConnId) {
        if let Some(c) = self.conns.get_mut(conn) {
            c.refs += 1;
        }
    }

    /// A state no longer uses it; an instance nobody uses goes.
    pub(crate) fn conn_unref(&mut self, conn: ConnId) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.refs = c.refs.saturating_sub(1);
        if c.refs > 0 {
            return;
        }
        if !matches!(c.kind, ConnKind::Instance(_)) {
            return self.release_lease(conn);
        }
        if let Some(peer) = c.peer {
            let text = format!(
                "deleting connection \"{}\" instance with peer {peer} {{isakmp=#0/ipsec=#0}}",
                c.spec.name
            );
            self.log_conn(conn, None, rc::LOG, &text);
        }
        self.release_lease(conn);
        self.conns.remove(conn);
    }
}
