//! A `conn` section as typed data: what `addconn` sends to `pluto`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::algo::{DhGroup, EspSuite, IkeSuite};
use crate::auth::{AuthBy, CaSpec, CryptoPolicy, PublicKeySpec, SendCert, XauthBy, XauthFail};
use crate::id::Id;
use crate::marks::Marks;
use crate::modecfg::{AddressPool, ModeConfig};

/// Seconds between two questions for the address of a host name that is not known yet (Openswan's `EVENT_PENDING_DDNS`).
pub const RESOLVE_AGAIN: u32 = 60;

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
    /// A host name. `addconn` replaces it if it knows the address; else `pluto` asks again every [`RESOLVE_AGAIN`] seconds.
    Name(String),
    /// `%group`: the conn is a template for the networks of the policy file of its name.
    Group,
    /// `%opportunistic`: whoever a packet goes to.
    Opportunistic,
    /// `%opportunisticgroup`: both.
    OpportunisticGroup,
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

/// Most of a conn is as by default: that is not sent, which makes loading thousands faster.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One end of a conn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndSpec {
    /// `left=`.
    pub host: HostSpec,
    /// The host name that the address of `host` was found by.
    #[serde(skip_serializing_if = "is_default")]
    pub host_name: Option<Box<str>>,
    /// `leftnexthop=`, after resolution; `None` is the peer itself.
    #[serde(skip_serializing_if = "is_default")]
    pub nexthop: Option<IpAddr>,
    /// `leftid=`; [`Id::None`] is "the address", or for `%any` "whoever it is".
    #[serde(skip_serializing_if = "is_default")]
    pub id: Id,
    /// `leftsubnet=`.
    #[serde(skip_serializing_if = "is_default")]
    pub client: ClientSpec,
    /// `leftprotoport=`.
    #[serde(skip_serializing_if = "is_default")]
    pub protoport: ProtoPort,
    /// `leftsourceip=`.
    #[serde(skip_serializing_if = "is_default")]
    pub source_ip: Option<IpAddr>,
    /// `leftupdown=`; `None` is the built-in one, an empty text (`%disabled`) none at all.
    #[serde(skip_serializing_if = "is_default")]
    pub updown: Option<String>,
    /// `leftauth=`; `None` is what `authby=` says.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: Option<AuthBy>,
    /// `leftid=%fromcert`: the subject of the certificate.
    #[serde(skip_serializing_if = "is_default")]
    pub id_from_cert: bool,
    /// `leftcert=` as written: a file name, or a nickname.
    #[serde(skip_serializing_if = "is_default")]
    pub cert: Option<String>,
    /// `leftrsasigkey=` and `leftrsasigkey2=`.
    #[serde(skip_serializing_if = "is_default")]
    pub public_keys: Vec<PublicKeySpec>,
    /// `leftca=`.
    #[serde(skip_serializing_if = "is_default")]
    pub ca: CaSpec,
    /// `leftsendcert=`.
    #[serde(skip_serializing_if = "is_default")]
    pub send_cert: SendCert,
    /// `leftxauthserver=`.
    #[serde(skip_serializing_if = "is_default")]
    pub xauth_server: bool,
    /// `leftxauthclient=`.
    #[serde(skip_serializing_if = "is_default")]
    pub xauth_client: bool,
    /// `leftxauthusername=`.
    #[serde(skip_serializing_if = "is_default")]
    pub xauth_username: Option<String>,
    /// `leftmodecfgserver=`.
    #[serde(skip_serializing_if = "is_default")]
    pub modecfg_server: bool,
    /// `leftmodecfgclient=`.
    #[serde(skip_serializing_if = "is_default")]
    pub modecfg_client: bool,
    /// `leftaddresspool=`, or strongSwan's `rightsourceip=NET`.
    #[serde(skip_serializing_if = "is_default")]
    pub address_pool: Option<AddressPool>,
    /// `leftikeport=`; `None` is 500.
    #[serde(skip_serializing_if = "is_default")]
    pub ike_port: Option<u16>,
    /// `leftfirewall=`: the built-in updown opens the firewall for the tunnel.
    #[serde(skip_serializing_if = "is_default")]
    pub firewall: bool,
    /// `lefthostaccess=`: also for the host itself.
    #[serde(skip_serializing_if = "is_default")]
    pub host_access: bool,
    /// `leftvti=`: the address of the tunnel device.
    #[serde(skip_serializing_if = "is_default")]
    pub vti: Option<IpNet>,
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
    /// Loaded at start, and brought up again whenever it goes down.
    Keep,
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
    /// `restart_by_peer`: negotiate every conn with that peer again.
    RestartByPeer,
}

