//! The rows of the keyword table.

use super::Kind::{self, Append, Bool, List, Number, Percent, Text, Time, Word};
use super::{Keyword, Scope};

const fn setup(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::Setup, name, kind, default)
}
const fn conn(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::Conn, name, kind, default)
}
const fn end(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::End, name, kind, default)
}

const KLIPS: &str = "it was for the KLIPS kernel module";
const CERTS: &str = "certificates and RSA keys are not used";
const MANUAL: &str = "manual keying is gone";
const V2: &str = "IKEv2 is not served";
const MODECFG: &str = "mode config is not served";
const KERNEL: &str = "this kernel option is not set";
const OE: &str = "opportunistic encryption is not served";
const OBSOLETE: &str = "obsolete keyword ignored on read";

/// Every keyword.
pub const KEYWORDS: &[Keyword] = &[
    // config setup
    setup("interfaces", List, "%defaultroute"),
    setup("myid", Text, ""),
    setup("syslog", Text, "daemon.error"),
    setup("klipsdebug", List, "none").ignored(KLIPS),
    setup("plutodebug", List, "none").alias(&["debug"]),
    setup("plutoopts", Text, ""),
    setup("plutostderrlog", Text, "").alias(&["logfile"]),
    setup("plutostderrlogtime", Bool, "no").alias(&["logtime"]),
    setup("plutorestartoncrash", Bool, "yes"),
    setup("dumpdir", Text, ""),
    setup("manualstart", Text, "").ignored(MANUAL),
    setup("pluto", Text, "yes").alias(&["plutostart"]),
    setup("plutowait", Bool, "no"),
    setup("oe", Bool, "no").ignored(OE),
    setup("prepluto", Text, ""),
    setup("postpluto", Text, ""),
    setup("fragicmp", Bool, "yes").ignored(KLIPS),
    setup("hidetos", Bool, "yes").ignored(KLIPS),
    setup("uniqueids", Text, "yes"),
    setup("overridemtu", Number, "").ignored(KLIPS),
    setup("nocrsend", Bool, "no").ignored(CERTS),
    setup("strictcrlpolicy", Text, "no").alias(&["crl-strict"]).ignored(CERTS),
    setup("crlcheckinterval", Time, "0").ignored(CERTS),
    setup("cachecrls", Text, "").ignored(CERTS),
    setup("curl_iface", Text, "").ignored(CERTS),
    setup("force_busy", Bool, "no").alias(&["ddos-mode"]).ignored(V2),
    setup("virtual_private", Text, ""),
    setup("nat_traversal", Bool, "yes"),
    setup("disable_port_floating", Bool, "no").ignored("NAT traversal always floats to port 4500"),
    setup("keep_alive", Number, "20"),
    setup("force_keepalive", Bool, "no"),
    setup("listen", Text, ""),
    setup("ikeport", Number, "500"),
    setup("protostack", Text, "auto"),
    setup("nhelpers", Text, "-1"),
    setup("secctx_attr_value", Number, "32001").ignored("labeled IPsec is not served"),
    setup("secretsfile", Text, ""),
    setup("ipsecdir", Text, ""),
    setup("nflog", Text, "").ignored(KERNEL),
    setup("packetdefault", Text, "").ignored(OE),
    setup("charonstart", Bool, "").ignored("there is no charon here"),
    setup("charondebug", Text, "").ignored("there is no charon here"),
    setup("forwardcontrol", Text, "").ignored(OBSOLETE),
    setup("rp_filter", Text, "").ignored(OBSOLETE),
    setup("plutofork", Text, "").ignored(OBSOLETE),
    // conn, ends
    end("", Text, ""),
    end("subnet", Text, ""),
    end("subnets", Append, ""),
    end("sourceip", Text, ""),
    end("nexthop", Text, "%direct"),
    end("id", Text, ""),
    end("protoport", Text, ""),
    end("updown", Text, "ipsec _updown"),
    end("auth", Text, ""),
    end("firewall", Bool, "no").ignored("use leftupdown"),
    end("rsasigkey", Text, "").alias(&["sigkey"]).ignored(CERTS),
    end("rsasigkey2", Text, "").alias(&["sigkey2"]).ignored(CERTS),
    end("cert", Text, "").ignored(CERTS),
    end("sendcert", Text, "").ignored(CERTS),
    end("ca", Text, "").ignored(CERTS),
    end("groups", Text, "").ignored(CERTS),
    end("subnetwithin", Text, "").ignored("use leftsubnet=vnet:"),
    end("xauthserver", Bool, "no").refused("XAUTH is not served"),
    end("xauthclient", Bool, "no").refused("XAUTH is not served"),
    end("xauthusername", Text, "").alias(&["xauthname", "username"]).ignored("XAUTH is not served"),
    end("modecfgserver", Bool, "no").ignored(MODECFG),
    end("modecfgclient", Bool, "no").ignored(MODECFG),
    end("addresspool", Text, "").ignored(MODECFG),
    end("ikeport", Number, "500").ignored("the peer's IKE port is 500 or what its NAT makes of it"),
    end("spibase", Text, "").ignored(MANUAL),
    end("spi", Text, "").ignored(MANUAL),
    end("espenckey", Text, "").ignored(MANUAL),
    end("espauthkey", Text, "").ignored(MANUAL),
    end("espreplay_window", Text, "").ignored(MANUAL),
    end("allowany", Bool, "no").ignored("use right=%any"),
    end("hostaccess", Bool, "no").ignored("use leftupdown"),
    // conn
    conn(
        "auto",
        Word(&[
            ("ignore", "ignore"),
            ("add", "add"),
            ("route", "route"),
            ("ondemand", "route"),
            ("start", "start"),
            ("up", "start"),
            ("keep", "add"),
        ]),
        "ignore",
    ),
    conn("also", Append, ""),
    conn("alsoflip", Append, ""),
    conn("connalias", Append, ""),
    conn(
        "type",
        Word(&[
            ("tunnel", "tunnel"),
            ("transport", "transport"),
            ("udp", "tunnel"),
            ("udpencap", "tunnel"),
            ("pass", "passthrough"),
            ("passthrough", "passthrough"),
            ("reject", "reject"),
            ("drop", "drop"),
        ]),
        "tunnel",
    ),
    conn("authby", Text, "rsasig"),
    conn(
        "keyexchange",
        Word(&[
            ("ike", "ike"),
            ("ikev1", "ike"),
            ("isakmp", "ike"),
            ("oakley", "ike"),
            ("ikev2", "ikev2"),
            ("rfc7296", "ikev2"),
        ]),
        "ike",
    ),
    conn("ikev1", Bool, "yes"),
    conn(
        "ikev2",
        Word(&[
            ("permit", "permit"),
            ("never", "never"),
            ("no", "never"),
            ("propose", "propose"),
            ("yes", "propose"),
            ("insist", "insist"),
            ("always", "insist"),
        ]),
        "permit",
    ),
    conn("pfs", Bool, "yes"),
    conn("pfsgroup", Text, ""),
    conn("salifetime", Time, "8h").alias(&["keylife", "lifetime", "ipsec-lifetime"]),
    conn("ikelifetime", Time, "1h"),
    conn("rekey", Bool, "yes"),
    conn("rekeymargin", Time, "9m").alias(&["margintime"]),
    conn("rekeyfuzz", Percent, "100%"),
    conn("keyingtries", Number, "%forever"),
    conn(
        "failureshunt",
        Word(&[
            ("none", "none"),
            ("passthrough", "passthrough"),
            ("pass", "passthrough"),
            ("drop", "drop"),
            ("reject", "reject"),
        ]),
        "none",
    ),
    conn("ike", Text, ""),
    conn("phase2alg", Text, "").alias(&["esp", "ah"]),
    conn("phase2", Word(&[("esp", "esp"), ("ah", "ah"), ("ah+esp", "ah+esp"), ("default", "esp")]), "esp")
        .alias(&["auth"]),
    conn("dpddelay", Time, ""),
    conn("dpdtimeout", Time, ""),
    conn(
        "dpdaction",
        Word(&[
            ("clear", "clear"),
            ("hold", "hold"),
            ("restart", "restart"),
            ("restart_by_peer", "restart"),
            ("none", "none"),
        ]),
        "hold",
    ),
    conn("forceencaps", Bool, "no"),
    conn("encapsulation", Word(&[("auto", "auto"), ("yes", "yes"), ("no", "no")]), "auto"),
    conn("aggrmode", Bool, "no").alias(&["aggressive"]),
    conn("metric", Number, "0"),
    conn("mtu", Number, ""),
    conn("compress", Bool, "no").ignored("compression is not offered"),
    conn("narrowing", Bool, "no").ignored(V2),
    conn("sareftrack", Text, "yes").ignored(KLIPS),
    conn("sha2_truncbug", Bool, "no").ignored("SHA2-256 is always cut to 128 bits"),
    conn("disablearrivalcheck", Bool, "no").ignored("the kernel always checks"),
    conn("firstmsgid", Number, "0").ignored(V2),
    conn("overlapip", Bool, "no").ignored("equal inner addresses are told apart without it"),
    conn("modecfgpull", Bool, "no").ignored(MODECFG),
    conn("modecfgdns1", Text, "").ignored(MODECFG),
    conn("modecfgdns2", Text, "").ignored(MODECFG),
    conn("modecfgwins1", Text, "").ignored(MODECFG),
    conn("modecfgwins2", Text, "").ignored(MODECFG),
    conn("modecfgdns", Text, "").ignored(MODECFG),
    conn("modecfgdomain", Text, "").alias(&["modecfgdomains"]).ignored(MODECFG),
    conn("modecfgbanner", Text, "").ignored(MODECFG),
    conn("remote_peer_type", Text, "").ignored("Cisco's extensions are not served"),
    conn("nm_configured", Bool, "no").ignored("NetworkManager is not told"),
    conn("endaddrfamily", Text, "")
        .alias(&["hostaddrfamily"])
        .ignored("the addresses say which family they are of"),
    conn("connaddrfamily", Text, "")
        .alias(&["clientaddrfamily", "tunneladdrfamily"])
        .ignored("the addresses say which family they are of"),
    conn("loopback", Bool, "no").ignored("labeled IPsec is not served"),
    conn("labeled_ipsec", Bool, "no").refused("labeled IPsec is not served"),
    conn("policy_label", Text, "").alias(&["sec-label"]).refused("labeled IPsec is not served"),
    // Words of the forks that people carry over.
    conn("ike-frag", Text, "yes").alias(&["fragmentation"]).ignored("IKE messages are not fragmented"),
    conn("nat-ikev1-method", Text, "both")
        .alias(&["ikev1_natt"])
        .ignored("RFC 3947 and the drafts are always offered"),
    conn("nat-keepalive", Bool, "yes").ignored("see keep_alive= in config setup"),
    conn("initial-contact", Bool, "no").ignored("INITIAL-CONTACT is always sent"),
    conn("cisco-unity", Bool, "no").ignored("Cisco's extensions are not served"),
    conn("send-vendorid", Bool, "no").ignored("our vendor ID is always sent"),
    conn("fake-strongswan", Bool, "no").ignored("our vendor ID is always sent"),
    conn("xauthby", Text, "file").ignored("XAUTH is not served"),
    conn("xauthfail", Text, "hard").ignored("XAUTH is not served"),
    conn("mark", Text, "").alias(&["mark-in", "mark-out"]).ignored(KERNEL),
    conn("vti-interface", Text, "").alias(&["vti-routing", "vti-shared"]).ignored(KERNEL),
    conn("ipsec-interface", Text, "").ignored(KERNEL),
    conn("priority", Number, "").ignored(KERNEL),
    conn("replay-window", Number, "128").ignored(KERNEL),
    conn("reqid", Number, "").ignored(KERNEL),
    conn("tfc", Text, "").ignored(KERNEL),
    conn("esn", Text, "no").ignored(KERNEL),
    conn("nopmtudisc", Bool, "no").ignored(KERNEL),
    conn("encap-dscp", Bool, "no").alias(&["decap-dscp"]).ignored(KERNEL),
    conn("nic-offload", Text, "no").ignored(KERNEL),
    conn("nflog-group", Text, "").ignored(KERNEL),
    conn("retransmit-timeout", Text, "")
        .alias(&["retransmit-interval"])
        .ignored("retransmissions follow Openswan's timing"),
    conn("ikepad", Bool, "yes").ignored("IKE messages are always padded"),
    conn("mobike", Bool, "no").ignored(V2),
    conn("ppk", Text, "").refused(V2),
    conn("reauth", Bool, "no").ignored(V2),
    conn("closeaction", Text, "none").ignored("see dpdaction="),
    conn("lifebytes", Text, "")
        .alias(&["ipsec-max-bytes", "lifepackets", "ipsec-max-packets"])
        .ignored(KERNEL),
    conn("inactivity", Time, "").ignored("idle SAs are kept until they expire"),
    conn("installpolicy", Bool, "yes").ignored("policies are always installed"),
    conn("eap_identity", Text, "").alias(&["aaa_identity"]).ignored(V2),
];
