//! Private and public keys, and the signatures of IKEv1.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use ipsec_crypto::key::open_pkcs12;
use ipsec_crypto::rsa_key::{RsaPrivate, RsaPublic};
use ipsec_crypto::{CryptoError, PrivateKey, PublicKey, hash};
use ipsec_types::SecretBytes;
use ipsec_types::algo::HashAlg;
use ipsec_types::auth::RsaNumbers;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::rsa::{Padding, Rsa};
use openssl::symm::Cipher;

fn rsa() -> RsaPrivate {
    let made = Rsa::generate(1024).unwrap();
    match PrivateKey::from_file(&made.private_key_to_der().unwrap(), None).unwrap() {
        PrivateKey::Rsa(key) => key,
        PrivateKey::Ec(_) | PrivateKey::Remote(_) => unreachable!(),
    }
}

fn unusable<T>(result: Result<T, CryptoError>) -> String {
    result.err().expect("should be refused").to_string()
}

/// RFC 2409 §5.1: the hash is padded as for private-key encryption, without a DigestInfo.
#[test]
fn rsa_signatures_are_the_raw_form_of_rfc_2409() {
    let key = rsa();
    let digest = [0x5a; 20];
    let signature = key.sign(&digest).unwrap();
    // The block, computed here with plain numbers: s^e mod n.
    let n = BigNum::from_slice(key.public().modulus()).unwrap();
    let e = BigNum::from_slice(key.public().exponent()).unwrap();
    let mut ctx = openssl::bn::BigNumContext::new().unwrap();
    let mut block = BigNum::new().unwrap();
    block.mod_exp(&BigNum::from_slice(&signature).unwrap(), &e, &n, &mut ctx).unwrap();
    let mut want = vec![0, 1];
    want.resize(128 - 21, 0xff);
    want.push(0);
    want.extend_from_slice(&digest);
    assert_eq!(block.to_vec_padded(128).unwrap(), want);
    assert_eq!(key.public().verify(&digest, &signature), Ok(()));
}

/// CVE-2018-15836, CVE-2018-16151, CVE-2018-16152, CVE-2026-50721: padding octets that are not looked at, octets behind the
/// hash, a DigestInfo in front of it, a hash that is shorter than expected. With e = 3 each would allow forgeries.
#[test]
fn cve_2018_15836_cve_2018_16151_cve_2018_16152_cve_2026_50721_only_the_exact_block_is_a_signature() {
    let rsa = Rsa::generate_with_e(1024, &BigNum::from_u32(3).unwrap()).unwrap();
    let public = RsaPublic::new(&rsa.n().to_vec(), &rsa.e().to_vec()).unwrap();
    let digest = [7; 20];
    let sign = |block: &[u8]| {
        let mut out = vec![0; 128];
        rsa.private_encrypt(block, &mut out, Padding::NONE).unwrap();
        out
    };
    let block = |pad: u8, hash: &[u8], behind: &[u8]| {
        let mut b = vec![0, 1];
        b.resize(127 - hash.len() - behind.len(), pad);
        b.push(0);
        b.extend_from_slice(hash);
        b.extend_from_slice(behind);
        b
    };
    assert_eq!(public.verify(&digest, &sign(&block(0xff, &digest, &[]))), Ok(()));
    let sha1_info =
        [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14].as_slice();
    let mut garbage_in_padding = block(0xff, &digest, &[]);
    garbage_in_padding[50] = 0x11;
    let mut short_padding = vec![0, 1, 0xff, 0xff, 0xff, 0xff, 0];
    short_padding.extend_from_slice(&digest);
    short_padding.resize(128, 0xaa);
    let mut type_2 = block(0xff, &digest, &[]);
    type_2[1] = 2;
    for (what, forged) in [
        ("garbage behind the hash", block(0xff, &digest, &[1; 40])),
        ("garbage in the padding", garbage_in_padding),
        ("zeros as padding", block(0, &digest, &[])),
        ("short padding", short_padding),
        ("block type 2", type_2),
        ("a DigestInfo", block(0xff, &[sha1_info, &digest].concat(), &[])),
        ("a shorter hash", block(0xff, &digest[..19], &[])),
        ("a longer hash", block(0xff, &[7; 21], &[])),
        ("no hash", block(0xff, &[], &[])),
    ] {
        assert_eq!(public.verify(&digest, &sign(&forged)), Err(CryptoError::Signature), "{what}");
    }
}

