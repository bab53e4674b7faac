//! Identities (RFC 2407 §4.6.2) and their text forms in `ipsec.conf` and `ipsec.secrets`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An identity of one end. `None` matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Id {
    /// No identity; as a configured peer id it accepts every peer.
    #[default]
    None,
    /// `ID_IPV4_ADDR` (1) or `ID_IPV6_ADDR` (5).
    Addr(IpAddr),
    /// `ID_FQDN` (2), written `@name`.
    Fqdn(String),
    /// `ID_USER_FQDN` (3), written `user@host`.
    UserFqdn(String),
    /// `ID_KEY_ID` (11), written `@[text]` or `@#hex`.
    KeyId(Vec<u8>),
    /// `ID_DER_ASN1_DN` (9): the DER bytes of a distinguished name.
    Dn(Vec<u8>),
}

/// Why a text is not an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError(pub String);

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for IdError {}

impl Id {
    /// The IPsec DOI number of the type (RFC 2407 §4.6.2.1); 0 for [`Id::None`].
    pub fn type_number(&self) -> u8 {
        match self {
            Id::None => 0,
            Id::Addr(IpAddr::V4(_)) => 1,
            Id::Fqdn(_) => 2,
            Id::UserFqdn(_) => 3,
            Id::Addr(IpAddr::V6(_)) => 5,
            Id::Dn(_) => 9,
            Id::KeyId(_) => 11,
        }
    }

    /// The DOI name of the type, as in Openswan's log lines.
    pub fn type_name(&self) -> &'static str {
        match self {
            Id::None => "ID_NONE",
            Id::Addr(IpAddr::V4(_)) => "ID_IPV4_ADDR",
            Id::Fqdn(_) => "ID_FQDN",
            Id::UserFqdn(_) => "ID_USER_FQDN",
            Id::Addr(IpAddr::V6(_)) => "ID_IPV6_ADDR",
            Id::Dn(_) => "ID_DER_ASN1_DN",
            Id::KeyId(_) => "ID_KEY_ID",
        }
    }

    /// Whether `other` is what the configured `self` asks for: `None` on either side matches, names ignore case and
    /// trailing dots, distinguished names are compared by [`crate::dn::matches`] with the wildcards of `self`.
    pub fn matches(&self, other: &Id) -> bool {
        let name = |a: &str, b: &str| a.trim_end_matches('.').eq_ignore_ascii_case(b.trim_end_matches('.'));
        match (self, other) {
            (Id::None, _) | (_, Id::None) => true,
            (Id::Fqdn(a), Id::Fqdn(b)) | (Id::UserFqdn(a), Id::UserFqdn(b)) => name(a, b),
            (Id::Dn(a), Id::Dn(b)) => crate::dn::matches(a, b),
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Id {
    /// The text form Openswan prints: `192.0.2.1`, `@name`, `user@host`, `@#0x…`, `C=US, O=x`, `%none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, b: &[u8]| b.iter().try_for_each(|x| write!(f, "{x:02x}"));
        match self {
            Id::None => f.write_str("%none"),
            Id::Addr(a) => write!(f, "{a}"),
            Id::Fqdn(n) => write!(f, "@{}", Printable(n)),
            Id::UserFqdn(n) => write!(f, "{}", Printable(n)),
            Id::KeyId(b) => f.write_str("@#0x").and_then(|()| hex(f, b)),
            Id::Dn(b) => f.write_str(&crate::dn::text(b)),
        }
    }
}

/// A peer-chosen string made safe for a log line: control bytes become `\ooo`.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(f, "\\{:03o}", c as u32),
            c => write!(f, "{c}"),
        })
    }
}

impl FromStr for Id {
    type Err = IdError;

    /// Parses the `leftid=` forms that need no resolver: addresses, `@fqdn`, `user@host`, `@[key]`, `@#hex`, `%any`,
    /// `%none`, distinguished names. Host names without `@` are errors here.
    fn from_str(s: &str) -> Result<Id, IdError> {
        let unhex = |h: &str| -> Result<Vec<u8>, IdError> {
            let h = h.strip_prefix("0x").unwrap_or(h);
            if h.is_empty() || !h.len().is_multiple_of(2) || !h.is_ascii() {
                return Err(IdError(format!(
                    "`{s}': expected an even number of hexadecimal digits after @#"
                )));
            }
            (0..h.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&h[i..i + 2], 16))
                .collect::<Result<_, _>>()
                .map_err(|_| IdError(format!("`{s}': expected hexadecimal digits after @#")))
        };
        match s {
            "%any" | "%any6" | "%none" | "0.0.0.0" | "0::0" | "::" => return Ok(Id::None),
            "" => return Err(IdError("empty identity".into())),
            _ => {}
        }
        if let Some(h) = s.strip_prefix("@#") {
            return unhex(h).map(Id::KeyId);
        }
        if let Some(h) = s.strip_prefix("@~") {
            let der = unhex(h)?;
            return match crate::dn::is_dn(&der) {
                true => Ok(Id::Dn(der)),
                false => Err(IdError(format!("`{s}': these octets are no distinguished name"))),
            };
        }
        if let Some(k) = s.strip_prefix("@[") {
            return Ok(Id::KeyId(k.strip_suffix(']').unwrap_or(k).as_bytes().to_vec()));
        }
        if s.contains('=') {
            let dn = crate::dn::parse(s.strip_prefix('@').unwrap_or(s));
            return dn.map(Id::Dn).map_err(|e| IdError(format!("`{s}': {e}")));
        }
        if let Some(n) = s.strip_prefix('@') {
            return Ok(Id::Fqdn(n.to_string()));
        }
        if s.contains('@') {
            return Ok(Id::UserFqdn(s.to_string()));
        }
        s.parse().map(Id::Addr).map_err(|_| IdError(format!("`{s}' does not look numeric")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_round_trip() {
        for t in ["192.0.2.1", "2001:db8::1", "@vpn.example.com", "joe@example.com", "@#0x0aff"] {
            assert_eq!(t.parse::<Id>().unwrap().to_string(), t);
        }
        assert_eq!("@[group]".parse::<Id>().unwrap(), Id::KeyId(b"group".to_vec()));
        for t in ["C=US", "@C=US", "@~300d310b3009060355040613025553", "/C=US"] {
            assert_eq!(t.parse::<Id>().unwrap().to_string(), "C=US");
        }
        assert_eq!("%any".parse::<Id>().unwrap(), Id::None);
    }

    #[test]
    fn bad_identities_are_errors() {
        for t in ["", "@#0", "@#xyz0", "host.example.com", "XX=US, O=x", "@~3000ff"] {
            assert!(t.parse::<Id>().is_err(), "{t}");
        }
    }

    #[test]
    fn names_match_without_case_or_final_dot() {
        assert!(Id::Fqdn("VPN.example.".into()).matches(&Id::Fqdn("vpn.EXAMPLE".into())));
        assert!(!Id::Fqdn("a".into()).matches(&Id::UserFqdn("a".into())));
    }

    #[test]
    fn control_bytes_do_not_reach_the_log() {
        assert_eq!(Id::Fqdn("a\nb".into()).to_string(), "@a\\012b");
    }
}
