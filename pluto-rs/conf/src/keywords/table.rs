//! The rows of the keyword table.

use super::Kind::{self, Append, Bool, List, Number, Percent, Text, Time, Word};
use super::Origin::{Libreswan, Strongswan};
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
const MANUAL: &str = "manual keying is gone";
const V2: &str = "IKEv2 is not served";
const KERNEL: &str = "this kernel option is not set";
const OBSOLETE: &str = "obsolete keyword ignored on read";
const CHARON: &str = "there is no charon here";
const LIBRESWAN: &str = "it is for a part of libreswan that is not here";
const FETCH: &str = "nothing is fetched from a network; put certificates and CRLs into /etc/ipsec.d";
const LABELS: &str = "labeled IPsec is not served";

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
    setup("oe", Bool, "no"),
    setup("prepluto", Text, ""),
    setup("postpluto", Text, ""),
    setup("fragicmp", Bool, "yes").ignored(KLIPS),
    setup("hidetos", Bool, "yes").ignored(KLIPS),
    setup("uniqueids", Text, "yes"),
    setup("overridemtu", Number, "").ignored(KLIPS),
    setup("nocrsend", Bool, "no"),
    setup(
        "strictcrlpolicy",
        Word(&[
            ("no", "no"),
            ("n", "no"),
            ("false", "no"),
            ("off", "no"),
            ("0", "no"),
            ("yes", "yes"),
            ("y", "yes"),
            ("true", "yes"),
            ("on", "yes"),
            ("1", "yes"),
            ("ifuri", "ifuri"),
        ]),
        "no",
    )
    .alias(&["crl-strict", "crl_strict_policy"]),
    setup("crlcheckinterval", Time, "0"),
    setup("cachecrls", Text, "").of(Strongswan).ignored(FETCH),
    setup("curl-iface", Text, "").of(Libreswan).ignored(FETCH),
    setup("force_busy", Text, "no").alias(&["ddos-mode"]).ignored(V2),
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
    setup("packetdefault", Text, "").ignored("policy groups say what is encrypted"),
    setup("charonstart", Bool, "").of(Strongswan).ignored(CHARON),
    setup("charondebug", Text, "").of(Strongswan).ignored(CHARON),
    setup("charoncrypto", Text, "").of(Strongswan).ignored(CHARON),
    setup("crypto-policy", Word(POLICIES), "compat"),
    setup("plutofork_delay", Text, "").ignored(OBSOLETE),
    setup("eroutedebug", Text, "").ignored(KLIPS),
    setup("pkcs11module", Text, "")
        .of(Strongswan)
        .alias(&["pkcs11initargs", "pkcs11keepstate", "pkcs11proxy"])
        .ignored("smart cards are not used"),
    setup("plutoload", Text, "").ignored("auto= of each conn says it"),
    setup("plutobackgroundload", Text, "").ignored("conns are loaded fast enough"),
    setup("plutoroute", Text, "").alias(&["plutoup", "plutostartup"]).ignored("auto= of each conn says it"),
    setup("no_eroute_pass", Text, "").ignored(KLIPS),
    setup("opportunistic", Text, "").alias(&["foodgroupdir"]).ignored("oe= says it"),
    setup("listen-tcp", Text, "").of(Libreswan).alias(&["listen-udp"]).ignored("IKE is spoken over UDP only"),
    setup("nssdir", Text, "").of(Libreswan).ignored("keys and certificates are files below /etc/ipsec.d"),
    setup("logip", Text, "").of(Libreswan).alias(&["logappend", "audit-log", "statsbin"]).ignored(LIBRESWAN),
    setup("seedbits", Text, "")
        .of(Libreswan)
        .alias(&["seedbits-devrandom", "seeddev"])
        .ignored("the kernel seeds the random numbers"),
    setup("dnssec-enable", Text, "")
        .of(Libreswan)
        .alias(&["dnssec-rootkey-file", "dnssec-anchors"])
        .ignored(LIBRESWAN),
    setup("ocsp-enable", Text, "")
        .of(Libreswan)
        .alias(&[
            "ocsp-strict",
            "ocsp-timeout",
            "ocsp-uri",
            "ocsp-trustname",
            "ocsp-cache-size",
            "ocsp-cache-min-age",
            "ocsp-cache-max-age",
            "ocsp-method",
        ])
        .ignored(FETCH),
    setup("crl-timeout", Text, "").of(Libreswan).alias(&["curl-timeout"]).ignored(FETCH),
    setup("ddos-ike-threshold", Text, "")
        .of(Libreswan)
        .alias(&["max-halfopen-ike"])
        .ignored("half-open SAs are always limited"),
    setup("global-redirect", Text, "").of(Libreswan).alias(&["global-redirect-to"]).ignored(V2),
    setup("ike-socket-bufsize", Text, "").of(Libreswan).alias(&["ike-socket-errqueue"]).ignored(KERNEL),
    setup("xfrmlifetime", Text, "")
        .of(Libreswan)
        .alias(&["nic-offload", "expire-lifetime", "expire-shunt-interval", "shuntlifetime"])
        .ignored(KERNEL),
    setup("vendorid", Text, "").of(Libreswan).alias(&["myvendorid"]).ignored("our vendor ID is ours"),
    setup("seccomp", Text, "no").of(Libreswan).ignored(LIBRESWAN),
    setup("dns-resolver", Text, "").of(Libreswan).ignored(LIBRESWAN),
    setup("drop-oppo-null", Text, "").of(Libreswan).ignored(V2),
    setup("ikev1-policy", Text, "").of(Libreswan).ignored("IKEv1 is what is spoken"),
    setup("ipsec-interface-managed", Text, "").of(Libreswan).ignored(KERNEL),
    setup("ikev1-secctx-attr-type", Text, "").of(Libreswan).ignored(LABELS),
    setup("allow-cert-without-san-id", Text, "").of(Libreswan).ignored("the certificate must name the peer"),
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
    end("firewall", Bool, "no"),
    end("rsasigkey", Text, "").alias(&["sigkey", "pubkey"]),
    end("rsasigkey2", Text, "").alias(&["sigkey2"]),
    end("cert", Text, ""),
    end(
        "sendcert",
        Word(&[
            ("never", "never"),
            ("no", "never"),
            ("sendifasked", "ifasked"),
            ("ifasked", "ifasked"),
            ("yes", "always"),
            ("always", "always"),
            ("alwayssend", "always"),
            ("forcedtype", "always"),
        ]),
        "always",
    ),
    end("ca", Text, ""),
    end("groups", Text, "").of(Strongswan).alias(&["groups2"]).differs("attribute certificates are not used"),
    end("subnetwithin", Text, ""),
    end("xauthserver", Bool, "no"),
    end("xauthclient", Bool, "no"),
    end("xauthusername", Text, "").alias(&["xauthname", "username"]),
    end("modecfgserver", Bool, "no"),
    end("modecfgclient", Bool, "no"),
    end("addresspool", Text, ""),
    end("ikeport", Number, "500"),
    end("spibase", Text, "").ignored(MANUAL),
    end("spi", Text, "").ignored(MANUAL),
    end("espenckey", Text, "").ignored(MANUAL),
    end("espauthkey", Text, "").ignored(MANUAL),
    end("espreplay_window", Text, "").ignored(MANUAL),
    end("allowany", Bool, "no").of(Strongswan).ignored("use right=%any"),
    end("nat-hide", Bool, "no"),
    end("auth2", Text, "").of(Strongswan),
    end("dns", Text, "").of(Strongswan),
    end("cert2", Text, "").of(Strongswan).alias(&["id2", "ca2"]).ignored("one certificate proves an end"),
    end("certpolicy", Text, "").of(Strongswan).differs("policies of certificates are not compared"),
    end("ckaid", Text, "")
        .of(Libreswan)
        .differs("there is no NSS database; name the key with leftcert= or leftrsasigkey="),
    end("ecdsakey", Text, "")
        .of(Libreswan)
        .alias(&["eckey"])
        .differs("raw ECDSA keys are not used; use leftcert="),
    end("autheap", Text, "none").of(Libreswan).ignored(V2),
    end("cat", Bool, "no").of(Libreswan).ignored("client address translation is not done"),
    end("groundhog", Bool, "no").of(Libreswan).ignored("an expired certificate is refused"),
    end("vti", Text, "").of(Libreswan).alias(&["interface-ip"]).differs(KERNEL),
    end("updown-config", Text, "").of(Libreswan).ignored(LIBRESWAN),
    end("sendcrl", Text, "").ignored("CRLs are not sent"),
    end("xauthbanner", Text, "").ignored("see modecfgbanner="),
    end("modecfg", Text, "").ignored("see leftmodecfgserver="),
    end("iface", Text, "").ignored("left=%IFNAME says it"),
    end("netmask", Text, "").ignored("see leftsubnet="),
    end("hostaccess", Bool, "no"),
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
            ("keep", "keep"),
            ("manual", "ignore"),
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
            ("beet", "tunnel"),
            ("transport_proxy", "transport"),
        ]),
        "tunnel",
    ),
    conn("authby", Text, "rsasig"),
    conn(
        "keyexchange",
        Word(&[
            ("ike", "ike"),
            ("ikev1", "ike"),
            ("yes", "ike"),
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
    conn("phase2alg", Text, "").alias(&["esp", "ah", "phase2algorithm"]),
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
            ("restart_by_peer", "restart_by_peer"),
            ("restart-by-peer", "restart_by_peer"),
            ("trap", "hold"),
            ("start", "restart"),
            ("none", "none"),
        ]),
        "hold",
    ),
    conn("forceencaps", Bool, "no"),
    conn(
        "encapsulation",
        Word(&[("auto", "auto"), ("yes", "yes"), ("no", "no"), ("always", "yes"), ("never", "no")]),
        "auto",
    ),
    conn("aggrmode", Bool, "no").alias(&["aggressive"]),
    conn("metric", Number, "0"),
    conn("mtu", Number, ""),
    conn("compress", Bool, "no"),
    conn("narrowing", Bool, "no").ignored(V2),
    conn("sareftrack", Text, "yes").ignored(KLIPS),
    conn("sha2_truncbug", Bool, "no").alias(&["sha256_96"]),
    conn("disablearrivalcheck", Bool, "no").ignored("the kernel always checks"),
    conn("firstmsgid", Number, "0").ignored(V2),
    conn("overlapip", Bool, "no"),
    conn("modecfgpull", Bool, "no"),
    conn("modeconfig", Word(&[("pull", "pull"), ("push", "push")]), "pull").of(Strongswan),
    conn("modecfgdns1", Text, ""),
    conn("modecfgdns2", Text, ""),
    conn("modecfgwins1", Text, ""),
    conn("modecfgwins2", Text, ""),
    conn("modecfgdns", Text, "").of(Libreswan),
    conn("modecfgdomains", Text, "").of(Libreswan).alias(&["modecfgdomain"]),
    conn("modecfgbanner", Text, "").of(Libreswan),
    conn("cisco-split", Text, "no").of(Libreswan),
    conn("xauth", Word(&[("client", "client"), ("server", "server")]), "client").of(Strongswan),
    conn("xauth_identity", Text, "").of(Strongswan),
    conn("remote_peer_type", Word(&[("ietf", "ietf"), ("cisco", "cisco"), ("unset", "ietf")]), "ietf"),
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
    conn(
        "fragmentation",
        Word(&[
            ("yes", "yes"),
            ("no", "no"),
            ("force", "force"),
            ("insist", "force"),
            ("never", "no"),
            ("accept", "no"),
            ("on", "yes"),
            ("off", "no"),
        ]),
        "yes",
    )
    .of(Libreswan)
    .alias(&["ike-frag"]),
    conn(
        "nat-ikev1-method",
        Word(&[("both", "both"), ("rfc", "rfc"), ("drafts", "drafts"), ("none", "none")]),
        "both",
    )
    .of(Libreswan)
    .alias(&["ikev1_natt", "ikev1-nat-t"]),
    conn("nat-keepalive", Bool, "yes").of(Libreswan),
    conn("initial-contact", Bool, "yes").of(Libreswan),
    conn("cisco-unity", Bool, "no").of(Libreswan),
    conn("send-vendorid", Bool, "yes").of(Libreswan),
    conn("fake-strongswan", Bool, "no").of(Libreswan).ignored("our vendor ID is ours"),
    conn("xauthby", Word(&[("file", "file"), ("pam", "pam"), ("alwaysok", "alwaysok")]), "file")
        .of(Libreswan),
    conn("xauthfail", Word(&[("hard", "hard"), ("soft", "soft")]), "hard").of(Libreswan),
    conn("crypto-policy", Word(POLICIES), ""),
    conn(
        "negotiationshunt",
        Word(&[("hold", "none"), ("drop", "drop"), ("passthrough", "passthrough"), ("pass", "passthrough")]),
        "hold",
    )
    .of(Libreswan),
    conn("mark", Text, "").of(Libreswan).differs(KERNEL),
    conn("mark-in", Text, "").of(Libreswan).alias(&["set_mark_in"]).differs(KERNEL),
    conn("mark-out", Text, "").of(Libreswan).alias(&["set_mark_out"]).differs(KERNEL),
    conn("vti-interface", Text, "").of(Libreswan).differs(KERNEL),
    conn("vti-routing", Text, "yes").of(Libreswan).ignored(KERNEL),
    conn("vti-shared", Text, "no").of(Libreswan).ignored(KERNEL),
    conn("ipsec-interface", Text, "no").of(Libreswan).differs(KERNEL),
    conn("priority", Number, "0"),
    conn("replay-window", Text, "128").of(Libreswan),
    conn("reqid", Text, "").ignored(KERNEL),
    conn("tfc", Text, "").ignored(KERNEL),
    conn("esn", Text, "no").ignored(KERNEL),
    conn("nopmtudisc", Bool, "no").ignored(KERNEL),
    conn("encap-dscp", Text, "yes").of(Libreswan).ignored(KERNEL),
    conn("decap-dscp", Text, "no").of(Libreswan).ignored(KERNEL),
    conn("nic-offload", Text, "no").ignored(KERNEL),
    conn("nflog-group", Text, "").ignored(KERNEL),
    conn("retransmit-timeout", Text, "")
        .of(Libreswan)
        .alias(&["retransmit-interval"])
        .ignored("retransmissions follow Openswan's timing"),
    conn(
        "ikepad",
        Word(&[("yes", "yes"), ("no", "no"), ("auto", "yes"), ("on", "yes"), ("off", "no")]),
        "yes",
    )
    .of(Libreswan),
    conn("mobike", Text, "no").ignored(V2),
    conn(
        "ppk",
        Word(&[
            ("no", "no"),
            ("never", "no"),
            ("yes", "permit"),
            ("permit", "permit"),
            ("propose", "permit"),
            ("insist", "insist"),
            ("always", "insist"),
        ]),
        "no",
    )
    .of(Libreswan)
    .ignored(V2),
    conn("reauth", Bool, "no"),
    conn("closeaction", Text, "none").ignored("see dpdaction="),
    conn("lifebytes", Text, "0").of(Strongswan).alias(&["ipsec-max-bytes"]),
    conn("lifepackets", Text, "0").of(Strongswan).alias(&["ipsec-max-packets"]),
    conn("marginbytes", Text, "")
        .of(Strongswan)
        .alias(&["marginpackets"])
        .ignored("the margin in time counts"),
    conn("inactivity", Time, "0").of(Strongswan),
    conn("installpolicy", Bool, "yes").of(Strongswan).differs("policies are always installed"),
    conn("eap_identity", Text, "").of(Strongswan).alias(&["aaa_identity", "eap"]).ignored(V2),
    conn("ikedscp", Text, "").of(Strongswan).ignored(KERNEL),
    conn("me_peerid", Text, "")
        .of(Strongswan)
        .alias(&["mediated_by", "mediation"])
        .differs("mediation is not served"),
    conn("iptfs", Text, "no")
        .of(Libreswan)
        .alias(&[
            "iptfs-fragmentation",
            "iptfs-packet-size",
            "iptfs-max-queue-size",
            "iptfs-drop-time",
            "iptfs-init-delay",
            "iptfs-reorder-window",
            "iptfs-in-delay",
        ])
        .ignored(V2),
    conn("enable-tcp", Text, "no")
        .of(Libreswan)
        .alias(&["tcp-remoteport"])
        .ignored("IKE is spoken over UDP only"),
    conn("accept-redirect", Text, "")
        .of(Libreswan)
        .alias(&["send-redirect", "redirect-to", "accept-redirect-to"])
        .ignored(V2),
    conn("intermediate", Text, "")
        .of(Libreswan)
        .alias(&[
            "session-resumption",
            "ms-dh-downgrade",
            "dns-match-id",
            "pfs-rekey-workaround",
            "ikev2-allow-narrowing",
            "send-no-esp-tfc",
            "send-supported-auth-methods",
            "childless",
            "dh-downgrade",
            "ppk-ids",
        ])
        .ignored(V2),
    conn("send-esp-tfc-padding-not-supported", Text, "").of(Libreswan).ignored(V2),
    conn("require-id-on-certificate", Bool, "yes")
        .of(Libreswan)
        .differs("the certificate must name the peer"),
    conn("share-lease", Text, "").of(Libreswan).alias(&["clones"]).ignored(LIBRESWAN),
    conn("sendca", Text, "none").of(Libreswan).ignored("the certificates below ours are sent along"),
    conn("ignore-peer-dns", Text, "no").of(Libreswan).ignored("leftupdown= decides"),
    conn("pam-authorize", Bool, "no").of(Libreswan).differs("PAM is asked for XAUTH only"),
    conn("debug", Text, "").of(Libreswan).ignored("see plutodebug= in config setup"),
    conn("fail-if-no-dnssec", Text, "").of(Libreswan).ignored(LIBRESWAN),
    conn("modecfg", Text, "").ignored("see leftmodecfgserver="),
    conn("pfkey", Text, "").ignored(KLIPS),
    conn("forwardcontrol", Text, "").ignored(OBSOLETE),
    conn("esp_spi", Text, "")
        .alias(&["ah_spi", "ahkey", "ahreplay_window", "espreplaywindow", "manualkey"])
        .ignored(MANUAL),
    conn("lifetime_kb", Text, "").ignored("use lifebytes="),
    conn("nflog", Text, "").of(Libreswan).alias(&["nflog-all"]).ignored(KERNEL),
    conn("dscp", Text, "").of(Libreswan).ignored(KERNEL),
    conn("interface", Text, "").ignored("left=%IFNAME says it"),
];

const POLICIES: &[(&str, &str)] = &[("compat", "compat"), ("modern", "modern"), ("legacy", "legacy")];
