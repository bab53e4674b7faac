//! The configuration that L2TP howtos print, byte for byte.

use std::fs;

use ipsec_conf::secrets;
use ipsec_types::Id;
use ipsec_types::auth::AuthBy;
use ipsec_types::conn::{
    Auto, ClientSpec, ConnSpec, ConnType, EndSpec, HostSpec, Port, ProtoPort, VirtualWord,
};

const CONF: &str = "version 2.0\nconfig setup\n\tnat_traversal=yes\n\tvirtual_private=%v4:10.0.0.0/8,%v4:172.16.0.0/12,\
%v4:192.168.0.0/16,%v4:!192.168.1.0/24\n\toe=off\n\tprotostack=netkey\ninclude DIR/ipsec.d/L2TP*.conf\n";

const L2TP: &str = "# Authenticates through a Pre-Shared Key.
conn L2TP-PSK
\tauthby=secret
\tpfs=no
\trekey=no
\tkeyingtries=3
\t# The VPN server.
\tleft=%defaultroute
\tleftprotoport=17/1701
\t# The remote user(s), behind NAT or not.
\tright=%any
\trightprotoport=17/%any
\trightsubnet=vhost:%no,%priv
\ttype=transport
\tauto=add
";

#[test]
fn the_howto_configuration_loads() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ipsec.d")).unwrap();
    let conf = dir.path().join("ipsec.conf");
    fs::write(&conf, CONF.replace("DIR", &dir.path().display().to_string())).unwrap();
    fs::write(dir.path().join("ipsec.d/L2TP-PSK.conf"), L2TP).unwrap();

    let config = ipsec_conf::load(&conf).unwrap();
    assert!(config.warnings.is_empty() && config.conn_errors.is_empty(), "{config:?}");
    assert_eq!(config.setup.engine.virtual_private.allowed.len(), 3);
    assert_eq!(config.setup.engine.virtual_private.disallowed.len(), 1);
    assert!(config.setup.engine.nat_traversal && !config.setup.oe);
    assert_eq!(config.setup.protostack, "netkey");
    let [conn] = config.conns.as_slice() else { panic!("{config:?}") };
    assert!(conn.notes.is_empty() && conn.left.nexthop_default && !conn.right.nexthop_default);
    let want = ConnSpec {
        name: "L2TP-PSK".into(),
        authby: AuthBy::PSK,
        pfs: false,
        rekey: false,
        keyingtries: 3,
        conn_type: ConnType::Transport,
        auto: Auto::Add,
        left: EndSpec {
            host: HostSpec::DefaultRoute,
            protoport: ProtoPort { proto: 17, port: Port::Number(1701) },
            ..EndSpec::default()
        },
        right: EndSpec {
            host: HostSpec::Any,
            protoport: ProtoPort { proto: 17, port: Port::Any },
            client: ClientSpec::Virtual {
                single_host: true,
                words: vec![VirtualWord::No, VirtualWord::Priv],
            },
            ..EndSpec::default()
        },
        ..ConnSpec::default()
    };
    assert_eq!(conn.spec, want);
}

#[test]
fn its_secret_serves_any_peer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ipsec.secrets");
    fs::write(&path, "192.0.2.1 %any: PSK \"keysharedbyallclients\"\n").unwrap();
    let (records, _) = secrets::load(&path);
    let id = |s: &str| s.parse::<Id>().unwrap();
    let found = secrets::lookup(&records, &id("192.0.2.1"), &id("198.51.100.7"));
    assert_eq!(found.iter().map(|s| s.expose()).collect::<Vec<_>>(), [b"keysharedbyallclients"]);
    assert!(secrets::lookup(&records, &id("192.0.2.9"), &Id::None).len() == 1);
}
