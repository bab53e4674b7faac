//! Keywords of a conn as a whole, as Openswan had them.

use crate::keywords::Kind::{self, Append, Bool, Number, Percent, Text, Time, Word};
use crate::keywords::Origin::{Libreswan, Strongswan};
use crate::keywords::{Keyword, Scope};

use super::{KLIPS, V2};

const fn conn(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::Conn, name, kind, default)
}

/// The rows.
pub(super) const CONNS: &[Keyword] = &[
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
    conn("dpdtimeout", Time, "").alias(&["ikev1-dpdtimeout"]),
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
];
