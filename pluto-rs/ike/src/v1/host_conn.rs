//! Which conn serves a peer: first by addresses, then by the identity it has proved (Openswan's
//! `find_host_connection` and `refine_host_connection`). Nothing is sent from here.

use std::net::SocketAddr;

use ipsec_types::Id;
use ipsec_types::conn::HostSpec;
use ipsec_types::whack::rc;

use super::auth_method::methods;
use super::{Fail, phase1, select};
use crate::Endpoint;
use crate::conn::{ConnId, ConnKind, Connection};
use crate::conn_table::is_hidden;
use crate::sa::{Role, Serial};
use crate::wire::SaPayload;
use crate::wire::notify::NotifyType;

impl Endpoint {
    /// The best conn for a stranger's first Main Mode message, before anything is kept of it: one with a method that is
    /// offered, else one whose `authby=` is (it may differ in XAUTH). One with `aggrmode=yes` takes Main Mode too, which is the better one, where no other does.
    pub(super) fn conn_for_stranger(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        offer: &SaPayload<'_>,
    ) -> Option<ConnId> {
        let candidates = self.conns.for_peer(local.ip(), remote.ip());
        let offered = phase1::methods_of(offer);
        let fits = candidates.iter().copied().filter_map(|id| {
            let c = self.conns.get(id)?;
            let ours = methods(c, Role::Responder);
            let allows = ours.iter().any(|m| offered.iter().any(|o| o.policy() == m.policy()));
            let other = !ours.iter().any(|m| offered.contains(m));
            allows.then_some(((other, c.spec.aggressive), id))
        });
        let found = fits.min_by_key(|(rank, _)| *rank).map(|(_, id)| id);
        match (found, candidates.first()) {
            (Some(id), _) => return Some(id),
            (None, Some(_)) => {
                let mut words: Vec<&str> = offered.iter().map(|m| m.policy()).collect();
                words.dedup();
                let text = format!(
                    "initial Main Mode message received on {local} but no connection has been authorized with policy={}",
                    if words.is_empty() { "none".into() } else { words.join("+") }
                );
                self.log_packet(remote, &text);
            }
            (None, None) => {
                let text = format!(
                    "initial Main Mode message received on {local} but no connection has been authorized"
                );
                self.log_packet(remote, &text);
            }
        }
        None
    }

    /// The best conn for a stranger's Aggressive Mode: it must ask for that, and name this peer or nobody.
    pub(super) fn conn_for_aggressive(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        id: &Id,
        offer: &SaPayload<'_>,
    ) -> Option<ConnId> {
        let fits = |c: &Connection| {
            c.spec.aggressive && !methods(c, Role::Responder).is_empty() && c.wanted_id().matches(id)
        };
        let candidates = self.conns.for_peer(local.ip(), remote.ip());
        let fitting = candidates.iter().copied().filter(|c| self.conns.get(*c).is_some_and(fits));
        let takes = |c: &Connection| phase1::choose(offer, &c.spec, &methods(c, Role::Responder)).is_ok();
        let rank = |c: &ConnId| self.conns.get(*c).map(|c| (select::wildcards(&c.wanted_id()), !takes(c)));
        let found = fitting.min_by_key(rank);
        if found.is_none() {
            let allowed = |c: &ConnId| self.conns.get(*c).is_some_and(|c| c.spec.aggressive);
            let why = match candidates.iter().any(allowed) {
                true => format!("but there is no suitable connection for peer '{id}'"),
                false => "but no connection has been authorized with policy=AGGRESSIVE (aggrmode=yes)".into(),
            };
            let text = format!("initial Aggressive Mode message received on {local} {why}");
            self.log_packet(remote, &text);
        }
        found
    }

    /// A template gets an instance for this peer; the answer also says whether the peer was known before.
    pub(super) fn conn_for_first_message(
        &mut self,
        conn: ConnId,
        remote: SocketAddr,
    ) -> Option<(ConnId, bool)> {
        let c = self.conns.get(conn)?;
        match c.kind {
            ConnKind::Template => {
                let known = !matches!(c.that().host, HostSpec::Any);
                Some((self.conns.instantiate(conn, remote.ip())?, known))
            }
            _ => Some((conn, true)),
        }
    }

