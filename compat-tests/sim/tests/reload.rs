//! What a reload, a peer's crash and a batch of requests do to SAs that are up.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by panicking")]

use std::path::Path;
use std::time::Duration;

use ike::PskLookup;
use ipsec_conf::secrets;
use ipsec_types::auth::PskRecord;
use ipsec_types::whack::{Request, Show};
use ipsec_types::{Id, SecretBytes};
use sim::{CLIENT, Pair, PairConfig, clean, server_conn};

fn load(pair: &mut Pair, change: impl FnOnce(&mut ipsec_types::ConnSpec)) {
    let mut spec = server_conn(ipsec_types::algo::DhGroup::Ecp256);
    change(&mut spec);
    let now = pair.now;
    pair.server().whack(now, Request::Load { spec: Box::new(spec), keep_equal: true });
    pair.run_for(Duration::from_secs(2));
}

#[test]
fn an_unchanged_conn_keeps_its_sas_and_a_changed_one_does_not() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    let before = pair.server().engine.established();
    load(&mut pair, |_| {});
    assert!(pair.server().replies.iter().any(|l| l == "000 \"L2TP-PSK\": unchanged"));
    assert_eq!(pair.server().engine.established(), before);
    // The file now says something that cannot be used: what was loaded stays.
    load(&mut pair, |spec| spec.ike_lifetime = 100_000);
    assert_eq!(pair.server().engine.established(), before);
    load(&mut pair, |spec| spec.sa_lifetime = 7200);
    assert!(pair.server().engine.established().is_empty());
    assert!(pair.client().engine.established().is_empty(), "the peer was told");
    pair.hosts.iter().for_each(|h| clean(h).unwrap());
}

#[test]
fn only_conns_of_the_file_are_listed_for_a_reload() {
    let mut pair = Pair::new(PairConfig::default());
    load(&mut pair, |spec| spec.name = "of the file".into());
    let now = pair.now;
    pair.server().replies.clear();
    pair.server().whack(now, Request::Loaded);
    pair.drain();
    assert_eq!(pair.server().replies, ["000 of the file"]);
}

#[test]
fn a_crashed_peer_is_forgotten_without_a_word_to_it() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    let now = pair.now;
    pair.server().whack(now, Request::Crash { peer: CLIENT });
    pair.drain();
    let sent = pair.sent.len();
    pair.run_for(Duration::from_secs(1));
    assert!(pair.server().engine.established().is_empty());
    assert_eq!(pair.sent.len(), sent, "nothing was sent");
    assert!(pair.server().replies.iter().any(|l| l.ends_with("crashed, deleting")));
    assert_eq!(pair.client().engine.established().len(), 1);
}

#[test]
fn states_show_as_json_with_what_they_are() {
    let mut pair = Pair::new(PairConfig::default());
    assert!(pair.connect());
    let now = pair.now;
    pair.client().replies.clear();
    pair.client().whack(now, Request::Show { what: Show::States, name: None, json: true });
    pair.drain();
    let text = pair.client().replies.join("\n");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines.iter().all(|l| l.starts_with("000 {\"state\":{") && l.contains("\"established\":true")),
        "{text}"
    );
    assert!(
        lines.iter().any(|l| l.contains("\"kind\":\"ipsec\"") && l.contains("\"sa_in\":\"esp.")),
        "{text}"
    );
}

/// Keys as a daemon has them after reading `text` as its `ipsec.secrets`.
struct File(Vec<PskRecord>);

impl PskLookup for File {
    fn lookup(&self, me: &Id, him: &Id) -> Vec<SecretBytes> {
        secrets::lookup(&self.0, me, him).into_iter().cloned().collect()
    }
}

fn reread(pair: &mut Pair, host: usize, text: &str) {
    let (records, _) = secrets::parse(Path::new("/nonexistent/s"), text.as_bytes(), &|_| None);
    pair.hosts[host].engine.set_secrets(Box::new(File(records)));
    pair.run_for(Duration::from_secs(1));
}

#[test]
fn secrets_read_again_leave_sas_alone_and_serve_the_next_negotiation() {
    let mut pair = Pair::new(PairConfig::default());
    reread(&mut pair, 0, "%any : PSK \"the first\"\n");
    reread(&mut pair, 1, ": PSK \"the first\"\n");
    assert!(pair.connect());
    let (server, client) = (pair.server().engine.established(), pair.client().engine.established());
    // Another key, a file with nothing but mistakes, an empty one: what is up stays up, and is not renewed early.
    for text in ["%any : PSK \"the second\"\n", ": PSK \"never closed\n%any : PSK\n", ""] {
        reread(&mut pair, 0, text);
        pair.run_for(Duration::from_secs(600));
        assert_eq!(pair.server().engine.established(), server, "{text}");
        assert_eq!(pair.client().engine.established(), client, "{text}");
    }
    pair.down(1);
    pair.run_for(Duration::from_secs(5));
    assert!(pair.client().engine.established().is_empty());
    // The server has no key now, then a wrong one, then that of the client among others.
    for (text, up) in [
        ("", false),
        (": PSK \"the second\"\n", false),
        (": PSK \"the second\"\n: PSK \"the first\"\n", true),
    ] {
        reread(&mut pair, 0, text);
        assert_eq!(pair.connect(), up, "{text}");
        pair.down(1);
        pair.run_for(Duration::from_secs(5));
    }
}
