//! One end of a conn.

use std::net::IpAddr;

use ipnet::IpNet;
use ipsec_types::Id;
use ipsec_types::conn::{ClientSpec, EndSpec, HostSpec, VirtualWord};

use super::{Builder, Pending};
use crate::diag::{Diagnostic, Severity};
use crate::dialect::Dialect;
use crate::keywords::Side;
use crate::net;
use crate::parse::Param;

impl Builder<'_> {
    pub(super) fn end(&mut self, side: Side, pending: &mut Pending) -> EndSpec {
        let mut end = EndSpec::default();
        if let Some(p) = self.get("", side) {
            match net::host(&p.value) {
                Ok(host) => end.host = host,
                Err(_) if self.dialect == Dialect::Strongswan && p.value.contains([',', '/', '-']) => {
                    end.host = self.one_of(p);
                }
                // As ever, what is no address is a name, though nobody may answer to it.
                Err(why) if !p.value.starts_with('%') && net::is_plain(&p.value) => {
                    end.host = HostSpec::Name(p.value.clone());
                    let message = format!("{}={} {why}; it will be looked up as a name", p.key, p.value);
                    self.say(Severity::Warning, p, message);
                }
                Err(why) => self.bad("addr", side, "", p, &why),
            }
        }
        if self.dialect == Dialect::Strongswan && matches!(end.host, HostSpec::Any | HostSpec::Unset) {
            // There left is the own end, and neither end has to be given.
            end.host = if side == Side::Left { HostSpec::DefaultRoute } else { HostSpec::Any };
        }
        pending.nexthop_default = end.host == HostSpec::DefaultRoute;
        if let Some(p) = self.get("nexthop", side) {
            match p.value.to_ascii_lowercase().as_str() {
                "%defaultroute" => pending.nexthop_default = true,
                "%direct" => pending.nexthop_default = false,
                text => match net::address(text) {
                    Some(a) => (end.nexthop, pending.nexthop_default) = (Some(a), false),
                    None => self.bad("addr", side, "nexthop", p, "does not look numeric"),
                },
            }
        }
        if let Some(p) = self.get("protoport", side) {
            match net::protoport(&p.value) {
                Ok(pp) => end.protoport = pp,
                Err(why) => self.bad_protoport(side, p, &why),
            }
        }
        self.client(side, &mut end);
        if let Some(p) = self.get("id", side) {
            self.id(side, p, &mut end, pending);
        }
        end.updown = match self.get("updown", side).map(|p| p.value.as_str()) {
            None | Some("ipsec _updown") => None,
            Some("%disabled") => Some(String::new()),
            Some(command) => Some(command.to_string()),
        };
        end.vti = self.read_at("address", "vti", side, |s| {
            let alone = || s.parse::<IpAddr>().ok().map(IpNet::from);
            s.parse().ok().or_else(alone).ok_or_else(|| "expected ADDRESS/LENGTH".to_string())
        });
        self.roles(side, &mut end);
        end
    }

    /// strongSwan's list of addresses, names, networks and ranges: the first, or anybody where that is not one host. Who
    /// is not in the list has no key for this conn either.
    fn one_of(&mut self, p: &Param) -> HostSpec {
        let first = p.value.split(',').next().unwrap_or_default().trim();
        let several =
            net::subnet(first).is_ok() || net::pool(first).is_ok_and(|pool| pool.first != pool.last);
        let (host, taken) = match net::host(first) {
            Ok(host) if !several => (host, first),
            _ => (HostSpec::Any, "%any"),
        };
        self.warn_once(Diagnostic::new(
            Severity::Warning,
            p.place(),
            format!("{}={}: taken as {taken}", p.key, p.value),
        ));
        host
    }

    fn bad_protoport(&mut self, side: Side, p: &Param, why: &str) {
        let message = format!("bad {}protoport={} [{why}]", side.prefix(), p.value);
        self.say(Severity::Error, p, message);
    }

    fn client(&mut self, side: Side, end: &mut EndSpec) {
        if let Some(p) = self.get("subnetwithin", side) {
            match net::subnet(&p.value) {
                Ok(net) => {
                    end.client =
                        ClientSpec::Virtual { single_host: false, words: vec![VirtualWord::Net(net)] };
                }
                Err(why) => self.bad("subnet", side, "subnetwithin", p, &why),
            }
        }
        if let Some(p) = self.get("subnet", side) {
            self.subnet(side, p, end);
        }
        let Some(p) = self.get("sourceip", side) else { return };
        // strongSwan's words for an address of, or out of, Mode Config.
        if p.value.starts_with('%') || p.value.contains(['/', '-', ',']) {
            return;
        }
        match net::address(&p.value) {
            Some(_) if self.is_pool(side) => {}
            Some(a) => {
                end.source_ip = Some(a);
                if end.client == ClientSpec::Host && !self.merged.appended.contains_key(&("subnets", side)) {
                    let net = IpNet::from(a);
                    end.client = ClientSpec::Net(net);
                    self.say(Severity::Note, p, format!("defaulting {}subnet to {net}", side.prefix()));
                }
            }
            None => self.bad("addr", side, "sourceip", p, "does not look numeric"),
        }
    }

    fn subnet(&mut self, side: Side, p: &Param, end: &mut EndSpec) {
        // strongSwan: several networks, each with `[protocol/port]`. IKEv1 has room for one.
        let virtual_list = p.value.starts_with("vhost:") || p.value.starts_with("vnet:");
        let mut text = p.value.as_str();
        if !virtual_list && let Some((first, _)) = p.value.split_once(',') {
            let message = format!("{}={}: only the first network is used", p.key, p.value);
            self.warn_once(
                Diagnostic::new(Severity::Warning, p.place(), message)
                    .with_help(format!("write {}subnets={{…}} for one tunnel each", side.prefix())),
            );
            text = first;
        }
        if let Some((net, selector)) = text.strip_suffix(']').and_then(|t| t.split_once('[')) {
            text = net;
            match net::protoport(&selector.replace("%any/%any", "0/0")) {
                Ok(protoport) => end.protoport = protoport,
                Err(why) => self.bad_protoport(side, p, &why),
            }
        }
        // libreswan: `NET/BITS/PROTOCOL[/PORT]`.
        let second = text.match_indices('/').nth(1).map(|(i, _)| i).filter(|_| !virtual_list);
        if let Some((net, selector)) = second.and_then(|i| text.split_at_checked(i)) {
            text = net;
            match net::protoport(selector.trim_start_matches('/')) {
                Ok(protoport) => end.protoport = protoport,
                Err(why) => self.bad_protoport(side, p, &why),
            }
        }
        match net::client(text.trim()) {
            Ok(client) => end.client = client,
            Err(_) if matches!(text, "%dynamic" | "%dynamic6" | "") => {}
            Err(why) if virtual_list => {
                let message = format!("{why} - virtual selection disabled for connection '{}'", self.name);
                self.say(Severity::Warning, p, message);
            }
            Err(why) => match net::address(text) {
                Some(host) => {
                    end.client = ClientSpec::Net(IpNet::from(host));
                    if self.dialect != Dialect::Strongswan {
                        let message = format!("{}={}: taken as one address", p.key, p.value);
                        self.say(Severity::Warning, p, message);
                    }
                }
                None => {
                    let message = format!(
                        "while loading '{}': bad subnet {}subnet={} [{why}] family=AF_INET",
                        self.name,
                        side.prefix(),
                        p.value
                    );
                    self.say(Severity::Error, p, message);
                }
            },
        }
    }

    fn id(&mut self, side: Side, p: &Param, end: &mut EndSpec, pending: &mut Pending) {
        let text = p.value.trim();
        match net::identity(text) {
            Ok(id) => end.id = id,
            Err(_) if matches!(text, "%fromcert" | "%cert") => end.id_from_cert = true,
            Err(_) if matches!(text, "%myid" | "%null" | "%none" | "%any" | "") => {}
            // There any text that is nothing else is a name.
            Err(_) if self.dialect == Dialect::Strongswan && !text.contains(['=', '@', ':', '%']) => {
                end.id = Id::Fqdn(text.to_string());
            }
            Err(_) if net::is_host_name(text) => pending.id_name = Some(text.to_string()),
            // As ever, the end's address then is its identity; without an address, anybody's would be.
            Err(why) if is_one_host(&end.host) && !text.contains('=') => {
                let message = format!("027 bad {} --id: {why} (ignored)", side.prefix());
                self.say(Severity::Warning, p, message);
            }
            Err(why) => self.bad("id", side, "id", p, &why),
        }
    }
}

/// Whether an end is one host, whose address can stand for its identity.
fn is_one_host(host: &HostSpec) -> bool {
    matches!(host, HostSpec::Addr(_) | HostSpec::DefaultRoute | HostSpec::Interface(_) | HostSpec::Name(_))
}
