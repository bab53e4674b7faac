//! Two gateways with a network each.

use std::time::Duration;

use ipsec_types::algo::{DhGroup, HashAlg, IkeCipher, IkeSuite};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ClientSpec, ConnType};
use ipsec_types::kernel::{Dir, PolicyAction};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, EndSpec, HostSpec};
use sim::{CLIENT, Pair, PairConfig, SERVER};

pub(crate) fn end(host: std::net::IpAddr, net: &str) -> EndSpec {
    EndSpec {
        host: HostSpec::Addr(host),
        client: ClientSpec::Net(net.parse().unwrap()),
        ..EndSpec::default()
    }
}

/// `conn L2TP-PSK` by name, as the pair dials that, but a tunnel between two networks.
pub(crate) fn tunnel() -> ConnSpec {
    ConnSpec {
        name: "L2TP-PSK".into(),
        left: end(CLIENT, "10.2.0.0/16"),
        right: end(SERVER, "10.1.0.0/16"),
        authby: AuthBy::PSK,
        conn_type: ConnType::Tunnel,
        ike: vec![IkeSuite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, group: DhGroup::Curve25519 }],
        rekey_fuzz: 0,
        ..ConnSpec::default()
    }
}

pub(crate) fn pair_of(conn: &ConnSpec) -> Pair {
    pair_with(conn.clone(), conn.clone())
}

pub(crate) fn pair_with(server: ConnSpec, client: ConnSpec) -> Pair {
    Pair::new(PairConfig { server: vec![server], client, ..PairConfig::default() })
}

pub(crate) fn whack(pair: &mut Pair, host: usize, request: Request) {
    let now = pair.now;
    pair.hosts[host].whack(now, request);
    pair.run_for(Duration::from_millis(1));
}

pub(crate) fn esp_out(pair: &Pair, host: usize) -> Vec<PolicyAction> {
    let out = |p: &&ipsec_types::kernel::PolicySpec| p.id.dir == Dir::Out;
    pair.hosts[host].kernel.policies().iter().filter(out).map(|p| p.action).collect()
}

pub(crate) fn route(pair: &mut Pair, host: usize) {
    whack(pair, host, Request::Route { name: "L2TP-PSK".into() });
}
