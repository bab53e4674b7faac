//! Tokens of SoftHSM (Debian's package softhsm2).

use std::path::Path;
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, CertificateType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::RawAuthPin;
use ike::{CryptoJob, CryptoToken};
use ipsec_conf::secrets;
use ipsec_crypto::{Certificate, PublicKey};
use ipsec_types::SecretBytes;

use crate::keys::{Holder, Locked};
use crate::workers::Workers;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PKI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../compat-tests/sim/tests/pki");
/// Set in the process that has the module: it reads its configuration from the environment.
const INSIDE: &str = "PLUTO_TEST_TOKENS";

fn run(program: &str, args: &[&str], env: &[(&str, &Path)]) -> String {
    let out = Command::new(program).args(args).envs(env.iter().copied()).output();
    let out = out.unwrap_or_else(|e| panic!("{program} (Debian's package softhsm2): {e}"));
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success(), "{program} {args:?}: {text}");
    text
}

fn cert(name: &str) -> Certificate {
    Certificate::from_file(&std::fs::read(format!("{PKI}/{name}.pem")).unwrap()).unwrap().remove(0)
}

/// Two tokens: on `one` the keys of server and ecserver and the certificate of the first, on `two` nothing.
#[test]
fn keys_on_tokens_sign() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tokens")).unwrap();
    let conf = dir.path().join("softhsm2.conf");
    std::fs::write(&conf, format!("directories.tokendir = {}/tokens\n", dir.path().display())).unwrap();
    let env = [("SOFTHSM2_CONF", conf.as_path())];
    for label in ["one", "two"] {
        let args = ["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", "1234"];
        run("softhsm2-util", &args, &env);
    }
    for (name, id) in [("server", "45"), ("ecserver", "46")] {
        let key = format!("{PKI}/{name}.key");
        let args = ["--import", &key, "--token", "one", "--label", name, "--id", id, "--pin", "1234"];
        run("softhsm2-util", &args, &env);
    }
    let me = std::env::current_exe().unwrap();
    let env = [env[0], (INSIDE, dir.path())];
    let said =
        run(me.to_str().unwrap(), &["--exact", "tokens::tests::keys_on_tokens_sign", "--nocapture"], &env);
    assert!(said.contains("1 passed"), "{said}");
}

/// Puts the certificate on the token; returns the slots of both.
fn prepare() -> (u64, u64) {
    let module = Pkcs11::new(MODULE).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slots = module.get_slots_with_initialized_token().unwrap();
    let slot = |label| slots.iter().find(|s| module.get_token_info(**s).unwrap().label() == label).unwrap();
    let session = module.open_rw_session(*slot("one")).unwrap();
    session.login_with_raw(UserType::User, &RawAuthPin::new(Box::new(b"1234".to_vec()))).unwrap();
    let server = cert("server");
    let object = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Subject(server.subject().to_vec()),
        Attribute::Id(vec![0x45]),
        Attribute::Value(server.der().to_vec()),
    ];
    session.create_object(&object).unwrap();
    (slot("one").id(), slot("two").id())
}

fn take(keys: &mut Holder, text: &str) -> (Vec<Locked>, Vec<String>) {
    let mut remarks = Vec::new();
    let (records, _) = secrets::parse_all(Path::new("s"), text.as_bytes(), &|_| None);
    let locked = keys.take_secrets(&records, &mut remarks);
    (locked, remarks.into_iter().map(|(_, text)| text).collect())
}

/// Every key signs, on the thread of the workers for tokens, and the signatures are right.
fn all_sign(keys: &Holder, want: &[PublicKey]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (done, mut results) = tokio::sync::mpsc::unbounded_channel();
    let (mut workers, _) = Workers::start(Some(2), done).unwrap();
    let own = keys.own().keys;
    assert_eq!(own.iter().map(|k| k.public.clone()).collect::<Vec<_>>(), want);
    for (n, own) in own.iter().enumerate() {
        for round in 0..8 {
            let hash = vec![round; 32];
            workers.submit(CryptoToken(u64::from(round)), CryptoJob::Sign { key: own.key.clone(), hash });
        }
        for _ in 0..8 {
            let (CryptoToken(round), result) = runtime.block_on(results.recv()).unwrap();
            let hash = vec![u8::try_from(round).unwrap(); 32];
            want[n].verify(&hash, &result.unwrap().signature).unwrap();
        }
    }
}

