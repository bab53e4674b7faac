//! Conns with a host name whose address is not known yet, as at boot or with a peer whose name is given to it by dynamic
//! DNS: they are loaded all the same, and come to life when the shell has found the address.
//!
//! Nothing here looks a name up.

use std::net::IpAddr;

use ipsec_types::conn::{Auto, ConnSpec, EndSpec, HostSpec, RESOLVE_AGAIN};
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind};
use crate::io::ClientId;

impl Endpoint {
    /// Whether there are host names to be asked for. Not before we listen: nothing could be done with an address.
    pub fn wants_addresses(&self) -> bool {
        self.listening && self.conns.has_unresolved()
    }

    /// Host names whose addresses are wanted, at most `most`: in the order of names, from the one after `last` on and round.
    /// What is found is told with [`Input::Resolved`](crate::Input::Resolved).
    pub fn unresolved(&self, last: &str, most: usize) -> Vec<String> {
        self.conns.unresolved(last, most)
    }

    /// A conn was added. If an end is unknown, it is remembered that it is to start as its `auto=` says.
    pub(crate) fn note_unresolved(&mut self, id: ConnId) {
        let Some(c) = self.conns.get_mut(id) else { return };
        let names: Vec<String> = c.unresolved().map(str::to_string).collect();
        if names.is_empty() {
            return;
        }
        c.up = c.spec.auto == Auto::Start;
        if c.spec.auto == Auto::Route {
            c.rare.route_later = true;
        }
        for name in names {
            let text = format!(
                "the address of {name} is not known yet; it is asked for every {RESOLVE_AGAIN} seconds"
            );
            self.log_conn(id, None, rc::LOG, &text);
        }
    }

    /// Tells the client, if an end of the conn is unknown.
    pub(crate) fn tell_unresolved(&mut self, id: ConnId, client: Option<ClientId>, then: &str) -> bool {
        let Some(name) = self.conns.get(id).and_then(|c| c.unresolved().next()) else { return false };
        let text = format!(
            "dns resolution for {name} not yet complete, still trying: it is asked for every {RESOLVE_AGAIN} seconds, \
             and the conn is {then} when its address is known"
        );
        self.log_conn(id, client, rc::NOPEERIP, &text);
        true
    }

    /// The shell has found an address.
    pub(crate) fn on_resolved(&mut self, name: &str, addr: IpAddr) {
        let ids = self.conns.resolve(name, addr, &self.interfaces);
        if ids.is_empty() {
            return;
        }
        for id in &ids {
            self.log_conn(*id, None, rc::LOG, &format!("the address of {name} is {addr}"));
        }
        self.sync_guards();
        for id in ids {
            if self.conns.get(id).is_some_and(|c| c.unresolved().next().is_none()) {
                self.start_resolved(id);
            }
        }
    }

    /// What the conns that `spec` takes the place of know of the host names whose addresses are not known any more: without
    /// DNS a reload takes nothing away that works.
    pub(crate) fn known_before(&self, old: &[ConnId], spec: &ConnSpec) -> Vec<(String, IpAddr)> {
        old.iter().filter_map(|id| self.conns.get(*id)).flat_map(|c| found(spec, &c.spec)).collect()
    }

    /// Does what was to be done with a conn once both its ends are known.
    fn start_resolved(&mut self, id: ConnId) {
        let Some(c) = self.conns.get_mut(id) else { return };
        let route = c.rare.there().is_some_and(|rare| std::mem::take(&mut rare.route_later));
        let negotiates = c.kind == ConnKind::Permanent && !c.never_negotiates();
        let oriented = c.oriented.is_some();
        c.up &= negotiates && oriented;
        let up = c.up;
        if !oriented {
            let text = "We cannot identify ourselves with either end of this connection.";
            return self.log_conn(id, None, rc::ORIENT, text);
        }
        if route {
            self.route(id, None);
        }
        if up {
            self.quick_or_main(id, None, None);
        }
    }
}

/// `spec`, with the addresses that a loaded conn has of the same host names.
pub(crate) fn with_known(mut spec: ConnSpec, loaded: &ConnSpec) -> ConnSpec {
    let fill = |end: &mut EndSpec, known: &EndSpec| {
        if let HostSpec::Name(name) = &end.host
            && known.host_name.as_deref() == Some(name)
        {
            (end.host, end.host_name) = (known.host.clone(), known.host_name.clone());
        }
    };
    fill(&mut spec.left, &loaded.left);
    fill(&mut spec.right, &loaded.right);
    spec
}

/// The host names that `one` lacks the addresses of, and what `other` knows of them.
pub(crate) fn found(one: &ConnSpec, other: &ConnSpec) -> Vec<(String, IpAddr)> {
    let found = |(lacks, knows): (&EndSpec, &EndSpec)| match (&lacks.host, &knows.host) {
        (HostSpec::Name(name), HostSpec::Addr(addr)) if knows.host_name.as_deref() == Some(name) => {
            Some((name.clone(), *addr))
        }
        _ => None,
    };
    [(&one.left, &other.left), (&one.right, &other.right)].into_iter().filter_map(found).collect()
}
