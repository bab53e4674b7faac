//! The algorithms in `ipsec auto --status`, as Openswan 2.6 lists them.

use ipsec_types::algo::{DhGroup, HashAlg};

/// What there is for ESP and for IKE, by number.
pub(crate) fn algorithm_lines(lines: &mut Vec<String>) {
    for (id, name, iv, min, max) in [
        (2, "ESP_DES", 64, 64, 64),
        (3, "ESP_3DES", 64, 192, 192),
        (11, "ESP_NULL", 0, 0, 0),
        (12, "ESP_AES", 128, 128, 256),
        (13, "ESP_AES_CTR", 64, 160, 288),
        (14, "ESP_AES_CCM_A", 64, 152, 280),
        (15, "ESP_AES_CCM_B", 64, 152, 280),
        (16, "ESP_AES_CCM_C", 64, 152, 280),
        (18, "ESP_AES_GCM_A", 64, 160, 288),
        (19, "ESP_AES_GCM_B", 64, 160, 288),
        (20, "ESP_AES_GCM_C", 64, 160, 288),
        (22, "ESP_CAMELLIA", 128, 128, 256),
        (28, "ESP_CHACHA20_POLY1305", 64, 288, 288),
    ] {
        lines.push(format!(
            "algorithm ESP encrypt: id={id}, name={name}, ivlen={iv}, keysizemin={min}, keysizemax={max}"
        ));
    }
    for (id, name, bits) in [
        (1, "HMAC_MD5", 128),
        (2, "HMAC_SHA1", 160),
        (5, "HMAC_SHA2_256", 256),
        (6, "HMAC_SHA2_384", 384),
        (7, "HMAC_SHA2_512", 512),
        (9, "AES_CBC", 128),
    ] {
        lines.push(format!(
            "algorithm ESP auth attr: id={id}, name=AUTH_ALGORITHM_{name}, keysizemin={bits}, keysizemax={bits}"
        ));
    }
    lines.push(String::new());
    lines.push("algorithm IKE encrypt: id=1, name=OAKLEY_DES_CBC, blocksize=8, keydeflen=64".into());
    lines.push("algorithm IKE encrypt: id=5, name=OAKLEY_3DES_CBC, blocksize=8, keydeflen=192".into());
    lines.push("algorithm IKE encrypt: id=7, name=OAKLEY_AES_CBC, blocksize=16, keydeflen=128".into());
    lines.push("algorithm IKE encrypt: id=8, name=OAKLEY_CAMELLIA_CBC, blocksize=16, keydeflen=128".into());
    let hashes = [
        (HashAlg::Md5, "MD5"),
        (HashAlg::Sha1, "SHA1"),
        (HashAlg::Sha256, "SHA2_256"),
        (HashAlg::Sha384, "SHA2_384"),
        (HashAlg::Sha512, "SHA2_512"),
    ];
    for (h, name) in hashes {
        lines.push(format!(
            "algorithm IKE hash: id={}, name=OAKLEY_{name}, hashsize={}",
            h.number(),
            h.len()
        ));
    }
    for g in DhGroup::ALL {
        let name = g.name().to_uppercase();
        lines.push(format!(
            "algorithm IKE dh group: id={}, name=OAKLEY_GROUP_{name}, bits={}",
            g.number(),
            g.bits()
        ));
    }
}
