//! Public keys that `ipsec whack --keyid ID --pubkeyrsa KEY` gave: they serve every conn whose peer has that identity, as those
//! of `leftrsasigkey=` serve theirs. They last as long as the daemon; no file is read and no name server asked here.

use ipsec_crypto::PublicKey;
use ipsec_crypto::rsa_key::RsaPublic;
use ipsec_types::Id;
use ipsec_types::whack::rc;

use crate::Endpoint;
use crate::io::ClientId;

/// Most keys that are kept.
const MOST: usize = 10_000;

/// One key.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub id: Id,
    pub key: PublicKey,
    /// When it came, in seconds since 1970.
    pub at: u64,
}

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct GivenKeys(Vec<Given>);

impl GivenKeys {
    /// The keys of this identity.
    pub(crate) fn of(&self, id: &Id) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().filter(move |g| *id != Id::None && g.id.matches(id)).map(|g| &g.key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Given> {
        self.0.iter()
    }
}

impl Endpoint {
    /// `--keyid ID [--addkey] [--pubkeyrsa KEY]`: without `--addkey` the keys it has are taken away first.
    pub(crate) fn whack_key(&mut self, client: ClientId, id: Id, add: bool, rsa: Option<&[u8]>) {
        if id == Id::None {
            return self.reply(client, rc::BADID, "--keyid must say whose key it is");
        }
        let keys = &mut self.given.0;
        if !add {
            let before = keys.len();
            keys.retain(|g| g.id != id);
            let gone = before - keys.len();
            if rsa.is_none() {
                let text =
                    format!("{gone} public keys of '{id}' deleted; no name server is asked for others");
                return self.reply(client, rc::LOG, &text);
            }
        }
        let Some(blob) = rsa else {
            return self.reply(client, rc::NOKEY, "--addkey adds nothing without --pubkeyrsa");
        };
        if self.given.0.len() >= MOST {
            return self.reply(client, rc::NOKEY, &format!("more than {MOST} public keys; key not loaded"));
        }
        match RsaPublic::from_rfc3110(blob).map(PublicKey::Rsa) {
            Ok(key) if self.given.0.iter().any(|g| g.id == id && g.key == key) => {}
            Ok(key) => self.given.0.push(Given { id, key, at: self.now.wall }),
            Err(e) => self.reply(client, rc::LOG_SERIOUS, &format!("key of '{id}' malformed [{e}]")),
        }
    }
}