/// `phase2=`: what protects the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase2 {
    /// ESP (RFC 4303).
    #[default]
    Esp,
    /// AH (RFC 4302).
    Ah,
    /// AH around ESP, as Openswan's `ah+esp`.
    AhEsp,
}

/// `fragmentation=` (`ike-frag=`): IKE messages in pieces (Cisco's and Microsoft's way).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fragmentation {
    /// Neither announced nor sent; what comes is put together all the same.
    No,
    /// Announced, and used towards a peer that announced it.
    #[default]
    Yes,
    /// Used at once.
    Force,
}

/// `nat-ikev1-method=` (`ikev1_natt=`): what is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NattMethod {
    /// RFC 3947 and the drafts.
    #[default]
    Both,
    /// RFC 3947 only.
    Rfc,
    /// The drafts only.
    Drafts,
    /// No NAT traversal for this conn.
    None,
}

/// `encapsulation=` (`forceencaps=`): ESP in UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encapsulation {
    /// When a NAT is seen.
    #[default]
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// `failureshunt=`, `negotiationshunt=`: what happens to packets of a conn that has no SA.
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
#[serde(default)]
pub struct ConnSpec {
    /// Section name.
    pub name: String,
    /// `connalias=`.
    #[serde(skip_serializing_if = "is_default")]
    pub aliases: Vec<String>,
    /// `left…`.
    pub left: EndSpec,
    /// `right…`.
    pub right: EndSpec,
    /// `authby=`.
    pub authby: AuthBy,
    /// `type=`.
    #[serde(skip_serializing_if = "is_default")]
    pub conn_type: ConnType,
    /// `auto=`.
    #[serde(skip_serializing_if = "is_default")]
    pub auto: Auto,
    /// `pfs=`.
    pub pfs: bool,
    /// `pfsgroup=`, or the group of `phase2alg=`.
    #[serde(skip_serializing_if = "is_default")]
    pub pfs_group: Option<DhGroup>,
    /// `rekey=`.
    pub rekey: bool,
    /// `keyingtries=`, 0 is `%forever`.
    #[serde(skip_serializing_if = "is_default")]
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
    #[serde(skip_serializing_if = "is_default")]
    pub ike: Vec<IkeSuite>,
    /// `esp=`/`phase2alg=`; empty is the built-in list.
    #[serde(skip_serializing_if = "is_default")]
    pub esp: Vec<EspSuite>,
    /// `dpddelay=`, 0 is off.
    #[serde(skip_serializing_if = "is_default")]
    pub dpd_delay: u32,
    /// `dpdtimeout=`, 0 is off.
    #[serde(skip_serializing_if = "is_default")]
    pub dpd_timeout: u32,
    /// `dpdaction=`.
    #[serde(skip_serializing_if = "is_default")]
    pub dpd_action: DpdAction,
    /// `forceencaps=`, `encapsulation=yes`. See also [`Self::encapsulation`].
    #[serde(skip_serializing_if = "is_default")]
    pub force_encaps: bool,
    /// `encapsulation=`; `Yes` together with `force_encaps`.
    #[serde(skip_serializing_if = "is_default")]
    pub encapsulation: Encapsulation,
    /// `nat-ikev1-method=`.
    #[serde(skip_serializing_if = "is_default")]
    pub natt_method: NattMethod,
    /// `nat-keepalive=`.
    pub nat_keepalive: bool,
    /// `leftnat-hide=`, either end: a Windows client needs no registry key for a server behind NAT.
    #[serde(skip_serializing_if = "is_default")]
    pub nat_hide: bool,
    /// `phase2=`.
    #[serde(skip_serializing_if = "is_default")]
    pub phase2: Phase2,
    /// `compress=`: offer and accept IPComp (RFC 3173).
    #[serde(skip_serializing_if = "is_default")]
    pub compress: bool,
    /// `sha2_truncbug=`: SHA2-256 cut to 96 bits.
    #[serde(skip_serializing_if = "is_default")]
    pub sha2_truncbug: bool,
    /// `replay-window=`, packets; 0 switches the check off.
    pub replay_window: u32,
    /// `lifebytes=` (`ipsec-max-bytes=`), octets; 0 is none.
    #[serde(skip_serializing_if = "is_default")]
    pub life_bytes: u64,
    /// `lifepackets=` (`ipsec-max-packets=`); 0 is none.
    #[serde(skip_serializing_if = "is_default")]
    pub life_packets: u64,
    /// `reauth=`: an IKE SA is replaced together with its children.
    #[serde(skip_serializing_if = "is_default")]
    pub reauth: bool,
    /// `initial-contact=`.
    pub initial_contact: bool,
    /// `fragmentation=`.
    #[serde(skip_serializing_if = "is_default")]
    pub fragmentation: Fragmentation,
    /// `modecfgpull=`, `modecfgdns=`, …: what Mode Config asks or gives.
    #[serde(skip_serializing_if = "is_default")]
    pub modecfg: ModeConfig,
    /// `xauthby=`.
    #[serde(skip_serializing_if = "is_default")]
    pub xauth_by: XauthBy,
    /// `xauthfail=`.
    #[serde(skip_serializing_if = "is_default")]
    pub xauth_fail: XauthFail,
    /// `cisco-unity=`, `remote_peer_type=cisco`.
    #[serde(skip_serializing_if = "is_default")]
    pub cisco_unity: bool,
    /// `send-vendorid=`.
    pub send_vendorid: bool,
    /// `crypto-policy=`; `None` is what `config setup` says.
    #[serde(skip_serializing_if = "is_default")]
    pub crypto_policy: Option<CryptoPolicy>,
    /// `priority=`: of the kernel's policies; 0 is ours.
    #[serde(skip_serializing_if = "is_default")]
    pub priority: u32,
    /// `inactivity=`, seconds without traffic after which the SA goes; 0 is never.
    #[serde(skip_serializing_if = "is_default")]
    pub inactivity: u32,
    /// `aggrmode=`.
    #[serde(skip_serializing_if = "is_default")]
    pub aggressive: bool,
    /// `failureshunt=`.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_shunt: FailureShunt,
    /// `negotiationshunt=`: while an SA is being negotiated; only `Passthrough` and `Drop` (any other) differ.
    #[serde(skip_serializing_if = "is_default")]
    pub negotiation_shunt: FailureShunt,
    /// `overlapip=`: several clients may have the same inner addresses.
    #[serde(skip_serializing_if = "is_default")]
    pub overlap_ip: bool,
    /// `mark=`, `mark-in=`, `mark-out=`, `vti-interface=`.
    #[serde(skip_serializing_if = "is_default")]
    pub marks: Option<Box<Marks>>,
    /// `metric=`.
    #[serde(skip_serializing_if = "is_default")]
    pub metric: u32,
    /// `mtu=`.
    #[serde(skip_serializing_if = "is_default")]
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
            encapsulation: Encapsulation::default(),
            natt_method: NattMethod::default(),
            nat_keepalive: true,
            nat_hide: false,
            phase2: Phase2::default(),
            compress: false,
            sha2_truncbug: false,
            replay_window: 128,
            life_bytes: 0,
            life_packets: 0,
            reauth: false,
            initial_contact: true,
            fragmentation: Fragmentation::default(),
            modecfg: ModeConfig::default(),
            xauth_by: XauthBy::default(),
            xauth_fail: XauthFail::default(),
            cisco_unity: false,
            send_vendorid: true,
            crypto_policy: None,
            priority: 0,
            inactivity: 0,
            aggressive: false,
            failure_shunt: FailureShunt::default(),
            negotiation_shunt: FailureShunt::default(),
            overlap_ip: false,
            marks: None,
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
