//! Keywords of a conn as a whole that libreswan and strongSwan brought up, and words people carry over.

use crate::keywords::Kind::{self, Bool, Number, Text, Time, Word};
use crate::keywords::Origin::{Libreswan, Strongswan};
use crate::keywords::{Keyword, Scope};

use super::{KERNEL, KLIPS, LIBRESWAN, MANUAL, OBSOLETE, POLICIES, V2};

const fn conn(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::Conn, name, kind, default)
}

/// The rows.
pub(super) const FORKS: &[Keyword] = &[
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
    conn("mark", Text, "").of(Libreswan),
    conn("mark-in", Text, "").of(Libreswan),
    conn("mark-out", Text, "").of(Libreswan),
    conn("set_mark_in", Text, "").of(Strongswan).alias(&["set_mark_out"]).differs(KERNEL),
    conn("vti-interface", Text, "").of(Libreswan),
    conn("vti-routing", Bool, "yes").of(Libreswan),
    conn("vti-shared", Bool, "no").of(Libreswan),
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
    .of(Libreswan)
    .ignored("messages are not padded but for encryption"),
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
            "reject-simultaneous-ike-auth",
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
