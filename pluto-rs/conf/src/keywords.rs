//! The one table of `ipsec.conf` keywords: name, section, kind of value, default, other spellings, effect today.
//!
//! Names are matched without regard to case, and `-` is the same as `_`.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Where a keyword belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `config setup`.
    Setup,
    /// `conn`, both ends together.
    Conn,
    /// `conn`, with `left` or `right` in front; without, it means right.
    End,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Not about an end.
    Both,
    /// `left…`.
    Left,
    /// `right…`.
    Right,
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn flip(self) -> Side {
        match self {
            Side::Both => Side::Both,
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    /// `left`, `right` or nothing.
    pub fn prefix(self) -> &'static str {
        match self {
            Side::Both => "",
            Side::Left => "left",
            Side::Right => "right",
        }
    }
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes`/`no` and their synonyms, any case.
    Bool,
    /// A decimal number that fits 32 bits.
    Number,
    /// A number of seconds, or with a suffix `s m h d w`.
    Time,
    /// `100%`.
    Percent,
    /// One of some words: pairs of spelling and meaning. The first meaning is what an unknown word counts as.
    Word(&'static [(&'static str, &'static str)]),
    /// Words separated by blanks or commas.
    List,
    /// Anything; checked where it is used.
    Text,
    /// Words, added up over repeated lines.
    Append,
}

/// What a keyword does today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What it says.
    Used,
    /// Nothing; the text says why in a few words.
    Ignored(&'static str),
    /// A conn that sets it is refused, as it would be less safe without.
    Refused(&'static str),
}

/// One keyword.
#[derive(Clone, Copy, Debug)]
pub struct Keyword {
    /// Canonical name, without `left` or `right`.
    pub name: &'static str,
    /// Section.
    pub scope: Scope,
    /// Value.
    pub kind: Kind,
    /// Default as a user would write it; empty for none.
    pub default: &'static str,
    /// Other names of the same setting.
    pub aliases: &'static [&'static str],
    /// Effect.
    pub effect: Effect,
}

impl Keyword {
    const fn new(scope: Scope, name: &'static str, kind: Kind, default: &'static str) -> Self {
        Keyword { name, scope, kind, default, aliases: &[], effect: Effect::Used }
    }
    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    const fn ignored(mut self, why: &'static str) -> Self {
        self.effect = Effect::Ignored(why);
        self
    }
    const fn refused(mut self, why: &'static str) -> Self {
        self.effect = Effect::Refused(why);
        self
    }
}

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

use Kind::{Append, Bool, List, Number, Percent, Text, Time, Word};

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

/// What a key as written means.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its row.
    pub keyword: &'static Keyword,
    /// Its end.
    pub side: Side,
}

/// Finds the keyword a key stands for in a conn (`in_setup` false) or in `config setup`.
pub fn find(key: &str, in_setup: bool) -> Option<Found> {
    let key = normal(key);
    index(in_setup).get(key.as_str()).copied()
}

/// The known name nearest to `key`, as one would write it.
pub fn nearest(key: &str, in_setup: bool) -> Option<&'static str> {
    crate::diag::did_you_mean(&normal(key), index(in_setup).keys().map(String::as_str))
}

fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('-', "_")
}

fn index(in_setup: bool) -> &'static HashMap<String, Found> {
    static SETUP: OnceLock<HashMap<String, Found>> = OnceLock::new();
    static CONN: OnceLock<HashMap<String, Found>> = OnceLock::new();
    let build = || {
        let mut map = HashMap::new();
        for keyword in KEYWORDS.iter().filter(|k| (k.scope == Scope::Setup) == in_setup) {
            for name in std::iter::once(&keyword.name).chain(keyword.aliases) {
                let name = normal(name);
                if keyword.scope != Scope::End {
                    map.insert(name, Found { keyword, side: Side::Both });
                    continue;
                }
                for side in [Side::Left, Side::Right] {
                    map.insert(format!("{}{name}", side.prefix()), Found { keyword, side });
                }
                // Without a prefix it means right, unless the name is one of the whole conn.
                if !name.is_empty() {
                    map.entry(name).or_insert(Found { keyword, side: Side::Right });
                }
            }
        }
        map
    };
    if in_setup { SETUP.get_or_init(build) } else { CONN.get_or_init(build) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_every_spelling() {
        let name = |k| find(k, false).map(|f| (f.keyword.name, f.side));
        assert_eq!(name("LeftProtoPort"), Some(("protoport", Side::Left)));
        assert_eq!(name("right"), Some(("", Side::Right)));
        assert_eq!(name("subnet"), Some(("subnet", Side::Right)));
        assert_eq!(name("esp"), Some(("phase2alg", Side::Both)));
        assert_eq!(name("auth"), Some(("phase2", Side::Both)));
        assert_eq!(name("leftauth"), Some(("auth", Side::Left)));
        assert_eq!(name("ike_frag"), Some(("ike-frag", Side::Both)));
        assert_eq!(name(""), None);
        assert_eq!(find("virtual-private", true).map(|f| f.keyword.name), Some("virtual_private"));
        assert!(find("virtual_private", false).is_none());
        assert_eq!(nearest("leftprotoprt", false), Some("leftprotoport"));
    }

    #[test]
    fn no_name_is_in_the_table_twice() {
        let mut seen = std::collections::HashSet::new();
        for k in KEYWORDS {
            for n in std::iter::once(&k.name).chain(k.aliases) {
                let scope = if k.scope == Scope::Setup { "s" } else { "c" };
                let clash = k.scope == Scope::End && (*n == "auth" || *n == "ikeport");
                assert!(clash || seen.insert(format!("{scope}{}", normal(n))), "{n}");
            }
        }
    }
}
