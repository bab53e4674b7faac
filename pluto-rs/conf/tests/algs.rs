//! Algorithm lists of every dialect.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

use ipsec_conf::algs::{ah, esp, group, ike};
use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite, IkeSuite};

fn show(text: &str) -> String {
    let s = ike(text).unwrap();
    let one = |s: &IkeSuite| format!("{}-{}-{}", s.cipher.name(), s.hash.name(), s.group.name());
    s.suites.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn separators_strict_mark_and_case() {
    let want = "aes_256-oakley_sha-modp1536";
    for text in
        ["aes256-sha1;modp1536", "AES256-SHA1-MODP1536!", "aes-256-sha1-modp1536", "aes256-sha-prfsha1-dh5"]
    {
        assert_eq!(show(text), want, "{text}");
    }
    assert_eq!(
        show("aes256-sha1-modp2048, 3des-sha1-modp1024!"),
        "aes_256-oakley_sha-modp2048 oakley_3des_cbc_192-oakley_sha-modp1024"
    );
}

#[test]
fn what_is_left_out_stands_for_the_defaults() {
    assert_eq!(ike("3des").unwrap().suites.len(), 16);
    assert_eq!(ike("aes128-sha1").unwrap().suites.len(), 4);
    assert_eq!(ike("modp1536").unwrap().suites.len(), 8);
}

#[test]
fn phase_2_lists() {
    let s = esp("3des-md5-96").unwrap();
    assert_eq!(s.suites, [EspSuite { cipher: EspCipher::TripleDes, integ: EspInteg::Md5 }]);
    let s = esp("aes256-sha1;modp1536,aes-sha2_256").unwrap();
    assert_eq!((s.suites.len(), s.group), (2, Some(DhGroup::Modp1536)));
    assert_eq!(esp("aes128-sha1-96").unwrap().suites.len(), 1);
}

#[test]
fn unknown_names_are_errors_in_the_old_form() {
    assert_eq!(
        ike("bogus").unwrap_err().message,
        "esp string error: enc_alg not found, enc_alg=\"bogus\", auth_alg=\"\", modp=\"\""
    );
    assert_eq!(
        esp("aes-hmac").unwrap_err().message,
        "esp string error: hash_alg not found, enc_alg=\"aes\", auth_alg=\"hmac\", modp=\"\""
    );
    assert!(
        ike("aes-sha1-modp99").unwrap_err().message.starts_with("esp string error: modp group not found")
    );
    assert!(ike("").is_err() && ike(",").is_err() && ike("aes129-sha1").is_err());
}

#[test]
fn ciphers_of_every_dialect() {
    let one = |text: &str| {
        let s = esp(text).unwrap();
        assert_eq!(s.suites.len(), 1, "{text}");
        (s.suites[0].cipher, s.suites[0].integ)
    };
    use EspCipher::{AesCcm, AesCtr, AesGcm, AesGmac, Camellia, ChaCha20Poly1305, Des, Null};
    for (text, cipher, integ) in [
        ("aes_gcm_c-128-null", AesGcm(128, 16), EspInteg::None),
        ("aes_gcm_c-160-null", AesGcm(128, 16), EspInteg::None),
        ("aes_gcm_a-288-null", AesGcm(256, 8), EspInteg::None),
        ("aes_ccm_b-152-null", AesCcm(128, 12), EspInteg::None),
        ("aes256gcm16", AesGcm(256, 16), EspInteg::None),
        ("aes256gcm128", AesGcm(256, 16), EspInteg::None),
        ("aes128ccm64-modp2048", AesCcm(128, 8), EspInteg::None),
        ("aes_gcm256-null", AesGcm(256, 16), EspInteg::None),
        ("aes_gcm_16_256", AesGcm(256, 16), EspInteg::None),
        ("aes_gcm128", AesGcm(128, 16), EspInteg::None),
        ("aes_gcm", AesGcm(128, 16), EspInteg::None),
        ("aes_ctr256-sha1", AesCtr(256), EspInteg::Sha1),
        ("aes192ctr-aesxcbc", AesCtr(192), EspInteg::AesXcbc),
        ("camellia256-sha256", Camellia(256), EspInteg::Sha256),
        ("camellia-192-sha2_512", Camellia(192), EspInteg::Sha512),
        ("null_auth_aes_gmac_256-none", AesGmac(256), EspInteg::None),
        ("null_auth_aes_gmac-null", AesGmac(128), EspInteg::None),
        ("aes_gmac-192", AesGmac(192), EspInteg::None),
        ("aes_gmac_288", AesGmac(256), EspInteg::None),
        ("aes256gmac", AesGmac(256), EspInteg::None),
        ("aes128gmac-modp2048", AesGmac(128), EspInteg::None),
        ("aes128-aes_cmac", EspCipher::Aes(128), EspInteg::AesCmac),
        ("null-aescmac", Null, EspInteg::AesCmac),
        ("aes256-aes_cmac_96", EspCipher::Aes(256), EspInteg::AesCmac),
        ("3des-aes128_xcbc_96", EspCipher::TripleDes, EspInteg::AesXcbc),
        ("chacha20poly1305", ChaCha20Poly1305, EspInteg::None),
        ("null-md5", Null, EspInteg::Md5),
        ("des-sha1-96", Des, EspInteg::Sha1),
        ("aes128-sha256_96", EspCipher::Aes(128), EspInteg::Sha256Trunc96),
    ] {
        assert_eq!(one(text), (cipher, integ), "{text}");
    }
    for bad in [
        "aes_gcm_d-128-null",
        "aes_gcm-129",
        "aes256gcm16x",
        "aes_foo",
        "aes128gcm13",
        "aes100gmac",
        "aes_gmac_16_256",
    ] {
        assert!(esp(bad).is_err(), "{bad}");
    }
}

#[test]
fn ah_lists_begin_with_the_integrity() {
    let s = ah("sha1-96, md5;modp1536!").unwrap();
    let integs: Vec<_> = s.suites.iter().map(|s| (s.cipher, s.integ)).collect();
    assert_eq!(integs, [(EspCipher::Null, EspInteg::Sha1), (EspCipher::Null, EspInteg::Md5)]);
    assert_eq!(s.group, Some(DhGroup::Modp1536));
    assert!(ah("aes128-sha1").is_err());
}

#[test]
fn every_group_can_be_named() {
    for g in DhGroup::ALL {
        assert_eq!(group(g.name()), Some(g));
        assert_eq!(group(&format!("DH{}", g.number())), Some(g));
    }
}

#[test]
fn known_but_not_offered_is_left_out() {
    let s = ike("serpent256-sha1-modp2048,aes128-sha1-modp2048,aes_gcm128-null-modp8192").unwrap();
    assert_eq!((s.suites.len(), s.warnings.len()), (1, 2));
    assert!(esp("twofish").is_err() && esp("null-null").is_err() && esp("aes128-null").is_err());
    assert!(ike("aes128-sha1-prfmd5-modp2048").is_err());
}

#[test]
fn more_than_one_of_a_kind_stands_for_every_combination() {
    assert_eq!(
        show("aes256-aes128-sha256-sha1-modp2048!"),
        "aes_256-oakley_sha2_256-modp2048 aes_256-oakley_sha-modp2048 aes_128-oakley_sha2_256-modp2048 aes_128-oakley_sha-modp2048"
    );
    assert_eq!(
        show("aes128+aes256-sha2;modp2048+dh19"),
        "aes_128-oakley_sha2_256-modp2048 aes_128-oakley_sha2_256-ecp256 aes_256-oakley_sha2_256-modp2048 aes_256-oakley_sha2_256-ecp256"
    );
    assert_eq!(show("sha256-aes128-modp2048,"), "aes_128-oakley_sha2_256-modp2048");
    // A cipher with its own tag takes no integrity algorithm; the others of the proposal do.
    let s = esp("aes128gcm16-aes128-sha256-ecp256").unwrap();
    let want = [
        EspSuite { cipher: EspCipher::AesGcm(128, 16), integ: EspInteg::None },
        EspSuite { cipher: EspCipher::Aes(128), integ: EspInteg::Sha256 },
    ];
    assert_eq!((s.suites.as_slice(), s.group), (want.as_slice(), Some(DhGroup::Ecp256)));
    assert_eq!(s.warnings.len(), 1);
}

#[test]
fn spellings_that_say_the_same() {
    for (a, b) in [
        ("aes_cbc_256-hmac_sha2_512_256", "aes256-sha512"),
        ("aes256-hmac-sha1", "aes256-sha1"),
        ("camellia_cbc_128-sha1", "camellia128-sha1"),
        ("aes128-sha2_256-128", "aes128-sha256"),
        ("aes256-sha2_256-modp2048-noesn!", "aes-256-sha256-dh14"),
        ("aes-sha1;none", "aes-sha1"),
        ("aes_gcm_16_128-none-none", "aes128gcm16"),
        ("aes-sha1;ECP_256", "aes-sha1-dh19"),
        ("aes128-sha1! , 3des-md5!", "aes128-sha1,3des-md5"),
    ] {
        let (a, b) = (esp(a).unwrap(), esp(b).unwrap());
        assert_eq!((&a.suites, a.group), (&b.suites, b.group));
    }
}

#[test]
fn a_word_nobody_knows_says_what_may_be_meant() {
    for (text, near) in [
        ("aes265-sha1", "aes256"),
        ("aes256-sha3_256", "sha2_256"),
        ("aes256-sha1-modp2084", "modp2048"),
        ("ase256", "aes256"),
        ("3dse-md5", "3des"),
    ] {
        assert_eq!(ike(text).unwrap_err().help, Some(format!("did you mean `{near}'?")), "{text}");
    }
    assert_eq!(ike("xyzzyplugh").unwrap_err().help, None);
}

#[test]
fn what_only_ikev2_can_negotiate_is_told_apart() {
    for text in [
        "aes_gcm256-sha2;modp2048",
        "aes128gcm16-prfsha256-ecp256!",
        "aes;dh20;addke1=ml_kem_768",
        "aes256-sha256-modp2048-ke1_mlkem768",
        "aes128-aesxcbc-modp3072!",
    ] {
        assert!(ike(text).unwrap_err().needs_ikev2, "{text}");
    }
    assert!(!ike("serpent").unwrap_err().needs_ikev2 && !ike("bogus").unwrap_err().needs_ikev2);
    assert_eq!(ike("aes_gcm256-sha2;modp2048,aes256-sha2;modp2048").unwrap().suites.len(), 1);
}

#[test]
fn ah_takes_the_documented_words() {
    for text in ["hmac-md5", "md5", "hmac-md5-96", "md5-96"] {
        assert_eq!(
            ah(text).unwrap().suites,
            [EspSuite { cipher: EspCipher::Null, integ: EspInteg::Md5 }],
            "{text}"
        );
    }
    assert!(ah("null").is_err() && ah("bogus").is_err());
}

#[test]
fn long_lists_are_refused() {
    let many =
        "aes128-aes192-aes256-3des-sha1-sha256-sha384-sha512-modp1024-modp1536-modp2048-modp3072-modp4096";
    assert!(ike(many).unwrap().suites.len() == 80);
    assert!(
        ike(&format!("{many},{many}-camellia128-camellia256-md5"))
            .unwrap_err()
            .message
            .contains("combinations")
    );
    assert!(ike(&"aes-".repeat(1_000_000)).unwrap_err().message.contains("words"));
}

proptest::proptest! {
    #[test]
    fn any_list_is_read_or_refused(words in proptest::collection::vec("(aes|aes256|gcm|_16|3des|null|none|sha1|sha2_256|96|128|modp1024|dh14|prfsha1|esn|[a-z0-9_=]{0,6})[-;+,!]?", 0..12)) {
        let text = words.concat();
        for list in [esp(&text), ah(&text)] {
            let _ = list.map(|s| assert!(!s.suites.is_empty() && s.suites.iter().all(|s| s.is_sound())));
        }
        let _ = ike(&text).map(|s| assert!(!s.suites.is_empty()));
    }
}
