//! `virtual_private=` against the networks on this side.

use ipnet::{IpNet, Ipv4Net};
use ipsec_conf::Conn;
use ipsec_types::conn::ClientSpec;

use super::conns::has_priv;
use super::finding::{At, Finding};
use super::site::View;

/// What is meant where nobody has a reason for anything else.
const USUAL: &str = "virtual_private=%v4:10.0.0.0/8,%v4:192.168.0.0/16,%v4:172.16.0.0/12";

/// Runs the rules.
pub(super) fn rules(view: &View<'_>, out: &mut Vec<Finding>) {
    let list = &view.site.config.setup.engine.virtual_private;
    let users: Vec<&Conn> =
        view.loaded().filter(|c| has_priv(&c.spec.left) || has_priv(&c.spec.right)).collect();
    let Some(first) = users.first() else { return };
    let at = view.setup("virtual_private");
    if list.allowed.is_empty() {
        let message = format!(
            "conn \"{}\" takes clients of virtual_private= (%priv), and that is empty: nobody behind a NAT can connect",
            first.spec.name
        );
        return out.push(Finding::error("virtual-private-missing", at, message, USUAL).see(view.conn(first)));
    }
    let apart = |a: &IpNet, b: &IpNet| !a.contains(b) && !b.contains(a);
    let inside = |net: &IpNet| {
        list.allowed.iter().any(|a| a.contains(net)) && list.disallowed.iter().all(|d| apart(d, net))
    };
    type Level = fn(&'static str, At, String, String) -> Finding;
    let tell = |net: &IpNet, level: Level, what: &str, see: At| {
        let message = format!(
            "{net} is {what}, and virtual_private= takes it for a client's: a client with such an address at home gets what is meant for us"
        );
        let fix = format!("add ,%v4:!{net} to virtual_private=");
        level("virtual-private-lan", at.clone(), message, fix).see(see)
    };
    if let Some(l2tp) = &view.site.l2tp {
        for lns in l2tp.lns() {
            for rule in lns.pool.iter().filter(|r| r.allow) {
                let ends = [rule.range.start, rule.range.end];
                if ends.iter().any(|a| inside(&IpNet::V4((*a).into()))) {
                    let net = IpNet::V4(around(rule.range.start.into(), rule.range.end.into()));
                    let what = format!("the ip range of [lns {}]", lns.name);
                    let see = l2tp.at("lns", &lns.name, "ip range");
                    out.push(tell(&net, Finding::error, &what, see));
                }
            }
        }
    }
    for conn in &users {
        let Some(((side, ours), _)) = view.ends(conn) else { continue };
        if let ClientSpec::Net(net @ IpNet::V4(_)) = &ours.client
            && inside(net)
        {
            let what = format!("the network of our end of conn \"{}\"", conn.spec.name);
            out.push(tell(net, Finding::error, &what, view.word(conn, "subnet", side)));
        }
    }
    for lan in view.site.host.iter().flat_map(|h| h.lans()) {
        if inside(&lan) {
            out.push(tell(&lan, Finding::warning, "a network of this machine", At::default()));
        }
    }
}

/// The smallest network with two addresses, but no larger than a /24 when they lie in one.
fn around(a: u32, b: u32) -> Ipv4Net {
    let bits = u8::try_from((a ^ b).leading_zeros()).unwrap_or(32).min(24);
    Ipv4Net::new(a.into(), bits).unwrap_or_default().trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_network() {
        let net = |a: [u8; 4], b: [u8; 4]| around(u32::from_be_bytes(a), u32::from_be_bytes(b)).to_string();
        assert_eq!(net([192, 168, 1, 128], [192, 168, 1, 254]), "192.168.1.0/24");
        assert_eq!(net([10, 0, 0, 2], [10, 0, 1, 9]), "10.0.0.0/23");
    }
}
