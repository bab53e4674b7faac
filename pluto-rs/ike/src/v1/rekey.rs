//! Lifetimes: what happens when an SA is established, grows old, and ends.

use std::time::Duration;

use ipsec_types::whack::rc;

use super::Fail;
use super::phase1::suite_name;
use super::transaction::Stage;
use crate::Endpoint;
use crate::conn::ConnKind;
use crate::sa::{IkeSa, Role, Serial};
use crate::timer::TimerKind;

/// How long XAUTH may take in all, seconds: a person types.
const XAUTH_PATIENCE: u32 = 180;

/// How far apart the ends of an IKE SA and of its children may be and still be one.
const BREATH: Duration = Duration::from_secs(2);

impl Endpoint {
    /// Main Mode is done: tell, arm the lifetime, begin what waited for it.
    pub(crate) fn ike_established(&mut self, ike: Serial, initial_contact: bool) {
        let Some(sa) = self.ikes.get_mut(&ike) else { return };
        let (conn, name, suite, role, life) = (sa.conn, sa.name(), sa.suite, sa.role, sa.lifetime);
        let (behind_nat, auth) = (sa.natt.us, sa.auth);
        let extra = suite.map_or_else(String::new, |s| {
            format!(
                " {{auth={} cipher={} prf={} group={}}}",
                auth.name(),
                s.cipher.name(),
                s.hash.name(),
                s.group.name()
            )
        });
        if let Some(c) = self.conns.get_mut(conn) {
            c.newest_ike = Some(ike);
        }
        self.log_state(ike, name, &extra);
        self.timers.clear(ike, TimerKind::Discard);
        self.arm_lifetime(ike, conn, role, life);
        let keeps = self.conns.get(conn).is_some_and(|c| c.spec.nat_keepalive);
        if keeps && (behind_nat || self.setup.force_keepalive) {
            let at = self.in_seconds(self.setup.keep_alive.max(1));
            self.timers.set(ike, TimerKind::NatKeepalive, at);
        }
        self.start_dpd(ike);
        if initial_contact {
            self.on_initial_contact(ike);
        }
        // What may come again in Main Mode is answered out of the state; nothing of it is repeated.
        if let Some(sa) = self.ikes.get_mut(&ike).filter(|s| !s.aggressive) {
            sa.last_sent = Vec::new();
        }
        self.release_rivals(ike);
        if let Err(fail) = self.between_phases(ike) {
            self.failed(ike, fail);
        }
    }

    /// XAUTH if that was agreed upon, then Mode Config.
    fn between_phases(&mut self, ike: Serial) -> Result<(), Fail> {
        let Some(sa) = self.ikes.get(&ike) else { return Ok(()) };
        match sa.auth.asked() {
            Some(role) if role == sa.role => {
                self.set_stage(ike, Stage::XauthI0);
                self.wait_for_server(ike);
                Ok(())
            }
            Some(_) => {
                let until = self.in_seconds(XAUTH_PATIENCE);
                self.timers.set(ike, TimerKind::Discard, until);
                self.xauth_ask(ike, false)
            }
            None => {
                self.same_client(ike);
                self.configure(ike)
            }
        }
    }

    /// Phase 2 may begin: the Quick Modes that waited for it.
    pub(super) fn begin_pending(&mut self, ike: Serial) {
        self.timers.clear(ike, TimerKind::Discard);
        self.ikes.settled(ike);
        let Some(sa) = self.ikes.get_mut(&ike) else { return };
        let (pending, tries) = (std::mem::take(&mut sa.later.pending), sa.tries);
        let mut whack = sa.later.whack.take();
        for c in pending {
            // The first Quick Mode takes the waiting client over.
            let replaces = self.conns.get(c).and_then(|c| c.newest_child);
            self.quick_start(ike, c, whack.take(), tries, replaces);
        }
        if let Some(client) = whack {
            self.out.push_back(crate::Output::WhackDone(client));
        }
    }

