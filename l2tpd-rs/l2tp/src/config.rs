//! What the engine is told to do, as plain data; `xl2tpd.conf` is read elsewhere.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::pool::RangeRule;

/// Bounds on what strangers and peers can make the engine keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Half-open tunnels (SCCRP sent, no SCCCN) from one address.
    pub half_open_per_peer: usize,
    /// Half-open tunnels in all.
    pub half_open: usize,
    /// Tunnels in all, half-open ones included.
    pub tunnels: usize,
    /// Calls of one tunnel.
    pub calls_per_tunnel: usize,
    /// Calls in all.
    pub calls: usize,
    /// Data messages of one call that wait for an earlier one, when the peer numbers them.
    pub reorder_queue: usize,
    /// How long they wait before the missing one is taken for lost.
    pub reorder_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            half_open_per_peer: 8,
            half_open: 256,
            tunnels: 20_000,
            calls_per_tunnel: 32,
            calls: 1000,
            reorder_queue: 32,
            reorder_timeout: Duration::from_millis(100),
        }
    }
}

/// The engine's configuration: `[global]`, the `[lns]` and the `[lac]` sections.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Our Host Name where a section has none.
    pub hostname: String,
    /// Named `[lns X]` sections in file order.
    pub lns: Vec<Arc<LnsConfig>>,
    /// `[lns default]`: serves peers that no named section takes.
    pub default_lns: Option<Arc<LnsConfig>>,
    /// Named `[lac X]` sections. A change of one takes effect with its next dial.
    pub lac: Vec<Arc<LacConfig>>,
    /// `access control`: `[lns default]` too takes only peers of its `lac` lines.
    pub access_control: bool,
    /// `max retries`: transmissions of a control message before the tunnel is given up.
    pub max_retries: u32,
    /// `cap backoff`: upper bound of the retransmission interval, zero for none.
    pub cap_backoff: Duration,
    /// Idle time after which a HELLO asks whether the peer is there (RFC 2661 §5.5).
    pub hello_interval: Duration,
    /// `debug avp`: a line for every control message.
    pub debug_avp: bool,
    /// Bounds.
    pub limits: Limits,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        EndpointConfig {
            hostname: "localhost".into(),
            lns: Vec::new(),
            default_lns: None,
            lac: Vec::new(),
            access_control: false,
            max_retries: 5,
            cap_backoff: Duration::ZERO,
            hello_interval: Duration::from_secs(60),
            debug_avp: false,
            limits: Limits::default(),
        }
    }
}

impl EndpointConfig {
    /// `local ip` of all sections: no caller may have one of them, whichever section serves it.
    pub(crate) fn own_addresses(&self) -> BTreeSet<Ipv4Addr> {
        let lns = self.lns.iter().chain(&self.default_lns).filter_map(|l| l.local_ip);
        lns.chain(self.lac.iter().filter_map(|l| l.local_ip)).collect()
    }
}

/// One `[lns]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LnsConfig {
    /// The section's name, `default` for `[lns default]`.
    pub name: String,
    /// `lac` and `no lac`, in file order.
    pub lac: Vec<RangeRule>,
    /// `ip range` and `no ip range`, in file order.
    pub pool: Vec<RangeRule>,
    /// `assign ip = no`: the peer's address comes from elsewhere.
    pub no_assign: bool,
    /// `local ip`.
    pub local_ip: Option<Ipv4Addr>,
    /// `local ip range`, in file order.
    pub local_pool: Vec<RangeRule>,
    /// `length bit`: a length field in data messages.
    pub length_bit: bool,
    /// `challenge`: the peer must know the tunnel secret.
    pub challenge: bool,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `tunnel rws`, 4 when absent.
    pub window: Option<u16>,
    /// `hidden bit`: AVPs that may be hidden are, where a tunnel secret is known (RFC 2661 §4.3).
    pub hidden_bit: bool,
    /// Data messages are numbered, and the peer is asked to number its own. Not `flow bit`, which has never had an
    /// effect and is found in many files: an xl2tpd that gets numbers stops delivering after a gap of three.
    pub sequencing: bool,
    /// An OCRQ of the peer is answered with a call, whatever number it names; refused otherwise.
    pub accept_outgoing: bool,
    /// What pppd is told.
    pub ppp: PppOptions,
}

/// One `lns = HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LnsAddress {
    /// Name or address, resolved anew at each dial.
    pub host: String,
    /// 1701 where the file names none.
    pub port: u16,
}

