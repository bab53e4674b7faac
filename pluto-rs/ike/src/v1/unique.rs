//! `uniqueids=yes`: who comes under an identity that is known from elsewhere has moved, and what was there is released.

use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::Connection;
use crate::conn_table::is_name;
use crate::sa::Serial;

impl Endpoint {
    /// An ISAKMP SA is up: other conns and instances with the same identities at both ends, but another address or port of
    /// the peer's, are released (Openswan's rule). Not where clients of a group share an identity (XAUTH and Mode Config
    /// servers), and not by an address as identity: behind a NAT that is anybody's.
    pub(super) fn release_rivals(&mut self, ike: Serial) {
        let Some((sa, c)) = self.ikes.get(&ike).and_then(|s| Some((s, self.conns.get(s.conn)?))) else {
            return;
        };
        let id = c.name_of_peer();
        if !self.setup.uniqueids || c.per_client() || !is_name(&id) {
            return;
        }
        let (own, remote, our_id) = (sa.conn, sa.remote, c.our_id());
        let rival = |o: &Connection| {
            let elsewhere = o.peer != Some(remote.ip())
                || o.newest_ike
                    .and_then(|i| self.ikes.get(&i))
                    .is_some_and(|s| s.remote.port() != remote.port());
            o.refs > 0 && elsewhere && o.our_id() == our_id
        };
        let mut rivals = self.conns.with_peer_id(&id);
        rivals.retain(|r| *r != own && self.conns.get(*r).is_some_and(rival));
        for rival in rivals {
            let text =
                format!("uniqueids: '{id}' is now at {remote}: releasing {}", self.conn_label(rival, 0));
            self.log_sa(ike, rc::LOG, &text);
            self.release_conn(rival);
        }
    }
}
