//! Keywords of `config setup`.

use crate::keywords::Kind::{self, Bool, List, Number, Text, Time, Word};
use crate::keywords::Origin::{Libreswan, Strongswan};
use crate::keywords::{Keyword, Scope};

use super::{CHARON, FETCH, KERNEL, KLIPS, LABELS, LIBRESWAN, MANUAL, OBSOLETE, POLICIES, V2};

const fn setup(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::Setup, name, kind, default)
}

/// The rows.
pub(super) const SETUP: &[Keyword] = &[
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
    setup("nflog", Text, "").alias(&["nflog-all"]).ignored(KERNEL),
    setup("packetdefault", Text, "").ignored("policy groups say what is encrypted"),
    setup("charonstart", Bool, "").of(Strongswan).ignored(CHARON),
    setup("charondebug", Text, "").of(Strongswan).ignored(CHARON),
    setup("charoncrypto", Text, "").of(Strongswan).ignored(CHARON),
    setup("crypto-policy", Word(POLICIES), "compat"),
    setup("plutofork_delay", Text, "").ignored(OBSOLETE),
    setup("eroutedebug", Text, "").ignored(KLIPS),
    setup("pkcs11module", Text, "").of(Strongswan),
    setup("pkcs11initargs", Text, "")
        .of(Strongswan)
        .alias(&["pkcs11keepstate", "pkcs11proxy"])
        .ignored("a PKCS#11 module needs no arguments, and stays loaded"),
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
    setup("ddos-ike-threshold", Text, "").of(Libreswan).ignored("cookies are IKEv2's; see max-halfopen-ike="),
    setup("max-halfopen-ike", Number, "1000").of(Libreswan),
    setup("max-halfopen-per-peer", Number, "10"),
    setup("halfopen-timeout", Time, "30"),
    setup("max-quick-modes", Number, "16"),
    setup("max-duplicates", Number, "8"),
    setup("max-malformed-notify", Number, "16"),
    setup("max-payloads", Number, "64"),
    setup("max-fragments", Number, "64"),
    setup("max-fragment-octets", Number, "65536"),
    setup("max-fragment-memory", Number, "4194304"),
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
    setup("rundir", Text, "")
        .of(Libreswan)
        .alias(&["logstderr", "loglimit", "exampledir"])
        .ignored(LIBRESWAN),
    setup("secctx-attr-type", Text, "").of(Libreswan).ignored(LABELS),
];
