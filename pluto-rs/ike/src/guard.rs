//! Keeps what IPsec protects from leaving in clear: while a transport-mode road-warrior conn is loaded, packets from
//! its port that no SA covers are dropped (`failureshunt=passthrough` switches it off), and the L2TP daemon is told
//! which of its endpoints are protected.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use ipsec_types::kernel::{Dir, KernelRequest, PolicyAction, PolicyId, PolicySpec, SHUNT_PRIORITY, Selector};

use crate::Endpoint;
use crate::io::{Output, Protected};

fn policy(p: Protected) -> PolicyId {
    let any: IpNet = match p.addr {
        IpAddr::V4(_) => ipnet::Ipv4Net::default().into(),
        IpAddr::V6(_) => ipnet::Ipv6Net::default().into(),
    };
    let selector = Selector { src: p.addr.into(), dst: any, proto: 17, sport: p.port, dport: 0 };
    PolicyId { selector, dir: Dir::Out, mark: None }
}

impl Endpoint {
    /// Brings the kernel and the L2TP daemon in line with the conns that are loaded now.
    pub(crate) fn sync_guards(&mut self) {
        let wanted: BTreeSet<Protected> = match self.listening {
            true => self
                .conns
                .iter()
                .filter_map(|(_, c)| c.guarded_port())
                .map(|(addr, port)| Protected { addr, port })
                .collect(),
            false => BTreeSet::new(),
        };
        if wanted == self.guards {
            return;
        }
        for p in self.guards.difference(&wanted).copied().collect::<Vec<_>>() {
            self.kernel(KernelRequest::DelPolicy(policy(p)), None);
        }
        for p in wanted.difference(&self.guards).copied().collect::<Vec<_>>() {
            let spec = PolicySpec { id: policy(p), priority: SHUNT_PRIORITY, action: PolicyAction::Block };
            self.kernel(KernelRequest::AddPolicy(spec), None);
        }
        // When we leave, the kernel is left as it was found, but the L2TP daemon goes on refusing what comes in clear:
        // that IPsec is stopped is no reason to serve its clients without it.
        if !self.exiting {
            self.out.push_back(Output::Protect(wanted.iter().copied().collect()));
        }
        self.guards = wanted;
    }
}
