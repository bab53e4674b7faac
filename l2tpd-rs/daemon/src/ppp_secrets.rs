//! Addresses that belong to users in pppd's `chap-secrets` and `pap-secrets`, which must not be given to others.
//!
//! pppd reads these files itself and gives such a user that address. Passwords are not looked at here.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::SystemTime;

use crate::optfile::{self, lines};

/// Where pppd reads passwords.
pub const FILES: [&str; 2] = ["/etc/ppp/chap-secrets", "/etc/ppp/pap-secrets"];
/// The longest file read.
const MAX: u64 = 16 << 20;

/// The addresses of a file: client, server, secret, then the addresses the client may have. A single address (not a
/// network, not one that is forbidden, not a name) is what pppd gives the client.
pub fn addresses(text: &str) -> BTreeSet<Ipv4Addr> {
    let mut out = BTreeSet::new();
    for words in lines(text) {
        // What follows "--" is options.
        for w in words.iter().skip(3).take_while(|w| *w != "--") {
            out.extend(w.strip_suffix("/32").unwrap_or(w).parse::<Ipv4Addr>().ok());
        }
    }
    out
}

/// A line of a file, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// First column; `*` is everybody.
    pub client: String,
    /// Second column; `*` is every server. None when the line is too short.
    pub server: Option<String>,
    /// Whether there is a third column.
    pub has_secret: bool,
    /// The addresses the client may have, up to the options.
    pub addresses: Vec<String>,
    /// From 1.
    pub line: usize,
}

/// The lines of a file.
pub fn users(text: &str) -> Vec<User> {
    let user = |words: Vec<optfile::Word>| {
        let line = words.first()?.line;
        let mut words = words.into_iter().map(|w| w.text);
        let (client, server, secret) = (words.next()?, words.next(), words.next());
        let has_secret = secret.map(zeroize::Zeroizing::new).is_some();
        let addresses = words.take_while(|w| w != "--").collect();
        Some(User { client, server, has_secret, addresses, line })
    };
    optfile::numbered(text).into_iter().filter_map(user).collect()
}

/// The files, read anew when they change.
#[derive(Debug, Default)]
pub struct PppSecrets {
    seen: Option<[Option<SystemTime>; 2]>,
}

impl PppSecrets {
    /// The addresses, when a file has changed since the last call.
    pub fn changed(&mut self) -> Option<BTreeSet<Ipv4Addr>> {
        let small = |f: &str| std::fs::metadata(f).ok().filter(|m| m.is_file() && m.len() <= MAX);
        let now = FILES.map(|f| small(f).and_then(|m| m.modified().ok()));
        if self.seen == Some(now) {
            return None;
        }
        self.seen = Some(now);
        let mut out = BTreeSet::new();
        for f in FILES.into_iter().filter(|f| small(f).is_some()) {
            let bytes = zeroize::Zeroizing::new(std::fs::read(f).unwrap_or_default());
            out.extend(addresses(&zeroize::Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())));
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn single_addresses_are_users_own() {
        let text = "# client server secret addresses\n\
                    alice * \"10.0.0.9 is no address\" *\n\
                    bob srv s3cret 10.0.0.20\n\
                    'c d' srv \"se\\\"#c\" 10.0.0.21 \\\n 10.0.0.22 -- mtu 10.0.0.99 # end\n\
                    eve srv x !10.0.0.30 10.0.1.0/24 10.0.0.31/32 somehost -\n\
                    short srv\n";
        let last: Vec<u8> = addresses(text).iter().map(|a| a.octets()[3]).collect();
        assert_eq!(last, [20, 21, 22, 31]);
    }

    #[test]
    fn users_come_without_their_passwords() {
        let all = users("# head\nalice srv \"a b\" 10.0.0.9 -- mtu 1\nbob\n");
        let alice = User {
            client: "alice".into(),
            server: Some("srv".into()),
            has_secret: true,
            addresses: vec!["10.0.0.9".into()],
            line: 2,
        };
        let bob = User { client: "bob".into(), server: None, has_secret: false, addresses: vec![], line: 3 };
        assert_eq!(all, [alice, bob]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(s in any::<String>(), t in "[\"'\\\\# \na1./-]{0,60}") {
            addresses(&s);
            addresses(&t);
            users(&s);
            users(&t);
        }
    }
}
