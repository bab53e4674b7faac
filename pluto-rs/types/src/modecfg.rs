//! What Mode Config (draft-dukes-ike-mode-cfg) gives or asks, as a conn says it. Plain data.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// `leftaddresspool=FIRST-LAST`, both included, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddressPool {
    /// First address.
    pub first: IpAddr,
    /// Last address.
    pub last: IpAddr,
}

/// `modecfg…=`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeConfig {
    /// `modecfgpull=`: the client asks; otherwise the server tells.
    pub pull: bool,
    /// `modecfgdns=`, `modecfgdns1=`, `modecfgdns2=`.
    pub dns: Vec<IpAddr>,
    /// `modecfgwins1=`, `modecfgwins2=`.
    pub wins: Vec<IpAddr>,
    /// `modecfgdomains=`.
    pub domains: Vec<String>,
    /// `modecfgbanner=`.
    pub banner: Option<String>,
    /// `cisco-split=`: networks to reach through the tunnel (Cisco Unity); empty is all.
    pub split: Vec<IpNet>,
}
