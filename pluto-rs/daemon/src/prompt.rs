//! Passphrases that a person is asked for (`%prompt` in `ipsec.secrets`): one key file after the other, with lines `040 …` to
//! the client that had the secrets read. The answers come over connections of their own.
//!
//! One client is asked at a time. Nothing here waits, opens a file or keeps a passphrase: what was entered is tried elsewhere.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use ike::ClientId;
use ipsec_types::SecretBytes;
use ipsec_types::whack::rc;

use crate::keys::{Locked, Refused};

/// How often a passphrase may be wrong.
const TRIALS: u32 = 5;

/// Nobody was there to be asked.
const NOBODY: &str = "no passphrase was entered: use ipsec auto --rereadsecrets on a terminal";

/// The questions that are open.
#[derive(Default)]
pub(crate) struct Prompts {
    open: Option<Open>,
}

struct Open {
    client: ClientId,
    /// The first is the one that was asked for.
    locked: VecDeque<Arc<Locked>>,
    trials: u32,
    /// Something was entered, which is being tried.
    trying: bool,
}

/// What came of a step: what to tell whom, and whether there is more to come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Who was asked.
    pub(crate) client: ClientId,
    /// Code and text of lines; those of [`rc::ENTERSECRET`] are for the client alone.
    pub(crate) lines: Vec<(u8, String)>,
    /// The client has heard all.
    pub(crate) ended: bool,
}

/// What an answer comes to.
pub(crate) enum Answer {
    /// It is to be tried on this key, which [`Prompts::tried`] is told of.
    Try(Arc<Locked>),
    /// There is nothing to try.
    Step(Step),
}

impl Step {
    fn new(client: ClientId) -> Self {
        Step { client, lines: Vec::new(), ended: false }
    }
}

/// The line about a key that stays closed.
pub(crate) fn refusal(locked: &Locked, why: &str) -> (u8, String) {
    (rc::LOG_SERIOUS, format!("{}: '{}': {why}", locked.failing, locked.path.display()))
}

impl Prompts {
    /// Asks a client for the passphrases of these keys, at least one.
    pub(crate) fn start(&mut self, client: ClientId, locked: Vec<Locked>) -> Step {
        let locked = locked.into_iter().map(Arc::new).collect();
        self.open = Some(Open { client, locked, trials: 0, trying: false });
        let mut step = Step::new(client);
        self.ask(&mut step);
        step
    }

    fn ask(&mut self, step: &mut Step) {
        match self.open.as_ref().and_then(|o| o.locked.front()) {
            Some(l) => {
                step.lines.push((rc::ENTERSECRET, format!("need passphrase for '{}'", l.path.display())));
            }
            None => {
                self.open = None;
                step.ended = true;
            }
        }
    }

    /// What a person has typed for a file; nothing at all means that nobody is there. `None` if nobody was asked.
    pub(crate) fn answer(&mut self, file: &Path, text: &SecretBytes) -> Option<Answer> {
        let open = self.open.as_mut()?;
        let locked = open.locked.front().filter(|l| l.path == file && !open.trying)?.clone();
        if text.is_empty() {
            return self.take(&locked, Err(Refused::Other(NOBODY.into()))).map(Answer::Step);
        }
        open.trying = true;
        Some(Answer::Try(locked))
    }

    /// What came of a trial. `None` if the questions have ended meanwhile.
    pub(crate) fn tried(&mut self, locked: &Arc<Locked>, result: Result<String, Refused>) -> Option<Step> {
        let open = self.open.as_mut().filter(|o| o.locked.front().is_some_and(|l| Arc::ptr_eq(l, locked)))?;
        open.trying = false;
        self.take(locked, result)
    }

    fn take(&mut self, locked: &Locked, result: Result<String, Refused>) -> Option<Step> {
        let open = self.open.as_mut()?;
        let mut step = Step::new(open.client);
        match result {
            Ok(loaded) => step.lines.push((rc::LOG, loaded)),
            Err(Refused::Passphrase(_)) if open.trials + 1 < TRIALS => {
                open.trials += 1;
                let text = format!("invalid passphrase for '{}', please try again", locked.path.display());
                step.lines.push((rc::ENTERSECRET, text));
                return Some(step);
            }
            Err(Refused::Passphrase(why)) => {
                step.lines.push(refusal(locked, &format!("{why}; too many trials")));
            }
            Err(Refused::Other(why)) => step.lines.push(refusal(locked, &why)),
        }
        open.locked.pop_front();
        open.trials = 0;
        self.ask(&mut step);
        Some(step)
    }