/// One `[lac]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LacConfig {
    /// The section's name; empty for a tunnel that the `t` command opens.
    pub name: String,
    /// `lns`, in file order: tried one after the other, each with all its addresses. A section without any has been
    /// given those of `[lac default]` by the reader.
    pub lns: Vec<LnsAddress>,
    /// `autodial`: [`crate::Input::Autodial`] dials it.
    pub autodial: bool,
    /// `redial`: dial again when tunnel or call is lost or cannot be had.
    pub redial: bool,
    /// `redial timeout`: the wait before that.
    pub redial_timeout: Duration,
    /// `max redials`: so many attempts after the first in a row without a call, then it is given up.
    pub max_redials: Option<u32>,
    /// `defaultroute`.
    pub defaultroute: bool,
    /// `local ip`.
    pub local_ip: Option<Ipv4Addr>,
    /// `remote ip`.
    pub remote_ip: Option<Ipv4Addr>,
    /// `length bit`.
    pub length_bit: bool,
    /// `challenge`.
    pub challenge: bool,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `tunnel rws`, 4 when absent.
    pub window: Option<u16>,
    /// As [`LnsConfig::hidden_bit`].
    pub hidden_bit: bool,
    /// A Tie Breaker goes into the SCCRQ: when the peer dials us at the same time, only one of the two tunnels shall
    /// stand (RFC 2661 §4.4.3).
    pub tie_breaker: bool,
    /// As [`LnsConfig::sequencing`].
    pub sequencing: bool,
    /// As [`LnsConfig::accept_outgoing`].
    pub accept_outgoing: bool,
    /// `tx bps`, for the ICCN. bit/s.
    pub tx_bps: u32,
    /// `rx bps`, for the ICCN; 0 leaves the AVP out. bit/s.
    pub rx_bps: u32,
    /// What pppd is told.
    pub ppp: PppOptions,
}

impl Default for LacConfig {
    fn default() -> Self {
        LacConfig {
            name: String::new(),
            lns: Vec::new(),
            autodial: false,
            redial: false,
            redial_timeout: Duration::from_secs(30),
            max_redials: None,
            defaultroute: false,
            local_ip: None,
            remote_ip: None,
            length_bit: false,
            challenge: false,
            hostname: None,
            window: None,
            hidden_bit: false,
            tie_breaker: false,
            sequencing: false,
            accept_outgoing: false,
            tx_bps: 0,
            rx_bps: 0,
            ppp: PppOptions::default(),
        }
    }
}

/// The section a tunnel belongs to, and with it our role there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    /// The peer has dialled: we are the LNS.
    Lns(Arc<LnsConfig>),
    /// We have dialled: we are the LAC.
    Lac(Arc<LacConfig>),
}

impl Section {
    /// The section's name; empty for a tunnel of the `t` command.
    pub fn name(&self) -> &str {
        match self {
            Section::Lns(l) => &l.name,
            Section::Lac(l) => &l.name,
        }
    }

    /// What pppd is told.
    pub fn ppp(&self) -> &PppOptions {
        match self {
            Section::Lns(l) => &l.ppp,
            Section::Lac(l) => &l.ppp,
        }
    }

    /// `length bit`.
    pub fn length_bit(&self) -> bool {
        match self {
            Section::Lns(l) => l.length_bit,
            Section::Lac(l) => l.length_bit,
        }
    }

    /// `hidden bit`.
    pub fn hidden_bit(&self) -> bool {
        match self {
            Section::Lns(l) => l.hidden_bit,
            Section::Lac(l) => l.hidden_bit,
        }
    }

    /// Whether data messages are numbered.
    pub fn sequencing(&self) -> bool {
        match self {
            Section::Lns(l) => l.sequencing,
            Section::Lac(l) => l.sequencing,
        }
    }

    /// Whether an OCRQ of the peer is answered with a call.
    pub fn accept_outgoing(&self) -> bool {
        match self {
            Section::Lns(l) => l.accept_outgoing,
            Section::Lac(l) => l.accept_outgoing,
        }
    }

    /// The `[lns]` section, when it is one.
    pub fn lns(&self) -> Option<&Arc<LnsConfig>> {
        match self {
            Section::Lns(l) => Some(l),
            Section::Lac(_) => None,
        }
    }

    /// The `[lac]` section, when it is one.
    pub fn lac(&self) -> Option<&Arc<LacConfig>> {
        match self {
            Section::Lac(l) => Some(l),
            Section::Lns(_) => None,
        }
    }
}

/// The PPP settings of a section; the engine only hands them on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PppOptions {
    /// `name`.
    pub name: Option<String>,
    /// `require authentication`.
    pub require_auth: bool,
    /// `require pap`.
    pub require_pap: bool,
    /// `require chap`.
    pub require_chap: bool,
    /// `refuse pap`, or `refuse authentication`.
    pub refuse_pap: bool,
    /// `refuse chap`, or `refuse authentication`.
    pub refuse_chap: bool,
    /// `unix authentication`.
    pub login: bool,
    /// `ppp debug`.
    pub debug: bool,
    /// `pass peer`.
    pub pass_peer: bool,
    /// `pppoptfile`.
    pub file: Option<String>,
}
