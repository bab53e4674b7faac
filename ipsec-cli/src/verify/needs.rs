//! What the configured conns need of the machine.

use std::net::IpAddr;

use ipsec_conf::Config;
use ipsec_types::HostSpec;
use ipsec_types::conn::{Auto, ClientSpec, ConnSpec, ConnType, EndSpec, Phase2, Port};

/// What the conns that are loaded at start need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// The port of IKE.
    pub(crate) ike_port: u16,
    /// The port of IKE and ESP behind NAT is to be open.
    pub(crate) natt: bool,
    /// A conn sends ESP without UDP around it when no NAT is on the way.
    pub(crate) plain_esp: bool,
    /// A conn protects L2TP.
    pub(crate) l2tp: bool,
    /// Packets are passed on: networks behind an end, or L2TP clients.
    pub(crate) forwarding: bool,
    /// `phase2=ah`.
    pub(crate) ah: bool,
    /// `compress=yes`.
    pub(crate) ipcomp: bool,
    /// Peers come to us.
    pub(crate) responder: bool,
    /// Certificates are judged.
    pub(crate) certificates: bool,
    /// Every conn names a private address as ours and one as the peer's: no NAT is meant to be in between.
    pub(crate) oriented_private: bool,
    /// `oe=yes`.
    pub(crate) oe: bool,
    /// The names of the sections.
    pub(crate) names: Vec<String>,
}

impl Needs {
    /// What `config` asks for.
    pub(crate) fn of(config: &Config) -> Needs {
        let conns: Vec<&ConnSpec> =
            config.conns.iter().map(|c| &c.spec).filter(|s| s.auto != Auto::Ignore).collect();
        let any = |f: &dyn Fn(&ConnSpec) -> bool| conns.iter().any(|c| f(c));
        let l2tp = |c: &ConnSpec| [&c.left, &c.right].into_iter().any(is_l2tp);
        let network = |e: &EndSpec| e.client != ClientSpec::Host;
        let private = |e: &EndSpec| matches!(e.host, HostSpec::Addr(IpAddr::V4(a)) if a.is_private());
        Needs {
            ike_port: config.setup.ikeport,
            natt: config.setup.engine.nat_traversal,
            plain_esp: any(&|c| !c.force_encaps && c.phase2 == Phase2::Esp),
            l2tp: any(&l2tp),
            forwarding: any(&|c| {
                l2tp(c) || c.conn_type == ConnType::Tunnel && (network(&c.left) || network(&c.right))
            }),
            ah: any(&|c| c.phase2 != Phase2::Esp),
            ipcomp: any(&|c| c.compress),
            responder: any(&|c| {
                c.auto == Auto::Add || [&c.left, &c.right].into_iter().any(|e| e.host == HostSpec::Any)
            }),
            certificates: any(&|c| c.left.cert.is_some() || c.right.cert.is_some()),
            oriented_private: !conns.is_empty()
                && conns.iter().all(|c| private(&c.left) && private(&c.right)),
            oe: config.setup.oe,
            names: conns.iter().map(|c| c.name.clone()).collect(),
        }
    }
}

/// Whether the end's packets are L2TP.
pub(crate) fn is_l2tp(end: &EndSpec) -> bool {
    end.protoport.proto == 17 && end.protoport.port == Port::Number(1701)
}
