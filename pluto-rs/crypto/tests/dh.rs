//! Diffie-Hellman: published vectors, agreement of both sides, and the values a peer must not send.

#![expect(clippy::unwrap_used, reason = "test helpers")]

mod common;

use common::hex;
use ipsec_crypto::{CryptoError, dh};
use ipsec_types::SecretBytes;
use ipsec_types::algo::DhGroup;
use openssl::bn::{BigNum, BigNumContext};
use proptest::prelude::*;

const MODP: [DhGroup; 8] = [
    DhGroup::Modp768,
    DhGroup::Modp1024,
    DhGroup::Modp1536,
    DhGroup::Modp2048,
    DhGroup::Modp3072,
    DhGroup::Modp4096,
    DhGroup::Modp6144,
    DhGroup::Modp8192,
];
const SUBGROUPS: [DhGroup; 3] = [DhGroup::Dh22, DhGroup::Dh23, DhGroup::Dh24];
const NIST: [DhGroup; 3] = [DhGroup::Ecp256, DhGroup::Ecp384, DhGroup::Ecp521];

fn secret(group: DhGroup, fill: u8) -> SecretBytes {
    SecretBytes::new(
        (0..dh::secret_len(group)).map(|i| fill.wrapping_mul(31).wrapping_add(i as u8)).collect(),
    )
}

fn prime(group: DhGroup) -> Vec<u8> {
    let p = match group {
        DhGroup::Modp768 => BigNum::get_rfc2409_prime_768(),
        DhGroup::Modp1024 => BigNum::get_rfc2409_prime_1024(),
        DhGroup::Modp1536 => BigNum::get_rfc3526_prime_1536(),
        DhGroup::Modp2048 => BigNum::get_rfc3526_prime_2048(),
        DhGroup::Modp3072 => BigNum::get_rfc3526_prime_3072(),
        DhGroup::Modp4096 => BigNum::get_rfc3526_prime_4096(),
        DhGroup::Modp6144 => BigNum::get_rfc3526_prime_6144(),
        _ => BigNum::get_rfc3526_prime_8192(),
    };
    p.unwrap().to_vec()
}

