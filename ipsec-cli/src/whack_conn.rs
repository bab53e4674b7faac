//! The options of `whack` that make a conn: those of the whole, and those of an end before and after `--to`.

use std::collections::HashSet;

use ipsec_conf::{algs, net, values};
use ipsec_types::Id;
use ipsec_types::auth::{AuthBy, CaSpec, PublicKeySpec, SendCert};
use ipsec_types::conn::{
    Auto, ClientSpec, ConnSpec, ConnType, DpdAction, Encapsulation, EndSpec, FailureShunt, HostSpec, Phase2,
};

use crate::resolve;

/// Options that each end may have.
const PER_END: [&str; 26] = [
    "host",
    "id",
    "cert",
    "ca",
    "groups",
    "ikeport",
    "nexthop",
    "client",
    "clientwithin",
    "clientprotoport",
    "dnskeyondemand",
    "srcip",
    "updown",
    "tundev",
    "xauth",
    "xauthserver",
    "xauthclient",
    "xauthname",
    "modecfgserver",
    "modeconfigserver",
    "modecfgclient",
    "modeconfigclient",
    "sendcert",
    "certtype",
    "ipv4",
    "ipv6",
];

/// A conn in the making.
pub(crate) struct Build {
    spec: ConnSpec,
    /// The end that options go to, and those before `--to`.
    end: EndSpec,
    first: Option<EndSpec>,
    tunnel: bool,
    encrypt: bool,
    authenticate: bool,
    /// Flags that were given.
    seen: HashSet<String>,
}

impl Default for Build {
    fn default() -> Self {
        let spec = ConnSpec { pfs: false, authby: AuthBy::NONE, ..ConnSpec::default() };
        Build {
            spec,
            end: EndSpec::default(),
            first: None,
            tunnel: false,
            encrypt: false,
            authenticate: false,
            seen: HashSet::new(),
        }
    }
}

