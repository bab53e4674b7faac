//! Which records of `ipsec.secrets` fit whom.

use ipsec_types::auth::{PskRecord, Secret, SecretRecord};
use ipsec_types::{Id, SecretBytes};

/// The pre-shared keys among `records`, in the same order.
pub fn psks(records: &[SecretRecord]) -> Vec<PskRecord> {
    let psk = |r: &SecretRecord| match &r.secret {
        Secret::Psk(psk) => Some(PskRecord { ids: r.ids.clone(), psk: psk.clone(), line: r.line }),
        _ => None,
    };
    records.iter().filter_map(psk).collect()
}

/// The XAUTH password of `user` (`leftxauthusername=`): the first record with `@user`, `user@host` or the name in any
/// other form among its indices; otherwise the first one without an index.
pub fn xauth_password<'a>(records: &'a [SecretRecord], user: &str) -> Option<&'a SecretBytes> {
    let is_user = |id: &Id| match id {
        Id::Fqdn(name) | Id::UserFqdn(name) => name == user,
        Id::KeyId(name) => name == user.as_bytes(),
        Id::Addr(a) => a.to_string() == user,
        _ => false,
    };
    let passwords = || {
        records.iter().filter_map(|r| match &r.secret {
            Secret::Xauth(password) => Some((r, password)),
            _ => None,
        })
    };
    let named = passwords().find(|(r, _)| r.ids.iter().any(is_user));
    named.or_else(|| passwords().find(|(r, _)| r.ids.is_empty())).map(|(_, password)| password)
}

/// The keys for `me` and `him`, best first: all distinct keys of the most specific match, in file order. For wildcards
/// that is every `%any` record followed by those without an index, so that each can be tried. `Id::None` as `him` is an unknown peer.
pub fn lookup<'a>(records: &'a [PskRecord], me: &Id, him: &Id) -> Vec<&'a SecretBytes> {
    let mut best = 0;
    let mut keys: Vec<(&PskRecord, u8)> = Vec::new();
    for record in records {
        let score = score(record, me, him);
        if score > best {
            best = score;
            keys.clear();
        }
        if score == best && score > 0 {
            keys.push((record, score));
        }
    }
    // Stable: file order within each group.
    keys.sort_by_key(|(record, _)| record.ids.is_empty());
    let mut distinct: Vec<&SecretBytes> = Vec::new();
    for (record, _) in keys {
        if !distinct.contains(&&record.psk) {
            distinct.push(&record.psk);
        }
    }
    distinct
}

/// Openswan's score of a record, 0 for no match: 12 both named, 10 me and a wildcard, 9 me alone, 6 him and a wildcard, 2 a
/// wildcard. Where both are named a wildcard besides does no harm (it made Openswan refuse the record).
fn score(record: &PskRecord, me: &Id, him: &Id) -> u8 {
    let named = |who: &Id| *who != Id::None && record.ids.iter().any(|i| *i != Id::None && i.matches(who));
    let wildcard = record.ids.is_empty() || record.ids.contains(&Id::None);
    match (named(me), named(him), wildcard) {
        (true, true, _) if record.ids.len() > 1 => 12,
        (true, _, true) => 10,
        (true, _, false) if record.ids.len() == 1 => 9,
        (false, true, true) => 6,
        (false, false, true) => 2,
        _ => 0,
    }
}