fn inside() {
    let (one, two) = prepare();
    let mut keys = Holder::new(Path::new("/nonexistent").to_path_buf());
    keys.set_token_module(Some("/nonexistent/module.so"));
    let failing = "\"s\" line 1: error loading private key of token: ";
    let (_, said) = take(&mut keys, ": PIN %smartcard 1234\n");
    assert!(
        said[0].starts_with(&format!("{failing}'%smartcard': pkcs11module=/nonexistent/module.so: ")),
        "{said:?}"
    );
    keys.set_token_module(Some(MODULE));

    // Certificates need no PIN.
    assert_eq!(keys.certificate("%smartcard:45"), Ok(cert("server")));
    assert_eq!(keys.certificate(&format!("%SMARTCARD{one}")), Ok(cert("server")));
    for (name, why) in [
        (format!("%smartcard{two}"), "no certificate is there"),
        ("%smartcard:46".into(), "no certificate is there"),
        (format!("%smartcard{}", one ^ two ^ 1), "no such token is there"),
        ("%smartcard#1".into(), "expected the number of a slot"),
    ] {
        let e = keys.certificate(&name).unwrap_err().to_string();
        assert!(e.contains(why), "{name}: {e}");
    }

    // What is wrong with a record costs that record; no PIN is tried on a token that may not be meant.
    let mut both = [one, two];
    both.sort_unstable();
    for (record, why) in [
        (
            ": PIN %smartcard:45 1234".to_string(),
            format!("'%smartcard:45': several tokens are there: name one of the slots {}", both[0]),
        ),
        (format!(": PIN %smartcard{one}:45 9999"), format!("'%smartcard{one}:45': the PIN is wrong")),
        (
            format!(": PIN %smartcard{one}:46 9999"),
            format!("'%smartcard{one}:46': the PIN is wrong, as it was before"),
        ),
        (format!(": RSA %smartcard{one}:45"), format!("'%smartcard{one}:45': its PIN stands in no record")),
        (
            format!(": PIN %smartcard{two} 1234"),
            format!("'%smartcard{two}': no private key that can be used is there"),
        ),
        (
            ": PIN %smartcardx 1234".to_string(),
            "'%smartcardx': %smartcardx: expected the number of a slot".into(),
        ),
    ] {
        let (locked, said) = take(&mut keys, &format!("{record}\n"));
        let mut said = said.join("\n");
        said.truncate(failing.len() + why.len());
        assert!(locked.is_empty() && said == format!("{failing}{why}"), "{record}: {said}");
        assert!(keys.own().keys.is_empty());
    }

    // Asked for; then the token is open, for other records too.
    let record = format!("@a : PIN %smartcard{one}:45 %prompt\n");
    let (locked, _) = take(&mut keys, &record);
    let [locked] = locked.as_slice() else { panic!("{locked:?}") };
    let pin = |text: &str| SecretBytes::from(text.as_bytes());
    assert!(keys.unlock(locked, &pin("0000")).is_err_and(|e| format!("{e:?}").contains("the PIN is wrong")));
    assert_eq!(keys.unlock(locked, &pin("1234")).unwrap(), format!("  opened token '%smartcard{one}:45'"));
    let (rsa, ec) = (cert("server").key().unwrap().clone(), cert("ecserver").key().unwrap().clone());
    all_sign(&keys, std::slice::from_ref(&rsa));
    assert_eq!(keys.own().keys[0].cert, Some(cert("server")));
    let (locked, said) = take(&mut keys, &record);
    assert!(
        locked.is_empty() && said == [format!("  found 1 private key on token '%smartcard{one}:45'")],
        "{said:?}"
    );
    // The public half of one without a certificate is an object beside it.
    let (_, said) = take(&mut keys, &format!(": RSA %smartcard{one}:45\n: PIN %smartcard{one}:46 1234\n"));
    all_sign(&keys, &[rsa, ec]);
    assert_eq!(said.len(), 2);
    assert_eq!(keys.own().keys[1].cert, None);
    let (_, said) = take(&mut keys, &format!(": PIN %smartcard{one} 1234\n"));
    assert_eq!(said, [format!("  found 2 private keys on token '%smartcard{one}'")]);
    // Nothing of a key leaves the token.
    assert!(keys.own().keys[0].key.to_pem().is_err());
}
