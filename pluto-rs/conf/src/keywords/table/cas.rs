//! Keywords of `ca` sections.

use crate::keywords::Kind::{self, Append, Text, Word};
use crate::keywords::{Keyword, Origin, Scope};

use super::FETCH;

const fn ca(name: &'static str, kind: Kind, default: &'static str) -> Keyword {
    Keyword::new(Scope::Ca, name, kind, default).of(Origin::Strongswan)
}

/// The rows.
pub(super) const CAS: &[Keyword] = &[
    ca("cacert", Text, ""),
    ca("auto", Word(&[("ignore", "ignore"), ("add", "add")]), "ignore"),
    ca("also", Append, ""),
    ca("crluri", Text, "").alias(&["crluri1"]),
    ca("crluri2", Text, ""),
    ca("ocspuri", Text, "").alias(&["ocspuri1"]),
    ca("ocspuri2", Text, ""),
    ca("certuribase", Text, "").ignored(FETCH),
    ca("ldaphost", Text, "").alias(&["ldapbase"]).ignored(FETCH),
    ca("strictcrlpolicy", Text, "").ignored("it is said in config setup"),
];