    /// Openswan's rule: an initiator renews `margin` (with fuzz) before the end, a responder half of it later, and with
    /// `rekey=no` nobody does. The IKE SA of a road warrior behind a NAT is his to renew: he
    /// cannot be called.
    fn arm_lifetime(&mut self, serial: Serial, conn: crate::conn::ConnId, role: Role, life: u32) {
        let fuzz = u64::from(u16::from_be_bytes(self.random()));
        let Some(c) = self.conns.get(conn) else { return };
        let margin = u64::from(c.spec.rekey_margin);
        let margin = match role {
            Role::Initiator => margin + margin * u64::from(c.spec.rekey_fuzz) * fuzz / (100 << 16),
            Role::Responder => margin / 2,
        };
        let life = u64::from(life);
        let natted = self.ikes.get(&serial).is_some_and(|s| s.natt.peer);
        let callable = !matches!(c.kind, ConnKind::Instance(_)) || !natted;
        let renew = c.spec.rekey && callable && life > margin;
        if renew {
            let at = self.after(Duration::from_secs(life - margin));
            self.timers.set(serial, TimerKind::Replace, at);
        }
        let at = self.after(Duration::from_secs(life));
        self.timers.set(serial, TimerKind::Expire, at);
    }

    pub(crate) fn arm_child_lifetime(&mut self, child: Serial) {
        if let Some((conn, role, life)) = self.children.get(&child).map(|c| (c.conn, c.role, c.lifetime)) {
            self.arm_lifetime(child, conn, role, life);
        }
    }

    /// Whether a child may be renewed by us.
    pub(crate) fn renews(&self, child: Serial) -> bool {
        let conn = self.children.get(&child).and_then(|c| self.conns.get(c.conn));
        conn.is_some_and(|c| c.spec.rekey)
    }

    /// A successor is due, unless there is one.
    pub(crate) fn on_replace(&mut self, serial: Serial) {
        if let Some(conn) = self.ikes.get(&serial).map(|s| s.conn) {
            if let Some(c) = self.conns.get(conn).filter(|c| c.newest_ike == Some(serial)) {
                // With reauth=yes the children follow their IKE SA, those of other conns too.
                let mut pending = Vec::new();
                if c.spec.reauth {
                    let own = (c.up_children > 0).then_some(conn);
                    let on_it = self.children.of_ike(serial);
                    let on_it = on_it.iter().filter_map(|c| self.children.get(c)).filter(|c| c.is_up());
                    pending.extend(own.into_iter().chain(on_it.map(|c| c.conn)));
                    pending.sort_unstable();
                    pending.dedup();
                }
                self.phase1_start(conn, pending, None, 1, Some(serial));
            }
            return;
        }
        let Some(conn) = self.children.get(&serial).map(|c| c.conn) else { return };
        if self.conns.get(conn).is_some_and(|c| c.newest_child == Some(serial)) {
            self.quick_or_main(conn, None, Some(serial));
        }
    }

    /// Quick Mode for a conn, with Main Mode first if there is no IKE SA to use.
    pub(crate) fn quick_or_main(
        &mut self,
        conn: crate::conn::ConnId,
        whack: Option<crate::ClientId>,
        replaces: Option<Serial>,
    ) -> bool {
        // A Main Mode with this peer may be under way, for this conn or for another. A renewal waits for it even where an
        // IKE SA is still up: a peer may end with an IKE SA the Child SAs that were made under it (strongSwan does).
        let calls =
            self.conns.get(conn).and_then(|c| c.peer).map(|p| self.ikes.calling(p)).unwrap_or_default();
        let under_way = calls
            .into_iter()
            .find(|s| self.ikes.get(s).is_some_and(|s| !s.is_ready() && self.same_ends(s.conn, conn)));
        let under_way = under_way.filter(|_| whack.is_none());
        if let Some(ike) = self.ike_for(conn).filter(|_| replaces.is_none() || under_way.is_none()) {
            return self.quick_start(ike, conn, whack, 1, replaces).is_some();
        }
        match under_way {
            Some(ike) => {
                if let Some(s) = self.ikes.get_mut(&ike).filter(|s| !s.later.pending.contains(&conn)) {
                    s.later.pending.push(conn);
                }
                true
            }
            None => self.phase1_start(conn, vec![conn], whack, 1, None).is_some(),
        }
    }