    /// `Main mode peer ID is ID_FQDN: '@west'`.
    pub(super) fn log_peer_id(&mut self, serial: Serial, id: &Id) {
        let aggressive = self.ikes.get(&serial).is_some_and(|s| s.aggressive);
        let mode = if aggressive { "Aggressive" } else { "Main" };
        self.log_sa(serial, rc::LOG, &format!("{mode} mode peer ID is {}: '{id}'", id.type_name()));
    }

    /// Is this peer, which has just spoken from `remote`, allowed on the conn it came to; or on another one (Openswan's
    /// `refine_host_connection`)?
    pub(super) fn accept_identity(
        &mut self,
        serial: Serial,
        id: &Id,
        remote: SocketAddr,
    ) -> Result<ConnId, Fail> {
        let Some(sa) = self.ikes.get(&serial) else { return Err(Fail::fatal("the ISAKMP SA is gone")) };
        let (conn, local, aggressive) = (sa.conn, sa.local, sa.aggressive);
        let fits = |e: &Endpoint, c: ConnId| {
            let fits = |c: &Connection| (c.spec.aggressive || !aggressive) && e.takes_peer(c, serial, id);
            e.conns.is_for(c, remote) && e.conns.get(c).is_some_and(fits)
        };
        let template = self.conns.get(conn).and_then(|c| c.template);
        // What was found by address alone stays if it names the peer; else a conn that names him is better.
        let own = fits(self, conn).then_some(conn);
        let exact =
            |e: &Endpoint, c: ConnId| e.conns.get(c).map_or(u8::MAX, |c| select::wildcards(&c.wanted_id()));
        let chosen = if own.is_some() && exact(self, conn) == 0 {
            conn
        } else {
            let others = self
                .conns
                .for_peer(local.ip(), remote.ip())
                .into_iter()
                .filter(|c| Some(*c) != template && fits(self, *c) && self.same_key(serial, *c, id));
            let best = own.into_iter().chain(others).min_by_key(|c| exact(self, *c));
            match best.filter(|c| Some(*c) != own).and_then(|c| self.conn_for_first_message(c, remote)) {
                Some((c, _)) => c,
                None if own.is_some() => conn,
                None => {
                    return Err(Fail {
                        text: vec![format!("no suitable connection for peer '{id}'")],
                        notify: Some(NotifyType::InvalidIdInformation),
                        fatal: true,
                    });
                }
            }
        };
        // One client that comes back has one instance.
        let template = self.conns.get(chosen).and_then(|c| c.template);
        let apart = self.conns.get(chosen).is_some_and(Connection::per_client);
        let template = template.filter(|_| !apart);
        let known = template.and_then(|t| self.conns.instance_of(t, remote, id, chosen));
        let made = chosen;
        let chosen = known.unwrap_or(made);
        if made != chosen && made != conn {
            self.reap_unused(made);
        }
        if self.conns.get(chosen).is_some_and(|c| c.template.is_some()) {
            self.conns.set_peer_id(chosen, id.clone());
            if is_hidden(id, remote.ip())
                && let Some(c) = self.conns.get_mut(chosen)
            {
                c.rare.peer_at = Some(remote);
            }
        }
        self.switch_conn(serial, chosen);
        Ok(chosen)
    }

    /// The SA belongs to another conn than was thought.
    pub(super) fn switch_conn(&mut self, serial: Serial, to: ConnId) {
        let Some(from) = self.ikes.get(&serial).map(|s| s.conn).filter(|from| *from != to) else { return };
        let text = format!("switched from {} to {}", self.conn_label(from, 0), self.conn_label(to, 0));
        self.log_sa(serial, rc::LOG, &text);
        self.ikes.set_conn(serial, to);
        if let Some(c) = self.conns.get_mut(from).filter(|c| c.newest_ike == Some(serial)) {
            c.newest_ike = None;
            if let Some(c) = self.conns.get_mut(to) {
                c.newest_ike = Some(serial);
            }
        }
        self.conn_ref(to);
        self.conn_unref(from);
    }
}
