//! A `conn` section as typed data: what `addconn` sends to `pluto`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::algo::{DhGroup, EspSuite, IkeSuite};
use crate::id::Id;

/// `left=` / `right=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostSpec {
    /// Not given; such a conn cannot be loaded.
    #[default]
    Unset,
    /// A literal address.
    Addr(IpAddr),
    /// `%any` or `0.0.0.0`: a road warrior.
    Any,
    /// `%defaultroute`: the address of the interface with the default route. `addconn` replaces it.
    DefaultRoute,
    /// `%ifname`: the address of that interface. `addconn` replaces it.
    Interface(String),
    /// A host name, resolved by `addconn`.
    Name(String),
}

/// The port of a `leftprotoport=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Port {
    /// 0 or absent: all ports.
    #[default]
    All,
    /// One port.
    Number(u16),
    /// `%any`: one port, the one the peer proposes.
    Any,
}

/// `leftprotoport=17/1701`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProtoPort {
    /// IP protocol number, 0 for all.
    pub proto: u8,
    /// Port, with `%any`.
    pub port: Port,
}

impl fmt::Display for ProtoPort {
    /// `17/1701`, `17/%any`, `17/0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Port::All => write!(f, "{}/0", self.proto),
            Port::Number(n) => write!(f, "{}/{n}", self.proto),
            Port::Any => write!(f, "{}/%any", self.proto),
        }
    }
}

/// One word of a `vhost:` or `vnet:` list, tried in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VirtualWord {
    /// `%no`: the peer's own public address.
    No,
    /// `%priv`: inside `virtual_private=`.
    Priv,
    /// `%all`: anything (tests only).
    All,
    /// `%v4:net` or `%v6:net`.
    Net(IpNet),
}

/// The network behind an end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientSpec {
    /// No `leftsubnet=`: the host itself.
    #[default]
    Host,
    /// `leftsubnet=10.0.0.0/8`.
    Net(IpNet),
    /// `rightsubnet=vhost:%no,%priv` (`single_host`) or `vnet:…`.
    Virtual {
        /// `vhost:` allows one address only.
        single_host: bool,
        /// The list.
        words: Vec<VirtualWord>,
    },
}

/// One end of a conn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSpec {
    /// `left=`.
    pub host: HostSpec,
    /// `leftnexthop=`, after resolution; `None` is the peer itself.
    pub nexthop: Option<IpAddr>,
    /// `leftid=`; [`Id::None`] is "the address", or for `%any` "whoever it is".
    pub id: Id,
    /// `leftsubnet=`.
    pub client: ClientSpec,
    /// `leftprotoport=`.
    pub protoport: ProtoPort,
    /// `leftsourceip=`.
    pub source_ip: Option<IpAddr>,
    /// `leftupdown=`; `None` is the built-in one.
    pub updown: Option<String>,
}

/// `authby=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthBy {
    /// `secret`.
    pub psk: bool,
    /// `rsasig`.
    pub rsasig: bool,
}

impl Default for AuthBy {
    fn default() -> Self {
        AuthBy { psk: false, rsasig: true }
    }
}

/// `type=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnType {
    /// Tunnel mode.
    #[default]
    Tunnel,
    /// Transport mode.
    Transport,
    /// `passthrough`.
    Passthrough,
    /// `reject`.
    Reject,
    /// `drop`.
    Drop,
}

/// `auto=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Auto {
    /// Not loaded at start.
    #[default]
    Ignore,
    /// Loaded at start.
    Add,
    /// Loaded and trapped at start.
    Route,
    /// Loaded and initiated at start.
    Start,
}

/// `dpdaction=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DpdAction {
    /// Keep a trap.
    #[default]
    Hold,
    /// Forget the SAs.
    Clear,
    /// Negotiate again.
    Restart,
}

/// `failureshunt=`: what happens to packets of a conn that has no SA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureShunt {
    /// The default: packets of a transport-mode road-warrior conn do not leave in clear.
    #[default]
    None,
    /// Leave in clear.
    Passthrough,
    /// Dropped.
    Drop,
    /// Refused with ICMP.
    Reject,
}

/// A `conn` section after `also=` and `%default`, with defaults filled in. Times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnSpec {
    /// Section name.
    pub name: String,
    /// `connalias=`.
    pub aliases: Vec<String>,
    /// `left…`.
    pub left: EndSpec,
    /// `right…`.
    pub right: EndSpec,
    /// `authby=`.
    pub authby: AuthBy,
    /// `type=`.
    pub conn_type: ConnType,
    /// `auto=`.
    pub auto: Auto,
    /// `pfs=`.
    pub pfs: bool,
    /// `pfsgroup=`, or the group of `phase2alg=`.
    pub pfs_group: Option<DhGroup>,
    /// `rekey=`.
    pub rekey: bool,
    /// `keyingtries=`, 0 is `%forever`.
    pub keyingtries: u32,
    /// `ikelifetime=`, at most 86400.
    pub ike_lifetime: u32,
    /// `salifetime=`, at most 86400.
    pub sa_lifetime: u32,
    /// `rekeymargin=`.
    pub rekey_margin: u32,
    /// `rekeyfuzz=`, percent.
    pub rekey_fuzz: u32,
    /// `ike=`; empty is the built-in list.
    pub ike: Vec<IkeSuite>,
    /// `esp=`/`phase2alg=`; empty is the built-in list.
    pub esp: Vec<EspSuite>,
    /// `dpddelay=`, 0 is off.
    pub dpd_delay: u32,
    /// `dpdtimeout=`, 0 is off.
    pub dpd_timeout: u32,
    /// `dpdaction=`.
    pub dpd_action: DpdAction,
    /// `forceencaps=`.
    pub force_encaps: bool,
    /// `aggrmode=`.
    pub aggressive: bool,
    /// `failureshunt=`.
    pub failure_shunt: FailureShunt,
    /// `metric=`.
    pub metric: u32,
    /// `mtu=`.
    pub mtu: u32,
}

impl Default for ConnSpec {
    /// Openswan's defaults: tunnel, RSA signatures, PFS, 1 h and 8 h, 9 m margin, 100 % fuzz, tries for ever.
    fn default() -> Self {
        ConnSpec {
            name: String::new(),
            aliases: Vec::new(),
            left: EndSpec::default(),
            right: EndSpec::default(),
            authby: AuthBy::default(),
            conn_type: ConnType::default(),
            auto: Auto::default(),
            pfs: true,
            pfs_group: None,
            rekey: true,
            keyingtries: 0,
            ike_lifetime: 3600,
            sa_lifetime: 28800,
            rekey_margin: 540,
            rekey_fuzz: 100,
            ike: Vec::new(),
            esp: Vec::new(),
            dpd_delay: 0,
            dpd_timeout: 0,
            dpd_action: DpdAction::default(),
            force_encaps: false,
            aggressive: false,
            failure_shunt: FailureShunt::default(),
            metric: 0,
            mtu: 0,
        }
    }
}

/// `virtual_private=`: the networks `%priv` stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualPrivate {
    /// `%v4:net` entries.
    pub allowed: Vec<IpNet>,
    /// `%v4:!net` entries.
    pub disallowed: Vec<IpNet>,
}

/// One record of `ipsec.secrets` that is a pre-shared key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PskRecord {
    /// The indices before the colon; [`Id::None`] is `%any`. Empty matches everybody.
    pub ids: Vec<Id>,
    /// The key.
    pub psk: crate::SecretBytes,
    /// Line of the record in its own file, from 1.
    pub line: u32,
}