/// CVE-2012-2388, CVE-2017-11185: an empty or zero signature, one not below the modulus, one of another length.
#[test]
fn cve_2012_2388_cve_2017_11185_odd_rsa_signatures_are_wrong() {
    let key = rsa();
    let good = key.sign(&[1; 32]).unwrap();
    let n = key.public().modulus().to_vec();
    for bad in [
        &[][..],
        &[0; 128],
        &[0; 1],
        &n,
        &[0xff; 128],
        &good[1..],
        &[&[0], &good[..]].concat(),
        &[&good[..], &[0]].concat(),
    ] {
        assert_eq!(key.public().verify(&[1; 32], bad), Err(CryptoError::Signature));
    }
    assert_eq!(key.public().verify(&[], &good), Err(CryptoError::Signature));
    assert_eq!(key.public().verify(&[2; 32], &good), Err(CryptoError::Signature));
    assert!(key.sign(&[]).is_err() && key.sign(&[0; 118]).is_err() && key.sign(&[0; 117]).is_ok());
}

/// CVE-2017-9022, CVE-2018-17540, CVE-2026-14957: an even modulus, a modulus of a few octets, exponents 0, 1 and even ones.
#[test]
fn cve_2017_9022_cve_2018_17540_cve_2026_14957_odd_rsa_keys_are_refused() {
    let n = rsa().public().modulus().to_vec();
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    for (n, e) in [
        (&even[..], &[3][..]),
        (&n[..10], &[3]),
        (&[], &[3]),
        (&[0; 128], &[3]),
        (&n, &[]),
        (&n, &[0]),
        (&n, &[1]),
        (&n, &[4]),
        (&n, &n),
        (&vec![0xff; 2100], &[3]),
    ] {
        assert!(RsaPublic::new(n, e).is_err(), "{} {e:02x?}", n.len());
    }
    for blob in [&[][..], &[0], &[0, 0], &[1], &[1, 3], &[5, 3], &[0, 0, 1, 3], &[200; 100]] {
        assert!(RsaPublic::from_rfc3110(blob).is_err(), "{blob:02x?}");
    }
}

#[test]
fn rfc_3110_keys_are_read_and_written() {
    let key = rsa();
    let blob = key.public().to_rfc3110();
    assert_eq!((blob[0], &blob[1..4], blob.len()), (3, &[1, 0, 1][..], 4 + 128));
    assert_eq!(RsaPublic::from_rfc3110(&blob).unwrap(), *key.public());
    // A long exponent has three octets of length.
    let long = [&[0, 0, 3, 1, 0, 1][..], key.public().modulus()].concat();
    assert_eq!(RsaPublic::from_rfc3110(&long).unwrap(), *key.public());
    assert_eq!(key.public().keyid().len(), 9);
    assert!(key.public().keyid().starts_with("AwEAA"));
    assert!(PublicKey::Rsa(key.public().clone()).describe().starts_with("1024 RSA Key AwEAA"));
}

#[test]
fn a_block_without_its_private_exponent_says_so() {
    let made = Rsa::generate(1024).unwrap();
    let bytes = |n: &openssl::bn::BigNumRef| SecretBytes::new(n.to_vec());
    let half = RsaNumbers { n: bytes(made.n()), e: bytes(made.e()), ..RsaNumbers::default() };
    assert!(unusable(RsaPrivate::from_numbers(&half)).contains("no PrivateExponent"));
    let wrong = RsaNumbers { d: bytes(made.d()), ..half };
    assert!(unusable(RsaPrivate::from_numbers(&wrong)).contains("n != p * q"));
}

