use ipsec_types::kernel::{MARKS, REQID_RANGE};
use proptest::prelude::*;

use super::*;

const A: u32 = *REQID_RANGE.start() + 1;
const B: u32 = *REQID_RANGE.start() + 2;
const MARK_A: u32 = 0x8000;
const MARK_B: u32 = 0x1_0000;

fn info(reqid: u32) -> Vec<u8> {
    let mut out = vec![0xee; INFO];
    out[INFO_REQID..INFO_REQID + 4].copy_from_slice(&reqid.to_ne_bytes());
    out
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(body);
    out
}

fn delsa(reqid: u32) -> Vec<u8> {
    let attribute = [(4 + INFO as u16).to_ne_bytes(), XFRMA_SA.to_ne_bytes()].concat();
    message(XFRM_MSG_DELSA, &[vec![0; ID], attribute, info(reqid), vec![0xaa; 40]].concat())
}

fn expire(reqid: u32, hard: u8) -> Vec<u8> {
    message(XFRM_MSG_EXPIRE, &[info(reqid), vec![hard, 0, 0, 0, 0, 0, 0, 0]].concat())
}

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

#[test]
fn each_kind_of_news_is_read_and_nobody_elses() {
    assert_eq!(news(&delsa(A)), Some(News::Gone(A)));
    assert_eq!(news(&delsa(A)[..NEWS]), Some(News::Gone(A)), "without the attributes with keys");
    assert_eq!(news(&expire(A, 1)), Some(News::Gone(A)));
    assert_eq!(news(&expire(A, 0)), None, "soft");
    assert_eq!(news(&message(XFRM_MSG_UPDSA, &info(B))), Some(News::Here(B)));
    assert_eq!(news(&message(XFRM_MSG_FLUSHSA, &[50, 0, 0, 0])), Some(News::Flushed));
    for foreign in [0, 16385, *REQID_RANGE.start(), *REQID_RANGE.start() + MARKS + 1] {
        assert_eq!(news(&delsa(foreign)), None);
        assert_eq!(news(&message(XFRM_MSG_NEWSA, &info(foreign))), None);
    }
    for cut in 0..NEWS {
        assert_eq!(news(&delsa(A)[..cut]), None, "{cut}");
    }
}

#[test]
fn a_list_ends_with_done_and_an_error_is_one() {
    let mut got = BTreeSet::new();
    let mut wanted = info(B + 1);
    wanted[INFO_SPI..INFO_SPI + 4].fill(0);
    let infos = [info(A), info(7), wanted, info(B)];
    let sas: Vec<u8> = infos.iter().flat_map(|i| message(XFRM_MSG_NEWSA, i)).collect();
    assert!(!listed(&sas, &mut got).unwrap());
    assert_eq!(got, BTreeSet::from([A, B]));
    assert!(listed(&message(NLMSG_DONE, &[0; 4]), &mut got).unwrap());
    let refused = message(NLMSG_ERROR, &(-libc::EPERM).to_ne_bytes());
    assert_eq!(listed(&refused, &mut got).unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert!(listed(&sas[..sas.len() - 1], &mut got).is_err());
}

#[test]
fn the_kernel_is_asked_after_the_grace_and_a_rekey_ends_nothing() {
    let mut s = State::default();
    s.note(at(100), News::Gone(A));
    s.note(at(110), News::Gone(B));
    let ask_at = s.next().unwrap();
    assert!(ask_at >= at(1100) && ask_at <= at(1500));
    assert!(s.check(at(1000), |_| true, || unreachable!()).is_empty());
    // B has a new SA.
    assert_eq!(s.check(ask_at, |_| true, || Ok(BTreeSet::from([B]))), [MARK_A]);
    assert_eq!(s.next(), None);
}

#[test]
fn of_all_clients_there_can_be_only_the_one_whose_sa_is_gone_ends() {
    let all: BTreeSet<u32> = (A..A + MARKS).collect();
    assert!(all.len() >= 100_000);
    for gone in [A, A + 0x7ffe, A + 0x7fff, A + 99_999, A + MARKS - 1] {
        let mut s = State::default();
        s.note(at(0), news(&delsa(gone)).unwrap());
        let left = || Ok(all.iter().copied().filter(|r| *r != gone).collect());
        let ended = s.check(at(2000), |_| true, left);
        let of_others = all.iter().filter(|r| **r != gone && mark_of_reqid(**r).unwrap().value == ended[0]);
        assert_eq!((ended.len(), of_others.count()), (1, 0), "{gone:#x}");
    }
}

#[test]
fn a_flush_is_about_what_was_seen_and_marks_without_a_tunnel_cost_no_question() {
    let mut s = State::default();
    s.note(at(0), News::Here(A));
    s.note(at(0), News::Flushed);
    assert!(s.check(at(2000), |m| m == MARK_B, || unreachable!()).is_empty());
    s.note(at(2000), News::Flushed);
    assert_eq!(s.check(at(4000), |_| true, || Ok(BTreeSet::new())), [MARK_A]);
    s.note(at(4000), News::Flushed);
    assert_eq!(s.next(), None, "told once");
}

#[test]
fn a_question_that_fails_is_asked_again() {
    let mut s = State::default();
    s.note(at(0), News::Gone(A));
    assert!(s.check(at(2000), |_| true, || Err(io::ErrorKind::Other.into())).is_empty());
    assert!(s.next().unwrap() >= at(3000));
    assert_eq!(s.check(at(4000), |_| true, || Ok(BTreeSet::new())), [MARK_A]);
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..600), kind in 0u16..0x30) {
        let mut reqids = BTreeSet::new();
        for m in [octets.clone(), message(kind, &octets)] {
            news(&m);
            let _ = listed(&m, &mut reqids);
        }
    }

    #[test]
    fn no_change_of_a_real_message_panics(place in 0usize..308, to in any::<u8>()) {
        let mut m = delsa(A);
        m[place] = to;
        news(&m);
        let _ = listed(&m, &mut BTreeSet::new());
    }
}
