//! Messages lost, repeated, late, and headers that are wrong.

use std::time::Duration;

use super::{Delivery, Fault, Named, Row, Sent, edit, no, row};
use crate::message::Message;

fn wire(deliver: impl Fn(&Sent<'_>) -> Delivery + 'static) -> Fault {
    Fault::Wire(Box::new(deliver))
}

fn on_time(s: &Sent<'_>) -> Delivery {
    vec![(Duration::ZERO, s.now.clone())]
}

/// The first eight messages of an end, one after the other.
fn each(name: &'static str, f: impl Fn(usize) -> Fault) -> Row {
    Row { name, faults: Ok((0..8).map(|n| (format!("{n}"), f(n))).collect()) }
}

/// Everything old again, some milliseconds apart.
fn old(s: &Sent<'_>, backward: bool) -> Delivery {
    let mut all: Vec<_> = s.before.iter().rev().take(20).rev().cloned().collect();
    if backward {
        all.reverse();
    }
    all.into_iter().enumerate().map(|(n, d)| (Duration::from_millis(n as u64 + 1), d)).collect()
}

fn repeated(s: &Sent<'_>) -> bool {
    s.before.iter().any(|b| b.data == s.now.data)
}

/// One octet of what is under the keys is another.
fn corrupted(s: &Sent<'_>, at: usize) -> Delivery {
    let mut d = s.now.clone();
    let sealed = d.data.get(19).is_some_and(|f| f & 1 != 0);
    if let Some(octet) = d.data.get_mut(28 + at).filter(|_| sealed && s.number == s.before.len()) {
        *octet ^= 0x55;
    }
    vec![(Duration::ZERO, d)]
}

/// The nth message of whatever exchange.
fn at(n: usize, change: impl Fn(&mut Message) + 'static) -> Fault {
    edit(move |m| {
        if m.nth == n {
            change(m);
        }
    })
}

fn header(name: &'static str, changes: &[Named]) -> Row {
    let faults = changes.iter().flat_map(|(word, change)| {
        let change = *change;
        (1..=6).map(move |n| (format!("{word}, message {n}"), at(n, change)))
    });
    Row { name, faults: Ok(faults.collect()) }
}

pub(super) fn rows() -> Vec<Row> {
    let zero = Duration::ZERO;
    vec![
        each("drop", |n| wire(move |s| if s.number == n { Vec::new() } else { on_time(s) })),
        row("block", vec![("all", wire(|_| Vec::new()))]),
        each("block-from", |n| wire(move |s| if s.number >= n { Vec::new() } else { on_time(s) })),
        each("drip", |n| {
            wire(move |s| {
                let late = if s.number == n { Duration::from_millis(2500) } else { Duration::ZERO };
                vec![(late, s.now.clone())]
            })
        }),
        row("duplicate", vec![("each", wire(move |s| vec![(zero, s.now.clone()), (zero, s.now.clone())]))]),
        row(
            "jacob_two_two",
            vec![(
                "each",
                wire(move |s| vec![(zero, s.now.clone()), (Duration::from_secs(1), s.now.clone())]),
            )],
        ),
        row("replay-forward", vec![("all", wire(|s| [on_time(s), old(s, false)].concat()))]),
        row("replay-backward", vec![("all", wire(|s| [on_time(s), old(s, true)].concat()))]),
        no("record", "it only remembers, for replay-forward and replay-backward"),
        no("drop_i2", "IKEv2; the message of IKEv1 is drop 1 of the initiator"),
        row(
            "suppress_retransmits",
            vec![
                ("none is lost", wire(|s| if repeated(s) { Vec::new() } else { on_time(s) })),
                (
                    "the third is lost",
                    wire(|s| if s.number == 2 || repeated(s) { Vec::new() } else { on_time(s) }),
                ),
            ],
        ),
        no(
            "timeout_on_retransmit",
            "a repetition that is given up at once is block-from, seen from the other end",
        ),
        row(
            "copy_v1_notify_response_SPIs_to_retransmission",
            vec![(
                "the responder's cookie in a repeated MI1",
                edit(|m| {
                    // As CVE-2023-30570: a first message with a cookie that nobody gave out.
                    if m.exchange == 2 && m.nth == 1 {
                        m.rcookie = [7; 8];
                    }
                }),
            )],
        ),
        row(
            "replay_encrypted",
            vec![(
                "each",
                wire(|s| {
                    let sealed = s.now.data.get(19).is_some_and(|f| f & 1 != 0);
                    let again =
                        if sealed { vec![(Duration::from_secs(20), s.now.clone())] } else { Vec::new() };
                    [on_time(s), again].concat()
                }),
            )],
        ),
        row(
            "corrupt_encrypted",
            vec![
                ("first block", wire(|s| corrupted(s, 0))),
                ("second block", wire(|s| corrupted(s, 20))),
                ("only once", wire(|s| if repeated(s) { on_time(s) } else { corrupted(s, 3) })),
            ],
        ),
        header("ike_initiator_spi", &[("0", |m| m.icookie = [0; 8]), ("1", |m| m.icookie = [1; 8])]),
        header("ike_responder_spi", &[("0", |m| m.rcookie = [0; 8]), ("1", |m| m.rcookie = [1; 8])]),
        header("major_version_bump", &[("2.0", |m| m.version = 0x20), ("3.0", |m| m.version = 0x30)]),
        header("minor_version_bump", &[("1.1", |m| m.version = 0x11), ("1.15", |m| m.version = 0x1f)]),
        header(
            "send_bogus_isakmp_flag",
            &[("0x80", |m| m.flags |= 0x80), ("0x02", |m| m.flags |= 2), ("0x04", |m| m.flags |= 4)],
        ),
        header(
            "bad_ike_auth_xchg",
            &[
                ("37", |m| m.exchange = 37),
                ("1", |m| m.exchange = 1),
                ("6", |m| m.exchange = 6),
                ("32", |m| m.exchange = 32),
                ("5", |m| m.exchange = 5),
            ],
        ),
        header("message-id", &[("1", |m| m.msgid = 1), ("0", |m| m.msgid = 0)]),
        header(
            "wrong-length",
            &[
                ("one more", |m| m.lie = 1),
                ("one less", |m| m.lie = -1),
                ("two gigabytes more", |m| m.lie = i32::MIN),
                ("four octets behind it", |m| m.tail = vec![0; 4]),
            ],
        ),
        no("tcp_use_blocking_write", "IKE is spoken over UDP only"),
        no("tcp_skip_setsockopt_espintcp", "IKE is spoken over UDP only"),
        no("ddos_cookie", "IKEv2: IKEv1 has no cookie that is asked for"),
    ]
}
