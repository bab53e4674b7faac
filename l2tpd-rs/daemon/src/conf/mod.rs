//! `xl2tpd.conf`: text to settings, in three steps.
//!
//! * `parse` takes lines apart (grammar `xl2tpd.pest`), knowing no keyword;
//! * `keywords` is the table of keywords, their sections and types;
//! * `build` gives lines their meaning; `range` reads addresses and ranges.
//!
//! Every error names file, line and column, shows the line, says what was expected, and carries xl2tpd's own words.

mod build;
mod diag;
mod keywords;
mod parse;
mod range;

use std::net::Ipv4Addr;
use std::time::Duration;

use l2tp_proto::{EndpointConfig, LnsConfig};

pub use build::load;
pub use diag::ConfError;

/// Everything the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[global]`.
    pub global: Global,
    /// Named `[lns X]` sections in file order.
    pub lns: Vec<LnsConfig>,
    /// `[lns default]`.
    pub default_lns: Option<LnsConfig>,
    /// Names of the `[lac X]` sections.
    pub lac: Vec<String>,
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
    /// `debug avp`.
    pub debug_avp: bool,
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
            debug_avp: false,
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
            debug_avp: self.global.debug_avp,
            ..EndpointConfig::default()
        }
    }
}
