//! Payloads that are missing, empty, doubled, too long, too short, unknown, or full of nonsense.

use super::{Fault, Named, Row, edit, no, row};
use crate::message::{ATTRIBUTES, DELETE, HASH, ID, KE, Message, NONCE, NOTIFY, Payload, SA, SIG, VENDOR};

type Spoil = fn(&mut Message, usize);

/// What a payload can be spoilt with (libreswan's omit, empty, duplicate and a byte), and more.
const WAYS: [(&str, Spoil); 9] = [
    ("omit", |m, n| drop(m.payloads.remove(n))),
    ("empty", |m, n| m.payloads[n].body.clear()),
    ("duplicate", |m, n| m.payloads.insert(n, m.payloads[n].clone())),
    ("0", |m, n| m.payloads[n].body.fill(0)),
    ("255", |m, n| m.payloads[n].body.fill(255)),
    ("shorter", |m, n| {
        let body = &mut m.payloads[n].body;
        body.truncate(body.len().saturating_sub(1));
    }),
    ("longer", |m, n| m.payloads[n].body.push(7)),
    ("length too great", |m, n| m.payloads[n].lie = 0x1000),
    ("length below its header", |m, n| m.payloads[n].lie = -(m.payloads[n].body.len() as i16) - 2),
];

/// Spoils the payloads of a kind in the messages that `which` names.
fn spoil(kind: u8, which: fn(&Message) -> bool, way: Spoil) -> impl Fn(&mut Message) {
    move |m| {
        if let Some(at) = m.payloads.iter().position(|p| p.kind == kind).filter(|_| which(m)) {
            // A hash that is not repaired: it is what is wrong.
            m.repair &= kind != HASH;
            way(m, at);
        }
    }
}

fn all_ways(name: &'static str, kind: u8, which: fn(&Message) -> bool) -> Row {
    let faults = WAYS.iter().map(|(word, way)| ((*word).to_string(), edit(spoil(kind, which, *way))));
    Row { name, faults: Ok(faults.collect()) }
}

/// The same in what is said when hanging up.
fn hanging_up(name: &'static str, kind: u8, which: fn(&Message) -> bool) -> Row {
    let faults = WAYS
        .iter()
        .map(|(word, way)| ((*word).to_string(), Fault::HangUp(Box::new(spoil(kind, which, *way)))));
    Row { name, faults: Ok(faults.collect()) }
}

fn phase1(m: &Message) -> bool {
    m.msgid == 0
}

fn quick(m: &Message) -> bool {
    m.exchange == 32
}

fn info(m: &Message) -> bool {
    m.exchange == 5 && m.encrypted()
}

fn of_protocol(m: &Message, protocol: u8) -> bool {
    let delete = m.payloads.iter().find(|p| p.kind == DELETE);
    info(m) && delete.is_some_and(|p| p.body.get(4) == Some(&protocol))
}

fn more(m: &mut Message, kind: u8, body: &[u8], times: usize) {
    (0..times).for_each(|_| m.payloads.push(Payload::new(kind, body.to_vec())));
}

