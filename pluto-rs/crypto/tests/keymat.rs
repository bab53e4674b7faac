//! The formulas of RFC 2409 against the same formulas written out with another library.

#![expect(clippy::unwrap_used, reason = "test helpers")]

mod common;

use std::net::IpAddr;

use common::hex;
use hmac::{Hmac, KeyInit, Mac};
use ipsec_crypto::keymat::{self, PhaseOneKeys};
use ipsec_types::SecretBytes;
use ipsec_types::algo::{HashAlg, IkeCipher};
use md5::Digest;

const CKY_I: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];
const CKY_R: &[u8] = &[9, 10, 11, 12, 13, 14, 15, 16];

fn sha1(key: &[u8], data: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<sha1::Sha1>>::new_from_slice(key).unwrap();
    mac.update(&data.concat());
    mac.finalize().into_bytes().to_vec()
}

fn md5(key: &[u8], data: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<md5::Md5>>::new_from_slice(key).unwrap();
    mac.update(&data.concat());
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn skeyid_and_its_three_children() {
    let psk = SecretBytes::from(&b"keysharedbyallclients"[..]);
    let (ni, nr, g_xy) = (vec![0x11; 16], vec![0x22; 32], vec![0x33; 128]);
    let skeyid = keymat::skeyid_psk(HashAlg::Sha1, &psk, &ni, &nr).unwrap();
    let by_hand = sha1(b"keysharedbyallclients", &[&ni, &nr]);
    assert_eq!(skeyid.expose(), by_hand);

    let shared = SecretBytes::new(g_xy.clone());
    let keys = PhaseOneKeys::derive(HashAlg::Sha1, &skeyid, &shared, CKY_I, CKY_R).unwrap();
    let d = sha1(&by_hand, &[&g_xy, CKY_I, CKY_R, &[0]]);
    let a = sha1(&by_hand, &[&d, &g_xy, CKY_I, CKY_R, &[1]]);
    let e = sha1(&by_hand, &[&a, &g_xy, CKY_I, CKY_R, &[2]]);
    assert_eq!((keys.d.expose(), keys.a.expose(), keys.e.expose()), (&d[..], &a[..], &e[..]));
    assert_eq!(format!("{:?}", keys.d), "SecretBytes(20 bytes)");
}

#[test]
fn cipher_keys_are_cut_or_expanded() {
    let e20: Vec<u8> = (0..20).collect();
    let key = |cipher, alg, e: &[u8]| keymat::cipher_key(cipher, alg, &SecretBytes::from(e)).unwrap();
    assert_eq!(key(IkeCipher::Aes(128), HashAlg::Sha1, &e20).expose(), &e20[..16]);

    let k1 = sha1(&e20, &[&[0]]);
    let k2 = sha1(&e20, &[&k1]);
    let ka = [k1, k2].concat();
    assert_eq!(key(IkeCipher::TripleDes, HashAlg::Sha1, &e20).expose(), &ka[..24]);
    assert_eq!(key(IkeCipher::Aes(192), HashAlg::Sha1, &e20).expose(), &ka[..24]);
    assert_eq!(key(IkeCipher::Aes(256), HashAlg::Sha1, &e20).expose(), &ka[..32]);

    let e16: Vec<u8> = (50..66).collect();
    let k1 = md5(&e16, &[&[0]]);
    let k2 = md5(&e16, &[&k1]);
    assert_eq!(key(IkeCipher::Aes(128), HashAlg::Md5, &e16).expose(), e16);
    assert_eq!(key(IkeCipher::Aes(256), HashAlg::Md5, &e16).expose(), [k1, k2].concat());
}

#[test]
fn initialisation_vectors() {
    let (xi, xr) = ([5; 96], [6; 96]);
    let all = sha1::Sha1::digest([xi, xr].concat());
    assert_eq!(keymat::phase1_iv(HashAlg::Sha1, &xi, &xr, 16).unwrap(), all[..16]);
    let last = [0xee; 8];
    let all = md5::Md5::digest([&last[..], &[0xde, 0xad, 0xbe, 0xef]].concat());
    assert_eq!(keymat::phase2_iv(HashAlg::Md5, &last, 0xdead_beef, 8).unwrap(), all[..8]);
    assert!(keymat::phase1_iv(HashAlg::Md5, &xi, &xr, 17).is_err());
}

#[test]
fn main_mode_hashes() {
    let skeyid = SecretBytes::from(&[7; 20][..]);
    let (gi, gr, sa, id) = (&b"g^xi"[..], &b"g^xr"[..], &b"SAi_b"[..], &b"IDii_b"[..]);
    assert_eq!(
        keymat::hash_i(HashAlg::Sha1, &skeyid, gi, gr, CKY_I, CKY_R, sa, id).unwrap(),
        sha1(&[7; 20], &[b"g^xig^xr", CKY_I, CKY_R, b"SAi_bIDii_b"])
    );
    assert_eq!(
        keymat::hash_r(HashAlg::Sha1, &skeyid, gr, gi, CKY_R, CKY_I, sa, b"IDir_b").unwrap(),
        sha1(&[7; 20], &[b"g^xrg^xi", CKY_R, CKY_I, b"SAi_bIDir_b"])
    );
}

#[test]
fn child_sa_keys() {
    let (ni, nr) = ([0x44; 16], [0x55; 20]);
    let skeyid_d = SecretBytes::from(&[8; 20][..]);
    let tail = [&[3][..], &[0xc0, 0x01, 0x02, 0x03], &ni, &nr].concat();
    for pfs in [None, Some(SecretBytes::from(&[9; 192][..]))] {
        let g = pfs.as_ref().map_or(&[][..], SecretBytes::expose);
        let k1 = sha1(&[8; 20], &[g, &tail]);
        let k2 = sha1(&[8; 20], &[&k1, g, &tail]);
        let k3 = sha1(&[8; 20], &[&k2, g, &tail]);
        let all = [k1, k2, k3].concat();
        for len in [0, 1, 20, 36, 44, 60] {
            let got = keymat::keymat(HashAlg::Sha1, &skeyid_d, pfs.as_ref(), 3, 0xc001_0203, &ni, &nr, len)
                .unwrap();
            assert_eq!(got.expose(), &all[..len]);
        }
    }
}

#[test]
fn nat_detection_hash() {
    let v4: IpAddr = "192.0.2.1".parse().unwrap();
    let want = md5::Md5::digest([CKY_I, CKY_R, &[192, 0, 2, 1], &[0x11, 0x94]].concat());
    assert_eq!(keymat::natd_hash(HashAlg::Md5, CKY_I, CKY_R, v4, 4500).unwrap(), want[..]);
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let addr = hex("20010db8000000000000000000000001");
    let want = sha1::Sha1::digest([CKY_I, CKY_R, &addr, &[0x01, 0xf4]].concat());
    assert_eq!(keymat::natd_hash(HashAlg::Sha1, CKY_I, CKY_R, v6, 500).unwrap(), want[..]);
}
