//! `ipsec.secrets`: forms of records, and which of them a pair of identities gets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;

use ipsec_conf::secrets::{load, lookup, parse, parse_all, psks, xauth_password};
use ipsec_types::auth::{KeyFileKind, Passphrase, Secret};
use ipsec_types::{Id, SecretBytes};

fn keys(text: &str, me: &str, him: &str) -> Vec<String> {
    let resolver = |name: &str| (name == "known.example").then(|| "192.0.2.1".parse().unwrap());
    let (records, _) = parse(Path::new("/nonexistent/s"), text.as_bytes(), &resolver);
    let found = lookup(&records, &me.parse().unwrap(), &him.parse().unwrap());
    found.iter().map(|s| String::from_utf8(s.expose().to_vec()).unwrap()).collect()
}

fn said(text: &str) -> Vec<String> {
    let (_, said) = parse(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    said.iter().map(|d| d.log_form()).collect()
}

const A: &str = "192.0.2.1";
const B: &str = "198.51.100.7";

#[test]
fn scores_decide() {
    let all = format!(
        "{A} {B} : PSK \"pair\"\n{A} %any : PSK \"mine\"\n{A} : PSK \"alone\"\n{B} %any : PSK \"his\"\n: PSK \"all\"\n"
    );
    assert_eq!(keys(&all, A, B), ["pair"]);
    assert_eq!(keys(&all, A, "203.0.113.1"), ["mine"]);
    assert_eq!(keys(&all, "10.0.0.1", B), ["his"]);
    // A wildcard alone is enough, whoever else is named.
    assert_eq!(keys(&all, "10.0.0.1", "10.0.0.2"), ["mine", "his", "all"]);
    assert_eq!(keys(&format!("{A} : PSK \"x\""), A, B), ["x"]);
    assert!(keys(&format!("{B} : PSK \"x\""), A, B).is_empty());
    assert!(keys(&format!("{A} 10.0.0.1 : PSK \"x\""), A, B).is_empty());
    // A wildcard beside both names does no harm.
    assert_eq!(keys(&format!("{A} {B} %any : PSK \"x\""), A, B), ["x"]);
}

#[test]
fn several_wildcard_keys_are_all_found_once_each() {
    let text = ": PSK \"none\"\n%any : PSK \"one\"\n%any %any: PSK \"two\"\n0.0.0.0 : PSK \"one\"\n";
    assert_eq!(keys(text, A, "@someone"), ["one", "two", "none"]);
}

#[test]
fn every_form_of_a_psk() {
    for (value, want) in [
        ("PSK \"a # b\"", "a # b"),
        ("psk 'a \"b'", "a \"b"),
        ("PSK 0x61_62", "ab"),
        ("PSK 0saGVsbG8=", "hello"),
        ("PSK 0tto the # end", "to the # end"),
        ("\"bare\"", "bare"),
        ("PSK\n\t# comment\n\n  \"below\"", "below"),
        ("PSK \"x\" # comment", "x"),
        ("PSK \"crlf\"\r", "crlf"),
    ] {
        assert_eq!(keys(&format!("{A} {B} : {value}\n"), A, B), [want], "{value}");
        assert_eq!(keys(&format!("{A} {B}: {value}\n"), A, B), [want], "{value}");
    }
    assert_eq!(keys(&format!("{A} {B} \"old\"\n"), A, B), ["old"]);
    for glued in
        [format!("{A} {B}:PSK \"x\"\n"), format!("{A} {B} :PSK \"x\"\n"), format!("{A} {B}:psk\n \"x\"\n")]
    {
        assert_eq!(keys(&glued, A, B), ["x"], "{glued}");
    }
    assert_eq!(keys(&format!("known.example {B} : PSK \"x\"\n"), A, B), ["x"]);
    // The name of whoever says only his name, too.
    assert_eq!(keys(&format!("known.example {B} : PSK \"x\"\n"), "@known.example", B), ["x"]);
    assert_eq!(keys("known.example : PSK \"x\"\n", "@known.example", B), ["x"]);
}

#[test]
fn nobody_is_asked_for_the_address_of_a_user() {
    let text = "carol : XAUTH \"a\"\n\"carol of sales\" : XAUTH \"b\"\nphone\\dave : EAP \"c\"\n";
    let (records, said) = parse_all(Path::new("/nonexistent/s"), text.as_bytes(), &|name| panic!("{name}"));
    assert!(said.is_empty(), "{said:?}");
    let password = |user| xauth_password(&records, user).map(|p| p.expose().to_vec());
    assert_eq!(password("carol"), Some(b"a".to_vec()));
    assert_eq!(password("carol of sales"), Some(b"b".to_vec()));
    assert_eq!(password("dave"), None);
}

#[test]
fn bad_records_are_dropped_alone() {
    let text = "bogus.invalid : PSK \"leak\"\n1.2.3.4 : PSK plain word\n: FOO x\n%any : PSK \"open\n: PSK \"a\" \"b\"\n: RSA {\n\tModulus: 0x1\n\t}\n\
@joe : XAUTH \"pw\"\n: PIN %smartcard1 %prompt\n%any : PSK \"good\"\n";
    assert_eq!(keys(text, A, B), ["good"]);
    let said = said(text);
    for want in [
        "\"/nonexistent/s\" line 1: index \"bogus.invalid\" does not look numeric and name lookup failed; taken as \"@bogus.invalid\"",
        "\"/nonexistent/s\" line 2: expected record boundary in key",
        "\"/nonexistent/s\" line 4: unterminated string",
        "\"/nonexistent/s\" line 5: expected record boundary in key",
        "\"/nonexistent/s\" line 7: RSA data malformed (hex constant must have an even number of digits): Modulus",
    ] {
        assert!(said.iter().any(|s| s == want), "{want}\n{said:#?}");
    }
    assert_eq!(said.len(), 6, "{said:#?}");
}

#[test]
fn indented_records_are_records() {
    let text = format!(
        "  {A} {B} : PSK \"first\"\n\t: PSK \"second\"\n  @x : XAUTH \"y\"\n: RSA k.pem\n\t\"pass\"\n\t%any : PSK\n\t\t\"third\"\n"
    );
    assert_eq!(keys(&text, A, B), ["first"]);
    assert_eq!(keys(&text, "10.0.0.1", "10.0.0.2"), ["third", "second"]);
    assert_eq!(
        said(&text),
        ["\"/nonexistent/s\" line 1: file starts with indentation (continuation notation); read as a record"]
    );
    let (records, _) = parse_all(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    assert_eq!(records.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 2, 3, 4, 6]);
}

#[test]
fn an_index_nobody_can_be_serves_nobody() {
    let text = "$SERVER : PSK \"a\"\n%any {PEER} : PSK \"b\"\n";
    assert_eq!(keys(text, A, B), ["b"]);
    assert_eq!(
        said(text)[0],
        "\"/nonexistent/s\" line 1: index \"$SERVER\" is not an identity; taken as a name that nobody has"
    );
}

#[test]
fn includes_are_relative_to_their_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("s"), "include d/*.secrets\ninclude none.inc\n: PSK \"last\"\n").unwrap();
    fs::write(dir.path().join("d/a.secrets"), "%any : PSK \"first\"\ninclude ../s\n").unwrap();
    let (records, said) = load(&dir.path().join("s"));
    assert_eq!(records[0].psk.expose(), b"first");
    assert_eq!(records[0].ids, [Id::None]);
    let text: Vec<String> = said.iter().map(|d| d.log_form()).collect();
    assert!(text.iter().any(|t| t == "no secrets filename matched \"none.inc\""), "{text:#?}");
    assert!(text.iter().any(|t| t.ends_with("nested too deeply")), "{text:#?}");
}

