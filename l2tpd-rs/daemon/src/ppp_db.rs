//! Who is behind a pppd: the database that pppd keeps of its links (`/run/pppd2.tdb`), read only.
//!
//! ```text
//!   record: next 4 | room 4 | key length 4 | data length 4 | hash 4 | magic 4 | key | data
//!   key "pppd" PID, data "PEERNAME=alice;IFNAME=ppp0;IPREMOTE=10.0.0.2;..."
//! ```
//!
//! pppd tells its user nowhere else but in the environment of its scripts. A record that is not there, or half
//! written, means that nothing is known yet.

use std::collections::BTreeMap;

/// Where pppd 2.4 keeps it.
pub const FILES: [&str; 2] = ["/run/pppd2.tdb", "/var/run/pppd2.tdb"];
/// The magic of a record in use (tdb's format).
const MAGIC: u32 = 0x2601_1999;
/// The longest database looked at, and the longest value taken from it.
const MAX: usize = 16 << 20;
const VALUE: usize = 256;

/// What pppd knows of its link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The name the peer has proved.
    pub user: Option<String>,
    /// `ppp0`.
    pub interface: Option<String>,
    /// The peer's address.
    pub remote: Option<String>,
}

/// The links by process id of their pppd; empty when there is no database.
pub fn read() -> BTreeMap<u32, Link> {
    let file = FILES.iter().find_map(|f| std::fs::read(f).ok());
    file.map(|b| parse(&b)).unwrap_or_default()
}

/// Takes the database apart.
pub fn parse(db: &[u8]) -> BTreeMap<u32, Link> {
    let db = db.get(..db.len().min(MAX)).unwrap_or(db);
    let mut out = BTreeMap::new();
    // Records lie at multiples of four octets, in no order.
    for at in (0..db.len().saturating_sub(24)).step_by(4) {
        let word = |n: usize| {
            let b = db.get(at + 4 * n..at + 4 * n + 4).and_then(|b| b.try_into().ok());
            b.map_or(0, u32::from_ne_bytes)
        };
        if word(5) != MAGIC {
            continue;
        }
        let (key_len, data_len) = (word(2) as usize, word(3) as usize);
        let Some(rest) = db.get(at + 24..) else { continue };
        let Some(key) = rest.get(..key_len) else { continue };
        let Some(data) = key_len.checked_add(data_len).and_then(|end| rest.get(key_len..end)) else {
            continue;
        };
        let Some(pid) = std::str::from_utf8(key).ok().and_then(|k| k.strip_prefix("pppd")) else { continue };
        let Ok(pid) = pid.trim_end_matches('\0').parse() else { continue };
        out.insert(pid, link(&String::from_utf8_lossy(data)));
    }
    out
}

fn link(data: &str) -> Link {
    let mut l = Link::default();
    for pair in data.trim_end_matches('\0').split(';') {
        let Some((key, value)) = pair.split_once('=') else { continue };
        let value = || {
            let text: String = value.chars().filter(|c| !c.is_control()).take(VALUE).collect();
            Some(text).filter(|t| !t.is_empty())
        };
        match key {
            "PEERNAME" => l.user = value(),
            "IFNAME" => l.interface = value(),
            "IPREMOTE" => l.remote = value(),
            _ => {}
        }
    }
    l
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(key: &str, data: &str, magic: u32) -> Vec<u8> {
        let mut r = Vec::new();
        for n in [0, 100, key.len() as u32, data.len() as u32, 7, magic] {
            r.extend(n.to_ne_bytes());
        }
        r.extend(key.bytes().chain(data.bytes()));
        r.resize(r.len().next_multiple_of(4), 0);
        r
    }

    #[test]
    fn records_in_use_are_found() {
        let mut db = b"TDB file\n\0\0\0".to_vec();
        db.extend(record("pppd77", "PEERNAME=old;", 0xd9fe_e666));
        db.extend(record("IFNAME=ppp0", "pppd42", MAGIC));
        db.extend(record("pppd42", "ORIG_UID=0;PEERNAME=alice;IFNAME=ppp0;IPREMOTE=10.0.0.2;", MAGIC));
        let all = parse(&db);
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), [42]);
        let want = Link {
            user: Some("alice".into()),
            interface: Some("ppp0".into()),
            remote: Some("10.0.0.2".into()),
        };
        assert_eq!(all[&42], want);
        db.truncate(db.len() - 20);
        assert!(parse(&db).is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut b in proptest::collection::vec(any::<u8>(), 0..300), k in any::<u32>(), d in any::<u32>()) {
            parse(&b);
            for n in [0, 0, k, d, 0, MAGIC] {
                b.splice(0..0, n.to_ne_bytes());
            }
            b.rotate_left(0);
            parse(&b);
        }
    }
}
