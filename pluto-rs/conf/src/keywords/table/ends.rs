//! Keywords of a conn that exist for each end.

use crate::keywords::Kind::{self, Append, Bool, Number, Text, Word};
use crate::keywords::Origin::{Libreswan, Strongswan};
use crate::keywords::{Keyword, Scope};

use super::{KERNEL, LIBRESWAN, MANUAL, V2};

const fn end(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::End, name, kind, default)
}

/// The rows.
pub(super) const ENDS: &[Keyword] = &[
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
        .alias(&["eckey", "eddsakey"])
        .differs("raw ECDSA keys are not used; use leftcert="),
    end("autheap", Text, "none").of(Libreswan).ignored(V2),
    end("cat", Bool, "no").of(Libreswan).ignored("client address translation is not done"),
    end("groundhog", Bool, "no").of(Libreswan).ignored("an expired certificate is refused"),
    end("vti", Text, "").of(Libreswan),
    end("interface-ip", Text, "").of(Libreswan).differs(KERNEL),
    end("updown-config", Text, "").of(Libreswan).ignored(LIBRESWAN),
    end("sendcrl", Text, "").ignored("CRLs are not sent"),
    end("xauthbanner", Text, "").ignored("see modecfgbanner="),
    end("modecfg", Text, "").ignored("see leftmodecfgserver="),
    end("iface", Text, "").ignored("left=%IFNAME says it"),
    end("netmask", Text, "").ignored("see leftsubnet="),
    end("hostaccess", Bool, "no"),
];
