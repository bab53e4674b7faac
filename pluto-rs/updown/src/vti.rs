//! Virtual tunnel interfaces: made before the route that leads into one, with the settings their packets need.

use std::io;

use ipsec_netio::ifaces;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVti, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use crate::netlink::{self, words};
use crate::plan::{Address, Tunnel};

/// Settings below `/proc/sys/net/ipv?/conf/`: the device's packets have been through a policy, come by another way than they
/// went, and are passed on.
const SETTINGS: [(&str, &str); 3] = [("disable_policy", "1"), ("rp_filter", "0"), ("forwarding", "1")];

/// Makes the device unless it is there, with its address, and brings it up. One that is not ours to use is refused; one that
/// cannot be finished goes again. That it was there already is told unless it is shared.
pub(crate) fn add(t: &Tunnel, lines: &mut Vec<String>) -> Result<(), String> {
    let label = format!("vti interface \"{}\"", t.interface);
    match inspect(&t.interface) {
        Device::None => {}
        Device::Other => return Err(format!("{label}: that is no tunnel device")),
        Device::Vti(keys) if keys != (Some(t.mark_in), Some(t.mark_out)) => {
            return Err(format!("{label} already exists with other marks"));
        }
        Device::Vti(_) => {
            if t.remote.is_some() {
                lines.push(format!("{label} already exists; perhaps need vti-shared=yes ?"));
            }
            return finish(t, lines);
        }
    }
    let kind = if t.local.is_ipv4() { InfoKind::Vti } else { InfoKind::Vti6 };
    let mut data = vec![InfoVti::Local(t.local), InfoVti::IKey(t.mark_in), InfoVti::OKey(t.mark_out)];
    data.extend(t.remote.map(InfoVti::Remote));
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(t.interface.clone()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(InfoData::Vti(data))]),
    ];
    netlink::change(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
        .map_err(|e| format!("{label}: adding it failed ({})", words(&e)))?;
    finish(t, lines).inspect_err(|_| {
        let _ = remove(&t.interface);
    })
}

/// Settings, address, and up.
fn finish(t: &Tunnel, lines: &mut Vec<String>) -> Result<(), String> {
    let family = if t.local.is_ipv4() { "ipv4" } else { "ipv6" };
    for (name, value) in SETTINGS {
        // Not every kernel has each for each family.
        let path = format!("/proc/sys/net/{family}/conf/{}/{name}", t.interface);
        if let Err(e) = std::fs::write(&path, value)
            && e.kind() != io::ErrorKind::NotFound
        {
            lines.push(format!("{path}: {e}"));
        }
    }
    if let Some(net) = t.address {
        netlink::put_address(&Address { net, interface: t.interface.clone() })?;
    }
    let mut link = LinkMessage::default();
    link.header.index = ifaces::index(&t.interface).unwrap_or(0);
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    let up = netlink::change(RouteNetlinkMessage::SetLink(link), 0);
    up.map_err(|e| format!("vti interface \"{}\": bringing it up failed ({})", t.interface, words(&e)))
}

/// Takes it away; it may be gone. What is no such device, whoever named it, stays.
pub(crate) fn remove(name: &str) -> Result<(), String> {
    let (Device::Vti(_), Some(index)) = (inspect(name), ifaces::index(name)) else { return Ok(()) };
    let mut link = LinkMessage::default();
    link.header.index = index;
    match netlink::change(RouteNetlinkMessage::DelLink(link), 0) {
        Err(e) if e.raw_os_error() != Some(libc::ENODEV) => {
            Err(format!("vti interface \"{name}\": taking it away failed ({})", words(&e)))
        }
        _ => Ok(()),
    }
}

/// What has a name.
enum Device {
    None,
    /// With its marks, inbound and outbound.
    Vti((Option<u32>, Option<u32>)),
    Other,
}

fn inspect(name: &str) -> Device {
    let Some(index) = ifaces::index(name) else { return Device::None };
    let mut link = LinkMessage::default();
    link.header.index = index;
    let mut found = Device::Other;
    let asked = netlink::ask(RouteNetlinkMessage::GetLink(link), 0, |answer| {
        let RouteNetlinkMessage::NewLink(m) = answer else { return };
        for info in m.attributes.into_iter().filter_map(|a| match a {
            LinkAttribute::LinkInfo(info) => Some(info),
            _ => None,
        }) {
            if !info.iter().any(|i| matches!(i, LinkInfo::Kind(InfoKind::Vti | InfoKind::Vti6))) {
                continue;
            }
            let mut keys = (None, None);
            for data in info.into_iter().filter_map(|i| match i {
                LinkInfo::Data(InfoData::Vti(data)) => Some(data),
                _ => None,
            }) {
                for field in data {
                    match field {
                        InfoVti::IKey(key) => keys.0 = Some(key),
                        InfoVti::OKey(key) => keys.1 = Some(key),
                        _ => {}
                    }
                }
            }
            found = Device::Vti(keys);
        }
    });
    if asked.is_ok() { found } else { Device::Other }
}
