//! Which conn a Quick Mode proposal belongs to (Openswan's `find_client_connection`), and `virtual_private=`.

use std::net::IpAddr;

use ipnet::IpNet;
use ipsec_types::conn::{ClientSpec, ConnType, Port, ProtoPort, VirtualPrivate, VirtualWord};

use crate::conn::Connection;

/// What a peer proposes in Quick Mode: its client, ours, and how NAT stands between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposed {
    pub ours: IpNet,
    pub our_proto: u8,
    pub our_port: u16,
    pub theirs: IpNet,
    pub their_proto: u8,
    pub their_port: u16,
    /// The peer's outer address.
    pub peer: IpAddr,
    pub peer_natted: bool,
    pub we_natted: bool,
}

/// Why a virtual client was refused, in Openswan's words.
pub(crate) type Refusal = &'static str;

/// Outcome of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// All but the `vhost:` list fits.
    Virtual(Refusal),
}

/// Compares a proposal with a conn. `current` is the conn the IKE SA was made with: on it, port 0 on the peer's side
/// takes any port.
pub(crate) fn fits(c: &Connection, p: &Proposed, vp: &VirtualPrivate, current: bool) -> Match {
    let Some(our_addr) = c.our_addr() else { return Match::No };
    if p.our_proto != p.their_proto {
        return Match::No;
    }
    let (this, that) = (c.this(), c.that());
    if !our_protoport(this.protoport, p.our_proto, p.our_port)
        || !their_protoport(that.protoport, p.their_proto, p.their_port, current)
    {
        return Match::No;
    }
    let host = IpNet::from(our_addr);
    let single = p.ours.prefix_len() == p.ours.max_prefix_len();
    let transport = c.spec.conn_type == ConnType::Transport;
    let ours = match &this.client {
        // A server behind a NAT is named by the address the client dialled.
        ClientSpec::Host => p.ours == host || (p.we_natted && transport && single),
        // A client that was told what to reach through the tunnel asks for it network by network.
        ClientSpec::Net(n) => p.ours == n.trunc() || c.configures_peer() && n.contains(&p.ours),
        ClientSpec::Virtual { .. } => false,
    };
    if !ours {
        return Match::No;
    }
    if let Some(lease) = c.rare.their_lease
        && p.theirs == IpNet::from(lease)
    {
        return Match::Yes;
    }
    match &that.client {
        // Who has an address of the pool uses that one.
        ClientSpec::Host if c.rare.their_lease.is_some() => Match::No,
        ClientSpec::Host => {
            let natted = p.peer_natted && transport && p.theirs.prefix_len() == p.theirs.max_prefix_len();
            if p.theirs == IpNet::from(p.peer) || natted { Match::Yes } else { Match::No }
        }
        ClientSpec::Net(n) => {
            if p.theirs == n.trunc() {
                Match::Yes
            } else {
                Match::No
            }
        }
        ClientSpec::Virtual { single_host, words } => match virtual_client(*single_host, words, p, vp) {
            Ok(()) => Match::Yes,
            Err(why) => Match::Virtual(why),
        },
    }
}

fn our_protoport(want: ProtoPort, proto: u8, port: u16) -> bool {
    want.proto == proto
        && match want.port {
            Port::All | Port::Any => true,
            Port::Number(n) => n == port,
        }
}

fn their_protoport(want: ProtoPort, proto: u8, port: u16, current: bool) -> bool {
    want.proto == proto
        && match want.port {
            Port::Any => true,
            Port::All => current || port == 0,
            Port::Number(n) => n == port,
        }
}

/// Evaluates `vhost:`/`vnet:`, in order, first success wins.
fn virtual_client(
    single: bool,
    words: &[VirtualWord],
    p: &Proposed,
    vp: &VirtualPrivate,
) -> Result<(), Refusal> {
    if single && p.theirs.prefix_len() != p.theirs.max_prefix_len() {
        return Err("only virtual host IPs are allowed");
    }
    let within = |nets: &[IpNet]| nets.iter().any(|n| n.contains(&p.theirs));
    let mut why = "no virtual IP is allowed";
    for word in words {
        match word {
            VirtualWord::No if p.theirs == IpNet::from(p.peer) => return Ok(()),
            VirtualWord::No => {}
            VirtualWord::Priv if within(&vp.allowed) && !within(&vp.disallowed) => return Ok(()),
            VirtualWord::Priv => {
                why = "a private network virtual IP was required, but the proposed IP did not match our list \
                       (virtual_private=)";
            }
            VirtualWord::All => return Ok(()),
            VirtualWord::Net(n) if n.contains(&p.theirs) => return Ok(()),
            VirtualWord::Net(_) => {
                why = "a specific network IP was required, but the proposed IP did not match our list \
                       (subnet=vhost:list)";
            }
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(s: &str) -> IpNet {
        s.parse().unwrap()
    }

    fn proposed(theirs: &str, peer: &str) -> Proposed {
        Proposed {
            ours: net("192.0.2.1/32"),
            our_proto: 17,
            our_port: 1701,
            theirs: net(theirs),
            their_proto: 17,
            their_port: 1701,
            peer: peer.parse().unwrap(),
            peer_natted: true,
            we_natted: false,
        }
    }

    #[test]
    fn port_rules_are_those_of_the_table() {
        let pp = |port| ProtoPort { proto: 17, port };
        assert!(our_protoport(pp(Port::Number(1701)), 17, 1701));
        assert!(!our_protoport(pp(Port::Number(1701)), 17, 0));
        assert!(our_protoport(pp(Port::All), 17, 5));
        assert!(!our_protoport(ProtoPort::default(), 17, 1701));
        assert!(
            their_protoport(pp(Port::Any), 17, 0, false) && their_protoport(pp(Port::Any), 17, 4711, false)
        );
        assert!(!their_protoport(pp(Port::Number(1701)), 17, 4500, true));
        assert!(
            their_protoport(pp(Port::All), 17, 0, false) && !their_protoport(pp(Port::All), 17, 9, false)
        );
        assert!(their_protoport(pp(Port::All), 17, 9, true));
    }

    #[test]
    fn vhost_takes_the_public_or_an_allowed_private_address() {
        let vp = VirtualPrivate { allowed: vec![net("10.0.0.0/8")], disallowed: vec![net("10.9.0.0/16")] };
        let words = [VirtualWord::No, VirtualWord::Priv];
        let ok =
            |theirs: &str, peer: &str| virtual_client(true, &words, &proposed(theirs, peer), &vp).is_ok();
        assert!(ok("198.51.100.2/32", "198.51.100.2"));
        assert!(ok("10.1.0.11/32", "198.51.100.2"));
        assert!(!ok("10.9.0.11/32", "198.51.100.2"));
        assert!(!ok("192.168.1.7/32", "198.51.100.2"));
        assert!(!ok("10.1.0.0/24", "198.51.100.2"));
    }
}
