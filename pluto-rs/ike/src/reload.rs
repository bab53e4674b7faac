//! Requests by which a configuration is brought in line with the loaded conns, and small requests about the whole.
//!
//! Nothing here negotiates; a conn that has not changed keeps its SAs.

use std::net::IpAddr;
use std::rc::Rc;

use ipsec_types::conn::ConnSpec;
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind};
use crate::io::ClientId;
use crate::sa::Serial;
use crate::unresolved;

impl Endpoint {
    /// Whether the one conn of this name is loaded as `spec` says; its instances do not count.
    pub(crate) fn keep_equal(&mut self, client: ClientId, loaded: &[ConnId], spec: &ConnSpec) -> bool {
        let named = |e: &Self, id: &ConnId| {
            e.conns.get(*id).filter(|c| !matches!(c.kind, ConnKind::Instance(_))).map(|c| c.spec.clone())
        };
        let of_name: Vec<(ConnId, Rc<ConnSpec>)> =
            loaded.iter().filter_map(|id| Some((*id, named(self, id)?))).collect();
        // Who reads the configuration may know by now what we have asked for.
        for (name, addr) in of_name.iter().flat_map(|(_, old)| unresolved::found(old, spec)) {
            self.on_resolved(&name, addr);
        }
        let kept = of_name.iter().map(|(id, _)| *id).find(|id| {
            named(self, id)
                .is_some_and(|old| *old == *spec || *old == unresolved::with_known(spec.clone(), &old))
        });
        let Some(c) = kept.and_then(|id| self.conns.get_mut(id)) else { return false };
        c.from_file = true;
        self.reply(client, rc::COMMENT, &format!("\"{}\": unchanged", spec.name));
        true
    }

    /// The conns a reload may take out.
    pub(crate) fn loaded(&mut self, client: ClientId) {
        let wanted =
            self.conns.iter().filter(|(_, c)| c.from_file && !matches!(c.kind, ConnKind::Instance(_)));
        let names: Vec<String> = wanted.map(|(_, c)| c.spec.name.clone()).collect();
        for name in names {
            self.reply(client, rc::COMMENT, &name);
        }
    }

    /// The peer has lost its SAs: ours go without a word to it, and what was to be up is negotiated again.
    pub(crate) fn whack_crash(&mut self, client: ClientId, peer: IpAddr) {
        let gone: Vec<(Serial, ConnId)> =
            self.ikes.iter().filter(|(_, s)| s.remote.ip() == peer).map(|(s, sa)| (*s, sa.conn)).collect();
        let mut again: Vec<ConnId> = Vec::new();
        for (serial, conn) in gone {
            let name = self.conns.get(conn).map_or_else(String::new, |c| c.spec.name.clone());
            let up = self.conns.get(conn).is_some_and(|c| c.kind == ConnKind::Permanent && c.up);
            let text = format!(
                "peer {peer} for connection {name} crashed, {}",
                match up {
                    true => "replacing",
                    false => "deleting",
                }
            );
            self.log_plain(Some(client), rc::LOG, &text);
            let children = self.children.of_ike(serial);
            for child in children {
                self.delete_child(child, false);
            }
            self.delete_ike(serial, false);
            if up && !again.contains(&conn) {
                again.push(conn);
            }
        }
        for conn in again {
            if let Some(c) = self.conns.get_mut(conn) {
                c.up = true;
            }
            self.quick_or_main(conn, None, None);
        }
    }

    /// `--debug-…`: the words of the status line.
    pub(crate) fn whack_debug(&mut self, client: ClientId, name: Option<String>, words: Vec<String>) {
        let words: Vec<String> = match words.iter().rposition(|w| w == "none") {
            Some(at) => words[at + 1..].to_vec(),
            None => words,
        };
        match name {
            None => self.debug = words,
            Some(name) if self.conns.named_or_alias(&name).is_empty() => self.unknown_name(client, &name),
            Some(name) if words.is_empty() => drop(self.conn_debug.remove(&name)),
            Some(name) => drop(self.conn_debug.insert(name, words)),
        }
    }
}
