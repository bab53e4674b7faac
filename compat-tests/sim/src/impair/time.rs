//! What comes too early, too late or at the same time.

use std::time::Duration;

use ipsec_types::kernel::KernelEvent;
use ipsec_types::whack::Request;

use super::{Fault, Row, Side, no, row};
use crate::net::Datagram;
use crate::pair::{Pair, PairConfig};

fn config(change: impl Fn(&mut PairConfig, Side) + 'static) -> Fault {
    Fault::Config(Box::new(change))
}

fn act(what: impl Fn(&mut Pair, Side) + 'static) -> Fault {
    Fault::Act(Box::new(what))
}

/// The lives of one end's SAs, and who renews them.
fn lives(c: &mut PairConfig, side: Side, ike: u32, child: u32) {
    let conns: Vec<_> = match side {
        Side::Initiator => vec![&mut c.client],
        Side::Responder => c.server.iter_mut().collect(),
    };
    for conn in conns {
        (conn.rekey, conn.ike_lifetime, conn.sa_lifetime) = (true, ike, child);
        (conn.rekey_margin, conn.rekey_fuzz) = (30, 0);
    }
}

/// The kernel says that an SA is used up.
fn expire(pair: &mut Pair, side: Side, inbound: bool, hard: bool) {
    let now = pair.now;
    let host = &mut pair.hosts[side.host()];
    if let Some(id) = host.kernel.sas().iter().find(|s| s.inbound == inbound).map(|s| s.id) {
        host.kernel.inject(KernelEvent::Expire { id, hard });
        host.collect_kernel(now);
    }
}

fn whack(pair: &mut Pair, side: Side, request: Request) {
    let now = pair.now;
    pair.hosts[side.host()].whack(now, request);
}

/// Datagrams that are no messages, to both ports of the other end.
fn noise(pair: &mut Pair, side: Side, data: &[u8]) {
    let (src, dst) = (pair.hosts[side.host()].addr, pair.hosts[1 - side.host()].addr);
    for port in [500, 4500] {
        let d = Datagram { src: (src, port).into(), dst: (dst, port).into(), data: data.to_vec() };
        pair.deliver(d);
    }
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        no("trigger", "the virtual clock sets every timer off, see the other rows of this kind"),
        no("trigger_v2_rekey", "IKEv2; Quick Modes for renewal are trigger_v1_replace"),
        no("trigger_v2_replace", "IKEv2"),
        row(
            "trigger_v1_replace",
            vec![
                ("the IKE SA", config(|c, s| lives(c, s, 300, 28_800))),
                ("the Child SA", config(|c, s| lives(c, s, 3600, 300))),
                ("both", config(|c, s| lives(c, s, 300, 300))),
                (
                    "both ends, both",
                    config(|c, _| Side::BOTH.into_iter().for_each(|s| lives(c, s, 300, 300))),
                ),
                ("a life below the margin", config(|c, s| lives(c, s, 20, 20))),
            ],
        ),
        no("trigger_v2_liveness", "IKEv2; see dead peer detection"),
        no("initiate_v2_liveness", "IKEv2; see dead peer detection"),
        row(
            "dead peer detection",
            vec![
                (
                    "asked",
                    config(|c, s| {
                        let conn = if s == Side::Initiator { &mut c.client } else { &mut c.server[0] };
                        (conn.dpd_delay, conn.dpd_timeout) = (10, 40);
                    }),
                ),
                (
                    "asked by both",
                    config(|c, _| {
                        for conn in [&mut c.client, &mut c.server[0]] {
                            (conn.dpd_delay, conn.dpd_timeout) = (10, 40);
                        }
                    }),
                ),
            ],
        ),
        row(
            "trigger_revival, revival",
            vec![
                ("the state is deleted", act(|p, s| whack(p, s, Request::DeleteState { serial: 2 }))),
                ("its IKE SA is deleted", act(|p, s| whack(p, s, Request::DeleteState { serial: 1 }))),
                (
                    "and called again",
                    act(|p, _| {
                        p.down(1);
                        p.run_for(Duration::from_millis(15));
                        p.up(1);
                    }),
                ),
                (
                    "called twice",
                    act(|p, _| {
                        p.up(1);
                        p.up(1);
                    }),
                ),
            ],
        ),
        no("cannot_ondemand", "a conn that cannot be called is a template, see the tests of traps"),
        row(
            "send_keepalive",
            vec![
                ("0xff", act(|p, s| (0..50).for_each(|_| noise(p, s, &[0xff])))),
                ("nothing", act(|p, s| noise(p, s, &[]))),
                (
                    "ESP of an SA that is not there",
                    act(|p, s| noise(p, s, &[0, 0, 1, 0, 0, 0, 0, 1, 9, 9, 9, 9])),
                ),
            ],
        ),
        row(
            "ignore_soft_expire",
            vec![
                ("heeded, inbound", act(|p, s| expire(p, s, true, false))),
                ("heeded, outbound", act(|p, s| expire(p, s, false, false))),
                (
                    "heeded by both at once",
                    act(|p, _| Side::BOTH.into_iter().for_each(|s| expire(p, s, false, false))),
                ),
            ],
        ),
        row(
            "ignore_hard_expire",
            vec![
                ("heeded, inbound", act(|p, s| expire(p, s, true, true))),
                ("heeded, outbound", act(|p, s| expire(p, s, false, true))),
                (
                    "heeded by both at once",
                    act(|p, _| Side::BOTH.into_iter().for_each(|s| expire(p, s, true, true))),
                ),
            ],
        ),
        row(
            "helper_thread_delay",
            [1, 3, 8, 20, 70]
                .into_iter()
                .map(|n| {
                    let word: &'static str = ["1 s", "3 s", "8 s", "20 s", "70 s"]
                        [[1, 3, 8, 20, 70].iter().position(|x| *x == n).unwrap_or(0)];
                    (word, config(move |c, _| c.busy = Duration::from_secs(n)))
                })
                .collect(),
        ),
        no("event_check_crls", "for an authentication with certificates"),
        no("log_rate_limit", "the shell limits the log, the engine writes none"),
        no("rekey_initiate_supernet", "IKEv2; a renewal of IKEv1 has the networks of its predecessor"),
        no("rekey_initiate_subnet", "IKEv2"),
        no("rekey_respond_supernet", "IKEv2"),
        no("rekey_respond_subnet", "IKEv2"),
    ]
}