impl Build {
    /// Takes one option.
    pub(crate) fn option(
        &mut self,
        option: &str,
        value: &mut dyn FnMut() -> Result<String, String>,
    ) -> Result<(), String> {
        if option != "connalias" && option != "to" && !self.seen.insert(option.to_string()) {
            return Err(format!("duplicated flag \"--{option}\""));
        }
        let spec = &mut self.spec;
        let bad = |v: &str, why: &str| format!("--{option} {v}: {why}");
        match option {
            "connalias" => spec.aliases.push(value()?),
            "psk" => spec.authby.psk = true,
            "rsasig" => spec.authby.rsasig = true,
            "encrypt" => self.encrypt = true,
            "authenticate" => self.authenticate = true,
            "compress" => spec.compress = true,
            "overlapip" => spec.overlap_ip = true,
            "sha2_truncbug" => spec.sha2_truncbug = true,
            "modecfgpull" => spec.modecfg.pull = true,
            "initiateontraffic" => spec.auto = Auto::Route,
            "modecfgdns1" | "modecfgdns2" => {
                let v = value()?;
                spec.modecfg.dns.push(net::address(&v).ok_or_else(|| bad(&v, "does not look numeric"))?);
            }
            "modecfgwins1" | "modecfgwins2" => {
                let v = value()?;
                spec.modecfg.wins.push(net::address(&v).ok_or_else(|| bad(&v, "does not look numeric"))?);
            }
            "remote_peer_type" => spec.cisco_unity = value()? == "cisco",
            // The family is the addresses'; the rest belongs to stacks and daemons that are no more.
            "ipv4"
            | "ipv6"
            | "tunnelipv4"
            | "tunnelipv6"
            | "disablearrivalcheck"
            | "nm_configured"
            | "loopback"
            | "labeledipsec" => {}
            "firstmsgid" | "policylabel" | "groups" | "tundev" | "certtype" => drop(value()?),
            "tunnel" => self.tunnel = true,
            "pass" => spec.conn_type = ConnType::Passthrough,
            "drop" => spec.conn_type = ConnType::Drop,
            "reject" => spec.conn_type = ConnType::Reject,
            "pfs" => spec.pfs = true,
            "pfsgroup" => {
                let v = value()?;
                spec.pfs_group = Some(algs::group(&v).ok_or_else(|| bad(&v, "no such group"))?);
            }
            "ike" | "ikealg" => spec.ike = algs::ike(&value()?)?.suites,
            "esp" => {
                let esp = algs::esp(&value()?)?;
                (spec.esp, spec.pfs_group) = (esp.suites, esp.group.or(spec.pfs_group));
            }
            "ikelifetime" => spec.ike_lifetime = lifetime(&value()?, option)?,
            "ipseclifetime" => spec.sa_lifetime = lifetime(&value()?, option)?,
            "rekeymargin" | "rekeywindow" => spec.rekey_margin = values::time(&value()?)?,
            "rekeyfuzz" => spec.rekey_fuzz = values::percent(&value()?)?,
            "keyingtries" => spec.keyingtries = values::number(&value()?)?,
            "dontrekey" => spec.rekey = false,
            "aggrmode" => spec.aggressive = true,
            "forceencaps" => (spec.force_encaps, spec.encapsulation) = (true, Encapsulation::Yes),
            "dpddelay" => spec.dpd_delay = values::time(&value()?)?,
            "dpdtimeout" => spec.dpd_timeout = values::time(&value()?)?,
            "dpdaction" => {
                let v = value()?;
                spec.dpd_action = match v.as_str() {
                    "clear" => DpdAction::Clear,
                    "hold" => DpdAction::Hold,
                    "restart" => DpdAction::Restart,
                    "restart_by_peer" => DpdAction::RestartByPeer,
                    _ => return Err(bad(&v, "expected clear, hold or restart")),
                };
            }
            "failnone" => spec.failure_shunt = FailureShunt::None,
            "failpass" => spec.failure_shunt = FailureShunt::Passthrough,
            "faildrop" => spec.failure_shunt = FailureShunt::Drop,
            "failreject" => spec.failure_shunt = FailureShunt::Reject,
            "metric" => spec.metric = values::number(&value()?)?,
            "mtu" => spec.mtu = values::number(&value()?)?,
            "to" if self.first.is_some() => return Err("duplicated flag".into()),
            "to" => {
                self.first = Some(std::mem::take(&mut self.end));
                // The options of the second end are not those of the first again.
                self.seen.retain(|o| !PER_END.contains(&o.as_str()));
            }
            "host" => {
                let v = value()?;
                self.end.host = net::host(&v).map_err(|why| bad(&v, &why))?;
            }
            "id" => {
                let v = value()?;
                self.end.id = v.parse().map_err(|e: ipsec_types::id::IdError| bad(&v, &e.0))?;
            }
            "nexthop" => {
                let v = value()?;
                self.end.nexthop = match v.as_str() {
                    "%direct" => None,
                    v => Some(net::address(v).ok_or_else(|| bad(v, "does not look numeric"))?),
                };
            }
            "client" => {
                let v = value()?;
                self.end.client = net::client(&v).map_err(|why| bad(&v, &why))?;
            }
            "clientprotoport" => {
                let v = value()?;
                self.end.protoport = net::protoport(&v).map_err(|why| bad(&v, &why))?;
            }
            "clientwithin" => {
                let v = value()?;
                self.end.client = ClientSpec::Net(net::subnet(&v).map_err(|why| bad(&v, &why))?);
            }
            "cert" => self.end.cert = Some(value()?),
            "ca" => {
                let v = value()?;
                self.end.ca = match v.as_str() {
                    "%any" => CaSpec::Any,
                    "%same" => CaSpec::Same,
                    dn => match dn.parse() {
                        Ok(Id::Dn(der)) => CaSpec::Dn(der),
                        _ => return Err(bad(&v, "expected a distinguished name")),
                    },
                };
            }
            "ikeport" => {
                let v = value()?;
                let port = v.parse().ok().filter(|p| *p > 0);
                self.end.ike_port = Some(port.ok_or_else(|| bad(&v, "expected a port from 1 to 65535"))?);
            }
            "dnskeyondemand" => self.end.public_keys.push(PublicKeySpec::Dns),
            "xauth" | "xauthserver" => self.end.xauth_server = true,
            "xauthclient" => self.end.xauth_client = true,
            "xauthname" => self.end.xauth_username = Some(value()?),
            "modecfgserver" | "modeconfigserver" => self.end.modecfg_server = true,
            "modecfgclient" | "modeconfigclient" => self.end.modecfg_client = true,
            "sendcert" => {
                let v = value()?;
                self.end.send_cert = match v.as_str() {
                    "yes" | "always" | "forced" => SendCert::Always,
                    "no" | "never" => SendCert::Never,
                    "ifasked" => SendCert::IfAsked,
                    _ => return Err(bad(&v, "expected yes, always, no, never or ifasked")),
                };
            }
            "srcip" => {
                let v = value()?;
                self.end.source_ip = Some(net::address(&v).ok_or_else(|| bad(&v, "does not look numeric"))?);
            }
            "updown" => self.end.updown = Some(value()?),
            _ => return Err(format!("unrecognized option '--{option}'")),
        }
        Ok(())
    }

    /// The conn, with host names and the default route looked up.
    pub(crate) fn finish(mut self: Box<Self>, name: String) -> Result<ConnSpec, String> {
        let left = self.first.take().ok_or("connection missing --to, or an end")?;
        let mut spec = self.spec;
        (spec.name, spec.left, spec.right) = (name, left, self.end);
        if spec.left.host == HostSpec::Any && spec.right.host == HostSpec::Any {
            return Err("hosts cannot both be %any".into());
        }
        if spec.left.protoport.proto != spec.right.protoport.proto {
            return Err("the protocol for leftprotoport and rightprotoport must be the same".into());
        }
        if spec.aggressive && spec.ike.is_empty() {
            return Err("can not specify aggressive mode without ike= to set algorithm".into());
        }
        spec.phase2 = match (self.encrypt, self.authenticate) {
            (_, false) => Phase2::Esp,
            (false, true) => Phase2::Ah,
            (true, true) => Phase2::AhEsp,
        };
        if spec.conn_type == ConnType::Tunnel && !self.tunnel {
            spec.conn_type = ConnType::Transport;
        }
        let route = resolve::default_route((None, None));
        let conn = ipsec_conf::Conn {
            section: None,
            spec,
            left: ipsec_conf::Pending::default(),
            right: ipsec_conf::Pending::default(),
            notes: Vec::new(),
        };
        let spec = resolve::conn(&conn, route.as_ref())?;
        match resolve::unknown(&spec).into_iter().next() {
            Some(line) => Err(line),
            None => Ok(spec),
        }
    }
}

fn lifetime(v: &str, option: &str) -> Result<u32, String> {
    match values::time(v)? {
        n @ 1..=86400 => Ok(n),
        _ => Err(format!("{option} {v} must be less than 86400 seconds")),
    }
}
