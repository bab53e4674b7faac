//! Distinguished names (X.501): text to DER, DER to text, and whether two are the same.
//!
//! ```text
//! C=CA, ST=Ontario, O=Acme, CN=*, E=joe@example.com      LDAP style, as it is printed
//! /C=CA/ST=Ontario/O=Acme/CN=*                           OpenSSL style
//! O="Acme, Inc.", OID.2.5.4.3=x, CN=a\,b                 quotes, OIDs, escapes
//! ```
//!
//! Two names are the same if they have the same attributes, in whatever order they stand and whatever string type, case and
//! blanks they are written with (RFC 5280 §7.1). Openswan demanded the same order. The value `*` stands for any, in a
//! configured name alone.

mod der;
mod parse;
#[cfg(test)]
mod tests;

pub use der::{is_dn, matches, text, wildcards};
pub use parse::parse;

/// Longest name that is read, in octets of DER.
pub const MAX_DER: usize = 8192;
/// Most attributes of a name.
const MAX_ATTRIBUTES: usize = 64;

/// Words of attributes with their OIDs, the printed one of several first; case does not matter.
const NAMES: [(&str, &[u8]); 42] = [
    ("ND", &[0x02, 0x82, 0x06, 0x01, 0x0a, 0x07, 0x14]),
    ("UID", UID),
    ("userId", UID),
    ("DC", DC),
    ("domainComponent", DC),
    ("CN", &[0x55, 4, 3]),
    ("commonName", &[0x55, 4, 3]),
    ("S", &[0x55, 4, 4]),
    ("surname", &[0x55, 4, 4]),
    ("SN", &[0x55, 4, 5]),
    ("serialNumber", &[0x55, 4, 5]),
    ("C", &[0x55, 4, 6]),
    ("countryName", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("localityName", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("stateOrProvinceName", &[0x55, 4, 8]),
    ("STREET", &[0x55, 4, 9]),
    ("streetAddress", &[0x55, 4, 9]),
    ("O", &[0x55, 4, 10]),
    ("organizationName", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("organizationalUnitName", &[0x55, 4, 11]),
    ("T", &[0x55, 4, 12]),
    ("title", &[0x55, 4, 12]),
    ("D", &[0x55, 4, 13]),
    ("description", &[0x55, 4, 13]),
    ("postalCode", &[0x55, 4, 17]),
    ("N", &[0x55, 4, 41]),
    ("name", &[0x55, 4, 41]),
    ("G", &[0x55, 4, 42]),
    ("GN", &[0x55, 4, 42]),
    ("givenName", &[0x55, 4, 42]),
    ("I", &[0x55, 4, 43]),
    ("initials", &[0x55, 4, 43]),
    ("ID", &[0x55, 4, 45]),
    ("E", EMAIL),
    ("Email", EMAIL),
    ("emailAddress", EMAIL),
    ("UN", UNSTRUCTURED),
    ("unstructuredName", UNSTRUCTURED),
    ("TCGID", &[0x2b, 6, 1, 4, 1, 0x89, 0x31, 1, 1, 2, 2, 0x4b]),
];
const UID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1];
const DC: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
const UNSTRUCTURED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2];

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnError(String);

impl std::fmt::Display for DnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for DnError {}

fn error<T>(text: impl Into<String>) -> Result<T, DnError> {
    Err(DnError(text.into()))
}
