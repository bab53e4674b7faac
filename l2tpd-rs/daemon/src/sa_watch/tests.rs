use ipsec_types::kernel::{MARKS, REQID_RANGE};
use proptest::prelude::*;

use super::news::*;
use super::*;

const A: u32 = *REQID_RANGE.start() + 1;
const B: u32 = *REQID_RANGE.start() + 2;
const MARK_A: u32 = 0x8000;
const MARK_B: u32 = 0x1_0000;
const RECORDED: &str = include_str!("recorded.txt");

/// What the kernel has said when that happened.
fn recorded(what: &str) -> Vec<u8> {
    let line = RECORDED.lines().find_map(|l| l.strip_prefix(what)?.strip_prefix(": ")).unwrap();
    (0..line.len()).step_by(2).map(|i| u8::from_str_radix(&line[i..i + 2], 16).unwrap()).collect()
}

/// An SA with this SPI, from one given end to another.
fn sa(reqid: u32, spi: u32) -> Sa {
    Sa { reqid, spi: spi.to_be_bytes(), dst: [7; 16], proto: 50 }
}

fn info(s: Sa) -> Vec<u8> {
    let mut out = vec![0xee; INFO];
    out[INFO_REQID..INFO_REQID + 4].copy_from_slice(&s.reqid.to_ne_bytes());
    out[INFO_SPI..INFO_SPI + 4].copy_from_slice(&s.spi);
    out[INFO_DST..INFO_DST + 16].copy_from_slice(&s.dst);
    out[INFO_PROTO] = s.proto;
    out
}

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(body);
    out
}

fn delsa(s: Sa) -> Vec<u8> {
    let attribute = [(4 + INFO as u16).to_ne_bytes(), XFRMA_SA.to_ne_bytes()].concat();
    message(XFRM_MSG_DELSA, &[vec![0; ID], attribute, info(s), vec![0xaa; 40]].concat())
}

fn at(ms: u64) -> Instant {
    Instant(ms * 1_000_000)
}

/// Takes these news at this time.
fn note(s: &mut State, ms: u64, list: &[News]) {
    list.iter().for_each(|n| s.note(at(ms), *n));
}

/// What has ended by then, without a question to the kernel.
fn over(s: &mut State, ms: u64) -> Vec<u32> {
    s.check(at(ms), |_| true, || unreachable!())
}

#[test]
fn what_a_kernel_has_said_is_read() {
    let v4 = |a: [u8; 4]| {
        let mut out = [0; 16];
        out[..4].copy_from_slice(&a);
        out
    };
    let to_us = |spi: u32| Sa { reqid: A, spi: spi.to_be_bytes(), dst: v4([192, 0, 2, 1]), proto: 50 };
    let back = Sa { reqid: A, spi: 0x0bad_cafe_u32.to_be_bytes(), dst: v4([203, 0, 113, 7]), proto: 50 };
    let v6: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    let six = Sa { reqid: B, spi: 0xc000_0002_u32.to_be_bytes(), dst: v6.octets(), proto: 50 };
    for (what, want) in [
        ("new in", Some(News::Here(to_us(0xc000_0001)))),
        ("new out", Some(News::Here(back))),
        ("update in", Some(News::Here(to_us(0xc000_0001)))),
        ("delete in", Some(News::Gone(to_us(0xc000_0001)))),
        ("delete out", Some(News::Gone(back))),
        ("larval becomes SA", Some(News::Here(to_us(0xc000_0010)))),
        ("new of IPv6", Some(News::Here(six))),
        ("soft expire", None),
        ("hard expire", Some(News::Gone(six))),
        ("flush", Some(News::Flushed)),
    ] {
        assert_eq!(news(&recorded(what)), want, "{what}");
        let whole = recorded(what).len();
        for cut in 0..whole.min(HEADER + ID) {
            assert!(matches!(news(&recorded(what)[..cut]), None | Some(News::Flushed)), "{what}, {cut}");
        }
    }
    assert_eq!(RECORDED.lines().filter(|l| !l.starts_with('#')).count(), 10);
}

#[test]
fn the_life_of_a_pair_as_a_kernel_tells_it() {
    let mut s = State::default();
    // A new one in one direction is enough: the client is there.
    for what in ["new in", "new out", "update in", "larval becomes SA", "delete in", "delete out"] {
        note(&mut s, 0, &[news(&recorded(what)).unwrap()]);
        assert_eq!(s.next(), None, "{what}");
    }
    assert_eq!(s.here.len(), 1);
    let last = *s.here.first().unwrap();
    note(&mut s, 100, &[News::Gone(last)]);
    assert_eq!(over(&mut s, 1000), [0u32; 0]);
    assert_eq!(over(&mut s, 1500), [MARK_A]);
    assert_eq!(s.next(), None, "told once");
}

