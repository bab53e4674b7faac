//! `mark=` and its kin, and the tunnel device that goes with them.

use ipsec_types::conn::{ConnSpec, ConnType};
use ipsec_types::marks::{ConnMark, Marks, Vti};

use super::Builder;
use crate::diag::Severity;
use crate::keywords::Side;

/// Longest name of a network interface, in octets (`IFNAMSIZ` less its end).
const LONGEST_NAME: usize = 15;

impl Builder<'_> {
    /// In transport mode a conn's SAs have marks already, which tell clients behind one NAT apart.
    pub(super) fn marks(&mut self, spec: &mut ConnSpec) {
        let both = self.mark("mark");
        let inbound = self.mark("mark-in").or(both);
        let outbound = self.mark("mark-out").or(both);
        let (routing, shared) = (self.boolean("vti-routing", true), self.boolean("vti-shared", false));
        let interface = self.read("interface", "vti-interface", interface).filter(|name| !name.is_empty());
        let marked = ["mark", "mark-in", "mark-out"].into_iter().find_map(|name| self.get(name, Side::Both));
        if let Some(param) = marked.filter(|_| spec.conn_type != ConnType::Tunnel) {
            let message = format!("{}={} is for tunnels; not used", param.key, param.value);
            return self.say(Severity::Warning, param, message);
        }
        if let Some(param) =
            self.get("vti-interface", Side::Both).filter(|_| inbound.is_none() || outbound.is_none())
        {
            self.say(
                Severity::Warning,
                param,
                "vti-interface option ignored because no mark was configured".into(),
            );
        }
        if inbound.is_some() || outbound.is_some() {
            let vti = interface.filter(|_| inbound.is_some() && outbound.is_some());
            let vti = vti.map(|interface| Vti { interface, routing, shared });
            spec.marks = Some(Box::new(Marks { inbound, outbound, vti }));
        }
    }

    fn mark(&mut self, name: &'static str) -> Option<ConnMark> {
        self.read("mark", name, str::parse)
    }
}

fn interface(s: &str) -> Result<String, String> {
    let fits = s.len() <= LONGEST_NAME && !matches!(s, "." | "..");
    match fits && s.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':') {
        true => Ok(s.to_string()),
        false => Err(format!("expected the name of an interface, at most {LONGEST_NAME} characters")),
    }
}
