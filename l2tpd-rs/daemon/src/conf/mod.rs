//! `xl2tpd.conf`: text to settings, in three steps.
//!
//! * `parse` takes lines apart (grammar `xl2tpd.pest`), knowing no keyword;
//! * `keywords` is the table of keywords, their sections and types;
//! * `build` puts lines into sections, `apply` gives values their meaning; `range` reads addresses and ranges.
//!
//! Every error names file, line and column, shows the line, says what was expected, and carries xl2tpd's own words.

mod apply;
mod build;
mod diag;
mod keywords;
mod parse;
mod range;
mod settings;

use std::net::Ipv4Addr;
use std::time::Duration;

use l2tp_proto::{EndpointConfig, LacConfig, Limits, LnsConfig};

pub use build::{load, load_with, with_section, with_section_with};
pub use diag::ConfError;
pub use keywords::{names, places};
pub use range::Resolver;
pub use settings::{Setting, settings};

/// Everything the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[global]`.
    pub global: Global,
    /// Named `[lns X]` sections in file order.
    pub lns: Vec<LnsConfig>,
    /// `[lns default]`.
    pub default_lns: Option<LnsConfig>,
    /// Named `[lac X]` sections in file order.
    pub lac: Vec<LacConfig>,
    /// `[lac default]`: its `lns` is that of sections without one.
    pub default_lac: Option<LacConfig>,
    /// Things that are accepted and have no effect, or look like a mistake.
    pub warnings: Vec<String>,
}

/// `[global]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// `listen-addr`.
    pub listen_addr: Ipv4Addr,
    /// `port`; 0 lets the kernel choose.
    pub port: u16,
    /// `auth file`.
    pub auth_file: Option<String>,
    /// `access control`.
    pub access_control: bool,
    /// `max retries`.
    pub max_retries: u32,
    /// `cap backoff`, seconds.
    pub cap_backoff: u32,
    /// `listen-plain`; absent means: only where IPsec does not cover the port.
    pub listen_plain: Option<bool>,
    /// `pppd`.
    pub pppd: String,
    /// `hello interval`, seconds.
    pub hello_interval: u32,
    /// `force userspace`: no call uses the kernel's L2TP.
    pub force_userspace: bool,
    /// `ipsec saref`; said in the log only.
    pub saref: bool,
    /// `saref refinfo`; said in the log only.
    pub saref_number: u32,
    /// `max tunnels` and its like.
    pub limits: Limits,
    /// `debug ...`.
    pub debug: Debug,
}

/// The `debug` keywords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debug {
    /// A line for every control message.
    pub avp: bool,
    /// A line for every datagram received.
    pub network: bool,
    /// All octets of every datagram received.
    pub packet: bool,
    /// A line when a call comes up or ends.
    pub state: bool,
    /// A line when a tunnel comes up, moves or ends.
    pub tunnel: bool,
}

impl Default for Global {
    fn default() -> Self {
        Global {
            listen_addr: Ipv4Addr::UNSPECIFIED,
            port: 1701,
            auth_file: None,
            access_control: false,
            max_retries: 5,
            cap_backoff: 0,
            listen_plain: None,
            pppd: "/usr/sbin/pppd".into(),
            hello_interval: 60,
            force_userspace: false,
            saref: false,
            saref_number: 30,
            limits: Limits::default(),
            debug: Debug::default(),
        }
    }
}

impl Config {
    /// What the engine is told. `hostname` is this machine's.
    pub fn endpoint(&self, hostname: &str) -> EndpointConfig {
        EndpointConfig {
            hostname: hostname.into(),
            lns: self.lns.iter().cloned().map(Into::into).collect(),
            default_lns: self.default_lns.clone().map(Into::into),
            access_control: self.global.access_control,
            max_retries: self.global.max_retries,
            cap_backoff: Duration::from_secs(self.global.cap_backoff.into()),
            hello_interval: Duration::from_secs(self.global.hello_interval.into()),
            lac: self.lac.iter().cloned().map(Into::into).collect(),
            debug_avp: self.global.debug.avp,
            limits: self.global.limits,
        }
    }
}