#[test]
fn of_nobody_elses_sa_there_are_news() {
    for foreign in [0, 16385, *REQID_RANGE.start(), *REQID_RANGE.start() + MARKS + 1] {
        assert_eq!(news(&delsa(sa(foreign, 1))), None);
        assert_eq!(news(&message(XFRM_MSG_NEWSA, &info(sa(foreign, 1)))), None);
    }
    assert_eq!(news(&message(XFRM_MSG_NEWSA, &info(sa(A, 0)))), None, "a place kept for an SA");
    let m = delsa(sa(A, 1));
    assert_eq!(news(&m[..NEWS]), Some(News::Gone(sa(A, 1))), "without the attributes with keys");
    for cut in 0..NEWS {
        assert_eq!(news(&m[..cut]), None, "{cut}");
    }
}

#[test]
fn a_list_ends_with_done_and_an_error_is_one() {
    let mut got = BTreeSet::new();
    let infos = [sa(A, 1), sa(7, 2), sa(B + 1, 0), sa(B, 3)];
    let sas: Vec<u8> = infos.iter().flat_map(|s| message(XFRM_MSG_NEWSA, &info(*s))).collect();
    assert!(!listed(&sas, &mut got).unwrap());
    assert_eq!(got, BTreeSet::from([sa(A, 1), sa(B, 3)]));
    assert!(listed(&message(3, &[0; 4]), &mut got).unwrap());
    let refused = message(2, &(-libc::EPERM).to_ne_bytes());
    assert_eq!(listed(&refused, &mut got).unwrap_err().raw_os_error(), Some(libc::EPERM));
    assert!(listed(&sas[..sas.len() - 1], &mut got).is_err());
}

#[test]
fn a_rekey_ends_nothing_and_the_last_sa_is_gone_after_the_grace() {
    use News::{Gone, Here};
    let mut s = State::default();
    note(&mut s, 0, &[Here(sa(A, 1)), Here(sa(A, 2)), Here(sa(B, 3)), Here(sa(B, 4))]);
    // The new pair comes first, or a moment later.
    note(&mut s, 100, &[Here(sa(A, 11)), Here(sa(A, 12)), Gone(sa(A, 1)), Gone(sa(A, 2))]);
    assert_eq!(s.next(), None);
    note(&mut s, 200, &[Gone(sa(B, 3)), Gone(sa(B, 4))]);
    let end = s.next().unwrap();
    assert!(end >= at(1200) && end <= at(1500));
    assert_eq!(over(&mut s, 1000), [0u32; 0]);
    note(&mut s, 1100, &[Here(sa(B, 13))]);
    assert_eq!(over(&mut s, 2000), [0u32; 0]);
    assert_eq!(s.next(), None);
    // One that goes again is given its own time.
    note(&mut s, 2000, &[Gone(sa(B, 13)), Here(sa(B, 14))]);
    note(&mut s, 2900, &[Gone(sa(B, 14))]);
    assert_eq!(over(&mut s, 3500), [0u32; 0]);
    assert_eq!(over(&mut s, 4250), [MARK_B]);
}

#[test]
fn of_all_clients_there_can_be_only_the_one_whose_sa_is_gone_ends() {
    let all: BTreeSet<Sa> = (A..A + MARKS).flat_map(|r| [sa(r, 1), sa(r, 2)]).collect();
    assert!(all.len() >= 200_000);
    let mut s = State { here: all, ..State::default() };
    for gone in [A, A + 0x7ffe, A + 0x7fff, A + 99_999, A + MARKS - 1] {
        note(&mut s, 0, &[news(&delsa(sa(gone, 1))).unwrap()]);
        assert_eq!(s.next(), None, "{gone:#x} has another one");
        note(&mut s, 0, &[news(&delsa(sa(gone, 2))).unwrap()]);
        let ended = over(&mut s, 2000);
        let of_others = s.here.iter().filter(|s| mark_of_reqid(s.reqid).unwrap().value == ended[0]);
        assert_eq!((ended.len(), of_others.count()), (1, 0), "{gone:#x}");
    }
}

