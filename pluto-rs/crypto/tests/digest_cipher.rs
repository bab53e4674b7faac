//! Published vectors of the hashes, HMAC and the CBC ciphers, and agreement with independent implementations.

mod common;

use common::hex;
use hmac::{Hmac, KeyInit, Mac};
use ipsec_crypto::{CryptoError, cipher, hash, hmac as our_hmac};
use ipsec_types::algo::{HashAlg, IkeCipher};
use proptest::prelude::*;

const ALL: [HashAlg; 5] = [HashAlg::Md5, HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512];

#[test]
fn hashes_of_abc() {
    // RFC 1321 A.5, FIPS 180 appendices.
    let want = [
        "900150983cd24fb0d6963f7d28e17f72",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
         454d4423643ce80e2a9ac94fa54ca49f",
    ];
    for (alg, want) in ALL.into_iter().zip(want) {
        assert_eq!(hash(alg, &[b"a", b"", b"bc"]).unwrap(), hex(want), "{alg:?}");
        assert_eq!(hex(want).len(), alg.len());
    }
}

#[test]
fn hmac_rfc2202() {
    let jefe: (&[u8], &[u8]) = (b"Jefe", b"what do ya want for nothing?");
    let large: (&[u8], &[u8]) = (&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
    for (alg, (key, data), want) in [
        (HashAlg::Md5, (&[0x0b; 16][..], &b"Hi There"[..]), "9294727a3638bb1c13f48ef8158bfc9d"),
        (HashAlg::Md5, jefe, "750c783e6ab0b503eaa86e310a5db738"),
        (HashAlg::Md5, large, "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd"),
        (HashAlg::Sha1, (&[0x0b; 20][..], &b"Hi There"[..]), "b617318655057264e28bc0b6fb378c8ef146be00"),
        (HashAlg::Sha1, jefe, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (HashAlg::Sha1, large, "aa4ae5e15272d00e95705637ce8a3b55ed402112"),
    ] {
        assert_eq!(our_hmac(alg, key, &[data]).unwrap(), hex(want), "{alg:?} {want}");
        assert_eq!(our_hmac(alg, key, &[&data[..3], &data[3..]]).unwrap(), hex(want), "in parts");
    }
}

#[test]
fn hmac_rfc4231() {
    // Case 2 of each.
    for (alg, want) in [
        (HashAlg::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            HashAlg::Sha384,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            HashAlg::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
             caeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        let got = our_hmac(alg, b"Jefe", &[b"what do ya want ", b"for nothing?"]).unwrap();
        assert_eq!(got, hex(want), "{alg:?}");
    }
    // Case 6: a key longer than the block.
    assert_eq!(
        our_hmac(HashAlg::Sha256, &[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"])
            .unwrap(),
        hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    );
}

macro_rules! independent {
    ($hash:ty, $key:expr, $data:expr) => {{
        let mut mac = <Hmac<$hash>>::new_from_slice($key).unwrap();
        mac.update($data);
        mac.finalize().into_bytes().to_vec()
    }};
}

proptest! {
    #[test]
    fn hmac_agrees_with_another_library(key in prop::collection::vec(any::<u8>(), 0..200),
                                        data in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
        let (a, b) = data.split_at(cut.min(data.len()));
        for alg in ALL {
            let want = match alg {
                HashAlg::Md5 => independent!(md5::Md5, &key, &data),
                HashAlg::Sha1 => independent!(sha1::Sha1, &key, &data),
                HashAlg::Sha256 => independent!(sha2::Sha256, &key, &data),
                HashAlg::Sha384 => independent!(sha2::Sha384, &key, &data),
                HashAlg::Sha512 => independent!(sha2::Sha512, &key, &data),
            };
            prop_assert_eq!(our_hmac(alg, &key, &[a, b]).unwrap(), want);
        }
    }

    #[test]
    fn decryption_undoes_encryption(key in prop::collection::vec(any::<u8>(), 32),
                                    iv in prop::collection::vec(any::<u8>(), 16),
                                    data in prop::collection::vec(any::<u8>(), 1..20 * 16)) {
        for c in [IkeCipher::TripleDes, IkeCipher::Aes(128), IkeCipher::Aes(192), IkeCipher::Aes(256)] {
            let (key, iv) = (&key[..c.key_len()], &iv[..c.block_len()]);
            let whole = data.len() - data.len() % c.block_len();
            if whole == 0 {
                continue;
            }
            let secret = cipher::encrypt(c, key, iv, &data[..whole]).unwrap();
            prop_assert_ne!(&secret[..], &data[..whole]);
            prop_assert_eq!(cipher::decrypt(c, key, iv, &secret).unwrap(), &data[..whole]);
        }
    }

    #[test]
    fn odd_lengths_are_errors(key in 0usize..40, iv in 0usize..20, data in 0usize..50, bits in any::<u16>()) {
        for c in [IkeCipher::TripleDes, IkeCipher::Aes(128), IkeCipher::Aes(256), IkeCipher::Aes(bits)] {
            let known = !matches!(c, IkeCipher::Aes(b) if ![128, 192, 256].contains(&b));
            let fits = known && key == c.key_len() && iv == c.block_len()
                && data > 0 && data % c.block_len() == 0;
            let (key, iv, data) = (vec![1; key], vec![2; iv], vec![3; data]);
            prop_assert_eq!(cipher::encrypt(c, &key, &iv, &data).is_ok(), fits);
            prop_assert_eq!(cipher::decrypt(c, &key, &iv, &data).is_ok(), fits);
        }
    }
}

#[test]
fn aes_cbc_vectors() {
    // RFC 3602 §4 cases 1 and 2; NIST SP 800-38A F.2.3 and F.2.5 (first blocks).
    let nist = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
    let iv = "000102030405060708090a0b0c0d0e0f";
    for (key, iv, plain, secret) in [
        (
            "06a9214036b8a15b512e03d534120006",
            "3dafba429d9eb430b422da802c9fac41",
            "53696e676c6520626c6f636b206d7367",
            "e353779c1079aeb82708942dbe77181a",
        ),
        (
            "c286696d887c9aa0611bbb3e2025a45a",
            "562e17996d093d28ddb3ba695a2e6f58",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
        ),
        (
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
            iv,
            nist,
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a",
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            iv,
            nist,
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
        ),
    ] {
        let c = IkeCipher::Aes(hex(key).len() as u16 * 8);
        assert_eq!(cipher::encrypt(c, &hex(key), &hex(iv), &hex(plain)).unwrap(), hex(secret), "{c:?}");
        assert_eq!(cipher::decrypt(c, &hex(key), &hex(iv), &hex(secret)).unwrap(), hex(plain), "{c:?}");
    }
}

#[test]
fn triple_des_vector() {
    // NIST SP 800-67 appendix B gives ECB; CBC of one block is ECB of the block XOR the IV.
    let key = hex("0123456789abcdef 23456789abcdef01 456789abcdef0123");
    let plain = b"The qufck brown fox jump";
    let ecb = hex("a826fd8ce53b855f cce21c8112256fe6 68d5c05dd9b6b900");
    for (plain, ecb) in plain.chunks(8).zip(ecb.chunks(8)) {
        let iv = [0x5a; 8];
        let data: Vec<u8> = plain.iter().map(|b| b ^ 0x5a).collect();
        assert_eq!(cipher::encrypt(IkeCipher::TripleDes, &key, &iv, &data).unwrap(), ecb);
    }
    // Chaining: the second block's IV is the first block's result.
    let both = cipher::encrypt(IkeCipher::TripleDes, &key, &[0; 8], &plain[..16]).unwrap();
    let second = cipher::encrypt(IkeCipher::TripleDes, &key, &both[..8], &plain[8..16]).unwrap();
    assert_eq!(both[8..], second[..]);
}

#[test]
fn errors_name_the_lengths_and_no_bytes() {
    let e = cipher::encrypt(IkeCipher::Aes(128), &[7; 15], &[0; 16], &[0; 16]).unwrap_err();
    assert_eq!(e, CryptoError::Length { what: "key", got: 15, want: 16 });
    assert_eq!(e.to_string(), "key of 15 bytes, 16 expected");
}

/// FIPS 81's example of CBC, first block: DES by itself, made of 3DES here.
#[test]
fn des_is_des() {
    let (key, iv) = (hex("0123456789abcdef"), hex("1234567890abcdef"));
    let plain = b"Now is t";
    let sealed = cipher::encrypt(IkeCipher::Des, &key, &iv, plain).unwrap();
    assert_eq!(sealed, hex("e5c7cdde872bf27c"));
    assert_eq!(cipher::decrypt(IkeCipher::Des, &key, &iv, &sealed).unwrap(), plain);
}

/// RFC 3713 appendix A (one block, so CBC with an IV of zeros is the cipher itself).
#[test]
fn rfc3713_camellia() {
    let text = hex("0123456789abcdeffedcba9876543210");
    let more = hex("00112233445566778899aabbccddeeff");
    let key = [&text[..], &more].concat();
    for (bits, want) in [
        (128, "67673138549669730857065648eabe43"),
        (192, "b4993401b3e996f84ee5cee7d79b09b9"),
        (256, "9acc237dff16d76c20ef7c919e3a7509"),
    ] {
        let camellia = IkeCipher::Camellia(bits);
        let sealed = cipher::encrypt(camellia, &key[..camellia.key_len()], &[0; 16], &text).unwrap();
        assert_eq!(sealed, hex(want), "{bits}");
    }
}
