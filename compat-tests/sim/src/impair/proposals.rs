//! Proposals that make no sense, and authentication.

use super::{Row, edit, no, row};
use crate::message::{Message, SA};

/// Key length attributes of phase 1 and phase 2.
const IKE: u8 = 14;
const CHILD: u8 = 6;

/// The value of a short attribute, and where it stands.
fn find(attrs: &[u8], kind: u8) -> Option<usize> {
    (0..attrs.len().saturating_sub(3)).step_by(4).find(|n| attrs[*n..*n + 2] == [0x80, kind])
}

fn key_length(kind: u8, change: fn(&mut Vec<u8>, usize)) -> impl Fn(&mut Message) {
    let exchange = if kind == IKE { 2 } else { 32 };
    move |m| {
        if m.exchange == exchange {
            m.attributes(|a| {
                if let Some(at) = find(a, kind) {
                    change(a, at);
                }
            });
        }
    }
}

fn lengths(name: &'static str, kind: u8) -> Row {
    let set = |n: u16| {
        move |m: &mut Message| {
            let exchange = if kind == IKE { 2 } else { 32 };
            if m.exchange == exchange {
                m.attributes(|a| {
                    if let Some(at) = find(a, kind) {
                        a[at + 2..at + 4].copy_from_slice(&n.to_be_bytes());
                    }
                });
            }
        }
    };
    row(
        name,
        vec![
            ("omit", edit(key_length(kind, |a, n| drop(a.drain(n..n + 4))))),
            (
                "empty",
                edit(key_length(kind, |a, n| {
                    a[n] = 0;
                    a[n + 2..n + 4].fill(0);
                })),
            ),
            ("duplicate", edit(key_length(kind, |a, n| a.extend_from_within(n..n + 4)))),
            ("0", edit(set(0))),
            ("1", edit(set(1))),
            ("192", edit(set(192))),
            ("256", edit(set(256))),
            ("65535", edit(set(65535))),
        ],
    )
}

fn octet(at: usize, value: u8, quick: bool) -> impl Fn(&mut Message) {
    move |m| {
        if (m.exchange == 32) == quick
            && let Some(o) = m.find(SA).and_then(|sa| sa.body.get_mut(at))
        {
            *o = value;
        }
    }
}

pub(super) fn rows() -> Vec<Row> {
    let both = |name, word: &str, at, value| {
        (
            name,
            [false, true].map(|quick| {
                (format!("{word}, phase {}", 1 + u8::from(quick)), edit(octet(at, value, quick)))
            }),
        )
    };
    let mut shapes: Vec<Row> = Vec::new();
    for (name, parts) in [
        both("proposal: number", "7", 12, 7),
        both("proposal: protocol", "9", 13, 9),
        both("proposal: SPI size", "200", 14, 200),
        both("proposal: SPI size of none", "0", 14, 0),
        both("proposal: transforms", "0", 15, 0),
        both("proposal: transforms that are not there", "255", 15, 255),
        both("proposal: length", "255", 10, 255),
        both("proposal: next", "7", 8, 7),
        both("SA: DOI", "9", 3, 9),
        both("SA: situation", "255", 4, 255),
    ] {
        shapes.push(Row { name, faults: Ok(parts.into()) });
    }
    // A responder that lies about the life of the IKE SA leaves its peer without one to send a Delete in.
    let lives = |seconds: u32| {
        move |m: &mut Message| {
            if !m.from_initiator && m.exchange != 32 {
                return;
            }
            m.attributes(|a| {
                // Life type seconds, and a life of four octets.
                let quick = find(a, 11).is_none();
                let (kind, life) = if quick { (1, 2) } else { (11, 12) };
                if let Some(at) = find(a, life) {
                    a.drain(at..at + 4);
                }
                if find(a, kind).is_none() {
                    a.extend([0x80, kind, 0, 1]);
                }
                a.extend([0, life, 0, 4]);
                a.extend(seconds.to_be_bytes());
            });
        }
    };
    let mut rows = vec![
        lengths("ike_key_length_attribute", IKE),
        lengths("child_key_length_attribute", CHILD),
        row(
            "lifetime",
            vec![
                ("0", edit(lives(0))),
                ("1", edit(lives(1))),
                ("61", edit(lives(61))),
                ("a day and a second", edit(lives(86_401))),
                ("for ever", edit(lives(u32::MAX))),
            ],
        ),
        row(
            "attributes",
            vec![
                (
                    "forty unknown ones",
                    edit(|m| {
                        m.attributes(|a| (0..40).for_each(|_| a.extend([0x80, 99, 0, 1])));
                    }),
                ),
                (
                    "one cut short",
                    edit(|m| {
                        m.attributes(|a| a.truncate(a.len() - 1));
                    }),
                ),
                (
                    "one that is longer than all",
                    edit(|m| {
                        m.attributes(|a| a.extend([0, 12, 0xff, 0xff]));
                    }),
                ),
            ],
        ),
        no("ikev2_add_ike_transform", "IKEv2"),
        no("ikev2_add_child_transform", "IKEv2"),
        no("v2_proposal_integ", "IKEv2"),
        no("v2_proposal_dh", "IKEv2"),
        no("v2_proposal_protoid", "IKEv2; see proposal: protocol"),
        no("v2n_rekey_sa_protoid", "IKEv2"),
        no("v2_delete_protoid", "IKEv2; see v1_ipsec_delete_payload"),
        no(
            "allow_null_none",
            "the daemon would have to offer ESP without a cipher and a hash; null without one is refused in every list",
        ),
        no(
            "send_key_size_check",
            "the key lengths that are sent come from the list of the conn; see ike_key_length_attribute",
        ),
        no("force_v2_auth_method", "IKEv2"),
        no("truncate_signed_hash", "for an authentication with signatures"),
        no("mangle_cert_pubkey", "for an authentication with certificates"),
        no("send_pkcs7_thingie", "for an authentication with certificates"),
        no("v1_hash_check", "switches off a check of the daemon that is tested"),
        no("childless_ikev2_supported", "IKEv2"),
        no("allow_dns_insecure", "no name server is asked for keys"),
        no("force_fips", "there is no FIPS mode"),
        no("ignore_viable_parent", "IKEv2; a Main Mode beside one that is up is trigger_v1_replace"),
    ];
    rows.extend(shapes);
    rows
}
