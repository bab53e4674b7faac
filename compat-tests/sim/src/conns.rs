//! The configuration that HOWTOs print for L2TP over IPsec, as both ends have it.

use std::net::{IpAddr, Ipv4Addr};

use ipsec_types::algo::{DhGroup, HashAlg, IkeCipher, IkeSuite};
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{ClientSpec, ConnType, VirtualPrivate, VirtualWord};
use ipsec_types::whack::SetupSpec;
use ipsec_types::{ConnSpec, EndSpec, HostSpec, Port, ProtoPort};

/// The server.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The first client, when it has a public address.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));
/// The key all of them share.
pub const PSK: &[u8] = b"keysharedbyallclients";

/// Who comes with a name, and his password.
pub(crate) const USER: &str = "impaired";
/// His password.
pub(crate) const PASSWORD: &[u8] = b"secret";

/// `nat_traversal=yes` and the `virtual_private=` of the HOWTOs.
pub fn setup() -> SetupSpec {
    let nets = |list: &[&str]| list.iter().filter_map(|n| n.parse().ok()).collect();
    SetupSpec {
        virtual_private: VirtualPrivate {
            allowed: nets(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
            disallowed: nets(&["192.168.1.0/24"]),
        },
        nat_traversal: true,
        keep_alive: 20,
        force_keepalive: false,
        uniqueids: true,
        ..SetupSpec::default()
    }
}

fn l2tp(group: DhGroup) -> ConnSpec {
    ConnSpec {
        name: "L2TP-PSK".into(),
        authby: AuthBy::PSK,
        conn_type: ConnType::Transport,
        pfs: false,
        rekey: false,
        keyingtries: 3,
        ike: vec![IkeSuite { cipher: IkeCipher::Aes(128), hash: HashAlg::Sha1, group }],
        ..ConnSpec::default()
    }
}

/// `conn L2TP-PSK` of the server, with one group in `ike=`.
pub fn server_conn(group: DhGroup) -> ConnSpec {
    ConnSpec {
        left: EndSpec {
            host: HostSpec::Addr(SERVER),
            protoport: ProtoPort { proto: 17, port: Port::Number(1701) },
            ..EndSpec::default()
        },
        right: EndSpec {
            host: HostSpec::Any,
            client: ClientSpec::Virtual {
                single_host: true,
                words: vec![VirtualWord::No, VirtualWord::Priv],
            },
            protoport: ProtoPort { proto: 17, port: Port::Any },
            ..EndSpec::default()
        },
        ..l2tp(group)
    }
}

/// The client's side of it: from its own `addr` to the server.
pub fn client_conn(group: DhGroup, addr: IpAddr) -> ConnSpec {
    let end = |host| EndSpec {
        host: HostSpec::Addr(host),
        protoport: ProtoPort { proto: 17, port: Port::Number(1701) },
        ..EndSpec::default()
    };
    ConnSpec { left: end(addr), right: end(SERVER), ..l2tp(group) }
}