fn all(text: &str) -> Vec<Secret> {
    let (records, said) = parse_all(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    assert!(said.is_empty(), "{said:#?}");
    records.into_iter().map(|r| r.secret).collect()
}

#[test]
fn every_kind_of_record_is_read() {
    let file = |name: &str, kind, passphrase| Secret::KeyFile { file: name.into(), kind, passphrase };
    let bytes = |s: &str| SecretBytes::from(s.as_bytes());
    for (text, want) in [
        (": RSA gw.key", file("gw.key", KeyFileKind::Rsa, Passphrase::None)),
        (": RSA \"a b.key\" \"pw\"", file("a b.key", KeyFileKind::Rsa, Passphrase::Text(bytes("pw")))),
        (": rsa gw.key %prompt", file("gw.key", KeyFileKind::Rsa, Passphrase::Prompt)),
        (": ECDSA ec.pem 0x6162", file("ec.pem", KeyFileKind::Ecdsa, Passphrase::Text(bytes("ab")))),
        (": P12 a.p12 \"x\"", file("a.p12", KeyFileKind::Pkcs12, Passphrase::Text(bytes("x")))),
        (": PKCS8 a.key", file("a.key", KeyFileKind::Any, Passphrase::None)),
        ("@joe : XAUTH \"pw\"", Secret::Xauth(bytes("pw"))),
        ("@joe : XAUTH pw", Secret::Xauth(bytes("pw"))),
        (": PSK bare", Secret::Psk(bytes("bare"))),
        (": PIN %smartcard1 %prompt", Secret::Pin { token: "%smartcard1".into(), pin: Passphrase::Prompt }),
        (
            ": PIN %smartcard:50 1234",
            Secret::Pin { token: "%smartcard:50".into(), pin: Passphrase::Text(bytes("1234")) },
        ),
        ("carol@x : EAP \"pw\"", Secret::Other("EAP".into())),
        ("joe@x : NTLM 0x00", Secret::Other("NTLM".into())),
    ] {
        assert_eq!(all(text), [want], "{text}");
    }
}

#[test]
fn rsa_blocks_hold_numbers() {
    let block = |end: &str| {
        format!(
            ": RSA\t{{\n\t# RSA 512 bits\n\t#pubkey=0sAQ\n\tModulus: 0x0b\n\tPublicExponent: 0x03\n\
\tPrivateExponent: 0x05\n\tPrime1: 0x06\n\tPrime2: 0x07\n\tExponent1: 0x08\n\tExponent2 0x09\n\tCoefficient: 0sCg==\n{end}}}\n: PSK \"next\"\n"
        )
    };
    for text in [block("\t"), block("")] {
        let secrets = all(&text);
        let [Secret::Rsa(n), Secret::Psk(_)] = secrets.as_slice() else { panic!("{secrets:?}") };
        let numbers = [&n.n, &n.e, &n.d, &n.p, &n.q, &n.dp, &n.dq, &n.qinv];
        assert_eq!(numbers.map(|b| b.expose()[0]), [11, 3, 5, 6, 7, 8, 9, 10]);
    }
    for (text, want) in [
        (": RSA {\n\tModulus: 0x0b\n", "premature end of RSA key"),
        (": RSA {\n\tModulus: 11\n\t}\n", "RSA data malformed (no 0x or 0s): Modulus"),
        (": RSA {\n\tModulus: 0x0b\n\t} x\n", "unexpected token after '}'"),
        (": RSA\n", "expected `{' or the name of a private key file"),
    ] {
        let said = said(text);
        assert!(said.len() == 1 && said[0].contains(want), "{said:?}");
    }
}

#[test]
fn xauth_passwords_are_found_by_user() {
    let text = "@joe : XAUTH \"a\"\njane@example.com : XAUTH \"b\"\n: XAUTH \"c\"\n@joe : PSK \"no\"\n";
    let (records, _) = parse_all(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    let of = |user| xauth_password(&records, user).map(|p| p.expose().to_vec());
    assert_eq!(
        (of("joe"), of("jane@example.com"), of("else")),
        (Some(b"a".to_vec()), Some(b"b".to_vec()), Some(b"c".to_vec()))
    );
    assert_eq!(psks(&records).len(), 1);
    assert!(xauth_password(&[], "joe").is_none());
}

#[test]
fn files_others_can_read_are_reported() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    fs::write(&path, ": PSK \"x\"\n").unwrap();
    let warned = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let said = load(&path).1;
        let of = |what: &str| {
            said.iter().any(|d| d.message.ends_with(&format!("{what} by every user; chmod 600 it")))
        };
        (of("can be read"), of("can be changed"))
    };
    assert_eq!(
        [0o600, 0o640, 0o644, 0o666].map(warned),
        [(false, false), (false, false), (true, false), (true, true)]
    );
}

