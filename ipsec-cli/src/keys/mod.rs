//! RSA keys in `ipsec.secrets`: made, written and shown. Keeps no key longer than it takes to print it.

pub(crate) mod import;
pub(crate) mod newhostkey;
pub(crate) mod rsasigkey;
pub(crate) mod showhostkey;

use ipsec_netio::clock::{self, Local};

/// The name of this host.
pub(crate) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_string()
}

/// The time now, as `ctime(3)` writes it, or as `date(1)`.
pub(crate) fn now(as_date: bool) -> String {
    let local = Local::at(clock::now().wall);
    local.map_or_else(String::new, |l| if as_date { l.date() } else { l.ctime() })
}
