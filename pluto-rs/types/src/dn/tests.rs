use super::*;
use crate::der::{element, tag};

fn same(a: &str, b: &str) -> bool {
    matches(&parse(a).unwrap(), &parse(b).unwrap())
}

#[test]
fn text_forms_are_read_and_printed() {
    let der = parse("C=US,O=x").unwrap();
    assert_eq!(
        der,
        [
            0x30, 0x19, 0x31, 0x0b, 0x30, 9, 6, 3, 0x55, 4, 6, 0x13, 2, b'U', b'S', 0x31, 0x0a, 0x30, 8, 6,
            3, 0x55, 4, 10, 0x13, 1, b'x'
        ]
    );
    for (written, printed) in [
        ("C=CA, ST=Ontario,O=Acme,CN=*,  E=*", "C=CA, ST=Ontario, O=Acme, CN=*, E=*"),
        ("/C=US/O=a, b/CN=host/x", "C=US, O=a\\, b, CN=host/x"),
        ("c=US/o=x", "C=US, O=x"),
        ("O=\"Acme, Inc.\", CN=a\\,b\\ ", "O=Acme\\, Inc., CN=a\\,b "),
        ("OID.2.5.4.3=x, 1.3.6.1.4.1.311.20.2.3=y", "CN=x, 1.3.6.1.4.1.311.20.2.3=y"),
        ("emailAddress=a@b.c", "E=a@b.c"),
        ("UID=b+CN=a, O=c", "CN=a+UID=b, O=c"),
        ("DC=com, DC=example, CN=1+1", "DC=com, DC=example, CN=1+1"),
        ("CN=Zo\u{eb}", "CN=Zo\u{eb}"),
    ] {
        let der = parse(written).unwrap();
        assert_eq!(text(&der), printed);
        assert!(matches(&parse(&text(&der)).unwrap(), &der), "{written}");
    }
}

#[test]
fn bad_texts_name_the_fault() {
    for (bad, why) in [
        ("", "empty"),
        ("C=US, x", "expected NAME=value"),
        ("XX=1", "unknown OID"),
        ("C=", "no value"),
        ("O=\"a", "not closed"),
        ("O=\"a\"b", "after a quoted value"),
        ("3.1=x", "unknown OID"),
        ("1.40.1=x", "unknown OID"),
    ] {
        let e = parse(bad).unwrap_err().to_string();
        assert!(e.contains(why), "{bad}: {e}");
    }
    assert!(parse(&"CN=x,".repeat(65)).is_err());
    assert!(parse(&format!("CN={}", "x".repeat(9000))).is_err());
}

#[test]
fn order_spelling_case_and_string_type_do_not_matter() {
    assert!(same("C=US, O=Acme,CN=a", "cn=A, O=acme , C=us"));
    assert!(same("emailAddress=x@y, CN=1", "CN=1, E=X@y"));
    assert!(same("O=a  b", "O=A b"));
    assert!(!same("O=a, CN=b", "O=b, CN=a"));
    assert!(!same("O=a", "O=a, OU=a"));
    assert!(!same("OU=a, OU=a", "OU=a, OU=b"));
    let utf8 = element(tag::UTF8, b"acme");
    let utf8 = [element(tag::OID, &[0x55, 4, 10]), utf8].concat();
    let utf8 = element(tag::SEQUENCE, &element(tag::SET, &element(tag::SEQUENCE, &utf8)));
    assert!(matches(&parse("O=Acme").unwrap(), &utf8));
    assert_eq!(text(&utf8), "O=acme");
}

#[test]
fn wildcards_are_those_of_the_configured_name_alone() {
    assert!(same("C=US, CN=*, E=*", "C=US, CN=x, E=y"));
    assert!(same("OU=*, OU=a", "OU=a, OU=b"));
    assert!(!same("C=US, CN=*", "C=US, OU=x"));
    assert!(!same("C=US, CN=joe", "C=US, CN=*"));
    assert!(!same("CN=*", "CN=x, O=y"));
    assert_eq!((wildcards(&parse("C=US, CN=*, E=*").unwrap()), wildcards(b"x")), (2, 0));
}

/// CVE-2009-2185, CVE-2013-6075: relative names of odd lengths are no names, and nothing is read beyond them.
#[test]
fn cve_2009_2185_cve_2013_6075_broken_names_match_nothing() {
    let good = parse("C=US, O=x").unwrap();
    for cut in 0..good.len() {
        assert!(!matches(&good, &good[..cut]) && !is_dn(&good[..cut]), "{cut}");
        assert!(text(&good[..cut]).starts_with("@~0x"));
    }
    for i in 0..good.len() {
        for value in [0, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[i] = value;
            let _ = (text(&bad), matches(&bad, &good), matches(&good, &bad));
        }
    }
    // An empty set, and octets behind the name.
    assert!(!is_dn(&[0x30, 2, 0x31, 0]));
    assert!(!is_dn(&[&good[..], &[0]].concat()));
}

/// CVE-2013-2052, CVE-2013-2053, CVE-2013-2054, CVE-2010-2628: names longer than any buffer, in text and in DER.
#[test]
fn cve_2013_2052_cve_2013_2053_cve_2013_2054_cve_2010_2628_long_names_have_a_limit() {
    let long = "x".repeat(MAX_DER);
    for bad in [format!("CN={long}"), format!("{long}=x"), format!("/CN={long}"), "O=\"".repeat(5000)] {
        assert!(parse(&bad).is_err());
    }
    let fits = format!("CN={}", "x".repeat(4000));
    assert_eq!(text(&parse(&fits).unwrap()), fits);
    assert!(text(&vec![0x30; 3 * MAX_DER]).starts_with("@~0x3030"));
}

#[test]
fn control_characters_do_not_reach_the_log() {
    assert_eq!(text(&parse("CN=a\nb").unwrap()), "CN=a\\012b");
}

/// Each of these took the square of its length: octets that are no name, as a peer's identity may be, and slashes.
#[test]
fn long_octets_and_slashes_are_read_once() {
    assert_eq!(text(&[0x30, 0x0a, 0xff]), "@~0x300aff");
    assert_eq!(text(&[0x5a; 65_000]), format!("@~0x{}", "5a".repeat(65_000)));
    let slashes = "/".repeat(4000);
    assert_eq!(text(&parse(&format!("/CN={slashes}")).unwrap()), format!("CN={slashes}"));
    assert_eq!(text(&parse("/CN=a/ O =b").unwrap()), "CN=a, O=b");
    assert!(parse(&"/".repeat(1_000_000)).is_err());
}
