//! Key derivation, IV chaining and NAT-D hashes against values another implementation has computed: `vectors/ikev1.py`
//! says how, with Python's HMAC and PyCryptodome's ciphers, from the pre-shared key to the last block of Quick Mode.

#![expect(clippy::unwrap_used, reason = "test helpers")]

mod common;

use std::collections::HashMap;
use std::net::IpAddr;

use common::hex;
use ipsec_crypto::keymat::{self, PhaseOneKeys};
use ipsec_crypto::{cipher, hash};
use ipsec_types::SecretBytes;
use ipsec_types::algo::{HashAlg, IkeCipher};

const HASHES: [(&str, HashAlg); 5] = [
    ("md5", HashAlg::Md5),
    ("sha1", HashAlg::Sha1),
    ("sha256", HashAlg::Sha256),
    ("sha384", HashAlg::Sha384),
    ("sha512", HashAlg::Sha512),
];
const CIPHERS: [(&str, IkeCipher); 5] = [
    ("des", IkeCipher::Des),
    ("3des", IkeCipher::TripleDes),
    ("aes128", IkeCipher::Aes(128)),
    ("aes192", IkeCipher::Aes(192)),
    ("aes256", IkeCipher::Aes(256)),
];

/// As the script's: octets that follow from a label.
fn octets(label: &str, n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < n {
        let at = u32::try_from(out.len()).unwrap().to_be_bytes();
        out.extend(hash(HashAlg::Sha256, &[label.as_bytes(), &at]).unwrap());
    }
    out.truncate(n);
    out
}

/// The values of one hash function, by name.
fn values(of: &str) -> HashMap<&'static str, Vec<u8>> {
    let text = include_str!("vectors/ikev1.txt");
    let section = text.split("\n[").find_map(|s| s.strip_prefix(of)?.strip_prefix("]\n")).unwrap();
    section.lines().filter_map(|l| l.split_once(" = ")).map(|(name, value)| (name, hex(value))).collect()
}

#[test]
fn keys_and_hashes() {
    let (ni, nr) = (octets("Ni", 16), octets("Nr", 32));
    let (i, r) = (octets("CKY-I", 8), octets("CKY-R", 8));
    let (xi, xr) = (octets("g^xi", 256), octets("g^xr", 256));
    let (xy, psk) = (SecretBytes::new(octets("g^xy", 256)), SecretBytes::from(&b"keysharedbyallclients"[..]));
    let sa = octets("SAi", 52);
    for (name, alg) in HASHES {
        let v = values(name);
        let skeyid = keymat::skeyid_psk(alg, &psk, &ni, &nr).unwrap();
        assert_eq!(skeyid.expose(), v["skeyid"], "{name}");
        let keys = PhaseOneKeys::derive(alg, &skeyid, &xy, &i, &r).unwrap();
        assert_eq!(
            (keys.d.expose(), keys.a.expose(), keys.e.expose()),
            (&v["d"][..], &v["a"][..], &v["e"][..])
        );
        let hash_i = keymat::hash_i(alg, &skeyid, &xi, &xr, &i, &r, &sa, &octets("IDii", 8)).unwrap();
        let hash_r = keymat::hash_r(alg, &skeyid, &xr, &xi, &r, &i, &sa, &octets("IDir", 8)).unwrap();
        assert_eq!((&hash_i, &hash_r), (&v["hash_i"], &v["hash_r"]), "{name}");
        let pfs = SecretBytes::new(octets("qm g^xy", 128));
        for (what, pfs) in [("keymat", None), ("keymat_pfs", Some(&pfs))] {
            for length in [1, 16, 20, 36, 64, 96] {
                let (ni, nr) = (octets("qm Ni", 24), octets("qm Nr", 20));
                let got = keymat::keymat(alg, &keys.d, pfs, 3, 0xc0ff_ee01, &ni, &nr, length).unwrap();
                assert_eq!(got.expose(), &v[what][..length], "{name} {what} {length}");
            }
        }
        for (what, addr, port) in [("natd_v4", "192.0.2.1", 4500), ("natd_v6", "2001:db8::1", 500)] {
            let addr: IpAddr = addr.parse().unwrap();
            assert_eq!(keymat::natd_hash(alg, &i, &r, addr, port).unwrap(), v[what], "{name} {what}");
        }
    }
}

/// The IV of each message is the last block of the one before; phase 2 begins with a hash of phase 1's last and the
/// message ID.
#[test]
fn iv_chains() {
    let (xi, xr) = (octets("g^xi", 256), octets("g^xr", 256));
    for (name, alg) in HASHES {
        let v = values(name);
        for (word, c) in CIPHERS {
            let of = |what: &str| v[format!("{word}.{what}").as_str()].clone();
            let block = c.block_len();
            let key = keymat::cipher_key(c, alg, &SecretBytes::from(&v["e"][..])).unwrap();
            assert_eq!(key.expose(), of("key"), "{name} {word}");
            let mut iv = keymat::phase1_iv(alg, &xi, &xr, block).unwrap();
            let pass = |what: String, plain: Vec<u8>, iv: &mut Vec<u8>| {
                let sealed = of(&what);
                assert_eq!(
                    cipher::encrypt(c, key.expose(), iv, &plain).unwrap(),
                    sealed,
                    "{name} {word} {what}"
                );
                assert_eq!(
                    cipher::decrypt(c, key.expose(), iv, &sealed).unwrap(),
                    plain,
                    "{name} {word} {what}"
                );
                *iv = sealed[sealed.len() - block..].to_vec();
            };
            for n in 1..=2 {
                pass(format!("main{n}"), octets(&format!("phase 1, {n}"), 48 + 16 * n), &mut iv);
            }
            iv = keymat::phase2_iv(alg, &iv, 0xdead_beef, block).unwrap();
            for n in 1..=3 {
                pass(format!("quick{n}"), octets(&format!("phase 2, {n}"), 32 + 16 * n), &mut iv);
            }
        }
    }
}
