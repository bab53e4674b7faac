//! The rows of the keyword table, and the reasons several of them share.

use super::Keyword;

mod cas;
mod conns;
mod ends;
mod forks;
mod setup;

const KLIPS: &str = "it was for the KLIPS kernel module";
const MANUAL: &str = "manual keying is gone";
const V2: &str = "IKEv2 is not served";
const KERNEL: &str = "this kernel option is not set";
const OBSOLETE: &str = "obsolete keyword ignored on read";
const CHARON: &str = "there is no charon here";
const LIBRESWAN: &str = "it is for a part of libreswan that is not here";
const FETCH: &str = "CRLs and OCSP answers are fetched over http from the addresses in certificates and ca sections; put other CRLs into /etc/ipsec.d/crls";
const LABELS: &str = "labeled IPsec is not served";
const POLICIES: &[(&str, &str)] = &[("compat", "compat"), ("modern", "modern"), ("legacy", "legacy")];

/// Every keyword: those of `config setup`, of ends, of conns, of `ca` sections.
pub fn all() -> impl Iterator<Item = &'static Keyword> + Clone {
    [setup::SETUP, ends::ENDS, conns::CONNS, forks::FORKS, cas::CAS].into_iter().flatten()
}
