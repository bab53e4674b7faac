//! Every impairment of libreswan's list, for both ends and every authentication.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use sim::impair::{AUTHS, Side, run, table};
use sim::{Outcome, Pair, PairConfig, outcome};

/// Every impairment of one end ends in an SA or in a clean failure.
fn impair(side: Side) {
    let (mut wrong, mut runs, mut up) = (Vec::new(), 0, 0);
    for auth in AUTHS {
        for row in table() {
            for (setting, fault) in row.faults.into_iter().flatten() {
                runs += 1;
                match run(*auth, side, fault) {
                    Ok(end) => up += usize::from(end == Outcome::Established),
                    Err(why) => {
                        wrong.push(format!("{}, {side:?}, {} ({setting}): {why}", auth.name, row.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
    // Neither is everything refused nor everything taken.
    assert!(up * 5 > runs && up < runs, "{up} of {runs} came up");
}

#[test]
fn an_impaired_initiator_harms_nobody() {
    impair(Side::Initiator);
}

#[test]
fn an_impaired_responder_harms_nobody() {
    impair(Side::Responder);
}

#[test]
fn rows_that_do_not_apply_say_why_and_no_name_comes_twice() {
    let mut names = std::collections::BTreeSet::new();
    for row in table() {
        assert!(names.insert(row.name), "{}", row.name);
        match row.faults {
            Ok(faults) => assert!(!faults.is_empty(), "{}", row.name),
            Err(why) => assert!(!why.is_empty(), "{}", row.name),
        }
    }
    assert!(names.len() > 105, "{}", names.len());
}

/// Somebody on the path who reads everything and changes nothing is not noticed.
#[test]
fn a_spy_that_changes_nothing_passes_every_octet() {
    use std::cell::RefCell;
    use std::rc::Rc;

    use sim::spy::{Spy, Suite};
    let mut pair = Pair::new(PairConfig::default());
    let mut spy = Spy::new(Suite {
        cipher: ipsec_types::algo::IkeCipher::Aes(128),
        hash: ipsec_types::algo::HashAlg::Sha1,
        psk: Some(sim::PSK.to_vec()),
    });
    let seen = Rc::new(RefCell::new(Vec::new()));
    let names = seen.clone();
    pair.tamper = Some(Box::new(move |hosts, d| {
        let from_client = d.src.ip() == hosts[1].addr;
        let mut look = |m: &mut sim::message::Message| names.borrow_mut().push(m.name());
        let out = spy.pass([&hosts[1].shared, &hosts[0].shared], from_client, &d.data, &mut look);
        assert_eq!(out, d.data);
        vec![(std::time::Duration::from_millis(5), d)]
    }));
    assert!(pair.connect());
    assert_eq!(outcome(&pair), Outcome::Established);
    assert_eq!(*seen.borrow(), ["MI1", "MR1", "MI2", "MR2", "MI3", "MR3", "QI1", "QR1", "QI2"]);
}
