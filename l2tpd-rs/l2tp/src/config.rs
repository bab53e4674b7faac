//! What the engine is told to do, as plain data; `xl2tpd.conf` is read elsewhere.

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
    /// Calls of one tunnel.
    pub calls_per_tunnel: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { half_open_per_peer: 8, half_open: 256, calls_per_tunnel: 32 }
    }
}

/// The engine's configuration: `[global]` and the `[lns]` sections.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Our Host Name where a section has none.
    pub hostname: String,
    /// Named `[lns X]` sections in file order.
    pub lns: Vec<Arc<LnsConfig>>,
    /// `[lns default]`: serves peers that no named section takes.
    pub default_lns: Option<Arc<LnsConfig>>,
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
            access_control: false,
            max_retries: 5,
            cap_backoff: Duration::ZERO,
            hello_interval: Duration::from_secs(60),
            debug_avp: false,
            limits: Limits::default(),
        }
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
    /// What pppd is told.
    pub ppp: PppOptions,
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