    /// Ends it: the client has gone (`by`), or the secrets are read anew, which asks whoever had them read.
    pub(crate) fn end(&mut self, by: Option<ClientId>) -> Option<Step> {
        let open = self.open.take_if(|o| by.is_none_or(|c| c == o.client))?;
        let mut step = Step::new(open.client);
        step.ended = true;
        let why = match by {
            Some(_) => "whack went away before a passphrase was entered",
            None => "no passphrase was entered before the secrets were read again",
        };
        step.lines.extend(open.locked.iter().map(|l| refusal(l, why)));
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use ipsec_conf::secrets;

    use super::*;
    use crate::keys::Holder;

    struct World {
        dir: tempfile::TempDir,
        keys: Holder,
        prompts: Prompts,
    }

    const CLIENT: ClientId = ClientId(7);

    impl World {
        /// Key files with the passphrases `one` and `two`, and a container with `three`, in `records`.
        fn new() -> World {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("private")).unwrap();
            let pki = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys"));
            for name in ["one.key", "two.der", "three.p12", "plain.key"] {
                fs::copy(pki.join(name), dir.path().join("private").join(name)).unwrap();
            }
            let keys = Holder::new(dir.path().to_path_buf());
            World { dir, keys, prompts: Prompts::default() }
        }

        fn take(&mut self, text: &str) -> (Vec<Locked>, Vec<(bool, String)>) {
            let mut remarks = Vec::new();
            let (records, _) = secrets::parse_all(Path::new("s"), text.as_bytes(), &|_| None);
            (self.keys.take_secrets(&records, &mut remarks), remarks)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join("private").join(name)
        }

        /// The codes and texts of a step's lines, the folder cut off; whether there is a key more, and whether it has ended.
        fn said(&mut self, name: &str, pass: &str) -> (Vec<String>, bool, bool) {
            let (path, pass) = (self.path(name), SecretBytes::from(pass.as_bytes()));
            let before = self.names().len();
            let step = match self.prompts.answer(&path, &pass).unwrap() {
                Answer::Step(step) => step,
                Answer::Try(locked) => {
                    assert!(self.prompts.answer(&path, &pass).is_none(), "one trial at a time");
                    let result = self.keys.unlock(&locked, &pass);
                    self.prompts.tried(&locked, result).unwrap()
                }
            };
            (self.lines(&step), self.names().len() > before, step.ended)
        }

        fn lines(&self, step: &Step) -> Vec<String> {
            assert_eq!(step.client, CLIENT);
            let folder = format!("{}/private/", self.dir.path().display());
            step.lines.iter().map(|(code, text)| format!("{code:03} {}", text.replace(&folder, ""))).collect()
        }

        fn names(&self) -> Vec<String> {
            self.keys.own().keys.iter().map(|k| k.ids.iter().map(ToString::to_string).collect()).collect()
        }
    }

    const RECORDS: &str = "@a : RSA one.key %prompt\n@b : RSA plain.key %prompt\n@c : ECDSA two.der %prompt\n\
                           @d : P12 three.p12 %prompt\n";

    #[test]
    fn keys_are_asked_for_one_after_the_other() {
        let mut w = World::new();
        let (locked, remarks) = w.take(RECORDS);
        // The one that is not encrypted needs nobody.
        assert_eq!((locked.len(), w.names()), (3, vec!["@b".to_string()]), "{remarks:?}");
        let step = w.prompts.start(CLIENT, locked);
        assert_eq!(w.lines(&step), ["040 need passphrase for 'one.key'"]);
        let again = ["040 invalid passphrase for 'one.key', please try again"];
        assert_eq!(w.said("one.key", "no"), (again.map(String::from).to_vec(), false, false));
        // An answer to another question is none to this one.
        let other = w.path("two.der");
        assert!(w.prompts.answer(&other, &SecretBytes::from(&b"two"[..])).is_none());
        let (lines, opened, ended) = w.said("one.key", "one");
        assert!(lines[0].starts_with("002   loaded private key file '"), "{lines:?}");
        assert_eq!((&lines[1][..], opened, ended), ("040 need passphrase for 'two.der'", true, false));
        assert_eq!(w.said("two.der", "two").0[1], "040 need passphrase for 'three.p12'");
        let (lines, opened, ended) = w.said("three.p12", "three");
        assert_eq!((lines.len(), opened, ended), (1, true, true));
        // In the order of the file, with the certificate of the container.
        assert_eq!(w.names(), ["@a", "@b", "@c", "@d"]);
        assert!(w.keys.own().keys[3].cert.is_some());
        let none = w.prompts.answer(&other, &SecretBytes::default());
        assert!(none.is_none(), "nobody is asked any more");
    }