#[test]
fn after_a_flush_or_a_loss_the_kernel_is_asked_once_and_those_who_come_back_stay() {
    let mut s = State::default();
    note(&mut s, 0, &[News::Here(sa(A, 1)), News::Here(sa(B, 2))]);
    note(&mut s, 0, &[News::Flushed]);
    let ask = s.next().unwrap();
    assert!(ask <= at(250));
    // However many are lost after that, it is not put off.
    note(&mut s, 200, &[News::Flushed]);
    assert_eq!(s.next(), Some(ask));
    assert!(s.check(ask, |_| true, || Ok(BTreeSet::new())).is_empty(), "nobody has had time to come back");
    note(&mut s, 900, &[News::Here(sa(B, 12))]);
    assert_eq!(over(&mut s, 2000), [MARK_A]);
    assert_eq!(s.next(), None, "told once");
    // A reqid that was never seen may be another's mark.
    note(&mut s, 2000, &[News::Flushed]);
    assert!(s.check(at(2500), |_| true, || Ok(BTreeSet::from([sa(B, 12)]))).is_empty());
    assert_eq!(s.next(), None);
}

#[test]
fn a_mark_without_a_tunnel_is_nobodys() {
    let mut s = State::default();
    note(&mut s, 0, &[News::Here(sa(A, 1)), News::Gone(sa(A, 1))]);
    assert!(s.check(at(2000), |m| m == MARK_B, || unreachable!()).is_empty());
    assert_eq!(s.next(), None);
}

#[test]
fn a_question_that_fails_is_asked_again_and_meanwhile_nothing_ends() {
    let mut s = State::default();
    note(&mut s, 0, &[News::Here(sa(A, 1)), News::Gone(sa(A, 1)), News::Flushed]);
    for ms in [2000, 3000, 4000] {
        assert_eq!(s.next().map(|t| t <= at(ms)), Some(true));
        assert!(s.check(at(ms), |_| true, || Err(io::ErrorKind::Other.into())).is_empty());
        assert_eq!(s.next(), Some(at(ms + 1000)), "not at once");
    }
    // What was lost: it has come back.
    assert!(s.check(at(5000), |_| true, || Ok(BTreeSet::from([sa(A, 9)]))).is_empty());
    note(&mut s, 5000, &[News::Gone(sa(A, 9))]);
    assert_eq!(over(&mut s, 6250), [MARK_A]);
}

proptest! {
    #[test]
    fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..600), kind in 0u16..0x30) {
        let mut sas = BTreeSet::new();
        for m in [octets.clone(), message(kind, &octets)] {
            news(&m);
            let _ = listed(&m, &mut sas);
        }
    }

    #[test]
    fn no_change_of_a_real_message_panics(which in 0usize..10, place in 0usize..268, to in any::<u8>()) {
        let line = RECORDED.lines().filter(|l| !l.starts_with('#')).nth(which).unwrap();
        let mut m = recorded(line.split(':').next().unwrap());
        if let Some(b) = m.get_mut(place) {
            *b = to;
        }
        news(&m);
        let _ = listed(&m, &mut BTreeSet::new());
    }

    /// Whatever the order of news is: a mark ends if and only if it has no SA when its time has come.
    #[test]
    fn a_mark_ends_when_it_has_no_sa_and_not_otherwise(
        list in prop::collection::vec((0u64..400, 0u32..3, 1u32..4, any::<bool>()), 1..60),
    ) {
        let (mut s, mut model, mut now) = (State::default(), BTreeSet::new(), 0);
        // Reqids without an SA, and since when.
        let mut gone = BTreeMap::<u32, u64>::new();
        for (wait, reqid, spi, here) in list.into_iter().chain([(2000, 0, 1, true)]) {
            now += wait;
            let ended = over(&mut s, now);
            gone.retain(|r, since| {
                let is_over = ended.contains(&mark_of_reqid(*r).unwrap().value);
                assert!(!is_over || *since + 1000 <= now, "too early");
                assert!(is_over || now < *since + 1250, "too late");
                !is_over
            });
            for mark in ended {
                prop_assert!(!model.iter().any(|m: &Sa| mark_of_reqid(m.reqid).unwrap().value == mark));
            }
            let one = sa(A + reqid, spi);
            if here { model.insert(one) } else { model.remove(&one) };
            match model.iter().any(|m| m.reqid == one.reqid) {
                true => gone.remove(&one.reqid),
                false => gone.insert(one.reqid, now),
            };
            note(&mut s, now, &[if here { News::Here(one) } else { News::Gone(one) }]);
            prop_assert_eq!(&s.here, &model);
        }
        prop_assert!(gone.is_empty());
    }
}