#[test]
fn a_collection_as_people_have_it() {
    let text = "# head\ninclude /nonexistent/openswan/ipsec.secrets.inc\ninclude /nonexistent/*.secrets\n\
203.0.113.10 %any: PSK \"all clients\"\n203.0.113.10 198.51.100.7 : PSK 0x00112233445566778899\n\
@head @branch : PSK 0saGVsbG8gd29ybGQ=\n%any %any : PSK 0tanything to end of line\n: RSA gw.key %prompt\n\
: RSA\t{\n\t# RSA 2192 bits   gw   Fri Jan  1 00:00:00 2010\n\t#pubkey=0sAQ\n\tModulus: 0x21\n\tPublicExponent: 0x03\n\
\tPrivateExponent: 0x07\n\tPrime1: 0x0b\n\tPrime2: 0x03\n\tExponent1: 0x07\n\tExponent2: 0x01\n\tCoefficient: 0x04\n\t}\n\
# do not change the indenting of that \"}\"\n@joe : XAUTH \"pw\"\n";
    let hex = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99];
    let (records, _) = parse(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    let keys = |me: &str, him: &str| -> Vec<Vec<u8>> {
        let found = lookup(&records, &me.parse().unwrap(), &him.parse().unwrap());
        found.iter().map(|s| s.expose().to_vec()).collect()
    };
    assert_eq!(keys("203.0.113.10", "198.51.100.7"), [hex]);
    assert_eq!(keys("203.0.113.10", "198.51.100.8"), [b"all clients"]);
    assert_eq!(keys("@head", "@branch"), [b"hello world"]);
    // A wildcard beside another host's name serves everybody, as it always has; all of these are tried.
    let others = keys("203.0.113.11", "198.51.100.8");
    assert_eq!(others, [b"all clients".to_vec(), b"anything to end of line".to_vec()]);
    let (records, _) = parse_all(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    assert_eq!(xauth_password(&records, "joe").map(|p| p.expose().to_vec()), Some(b"pw".to_vec()));
    assert_eq!(records.len(), 7);
    // Files that are not there are told and do no harm.
    let missing = said(text).iter().filter(|s| s.starts_with("no secrets filename matched")).count();
    assert_eq!((missing, said(text).len()), (2, 2));
}