    /// An established IKE SA a Quick Mode of `conn` can use: its own, or that of a conn between the same ends.
    fn ike_for(&self, conn: crate::conn::ConnId) -> Option<Serial> {
        let up = |s: &Serial| self.ikes.get(s).is_some_and(IkeSa::is_ready);
        let own = self.conns.get(conn)?.newest_ike.filter(up);
        own.or_else(|| {
            let others = self.conns.with_peer(self.conns.get(conn)?.peer?).into_iter();
            let others = others.filter(|id| *id != conn && self.same_ends(*id, conn));
            others.filter_map(|id| self.conns.get(id)?.newest_ike).find(up)
        })
    }

    /// Whether two conns are between the same hosts with the same identities and authentication.
    pub(crate) fn same_ends(&self, a: crate::conn::ConnId, b: crate::conn::ConnId) -> bool {
        let (Some(a), Some(b)) = (self.conns.get(a), self.conns.get(b)) else { return false };
        a.peer.is_some()
            && a.peer == b.peer
            && a.our_addr() == b.our_addr()
            && a.our_id() == b.our_id()
            && a.wanted_id() == b.wanted_id()
            && a.spec.authby == b.spec.authby
            && a.spec.aggressive == b.spec.aggressive
    }

    /// Child SAs that end in the same breath as the last IKE SA of their conn go before it: afterwards there would be
    /// nothing to tell the peer in.
    fn expire_with(&mut self, ike: Serial) {
        let Some(conn) = self.ikes.get(&ike).map(|s| s.conn) else { return };
        let soon = self.after(BREATH);
        let mut ending = self.children.of_conn(conn);
        ending.retain(|c| {
            self.children.get(c).is_some_and(crate::sa::ChildSa::is_up)
                && self.timers.get(*c, TimerKind::Expire).is_some_and(|at| at <= soon)
        });
        ending.into_iter().for_each(|c| self.on_expire(c));
    }

    /// The end of an SA's life.
    pub(crate) fn on_expire(&mut self, serial: Serial) {
        if let Some(sa) = self.ikes.get(&serial) {
            let newest = self.conns.get(sa.conn).is_some_and(|c| c.newest_ike == Some(serial));
            let dontrekey = self.conns.get(sa.conn).is_some_and(|c| !c.spec.rekey);
            if newest {
                self.expire_with(serial);
            }
            self.log_sa(serial, rc::LOG, &format!("ISAKMP SA expired{}", expiry_word(newest, dontrekey)));
            return self.delete_ike(serial, true);
        }
        if let Some(c) = self.children.get(&serial) {
            let newest = self.conns.get(c.conn).is_some_and(|x| x.newest_child == Some(serial));
            let dontrekey = self.conns.get(c.conn).is_some_and(|x| !x.spec.rekey);
            self.log_sa(serial, rc::LOG, &format!("IPsec SA expired{}", expiry_word(newest, dontrekey)));
            self.delete_child(serial, true);
        }
    }

    pub(crate) fn on_keepalive(&mut self, ike: Serial) {
        self.send_keepalive(ike);
        let at = self.in_seconds(self.setup.keep_alive.max(1));
        self.timers.set(ike, TimerKind::NatKeepalive, at);
    }

    /// `AES_CBC_128-SHA1-MODP2048` of an IKE SA, for the status.
    pub(crate) fn ike_suite_words(&self, ike: Serial) -> Option<String> {
        self.ikes.get(&ike).and_then(|s| s.suite).map(suite_name)
    }
}

fn expiry_word(newest: bool, dontrekey: bool) -> &'static str {
    match (newest, dontrekey) {
        (_, true) => " (--dontrekey)",
        (true, false) => " (LATEST!)",
        (false, false) => " (superseded)",
    }
}