/// RFC 4754 §8: the examples' public keys and signatures of "abc".
#[test]
fn ecdsa_signatures_are_those_of_rfc_4754() {
    for (curve, bits, x, y, r, s) in [
        (
            Nid::X9_62_PRIME256V1,
            256,
            "2442A5CC0ECD015FA3CA31DC8E2BBC70BF42D60CBCA20085E0822CB04235E970",
            "6FC98BD7E50211A4A27102FA3549DF79EBCB4BF246B80945CDDFE7D509BBFD7D",
            "CB28E0999B9C7715FD0A80D8E47A77079716CBBF917DD72E97566EA1C066957C",
            "86FA3BB4E26CAD5BF90B7F81899256CE7594BB1EA0C89212748BFF3B3D5B0315",
        ),
        (
            Nid::SECP384R1,
            384,
            "96281BF8DD5E0525CA049C048D345D3082968D10FEDF5C5ACA0C64E6465A97EA5CE10C9DFEC21797415710721F437922",
            "447688BA94708EB6E2E4D59F6AB6D7EDFF9301D249FE49C33096655F5D502FAD3D383B91C5E7EDAA2B714CC99D5743CA",
            "FB017B914E29149432D8BAC29A514640B46F53DDAB2C69948084E2930F1C8F7E08E07C9C63F2D21A07DCB56A6AF56EB3",
            "B263A1305E057F984D38726A1B46874109F417BCA112674C528262A40A629AF1CBB9F516CE0FA7D2FF630863A00E8B9F",
        ),
        (
            Nid::SECP521R1,
            521,
            "0151518F1AF0F563517EDD5485190DF95A4BF57B5CBA4CF2A9A3F6474725A35F7AFE0A6DDEB8BEDBCD6A197E592D40188901CECD650699C9B5E456AEA5ADD19052A8",
            "006F3B142EA1BFFF7E2837AD44C9E4FF6D2D34C73184BBAD90026DD5E6E85317D9DF45CAD7803C6C20035B2F3FF63AFF4E1BA64D1C077577DA3F4286C58F0AEAE643",
            "0154FD3836AF92D0DCA57DD5341D3053988534FDE8318FC6AAAAB68E2E6F4339B19F2F281A7E0B22C269D93CF8794A9278880ED7DBB8D9362CAEACEE544320552251",
            "017705A7030290D1CEB605A9A1BB03FF9CDD521E87A696EC926C8C10C8362DF4975367101F67D1CF9BCCBF2F3D239534FA509E70AAC851AE01AAC68D62F866472660",
        ),
    ] {
        let num = |h: &str| BigNum::from_hex_str(h).unwrap();
        let group = EcGroup::from_curve_name(curve).unwrap();
        let key = EcKey::from_public_key_affine_coordinates(&group, &num(x), &num(y)).unwrap();
        let key = PublicKey::from_der(&PKey::from_ec_key(key).unwrap().public_key_to_der().unwrap()).unwrap();
        let PublicKey::Ec(ec) = &key else { panic!("{key:?}") };
        let digest = hash(ec.curve().hash(), &[b"abc"]).unwrap();
        let len = i32::try_from(ec.curve().order_len()).unwrap();
        let signature = [num(r), num(s)].map(|n| n.to_vec_padded(len).unwrap()).concat();
        assert_eq!(ec.curve().bits(), bits);
        assert_eq!(key.verify(&digest, &signature), Ok(()), "{bits}");
        assert_eq!(
            key.verify(&hash(HashAlg::Sha1, &[b"abc"]).unwrap(), &signature),
            Err(CryptoError::Signature)
        );
    }
}

/// CVE-2013-2944: an empty or zero signature must not pass because the library's answer is neither yes nor no.
#[test]
fn cve_2013_2944_odd_ecdsa_signatures_are_wrong() {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let key = PrivateKey::from_file(&key.private_key_to_der().unwrap(), None).unwrap();
    let digest = [3; 32];
    let good = key.sign(&digest).unwrap();
    assert_eq!((good.len(), key.public().verify(&digest, &good)), (64, Ok(())));
    let zero_s = [&good[..32], &[0; 32]].concat();
    let zero_r = [&[0; 32], &good[32..]].concat();
    for bad in [&[][..], &[0; 64], &[0xff; 64], &good[..63], &[&good[..], &[0]].concat(), &zero_s, &zero_r] {
        assert_eq!(key.public().verify(&digest, bad), Err(CryptoError::Signature), "{bad:02x?}");
    }
    assert_eq!(key.public().verify(&[], &good), Err(CryptoError::Signature));
}

