//! Parts of the status (`--connectionstatus`, `--showstates`, …), as lines or as JSON.
//!
//! In JSON each line is an object with one member, whose name says what it is: `daemon`, `connection`, `state`.

use ipsec_types::conn::EndSpec;
use ipsec_types::whack::Show;
use serde_json::{Value, json};

use crate::Endpoint;
use crate::conn::{ConnId, ConnKind, Connection};
use crate::io::ClientId;
use crate::sa::Serial;
use crate::status::{policy_words, topology};

impl Endpoint {
    pub(crate) fn show(&mut self, client: ClientId, what: Show, name: Option<&str>, json: bool) {
        let chosen = name.map(|n| self.conns.named_or_alias(n));
        if let (Some([]), Some(name)) = (chosen.as_deref(), name) {
            return self.unknown_name(client, name);
        }
        if !json && name.is_none() && what == Show::All {
            return self.status(client);
        }
        if !json && what == Show::Brief {
            return self.brief_status(client);
        }
        let about = |id: ConnId| chosen.as_ref().is_none_or(|c| c.contains(&id));
        let mut lines = Vec::new();
        if matches!(what, Show::Global | Show::Brief) || what == Show::All && name.is_none() {
            match json {
                true => lines.push(json!({ "daemon": self.daemon_json() }).to_string()),
                false => lines.extend(self.counter_lines()),
            }
        }
        if matches!(what, Show::All | Show::Connections) {
            for id in self.sorted_conns().into_iter().filter(|id| about(*id)) {
                match (json, self.conns.get(id)) {
                    (true, Some(c)) => lines.push(json!({ "connection": conn_json(c) }).to_string()),
                    _ => self.conn_lines(id, &mut lines),
                }
            }
        }
        if what == Show::Shunts || what == Show::All && name.is_none() {
            match json {
                true => lines.extend(self.shunts_json().iter().map(ToString::to_string)),
                false => lines.extend(self.shunt_lines()),
            }
        }
        if matches!(what, Show::All | Show::States) {
            let of = |s: &Serial| {
                let child = || self.children.get(s).map(|c| c.conn);
                self.ikes.get(s).map(|i| i.conn).or_else(child).is_some_and(about)
            };
            let mut serials: Vec<Serial> =
                self.ikes.keys().chain(self.children.keys()).copied().filter(of).collect();
            serials.sort();
            for s in serials.into_iter().rev() {
                match json {
                    true => lines.push(json!({ "state": self.state_json(s) }).to_string()),
                    false => self.state_lines(s, &mut lines),
                }
            }
        }
        self.reply_lines(client, &lines);
    }

    /// libreswan's `--globalstatus`.
    fn counter_lines(&self) -> Vec<String> {
        let up = self.ikes.values().filter(|s| s.up().is_some()).count();
        let children = self.children.values().filter(|c| c.is_up()).count();
        vec![
            format!("config.setup.ike.ddos_threshold={}", self.setup.limits.half_open),
            format!("config.setup.ike.max_halfopen={}", self.setup.limits.half_open),
            format!("current.states.all={}", self.ikes.len() + self.children.len()),
            format!("current.states.ipsec={children}"),
            format!("current.states.ike={}", self.ikes.len()),
            format!("current.states.iketype.halfopen={}", self.half_open.len()),
            format!("current.states.iketype.authenticated={up}"),
            format!("current.connections={}", self.conns.iter().count()),
        ]
    }

    fn daemon_json(&self) -> Value {
        let up = self.ikes.values().filter(|s| s.up().is_some()).count();
        json!({
            "kernel": self.kernel_name,
            "listening": self.listening,
            "interfaces": self.interfaces.iter()
                .map(|i| json!({ "name": i.name, "address": i.addr })).collect::<Vec<_>>(),
            "connections": self.conns.iter().count(),
            "ike_sas": self.ikes.len(),
            "ike_sas_established": up,
            "ike_sas_half_open": self.half_open.len(),
            "ipsec_sas": self.children.len(),
            "ipsec_sas_established": self.children.values().filter(|c| c.is_up()).count(),
            "limits": self.limits_json(),
            "virtual_private": {
                "allowed": self.setup.virtual_private.allowed,
                "disallowed": self.setup.virtual_private.disallowed,
            },
        })
    }

    fn state_json(&self, s: Serial) -> Value {
        let conn = |id: ConnId| {
            let c = self.conns.get(id);
            let instance = c.and_then(|c| match c.kind {
                ConnKind::Instance(n) => Some(n),
                ConnKind::Permanent | ConnKind::Template => None,
            });
            (c.map_or_else(String::new, |c| c.spec.name.clone()), instance)
        };
        if let Some(sa) = self.ikes.get(&s) {
            let (name, instance) = conn(sa.conn);
            return json!({
                "serial": s.0, "kind": "ike", "connection": name, "instance": instance,
                "local": sa.local.to_string(), "remote": sa.remote.to_string(),
                "state": sa.name().label(), "story": sa.name().story(), "event": self.event(s),
                "established": sa.up().is_some(),
                "newest": self.conns.get(sa.conn).is_some_and(|c| c.newest_ike == Some(s)),
                "algorithms": self.ike_suite_words(s),
            });
        }
        let Some(c) = self.children.get(&s) else { return Value::Null };
        let (name, instance) = conn(c.conn);
        let ike = self.ikes.get(&c.ike);
        let sa = |id: Option<ipsec_types::kernel::SaId>| id.map(crate::status::sa_name);
        json!({
            "serial": s.0, "kind": "ipsec", "connection": name, "instance": instance, "ike": c.ike.0,
            "local": ike.map(|i| i.local.to_string()), "remote": ike.map(|i| i.remote.to_string()),
            "state": c.name().label(), "story": c.name().story(), "event": self.event(s),
            "established": c.is_up(),
            "newest": self.conns.get(c.conn).is_some_and(|x| x.newest_child == Some(s)),
            "sa_in": sa(c.in_sa), "sa_out": sa(c.out_sa),
        })
    }
}

fn end_json(e: &EndSpec) -> Value {
    json!({
        "id": Some(&e.id).filter(|i| **i != ipsec_types::Id::None).map(ToString::to_string),
        "protoport": e.protoport.to_string(),
        "sourceip": e.source_ip,
    })
}

fn conn_json(c: &Connection) -> Value {
    let (kind, instance) = match c.kind {
        ConnKind::Permanent => ("permanent", None),
        ConnKind::Template => ("template", None),
        ConnKind::Instance(n) => ("instance", Some(n)),
    };
    let s = &c.spec;
    json!({
        "name": s.name, "kind": kind, "instance": instance, "aliases": s.aliases,
        "topology": topology(c), "policy": policy_words(s, c.up),
        "oriented": c.oriented.is_some(), "interface": c.oriented.as_ref().map(|o| &*o.1),
        "address": c.our_addr(), "peer": c.peer,
        "ours": end_json(c.this()), "theirs": end_json(c.that()),
        "up": c.newest_child.is_some(),
        "newest_ike": c.newest_ike.map(|s| s.0), "newest_ipsec": c.newest_child.map(|s| s.0),
        "ike_life": s.ike_lifetime, "ipsec_life": s.sa_lifetime,
        "rekey_margin": s.rekey_margin, "rekey_fuzz": s.rekey_fuzz, "keyingtries": s.keyingtries,
        "dpd_delay": s.dpd_delay, "dpd_timeout": s.dpd_timeout,
    })
}