#[test]
fn rfc5903_section_8_1() {
    let i = SecretBytes::new(hex("C88F01F5 10D9AC3F 70A292DA A2316DE5 44E9AAB8 AFE84049 C62A9C57 862D1433"));
    let r = SecretBytes::new(hex("C6EF9C5D 78AE012A 011164AC B397CE20 88685D8F 06BF9BE0 B283AB46 476BEE53"));
    let gi = hex("DAD0B653 94221CF9 B051E1FE CA5787D0 98DFE637 FC90B9EF 945D0C37 72581180
                  5271A046 1CDB8252 D61F1C45 6FA3E59A B1F45B33 ACCF5F58 389E0577 B8990BB3");
    let gr = hex("D12DFB52 89C8D4F8 1208B702 70398C34 2296970A 0BCCB74C 736FC755 4494BF63
                  56FBF3CA 366CC23E 8157854C 13C58D6A AC23F046 ADA30F83 53E74F33 039872AB");
    let gir = hex("D6840F6B 42F6EDAF D13116E0 E1256520 2FEF8E9E CE7DCE03 812464D0 4B9442DE");
    assert_eq!(dh::public(DhGroup::Ecp256, &i).unwrap(), gi);
    assert_eq!(dh::public(DhGroup::Ecp256, &r).unwrap(), gr);
    assert_eq!(dh::shared(DhGroup::Ecp256, &i, &gr).unwrap().expose(), gir);
    assert_eq!(dh::shared(DhGroup::Ecp256, &r, &gi).unwrap().expose(), gir);
}

#[test]
fn rfc5903_section_8_2() {
    let i = SecretBytes::new(hex("099F3C70 34D4A2C6 99884D73 A375A67F 7624EF7C 6B3C0F16 0647B674 14DCE655
                                  E35B5380 41E649EE 3FAEF896 783AB194"));
    let r = SecretBytes::new(hex("41CB0779 B4BDB85D 47846725 FBEC3C94 30FAB46C C8DC5060 855CC9BD A0AA2942
                                  E0308312 916B8ED2 960E4BD5 5A7448FC"));
    let gi = hex("667842D7 D180AC2C DE6F74F3 7551F557 55C7645C 20EF73E3 1634FE72 B4C55EE6 DE3AC808 ACB4BDB4
                  C88732AE E95F41AA
                  9482ED1F C0EEB9CA FC498462 5CCFC23F 65032149 E0E144AD A0241815 35A0F38E EB9FCFF3 C2C947DA
                  E69B4C63 4573A81C");
    let gr = hex("E558DBEF 53EECDE3 D3FCCFC1 AEA08A89 A987475D 12FD950D 83CFA417 32BC509D 0D1AC43A 0336DEF9
                  6FDA41D0 774A3571
                  DCFBEC7A ACF31964 72169E83 8430367F 66EEBE3C 6E70C416 DD5F0C68 759DD1FF F83FA401 42209DFF
                  5EAAD96D B9E6386C");
    let gir = hex("11187331 C279962D 93D60424 3FD592CB 9D0A926F 422E4718 7521287E 7156C5C4 D6031355 69B9E9D0
                   9CF5D4A2 70F59746");
    assert_eq!(dh::public(DhGroup::Ecp384, &i).unwrap(), gi);
    assert_eq!(dh::public(DhGroup::Ecp384, &r).unwrap(), gr);
    assert_eq!(dh::shared(DhGroup::Ecp384, &i, &gr).unwrap().expose(), gir);
    assert_eq!(dh::shared(DhGroup::Ecp384, &r, &gi).unwrap().expose(), gir);
}

/// RFC 7748 §6.1.
#[test]
fn rfc7748_section_6_1() {
    let b = SecretBytes::new(hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
    let pa = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let pb = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(dh::public(DhGroup::Curve25519, &b).unwrap(), pb);
    assert_eq!(dh::shared(DhGroup::Curve25519, &b, &pa).unwrap().expose(), shared);
}

/// RFC 7748 §5.2: one multiplication of a given point.
#[test]
fn rfc7748_section_5_2() {
    let k = SecretBytes::new(hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
    let u = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    let want = hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    assert_eq!(dh::shared(DhGroup::Curve25519, &k, &u).unwrap().expose(), want);
}

/// Points of small order make a secret anybody knows: zero.
#[test]
fn curve25519_points_of_small_order() {
    let one = [&[1][..], &[0; 31]].concat();
    for bad in [vec![0; 32], one] {
        let e = dh::shared(DhGroup::Curve25519, &secret(DhGroup::Curve25519, 1), &bad).unwrap_err();
        assert!(matches!(e, CryptoError::PeerPublic { .. }), "{e}");
    }
}

/// RFC 5114 groups have many small subgroups: a value in one of them gives the secret away bit by bit.
#[test]
fn values_outside_of_the_subgroup() {
    for group in SUBGROUPS {
        let mut two = vec![0; group.public_len()];
        two[group.public_len() - 1] = 2;
        let e = dh::shared(group, &secret(group, 1), &two).unwrap_err();
        assert_eq!(e, CryptoError::PeerPublic { group, why: "outside of the subgroup" });
    }
}

#[test]
fn both_sides_agree_in_every_group() {
    for group in DhGroup::ALL {
        let (a, b) = (secret(group, 3), secret(group, 200));
        let (pa, pb) = (dh::public(group, &a).unwrap(), dh::public(group, &b).unwrap());
        assert_eq!(pa.len(), group.public_len(), "{group:?}");
        assert_ne!(pa, pb);
        let shared = dh::shared(group, &a, &pb).unwrap();
        assert_eq!(shared, dh::shared(group, &b, &pa).unwrap(), "{group:?}");
        let len = if NIST.contains(&group) { group.public_len() / 2 } else { group.public_len() };
        assert_eq!(shared.len(), len);
    }
}

#[test]
fn modp_primes_are_the_published_ones_and_small_powers_are_padded() {
    for group in MODP {
        let p = prime(group);
        // RFC 2409 §6.2, RFC 3526: 64 ones, the digits of pi from there, 64 ones.
        assert!(p.starts_with(&hex("FFFFFFFFFFFFFFFF C90FDAA22168C234 C4C6628B80DC1CD1 29024E088A67CC74")));
        assert!(p.ends_with(&[0xff; 8]));
        assert_eq!(p.len(), group.public_len());
        // 2^10 by hand.
        let mut want = vec![0; p.len()];
        want[p.len() - 2] = 4;
        assert_eq!(dh::public(group, &SecretBytes::new(vec![10])).unwrap(), want);
        // (2^10)^3 = 2^30 by hand.
        let shared = dh::shared(group, &SecretBytes::new(vec![3]), &want).unwrap();
        assert_eq!(shared.expose()[p.len() - 4..], [0x40, 0, 0, 0]);
        assert!(shared.expose()[..p.len() - 4].iter().all(|&b| b == 0));
    }
}

/// CVE-2015-3240 (Openswan, libreswan) and CVE-2008-4551 (strongSwan): a KE payload of zeros brought the daemon
/// down. Its neighbours force a shared secret anybody can guess.
#[test]
fn cve_2015_3240_cve_2008_4551_degenerate_modp_values() {
    for group in MODP {
        let n = group.public_len();
        let p = prime(group);
        let mut one = vec![0; n];
        one[n - 1] = 1;
        let mut p_minus_1 = p.clone();
        p_minus_1[n - 1] -= 1;
        let mut p_minus_2 = p.clone();
        p_minus_2[n - 1] -= 2;
        let mut two = one.clone();
        two[n - 1] = 2;
        for bad in [vec![0; n], one, p_minus_1, p, vec![0xff; n]] {
            let e = dh::shared(group, &secret(group, 1), &bad).unwrap_err();
            assert!(matches!(e, CryptoError::PeerPublic { .. }), "{group:?}: {e}");
        }
        for good in [two, p_minus_2] {
            assert!(dh::shared(group, &secret(group, 1), &good).is_ok(), "{group:?}");
        }
    }
}

/// CVE-2015-3240, second half: a KE payload that is shorter or longer than the group.
#[test]
fn cve_2015_3240_wrong_length() {
    for group in DhGroup::ALL {
        let right = dh::public(group, &secret(group, 9)).unwrap();
        let mut long = vec![0];
        long.extend_from_slice(&right);
        for bad in [&[][..], &right[1..], &right[..right.len() - 1], &long] {
            let e = dh::shared(group, &secret(group, 1), bad).unwrap_err();
            let want = group.public_len();
            assert_eq!(e, CryptoError::Length { what: "public value", got: bad.len(), want }, "{group:?}");
        }
    }
}

/// The invalid-curve attack: a point of another curve gives the secret away, a little with each handshake.
#[test]
fn points_off_the_curve() {
    for group in NIST {
        let right = dh::public(group, &secret(group, 9)).unwrap();
        let mut flipped = right.clone();
        flipped[group.public_len() - 1] ^= 1;
        let mut swapped = right[right.len() / 2..].to_vec();
        swapped.extend_from_slice(&right[..right.len() / 2]);
        for bad in [vec![0; right.len()], vec![0xff; right.len()], flipped, swapped] {
            let e = dh::shared(group, &secret(group, 1), &bad).unwrap_err();
            assert_eq!(e, CryptoError::PeerPublic { group, why: "not a point of the curve" });
        }
    }
}

#[test]
fn useless_secrets() {
    let order = hex("FFFFFFFF 00000000 FFFFFFFF FFFFFFFF BCE6FAAD A7179E84 F3B9CAC2 FC632551");
    for group in DhGroup::ALL {
        for bad in [vec![], vec![0; dh::secret_len(group)]] {
            assert_eq!(dh::public(group, &SecretBytes::new(bad)).unwrap_err(), CryptoError::Secret(group));
        }
    }
    let e = dh::public(DhGroup::Ecp256, &SecretBytes::new(order)).unwrap_err();
    assert_eq!(e, CryptoError::Secret(DhGroup::Ecp256), "zero modulo the order");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_peer_value_is_taken_or_refused(group in prop::sample::select(&DhGroup::ALL[..]),
                                          tail in prop::collection::vec(any::<u8>(), 0..600), fit in any::<bool>()) {
        let mut peer = tail;
        if fit {
            peer.resize(group.public_len(), 0x42);
        }
        let result = dh::shared(group, &secret(group, 5), &peer);
        if peer.len() != group.public_len() {
            prop_assert!(result.is_err());
        } else if let Ok(shared) = result {
            prop_assert!(!shared.is_empty());
        }
    }

    /// The powers out of tables are those that are worked out; the secrets' ends are the tables' edges.
    #[test]
    fn public_values_are_the_powers_of_two(group in prop::sample::select(&MODP[..]),
                                           drawn in prop::collection::vec(any::<u8>(), 64),
                                           fill in prop::sample::select(&[None, Some(0), Some(0xff)][..]),
                                           at in 0..64usize) {
        let mut secret = drawn;
        secret.truncate(dh::secret_len(group));
        if let Some(fill) = fill {
            let at = at % secret.len();
            let kept = secret[at].max(1);
            secret.fill(fill);
            secret[at] = kept;
        }
        let two = BigNum::from_u32(2).unwrap();
        let (exponent, prime) = (BigNum::from_slice(&secret).unwrap(), BigNum::from_slice(&prime(group)).unwrap());
        let mut want = BigNum::new().unwrap();
        want.mod_exp(&two, &exponent, &prime, &mut BigNumContext::new().unwrap()).unwrap();
        let got = dh::public(group, &SecretBytes::new(secret)).unwrap();
        prop_assert_eq!(BigNum::from_slice(&got).unwrap(), want);
    }
}
