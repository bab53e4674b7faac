//! `/etc/ipsec.d/passwd`: `user:hash[:conn[:address]]`, a line each, as `htpasswd` and `mkpasswd` make the hash.
//!
//! An empty third field, `*` or none at all stands for every conn. The fourth is an address, or a range, that this user gets
//! by Mode Config instead of one of the conn's pool (libreswan). Lines that begin with `#` are comments.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ike::{PasswordCheck, PasswordVerdict};

use super::foreign;

/// Octets of the file that are read.
const MAX_FILE: u64 = 4 << 20;

/// The hashes of `user` that count for `conn`, and the addresses that go with them, which may have colons of their own.
fn hashes<'a>(text: &'a str, user: &str, conn: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let lines = text.lines().map(str::trim_end).filter(|l| !l.starts_with('#'));
    lines.filter_map(move |line| {
        let mut fields = line.splitn(4, ':');
        let (name, hash) = (fields.next()?, fields.next()?);
        let whose = fields.next().unwrap_or_default().trim();
        let ours = matches!(whose, "" | "*") || whose.eq_ignore_ascii_case(conn);
        let addresses = fields.next().unwrap_or_default().trim();
        (name == user && ours && !hash.is_empty()).then_some((hash, addresses))
    })
}

/// Whether the file has this user with this password for this conn.
pub(super) fn verify(path: &Path, check: &PasswordCheck) -> PasswordVerdict {
    let shown = path.display();
    let mut lines = vec![format!("md5 authentication being called to authenticate user {}", check.user)];
    let mut text = Vec::new();
    if let Err(e) = File::open(path).and_then(|f| f.take(MAX_FILE).read_to_end(&mut text)) {
        lines.push(format!("unable to open password file ({shown}) for verification: {e}"));
        return PasswordVerdict { right: false, pool: None, lines };
    }
    lines.push(format!("password file ({shown}) open."));
    lines.push(format!("checking user({}:{}) ", check.user, check.conn));
    let text = String::from_utf8_lossy(&text);
    let (mut right, mut pool) = (false, None);
    for (hash, addresses) in hashes(&text, &check.user, &check.conn) {
        match foreign::crypt(&check.password, hash) {
            Ok(true) if !right => {
                right = true;
                match ipsec_conf::net::pool(addresses) {
                    _ if addresses.is_empty() => {}
                    Ok(range) => pool = Some(range),
                    Err(why) => lines.push(format!(
                        "{shown}: the address of {} is not used: {why}; the pool of the conn is",
                        check.user
                    )),
                }
            }
            Ok(_) => {}
            Err(e) => lines.push(e),
        }
    }
    PasswordVerdict { right, pool, lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipsec_types::SecretBytes;
    use ipsec_types::auth::XauthBy;

    fn right(text: &str, user: &str, password: &str, conn: &str) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        std::fs::write(&path, text).unwrap();
        let check = PasswordCheck {
            by: XauthBy::File,
            conn: conn.into(),
            user: user.into(),
            password: SecretBytes::from(password.as_bytes()),
            peer: [192, 0, 2, 1].into(),
        };
        let verdict = verify(&path, &check);
        assert!(verdict.lines.iter().all(|l| !l.contains(password) && !l.contains('$')), "{verdict:?}");
        verdict.right
    }

    /// One password in every form that a file of these years may hold.
    const FORMS: [&str; 5] = [
        "xyn8xAzJxihc6",
        "$1$salt1234$kljcc/EJ8woS/B/5DyYK7.",
        "$5$saltsalt$jbxAgW5X5LNk4yh.NmUXL1XLS9OoRHueeuIinWYHZ9D",
        "$6$saltsalt$/dpv42BvGInVKxDULxBMfXE6CN.oHtXdmTeHWMcv5rsd81TjdKcroane5LphAqgVenp/4K1qV/7eYEdl4XS9O/",
        "$apr1$",
    ];

    #[test]
    fn lines_that_are_not_for_this_conn_do_not_count() {
        let all = |text, conn| hashes(text, "joe", conn).map(|(h, _)| h).collect::<Vec<_>>();
        let text = "# joe:h0:\njoe:h1:office\njoe:h2:*\njoe:h3:\njoe:h4\njane:h5:\njoe::office\njoe:h6:Other:10.0.0.1\njoe\n\n";
        assert_eq!(all(text, "Office"), ["h1", "h2", "h3", "h4"]);
        assert_eq!(all(text, "other"), ["h2", "h3", "h4", "h6"]);
        assert!(all("joe:::\n:::\n:", "").is_empty());
    }

    #[test]
    fn a_user_may_have_addresses_of_his_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        let check = PasswordCheck {
            by: XauthBy::File,
            conn: "c".into(),
            user: "joe".into(),
            password: SecretBytes::from(&b"opensesame"[..]),
            peer: [192, 0, 2, 1].into(),
        };
        for (field, wanted) in [
            (":10.0.0.9", Some("10.0.0.9-10.0.0.9")),
            (":10.0.0.9-10.0.0.12", Some("10.0.0.9-10.0.0.12")),
            (":fd00::9", Some("fd00::9-fd00::9")),
            (": 10.0.0.9 ", Some("10.0.0.9-10.0.0.9")),
            (":", None),
            ("", None),
            (":nonsense", None),
        ] {
            std::fs::write(&path, format!("joe:x:c:10.0.0.1\njoe:{}:c{field}\n", FORMS[3])).unwrap();
            let verdict = verify(&path, &check);
            let pool = verdict.pool.map(|p| format!("{}-{}", p.first, p.last));
            assert!(verdict.right && pool.as_deref() == wanted, "{field}: {verdict:?}");
            let told = verdict.lines.iter().any(|l| l.contains("the address of joe is not used"));
            assert_eq!(told, field == ":nonsense");
        }
    }

    #[test]
    fn every_kind_of_hash_the_system_knows_is_checked() {
        for hash in &FORMS[..4] {
            let text = format!("joe:{hash}:c\n");
            assert!(right(&text, "joe", "opensesame", "c"), "{hash}");
            assert!(!right(&text, "joe", "Opensesame", "c"), "{hash}");
            assert!(!right(&text, "joe", "opensesame", "d"), "{hash}");
        }
        for hash in ["", "*", "!", "x", "*0", "*1", FORMS[4], "$9$what$ever"] {
            assert!(!right(&format!("joe:{hash}:c\n"), "joe", "opensesame", "c"), "{hash}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_lets_nobody_in() {
        let check = PasswordCheck {
            by: XauthBy::File,
            conn: "c".into(),
            user: "joe".into(),
            password: SecretBytes::default(),
            peer: [192, 0, 2, 1].into(),
        };
        let verdict = verify(Path::new("/nonexistent/passwd"), &check);
        assert!(!verdict.right);
        assert!(
            verdict.lines[1]
                .starts_with("unable to open password file (/nonexistent/passwd) for verification")
        );
    }
}