#[test]
fn key_files_of_every_form_are_read() {
    let rsa = Rsa::generate(1024).unwrap();
    let ec = EcKey::generate(&EcGroup::from_curve_name(Nid::SECP384R1).unwrap()).unwrap();
    let (rsa_key, ec_key) = (PKey::from_rsa(rsa.clone()).unwrap(), PKey::from_ec_key(ec.clone()).unwrap());
    let pass = SecretBytes::from(&b"secret"[..]);
    let aes = Cipher::aes_256_cbc();
    for plain in [
        rsa.private_key_to_pem().unwrap(),
        rsa.private_key_to_der().unwrap(),
        rsa_key.private_key_to_pem_pkcs8().unwrap(),
        rsa_key.private_key_to_pkcs8().unwrap(),
        ec.private_key_to_pem().unwrap(),
        ec.private_key_to_der().unwrap(),
        ec_key.private_key_to_pem_pkcs8().unwrap(),
    ] {
        let key = PrivateKey::from_file(&plain, None).unwrap();
        let same = PrivateKey::from_file(key.to_pem().unwrap().expose(), None).unwrap();
        assert_eq!(key.public(), same.public());
        let signature = key.sign(&[9; 48]).unwrap();
        assert_eq!(key.public().verify(&[9; 48], &signature), Ok(()));
    }
    for encrypted in [
        rsa.private_key_to_pem_passphrase(aes, b"secret").unwrap(),
        rsa.private_key_to_pem_passphrase(Cipher::des_ede3_cbc(), b"secret").unwrap(),
        rsa_key.private_key_to_pem_pkcs8_passphrase(aes, b"secret").unwrap(),
        rsa_key.private_key_to_pkcs8_passphrase(aes, b"secret").unwrap(),
        ec_key.private_key_to_pem_pkcs8_passphrase(aes, b"secret").unwrap(),
    ] {
        assert!(PrivateKey::from_file(&encrypted, Some(&pass)).is_ok());
        assert!(unusable(PrivateKey::from_file(&encrypted, None)).contains("has no passphrase"));
        let wrong = SecretBytes::from(&b"wrong"[..]);
        assert!(unusable(PrivateKey::from_file(&encrypted, Some(&wrong))).contains("wrong passphrase"));
    }
    for nothing in
        [&b""[..], b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", b"hello", &[0x30, 0x82, 1], &[0; 5000]]
    {
        assert!(unusable(PrivateKey::from_file(nothing, Some(&pass))).starts_with("no private key"));
    }
    let other_curve = EcKey::generate(&EcGroup::from_curve_name(Nid::SECP256K1).unwrap()).unwrap();
    assert!(
        unusable(PrivateKey::from_file(&other_curve.private_key_to_der().unwrap(), None)).contains("P-256")
    );
    let ed = PKey::generate_ed25519().unwrap();
    assert!(
        unusable(PrivateKey::from_file(&ed.private_key_to_der().unwrap(), None))
            .contains("neither RSA nor EC")
    );
}

#[test]
fn pkcs12_containers_are_opened() {
    let key = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    let mut builder = Pkcs12::builder();
    let p12 = builder.name("x").pkey(&key).build2("secret").unwrap().to_der().unwrap();
    let pass = SecretBytes::from(&b"secret"[..]);
    let found = open_pkcs12(&p12, Some(&pass)).unwrap();
    assert!(found.cert.is_none() && found.others.is_empty());
    assert!(unusable(open_pkcs12(&p12, None)).contains("wrong passphrase"));
    let nul = SecretBytes::from(&b"a\0b"[..]);
    assert!(unusable(open_pkcs12(&p12, Some(&nul))).contains("is text"));
    assert!(unusable(open_pkcs12(&p12[1..], Some(&pass))).contains("not a PKCS#12"));
}
