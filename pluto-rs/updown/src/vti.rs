//! Virtual tunnel interfaces: made before the route that leads into one, with the settings their packets need.

use std::io;
use std::net::IpAddr;

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

/// Makes the device, with its address, and brings it up. One that is there already is used as it is; a line says so unless it
/// is shared.
pub(crate) fn add(t: &Tunnel, lines: &mut Vec<String>) -> Result<(), String> {
    let failed = |what: &str, e: &io::Error| {
        format!("vti interface \"{}\": {what} failed ({})", t.interface, words(e))
    };
    if ifaces::index(&t.interface).is_some() {
        if t.remote.is_some() {
            lines.push(format!(
                "vti interface \"{}\" already exists; perhaps need vti-shared=yes ?",
                t.interface
            ));
        }
        return Ok(());
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
        .map_err(|e| failed("adding it", &e))?;
    let family = if matches!(t.local, IpAddr::V4(_)) { "ipv4" } else { "ipv6" };
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
        netlink::add_address(&Address { net, interface: t.interface.clone() })?;
    }
    let mut link = LinkMessage::default();
    link.header.index = ifaces::index(&t.interface).unwrap_or(0);
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    netlink::change(RouteNetlinkMessage::SetLink(link), 0).map_err(|e| failed("bringing it up", &e))
}

/// Takes it away; it may be gone. What is no such device, whoever named it, stays.
pub(crate) fn remove(name: &str) -> Result<(), String> {
    let Some(index) = ifaces::index(name) else { return Ok(()) };
    let mut link = LinkMessage::default();
    link.header.index = index;
    let mut ours = false;
    let asked = netlink::ask(RouteNetlinkMessage::GetLink(link.clone()), 0, |answer| {
        let RouteNetlinkMessage::NewLink(m) = answer else { return };
        ours = m.attributes.iter().any(|a| match a {
            LinkAttribute::LinkInfo(all) => {
                all.iter().any(|i| matches!(i, LinkInfo::Kind(InfoKind::Vti | InfoKind::Vti6)))
            }
            _ => false,
        });
    });
    if asked.is_err() || !ours {
        return Ok(());
    }
    match netlink::change(RouteNetlinkMessage::DelLink(link), 0) {
        Err(e) if e.raw_os_error() != Some(libc::ENODEV) => {
            Err(format!("vti interface \"{name}\": taking it away failed ({})", words(&e)))
        }
        _ => Ok(()),
    }
}
