//! The one table of `ipsec.conf` keywords: name, section, kind of value, default, other spellings, effect today.
//!
//! Names are matched without regard to case, and `-` is the same as `_`.

use std::collections::HashMap;
use std::sync::OnceLock;

mod table;
pub use table::all;

/// Where a keyword belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `config setup`.
    Setup,
    /// `conn`, both ends together.
    Conn,
    /// `conn`, with `left` or `right` in front; without, it means right.
    End,
    /// `ca`.
    Ca,
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
    /// Nothing, which does no harm; the text says why in a few words.
    Ignored(&'static str),
    /// Nothing, so that the conn means something else; the text says why.
    Differs(&'static str),
    /// A conn that sets it is refused, as it would be less safe without.
    Refused(&'static str),
}

/// Who brought a keyword up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// FreeS/WAN or Openswan.
    Openswan,
    /// libreswan.
    Libreswan,
    /// strongSwan.
    Strongswan,
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
    /// Since which program it is known.
    pub origin: Origin,
}

impl Keyword {
    const fn new(scope: Scope, name: &'static str, kind: Kind, default: &'static str) -> Self {
        Keyword { name, scope, kind, default, aliases: &[], effect: Effect::Used, origin: Origin::Openswan }
    }
    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
    const fn ignored(mut self, why: &'static str) -> Self {
        self.effect = Effect::Ignored(why);
        self
    }
    const fn differs(mut self, why: &'static str) -> Self {
        self.effect = Effect::Differs(why);
        self
    }
    const fn of(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }
    const fn refused(mut self, why: &'static str) -> Self {
        self.effect = Effect::Refused(why);
        self
    }
}

/// What a key as written means.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its row.
    pub keyword: &'static Keyword,
    /// Its end.
    pub side: Side,
}

/// Finds the keyword of a `ca` section that a key stands for.
pub(crate) fn find_ca(key: &str) -> Option<&'static Keyword> {
    let key = normal(key);
    let is = |k: &&Keyword| k.scope == Scope::Ca && (k.name == key || k.aliases.contains(&key.as_str()));
    all().find(is)
}

/// Finds the keyword a key stands for in a conn (`in_setup` false) or in `config setup`.
pub fn find(key: &str, in_setup: bool) -> Option<Found> {
    let key = normal(key);
    index(in_setup).get(key.as_str()).copied()
}

/// The known name nearest to `key`, as one would write it.
pub fn nearest(key: &str, in_setup: bool) -> Option<&'static str> {
    let usual = |name: &&str| !name.starts_with("left_") && !name.starts_with("right_");
    crate::diag::did_you_mean(&normal(key), index(in_setup).keys().map(String::as_str).filter(usual))
}

fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('-', "_")
}

fn index(in_setup: bool) -> &'static HashMap<String, Found> {
    static SETUP: OnceLock<HashMap<String, Found>> = OnceLock::new();
    static CONN: OnceLock<HashMap<String, Found>> = OnceLock::new();
    let build = || {
        let mut map = HashMap::new();
        let here = |k: &&Keyword| (k.scope == Scope::Setup) == in_setup && k.scope != Scope::Ca;
        for keyword in all().filter(here) {
            for name in std::iter::once(&keyword.name).chain(keyword.aliases) {
                let name = normal(name);
                if keyword.scope != Scope::End {
                    map.insert(name, Found { keyword, side: Side::Both });
                    continue;
                }
                for side in [Side::Left, Side::Right] {
                    map.insert(format!("{}{name}", side.prefix()), Found { keyword, side });
                    if !name.is_empty() {
                        // libreswan's long form.
                        map.insert(format!("{}_{name}", side.prefix()), Found { keyword, side });
                    }
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
        assert_eq!(name("ike_frag"), Some(("fragmentation", Side::Both)));
        assert_eq!(name(""), None);
        assert_eq!(find("virtual-private", true).map(|f| f.keyword.name), Some("virtual_private"));
        assert!(find("virtual_private", false).is_none());
        assert_eq!(nearest("leftprotoprt", false), Some("leftprotoport"));
        assert_eq!(name("left-updown"), Some(("updown", Side::Left)));
        assert_eq!(find_ca("CRLuri1").map(|k| k.name), Some("crluri"));
        assert!(find_ca("left").is_none() && find("cacert", false).is_none());
    }

    #[test]
    fn no_name_is_in_the_table_twice() {
        let mut seen = std::collections::HashSet::new();
        for k in all() {
            for n in std::iter::once(&k.name).chain(k.aliases) {
                let scope = match k.scope {
                    Scope::Setup => "s",
                    Scope::Ca => "a",
                    Scope::Conn | Scope::End => "c",
                };
                let clash = k.scope == Scope::End && (*n == "auth" || *n == "modecfg");
                assert!(clash || seen.insert(format!("{scope}{}", normal(n))), "{n}");
            }
        }
    }
}
