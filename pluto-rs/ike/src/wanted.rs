//! What `ike=` and `phase2alg=` of a conn ask for, as `ipsec auto --status` of Openswan 2.6 shows it. Only text is made here.

use ipsec_types::algo::{EspCipher, EspSuite, IkeCipher, IkeSuite};
use ipsec_types::conn::{ConnSpec, Phase2};

use crate::v1::phase1::hash_name;

/// The lines of a conn, without the words that every line of it begins with; none where it asks for nothing. What is
/// wanted has key lengths as said, what is there those that are used.
pub(crate) fn wanted_lines(spec: &ConnSpec) -> Vec<String> {
    let mut lines = Vec::new();
    if !spec.ike.is_empty() {
        let list = |found| joined(spec.ike.iter().map(|&s| ike(s, found)));
        lines.push(format!("IKE algorithms wanted: {}; flags=-strict", list(false)));
        lines.push(format!("IKE algorithms found:  {}", list(true)));
    }
    if !spec.esp.is_empty() {
        let (name, of): (_, fn(EspSuite, bool) -> String) = match spec.phase2 {
            Phase2::Ah => ("AH", integrity),
            Phase2::Esp | Phase2::AhEsp => ("ESP", esp),
        };
        let list = |loaded| joined(spec.esp.iter().map(|&s| of(s, loaded)));
        let group = spec
            .pfs_group
            .map_or_else(String::new, |g| format!("; pfsgroup={}({})", g.name().to_uppercase(), g.number()));
        lines.push(format!("{name} algorithms wanted: {}{group}; flags=-strict", list(false)));
        lines.push(format!("{name} algorithms loaded: {}", list(true)));
    }
    lines
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// `AES_CBC(7)_256-SHA1(2)_160-MODP1536(5)`.
fn ike(s: IkeSuite, found: bool) -> String {
    let cipher = match s.cipher {
        IkeCipher::Des => "DES_CBC",
        IkeCipher::TripleDes => "3DES_CBC",
        IkeCipher::Aes(_) => "AES_CBC",
        IkeCipher::Camellia(_) => "CAMELLIA_CBC",
    };
    let (key, tag) = match found {
        true => (s.cipher.key_len() * 8, s.hash.len() * 8),
        false => (usize::from(s.cipher.key_len_attribute().unwrap_or(0)), 0),
    };
    format!(
        "{cipher}({})_{key:03}-{}({})_{tag:03}-{}({})",
        s.cipher.number(),
        hash_name(s.hash),
        s.hash.number(),
        s.group.name().to_uppercase(),
        s.group.number()
    )
}

/// `AES(12)_128-SHA1(2)_160`.
fn esp(s: EspSuite, loaded: bool) -> String {
    let name = s.cipher.name();
    let name = name.rsplit_once('_').map_or(name.as_str(), |(name, _bits)| name);
    let said = s.cipher.key_len_attribute().map(usize::from);
    let key = match s.cipher {
        EspCipher::Des | EspCipher::TripleDes if loaded => s.cipher.key_len() * 8,
        _ => said.unwrap_or(0),
    };
    format!("{name}({})_{key:03}-{}", s.cipher.number(), integrity(s, loaded))
}

/// `SHA1(2)_160`.
fn integrity(s: EspSuite, loaded: bool) -> String {
    let name = s.integ.name();
    let name = name.strip_prefix("HMAC_").unwrap_or(name);
    let key = if loaded { s.integ.key_len() * 8 } else { 0 };
    format!("{name}({})_{key:03}", s.integ.number())
}

#[cfg(test)]
mod tests {
    use ipsec_types::algo::{DhGroup, EspInteg, HashAlg};

    use super::*;

    #[test]
    fn what_a_conn_wants_is_shown_as_ever() {
        assert!(wanted_lines(&ConnSpec::default()).is_empty());
        let mut spec = ConnSpec {
            ike: vec![
                IkeSuite { cipher: IkeCipher::Aes(256), hash: HashAlg::Sha1, group: DhGroup::Modp1536 },
                IkeSuite { cipher: IkeCipher::TripleDes, hash: HashAlg::Sha256, group: DhGroup::Modp2048 },
            ],
            esp: vec![
                EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha1 },
                EspSuite { cipher: EspCipher::TripleDes, integ: EspInteg::Md5 },
            ],
            pfs_group: Some(DhGroup::Modp1024),
            ..ConnSpec::default()
        };
        let want = [
            "IKE algorithms wanted: AES_CBC(7)_256-SHA1(2)_000-MODP1536(5), 3DES_CBC(5)_000-SHA2_256(4)_000-MODP2048(14); flags=-strict",
            "IKE algorithms found:  AES_CBC(7)_256-SHA1(2)_160-MODP1536(5), 3DES_CBC(5)_192-SHA2_256(4)_256-MODP2048(14)",
            "ESP algorithms wanted: AES(12)_128-SHA1(2)_000, 3DES(3)_000-MD5(1)_000; pfsgroup=MODP1024(2); flags=-strict",
            "ESP algorithms loaded: AES(12)_128-SHA1(2)_160, 3DES(3)_192-MD5(1)_128",
        ];
        assert_eq!(wanted_lines(&spec), want);
        spec.ike.clear();
        spec.phase2 = Phase2::Ah;
        spec.esp = vec![EspSuite { cipher: EspCipher::Null, integ: EspInteg::Sha256 }];
        spec.pfs_group = None;
        let want =
            ["AH algorithms wanted: SHA2_256(5)_000; flags=-strict", "AH algorithms loaded: SHA2_256(5)_256"];
        assert_eq!(wanted_lines(&spec), want);
    }
}