    #[test]
    fn a_file_that_is_the_same_is_not_asked_for_again() {
        let mut w = World::new();
        let (locked, _) = w.take(RECORDS);
        w.prompts.start(CLIENT, locked);
        w.said("one.key", "one");
        w.said("two.der", "two");
        w.prompts.end(None).unwrap();
        let (locked, _) = w.take(RECORDS);
        assert_eq!((locked.len(), w.names().len()), (1, 3));
        // Another file under the name is another key.
        fs::copy(w.path("two.der"), w.path("one.key")).unwrap();
        assert_eq!(w.take(RECORDS).0.len(), 2);
        // What no record names is forgotten.
        assert_eq!(w.take("").0.len(), 0);
        assert_eq!(w.take(RECORDS).0.len(), 3);
    }

    #[test]
    fn five_trials_at_most_and_no_answer_is_one_line() {
        for n in [4, 5] {
            let mut w = World::new();
            let (locked, _) = w.take("@a : RSA one.key %prompt\n");
            w.prompts.start(CLIENT, locked);
            (1..n).for_each(|_| assert!(!w.said("one.key", "no").2));
            let (lines, opened, ended) = w.said("one.key", if n == 4 { "one" } else { "no" });
            assert_eq!((opened, ended), (n == 4, true));
            let why = "003 \"s\" line 1: error loading RSA private key file: 'one.key': ";
            assert_eq!(
                lines[0].starts_with(why) && lines[0].ends_with("too many trials"),
                n == 5,
                "{lines:?}"
            );
        }
        let mut w = World::new();
        let (locked, _) = w.take(RECORDS);
        w.prompts.start(CLIENT, locked);
        let (lines, opened, ended) = w.said("one.key", "");
        let why = "no passphrase was entered: use ipsec auto --rereadsecrets on a terminal";
        assert_eq!(
            lines[0],
            format!("003 \"s\" line 1: error loading RSA private key file: 'one.key': {why}")
        );
        assert_eq!((&lines[1][..], opened, ended), ("040 need passphrase for 'two.der'", false, false));
        // Somebody else's going away does not matter.
        assert_eq!(w.prompts.end(Some(ClientId(8))), None);
        let step = w.prompts.end(Some(CLIENT)).unwrap();
        let lines = w.lines(&step);
        assert_eq!((lines.len(), step.ended), (2, true));
        assert!(
            lines.iter().all(|l| l.ends_with("whack went away before a passphrase was entered")),
            "{lines:?}"
        );
        assert_eq!(w.prompts.end(None), None);
    }

    #[test]
    fn what_comes_of_a_trial_after_the_end_is_told_nobody() {
        let mut w = World::new();
        let (locked, _) = w.take(RECORDS);
        w.prompts.start(CLIENT, locked);
        let (path, pass) = (w.path("one.key"), SecretBytes::from(&b"one"[..]));
        let Some(Answer::Try(locked)) = w.prompts.answer(&path, &pass) else { panic!("nothing to try") };
        w.prompts.end(Some(CLIENT)).unwrap();
        // Somebody else is asked for the same file meanwhile.
        let (again, _) = w.take(RECORDS);
        w.prompts.start(CLIENT, again);
        let result = w.keys.unlock(&locked, &pass);
        assert!(
            matches!(&result, Err(Refused::Other(why)) if why == "the secrets were read again meanwhile")
        );
        assert_eq!(w.prompts.tried(&locked, result), None);
        assert_eq!(w.names(), ["@b"], "no key for a record of another reading");
        assert!(w.said("one.key", "one").1, "the question is still open");
    }
}
