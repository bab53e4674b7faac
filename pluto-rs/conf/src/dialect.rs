//! Whose `ipsec.conf` a file is, as far as its words tell. Where the programs disagree about a meaning, this decides.

use crate::keywords::{self, Origin};
use crate::merge::is_default;
use crate::parse::{SectionKind, Sections};

/// Whose file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Openswan or FreeS/WAN; also a file with no telling word.
    #[default]
    Openswan,
    /// libreswan.
    Libreswan,
    /// strongSwan.
    Strongswan,
}

/// Words only Openswan and its ancestors have.
const OPENSWAN: [&str; 12] = [
    "oe",
    "interfaces",
    "klipsdebug",
    "forceencaps",
    "plutostderrlog",
    "disablearrivalcheck",
    "nhelpers",
    "plutowait",
    "connaddrfamily",
    "protostack",
    "nat_traversal",
    "virtual_private",
];

/// Words of Openswan and libreswan, which strongSwan never had or has given up.
const PLUTO: [&str; 9] = [
    "auth",
    "phase2",
    "phase2alg",
    "pfsgroup",
    "salifetime",
    "aggrmode",
    "leftnexthop",
    "rightnexthop",
    "remote_peer_type",
];

/// Words libreswan has had since version 5, where a conn without `keyexchange=` is one of IKEv2.
const LIBRESWAN5: [&str; 16] = [
    "clones",
    "expire-lifetime",
    "groundhog",
    "interface-ip",
    "ipsec-interface-managed",
    "iptfs",
    "iptfs-drop-time",
    "iptfs-fragmentation",
    "iptfs-in-delay",
    "iptfs-init-delay",
    "iptfs-max-queue-size",
    "iptfs-packet-size",
    "iptfs-reorder-window",
    "session-resumption",
    "share-lease",
    "updown-config",
];

/// The word of `config setup` that says it.
const MARK: &str = "x-dialect=";

impl Dialect {
    /// The line that says it.
    pub(crate) fn mark(self) -> String {
        let name = match self {
            Dialect::Openswan => "openswan",
            Dialect::Libreswan => "libreswan",
            Dialect::Strongswan => "strongswan",
        };
        format!("{MARK}{name}")
    }
}

/// The programs a comment names. In front of the first section it is the header that each of them installs its file with.
pub(crate) fn named(comment: &str) -> impl Iterator<Item = Dialect> {
    let comment = comment.to_ascii_lowercase();
    let names = [
        ("openswan", Dialect::Openswan),
        ("freeswan", Dialect::Openswan),
        ("frees/wan", Dialect::Openswan),
        ("libreswan", Dialect::Libreswan),
        ("strongswan", Dialect::Strongswan),
    ];
    names.into_iter().filter(move |(name, _)| comment.contains(name)).map(|(_, dialect)| dialect)
}

/// The dialect a line says the file is in.
pub(crate) fn marked(line: &str) -> Option<Dialect> {
    let line = line.trim().to_ascii_lowercase();
    [Dialect::Openswan, Dialect::Libreswan, Dialect::Strongswan].into_iter().find(|d| d.mark() == line)
}

/// The dialect of the file: the one it says, or the one most telling words belong to.
pub(crate) fn of(sections: &Sections) -> Dialect {
    sections.dialect.unwrap_or_else(|| by_words(sections))
}

/// The first word of a file of libreswan's that only version 5 and later have, and that says more than its default.
pub(crate) fn of_libreswan5(sections: &Sections) -> Option<&'static str> {
    let mut params = sections.list.iter().flat_map(|section| &section.params);
    params.find_map(|param| {
        let key = param.key.to_ascii_lowercase();
        let key = key.strip_prefix("left").or_else(|| key.strip_prefix("right")).unwrap_or(&key);
        let word = LIBRESWAN5.into_iter().find(|word| *word == key.trim_start_matches('-'))?;
        let idle = keywords::find(&param.key, false).is_some_and(|f| is_default(f.keyword, param));
        (!idle).then_some(word)
    })
}

fn by_words(sections: &Sections) -> Dialect {
    let (mut openswan, mut libreswan, mut strongswan) = (0u32, 0u32, 0u32);
    let (mut pluto, mut strict, mut authorities) = (0u32, false, 0u32);
    // A header says as much as one word. Who names two programs compares them.
    let header = &sections.header;
    if let Some(&first) = header.first()
        && header.iter().all(|&dialect| dialect == first)
    {
        *match first {
            Dialect::Openswan => &mut openswan,
            Dialect::Libreswan => &mut libreswan,
            Dialect::Strongswan => &mut strongswan,
        } += 1;
    }
    for section in &sections.list {
        if matches!(section.kind, SectionKind::Ca(_)) {
            authorities += 1;
            continue;
        }
        for param in section.params.iter().filter(|p| !p.value.is_empty()) {
            let key = param.key.to_ascii_lowercase();
            pluto += u32::from(PLUTO.contains(&key.as_str()));
            openswan += u32::from(OPENSWAN.contains(&key.as_str()));
            let value = param.value.as_str();
            let telling = match key.as_str() {
                "leftfirewall" | "rightfirewall" | "lefthostaccess" | "righthostaccess" => true,
                "margintime" | "plutostart" | "sha256_96" | "replay_window" => true,
                // Generated files have it for every program; one that says it often says nothing more.
                "ike" | "esp" => value.ends_with('!') && !std::mem::replace(&mut strict, true),
                "leftauth" | "rightauth" => {
                    let value = value.to_ascii_lowercase();
                    ["psk", "pubkey", "xauth", "eap"].iter().any(|w| value.starts_with(w))
                }
                // Of the others, one took lists with IKEv2 alone, and late.
                "leftsubnet" | "rightsubnet" => value.contains(',') && !value.starts_with(['v', 'V']),
                "leftsourceip" | "rightsourceip" => value.starts_with('%') || value.contains('/'),
                "authby" => matches!(value, "psk" | "pubkey" | "xauthpsk" | "xauthrsasig"),
                "dpdaction" => value == "none",
                _ => false,
            };
            strongswan += u32::from(telling);
            let setup = section.kind == SectionKind::Setup;
            match keywords::find(&key, setup).map(|f| f.keyword.origin) {
                Some(Origin::Strongswan) => strongswan += 1,
                // strongSwan has it too.
                Some(Origin::Libreswan)
                    if !matches!(key.as_str(), "fragmentation" | "mark" | "mark_in" | "mark_out") =>
                {
                    libreswan += 1;
                }
                _ => {}
            }
        }
    }
    // A `ca` section is strongSwan's too, but served in every file: alone it says nothing.
    if strongswan > 0 {
        strongswan += authorities;
    }
    match () {
        () if strongswan > pluto + openswan.max(libreswan) => Dialect::Strongswan,
        () if libreswan > openswan => Dialect::Libreswan,
        () => Dialect::Openswan,
    }
}