/// In every message of its phase, by its place there.
fn everywhere(name: &'static str, changes: &[Named]) -> Row {
    let faults = changes.iter().flat_map(|(word, change)| {
        (1..=6).flat_map(move |n| {
            [true, false].map(|first| {
                let (change, phase) = (*change, if first { "phase 1" } else { "phase 2" });
                let fault = edit(move |m| {
                    if m.nth == n && phase1(m) == first {
                        change(m);
                    }
                });
                (format!("{word}, {phase}, message {n}"), fault)
            })
        })
    });
    Row { name, faults: Ok(faults.collect()) }
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        all_ways("ke_payload", KE, |_| true),
        row(
            "ke_payload: degenerate",
            vec![
                (
                    "1",
                    edit(spoil(
                        KE,
                        |_| true,
                        |m, n| {
                            m.payloads[n].body.fill(0);
                            if let Some(last) = m.payloads[n].body.last_mut() {
                                *last = 1;
                            }
                        },
                    )),
                ),
                ("half", edit(spoil(KE, |_| true, |m, n| m.payloads[n].body.truncate(32)))),
                ("of another group", edit(spoil(KE, |_| true, |m, n| m.payloads[n].body.resize(128, 2)))),
            ],
        ),
        all_ways("ike_initiator_nonce, ike_responder_nonce: phase 1", NONCE, phase1),
        all_ways("ike_initiator_nonce, ike_responder_nonce: phase 2", NONCE, quick),
        row(
            "ike_initiator_nonce, ike_responder_nonce: size",
            vec![
                ("7", edit(spoil(NONCE, |_| true, |m, n| m.payloads[n].body.truncate(7)))),
                ("257", edit(spoil(NONCE, |_| true, |m, n| m.payloads[n].body.resize(257, 9)))),
            ],
        ),
        all_ways("v1_hash_payload: phase 1", HASH, phase1),
        all_ways("v1_hash_payload: phase 1 by signature", SIG, phase1),
        all_ways("v1_hash_payload, v1_hash_exchange=quick", HASH, quick),
        hanging_up("v1_hash_payload, v1_hash_exchange=delete, notification", HASH, info),
        all_ways("v1_hash_payload, v1_hash_exchange=xauth", HASH, |m| m.exchange == 6),
        all_ways("attributes of XAUTH", ATTRIBUTES, |m| m.exchange == 6),
        hanging_up("v1_isakmp_delete_payload", DELETE, |m| of_protocol(m, 1)),
        hanging_up("v1_ipsec_delete_payload", DELETE, |m| of_protocol(m, 3)),
        row(
            "v1 Delete: many",
            vec![
                (
                    "SPIs that are not there",
                    Fault::HangUp(Box::new(|m| {
                        if of_protocol(m, 3)
                            && let Some(d) = m.find(DELETE)
                        {
                            d.body = [&d.body[..4], &[3, 4, 0, 200], &[9; 800]].concat();
                        }
                    })),
                ),
                (
                    "the count lies",
                    Fault::HangUp(Box::new(|m| {
                        if info(m)
                            && let Some(d) = m.find(DELETE)
                        {
                            d.body[6..8].copy_from_slice(&[0xff, 0xff]);
                        }
                    })),
                ),
                (
                    "the SPI size lies",
                    Fault::HangUp(Box::new(|m| {
                        if info(m)
                            && let Some(d) = m.find(DELETE)
                        {
                            d.body[5] = 0;
                        }
                    })),
                ),
            ],
        ),
        row(
            "ikev1_del_with_notify",
            vec![
                (
                    "a notification behind",
                    Fault::HangUp(Box::new(|m| {
                        if info(m) {
                            more(m, NOTIFY, &[0, 0, 0, 1, 1, 0, 0, 14], 1);
                        }
                    })),
                ),
                (
                    "a Delete behind its own SA's",
                    Fault::HangUp(Box::new(|m| {
                        if info(m)
                            && let Some(d) = m.find(DELETE).map(|d| d.body.clone())
                        {
                            more(m, DELETE, &d, 3);
                            more(m, NOTIFY, &[0, 0, 0, 1, 1, 0, 0x8d, 0x28], 1);
                        }
                    })),
                ),
            ],
        ),
        row(
            "send_no_delete",
            vec![(
                "all",
                Fault::HangUp(Box::new(|m| {
                    if info(m) {
                        m.payloads.retain(|p| p.kind != DELETE);
                    }
                })),
            )],
        ),
        row(
            "send_no_main_r2",
            vec![(
                "all",
                edit(|m| {
                    if m.exchange == 2 && m.nth == 4 {
                        m.payloads.clear();
                    }
                }),
            )],
        ),
        row(
            "send_no_xauth_r0",
            vec![(
                "all",
                edit(|m| {
                    if m.exchange == 6 && m.nth == 1 {
                        m.payloads.clear();
                    }
                }),
            )],
        ),
        no("drop_xauth_r0", "a message that is lost, see drop and block-from"),
        row(
            "v1_emit_quick_id",
            vec![
                (
                    "none",
                    edit(|m| {
                        if quick(m) {
                            m.payloads.retain(|p| p.kind != ID)
                        }
                    }),
                ),
                ("one", edit(spoil(ID, quick, |m, n| drop(m.payloads.remove(n))))),
                ("three", edit(spoil(ID, quick, |m, n| m.payloads.insert(n, m.payloads[n].clone())))),
            ],
        ),
        all_ways("v1_emit_quick_id: spoilt", ID, quick),
        row(
            "v1_remote_quick_id",
            vec![
                (
                    "a name",
                    edit(spoil(ID, quick, |m, n| {
                        m.payloads[n + 1].body = vec![2, 17, 6, 0xa5, b'h', b'o', b's', b't']
                    })),
                ),
                (
                    "an IPv6 network",
                    edit(spoil(ID, quick, |m, n| {
                        m.payloads[n + 1].body = [vec![6, 0, 0, 0], vec![0; 32]].concat()
                    })),
                ),
                (
                    "everything",
                    edit(spoil(ID, quick, |m, n| {
                        m.payloads[n + 1].body = vec![4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
                    })),
                ),
                ("an unknown type", edit(spoil(ID, quick, |m, n| m.payloads[n].body[0] = 99))),
            ],
        ),
        all_ways("identity: phase 1", ID, phase1),
        all_ways("SA payload: phase 1", SA, phase1),
        all_ways("SA payload: phase 2", SA, quick),
        everywhere(
            "bust_mi2, bust_mr2",
            &[
                ("2,000 octets more", |m| more(m, VENDOR, &[b'x'; 2000], 1)),
                ("60,000 octets more", |m| more(m, VENDOR, &[b'x'; 30_000], 2)),
                ("70 payloads more", |m| more(m, VENDOR, b"x", 70)),
            ],
        ),
        everywhere(
            "send_bogus_payload_flag",
            &[("critical", |m| m.payloads.iter_mut().for_each(|p| p.reserved = 0x80))],
        ),
        everywhere("send_nonzero_reserved", &[("1", |m| m.payloads.iter_mut().for_each(|p| p.reserved = 1))]),
        row(
            "send_nonzero_reserved_id",
            vec![(
                "phase 1",
                edit(|m| {
                    if m.exchange == 2
                        && let Some(id) = m.find(ID)
                    {
                        id.body[2] = 1;
                    }
                }),
            )],
        ),
        everywhere(
            "unknown payload types",
            &[
                ("21", |m| more(m, 21, &[0; 8], 1)),
                ("33, IKEv2's SA", |m| more(m, 33, &[0; 8], 1)),
                ("41, IKEv2's notification", |m| more(m, 41, &[0, 0, 0x40, 4], 1)),
                ("14, SA key", |m| more(m, 14, &[0; 8], 1)),
                ("200, private", |m| more(m, 200, &[0; 8], 1)),
            ],
        ),
        everywhere(
            "extra payloads",
            &[
                ("NOTIFY", |m| more(m, NOTIFY, &[0, 0, 0, 1, 1, 0, 0, 14], 1)),
                ("DELETE", |m| {
                    more(
                        m,
                        DELETE,
                        &[0, 0, 0, 1, 1, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                        1,
                    )
                }),
                ("KE", |m| more(m, KE, &[1; 64], 1)),
                ("NONCE", |m| more(m, NONCE, &[1; 16], 1)),
                ("ID", |m| more(m, ID, &[1, 0, 0, 0, 10, 0, 0, 1], 1)),
                ("HASH", |m| more(m, HASH, &[1; 20], 1)),
                ("CERT", |m| more(m, 6, &[4, 0x30, 0], 1)),
                ("CR", |m| more(m, 7, &[4], 1)),
                ("SIG", |m| more(m, SIG, &[0; 256], 1)),
                ("NAT-D", |m| more(m, 20, &[0; 20], 2)),
                ("NAT-OA", |m| more(m, 21, &[1, 0, 0, 0, 10, 0, 0, 1], 2)),
                ("a vendor ID without octets", |m| more(m, VENDOR, &[], 1)),
            ],
        ),
        everywhere("payloads backwards", &[("all", |m| m.payloads.reverse())]),
        everywhere(
            "payloads omitted",
            &[
                ("all", |m| m.payloads.clear()),
                ("the last", |m| drop(m.payloads.pop())),
                ("the first", |m| drop(m.payloads.remove(0))),
            ],
        ),
        no("send_no_idr", "IKEv2"),
        no("send_no_ikev2_auth", "IKEv2"),
        no("omit_v2_ike_auth_child", "IKEv2"),
        no("omit_v2_notification", "IKEv2"),
        no("omit_addke_notification", "IKEv2"),
        no("add_v2_notification", "IKEv2"),
        no("ignore_v2_notification", "IKEv2"),
        no("add_unknown_v2_payload_to", "IKEv2; see unknown payload types"),
        no("add_unknown_v2_payload_to_sk", "IKEv2; see unknown payload types"),
        no("unknown_v2_payload_critical", "IKEv2; see send_bogus_payload_flag"),
        no("pad_with_unknown_v2_payloads", "IKEv2; see bust_mi2, bust_mr2"),
        no("number_of_TSi_selectors", "IKEv2"),
        no("number_of_TSr_selectors", "IKEv2"),
    ]
}
