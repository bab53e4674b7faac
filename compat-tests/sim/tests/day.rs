//! A day of every client's life, each in seconds: SAs are renewed as that client does it, and no packet meets a moment at
//! which no SA both ends hold would carry it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use ipsec_kernel::noklips::NoKernel;
use ipsec_types::algo::{DhGroup, EspCipher, EspInteg, EspSuite};
use ipsec_types::conn::ConnType;
use ipsec_types::kernel::{Dir, KernelEvent, PolicyAction, SaId};
use sim::{Host, Link, Pair, PairConfig};

const HOUR: u32 = 3600;
const DAY: u64 = 86_400;

/// What a client's habits are (`rekey` of both phases is its own; the server has `rekey=no`, as HOWTOs say).
struct Profile {
    name: &'static str,
    /// Lives of both phases in seconds, and of phase 2 in kilobytes.
    lives: (u32, u32, u32),
    /// When it renews: so many seconds before the end, more by this fuzz.
    margin: (u32, u32),
    pfs: Option<DhGroup>,
    nat: bool,
    /// New IKE SAs bring new Child SAs.
    reauth: bool,
    /// The method of NAT traversal that it offers alone, by its vendor ID.
    method: u128,
    /// Octets in a second, each way.
    rate: u64,
    /// The server renews too, so that renewals cross.
    both: bool,
}

const LIKE: Profile = Profile {
    name: "",
    lives: (8 * HOUR, HOUR, 0),
    margin: (180, 0),
    pfs: None,
    nat: false,
    reauth: false,
    method: common::OFFERED[0],
    rate: 1000,
    both: false,
};

/// Draft 02 with the newline in its hash; Apple's without a number.
const DRAFT_02: u128 = common::OFFERED[3];
const APPLE: u128 = 0x4df3_7928_e9fc_4fd1_b326_2170_d515_c662;

const PROFILES: [Profile; 17] = [
    // 1 h or 250 MB, whatever is first; a new Main Mode after 8 h.
    Profile { name: "win10", lives: (8 * HOUR, HOUR, 250_000), rate: 200_000, ..LIKE },
    Profile { name: "win10 behind a NAT", lives: (8 * HOUR, HOUR, 250_000), nat: true, ..LIKE },
    Profile {
        name: "winxp-818043",
        lives: (8 * HOUR, HOUR, 250_000),
        nat: true,
        margin: (300, 0),
        method: DRAFT_02,
        ..LIKE
    },
    Profile { name: "win2k-unpatched", lives: (8 * HOUR, HOUR, 250_000), margin: (300, 0), ..LIKE },
    // Phase 1 after 48 minutes (80 %) or 54 (90 %), phase 2 after 48; the children live on.
    Profile { name: "ios-modern, 48 min", lives: (HOUR, HOUR, 0), margin: (720, 0), nat: true, ..LIKE },
    Profile { name: "ios-modern, 54 min", lives: (HOUR, 54 * 60, 0), margin: (360, 0), ..LIKE },
    Profile { name: "tiger", lives: (HOUR, HOUR, 0), margin: (720, 0), nat: true, method: APPLE, ..LIKE },
    Profile { name: "ios-old, panther", lives: (HOUR, HOUR, 0), margin: (720, 0), ..LIKE },
    Profile { name: "ios-nat64", lives: (HOUR, HOUR, 0), margin: (720, 0), nat: true, ..LIKE },
    // 6 h 24 min.
    Profile { name: "android-8", lives: (8 * HOUR, 8 * HOUR, 0), margin: (5760, 0), nat: true, ..LIKE },
    // strongSwan's defaults.
    Profile {
        name: "chromeos, nm-strongswan",
        lives: (3 * HOUR, HOUR, 0),
        margin: (540, 100),
        reauth: true,
        nat: true,
        ..LIKE
    },
    Profile { name: "nm-libreswan", lives: (HOUR, 8 * HOUR, 0), margin: (540, 100), ..LIKE },
    Profile {
        name: "routeros",
        lives: (24 * HOUR, 1800, 0),
        margin: (360, 0),
        pfs: Some(DhGroup::Modp1024),
        ..LIKE
    },
    Profile {
        name: "cisco-ios",
        lives: (24 * HOUR, HOUR, 4_608_000),
        margin: (30, 0),
        rate: 2_000_000,
        ..LIKE
    },
    Profile { name: "tl-r483g", lives: (8 * HOUR, HOUR, 0), margin: (540, 0), ..LIKE },
    Profile { name: "two of ours", lives: (HOUR, HOUR, 0), margin: (540, 100), both: true, ..LIKE },
    Profile {
        name: "two of ours, at the same moment",
        lives: (HOUR, 1800, 0),
        margin: (300, 0),
        both: true,
        ..LIKE
    },
];

fn world(p: &Profile, link: Link, seed: u64) -> Pair {
    let mut config = PairConfig { link, seed, nat: p.nat, ..PairConfig::default() };
    let esp = vec![EspSuite { cipher: EspCipher::Aes(256), integ: EspInteg::Sha1 }];
    let conn = &mut config.client;
    (conn.ike_lifetime, conn.sa_lifetime) = (p.lives.0, p.lives.1);
    conn.life_bytes = 1024 * u64::from(p.lives.2);
    (conn.rekey, conn.rekey_margin, conn.rekey_fuzz, conn.reauth) = (true, p.margin.0, p.margin.1, p.reauth);
    (conn.pfs, conn.pfs_group) = (p.pfs.is_some(), p.pfs);
    conn.esp.clone_from(&esp);
    let server = &mut config.server[0];
    server.esp = esp;
    if p.both {
        let mut conn = config.client.clone();
        conn.conn_type = ConnType::Transport;
        config.server = vec![conn];
    }
    let (mut pair, method) = (Pair::new(config), p.method);
    pair.filter = Some(Box::new(move |d| {
        common::offer_only(d, method);
        true
    }));
    pair
}

/// What the kernel sends through: the newest outbound SA.
fn outbound(k: &NoKernel) -> Option<SaId> {
    k.sas().iter().rev().find(|s| !s.inbound).map(|s| s.id)
}

/// Whether a packet from `a` reaches `b`.
fn reaches(a: &Host, b: &Host) -> Result<SaId, String> {
    let policy = |h: &Host, dir: Dir| {
        h.kernel.policies().iter().any(|p| p.id.dir == dir && matches!(p.action, PolicyAction::Esp { .. }))
    };
    let id = outbound(&a.kernel).ok_or("no outbound SA")?;
    if !policy(a, Dir::Out) || !policy(b, Dir::In) {
        return Err("no policy".into());
    }
    match b.kernel.sas().iter().any(|s| s.inbound && s.id.spi == id.spi) {
        true => Ok(id),
        false => Err(format!("SA {:08x} has no other end", id.spi)),
    }
}

/// Octets that have gone through each SA, and whether its kernel has said that they are nearly used up.
type Counters = BTreeMap<(usize, u32), (u64, bool)>;

/// A second of traffic: the kernels count, and tell.
fn carry(pair: &mut Pair, counters: &mut Counters, spi: u32, octets: u64) {
    let now = pair.now;
    for (number, host) in pair.hosts.iter_mut().enumerate() {
        let Some(sa) = host.kernel.sas().iter().find(|s| s.id.spi == spi) else { continue };
        let (id, (soft, hard)) = (sa.id, sa.life_bytes);
        let (used, told) = counters.entry((number, spi)).or_default();
        *used += octets;
        let event = match (soft > 0 && *used > soft, hard > 0 && *used > hard) {
            (_, true) => Some(KernelEvent::Expire { id, hard: true }),
            (true, false) if !std::mem::replace(told, true) => Some(KernelEvent::Expire { id, hard: false }),
            _ => None,
        };
        if let Some(event) = event {
            host.kernel.inject(event);
            host.collect_kernel(now);
        }
    }
}

fn day(p: &Profile, link: Link, seed: u64) {
    let mut pair = world(p, link, seed);
    assert!(pair.connect(), "{}", p.name);
    // The answer to QI1 and QI2 itself may still be on their way.
    pair.run_for(Duration::from_secs(2));
    let mut counters = Counters::new();
    for second in 0..DAY {
        let until = pair.now + Duration::from_secs(1);
        loop {
            for (a, b) in [(0, 1), (1, 0)] {
                if let Err(why) = reaches(&pair.hosts[a], &pair.hosts[b]) {
                    let log: Vec<_> =
                        pair.hosts.iter().map(|h| h.log[h.log.len() - 30..].join("\n")).collect();
                    panic!(
                        "{}, seed {seed}, second {second}, {a} to {b}: {why}\n{}",
                        p.name,
                        log.join("\n--\n")
                    );
                }
            }
            if !pair.step(until) {
                break;
            }
        }
        for (a, b) in [(0, 1), (1, 0)] {
            if let Ok(id) = reaches(&pair.hosts[a], &pair.hosts[b]) {
                carry(&mut pair, &mut counters, id.spi, p.rate);
            }
        }
        pair.sent.clear();
        pair.delivered.clear();
    }
    // It was not one SA for a day.
    let main = pair.hosts[1].times_logged("initiating Main Mode to replace");
    let quick = pair.hosts[1].times_logged("initiating Quick Mode");
    let most = |life: u32| (DAY as u32 / life.saturating_sub(2 * p.margin.0 + 1).max(life / 3)) as usize + 2;
    assert!(main + 1 >= DAY as usize / p.lives.0 as usize / 2, "{}: {main} Main Modes", p.name);
    assert!(quick >= DAY as usize / p.lives.1 as usize / 2, "{}: {quick} Quick Modes", p.name);
    assert!(main <= most(p.lives.0), "{}: {main} Main Modes", p.name);
    // Old ones go: there are never more than a handful.
    for h in &pair.hosts {
        let [ikes, children, ..] = h.engine.counts();
        assert!(ikes <= 4 && children <= 5, "{}: {ikes} ISAKMP SAs, {children} IPsec SAs", p.name);
        assert!(h.engine.untimed().is_empty());
    }
}

#[test]
fn a_day_without_an_interruption() {
    for p in &PROFILES {
        day(p, Link::GOOD, 1);
    }
}

/// The same where one datagram in fifty is lost, and one in ten comes twice or late.
#[test]
fn a_day_on_a_bad_line() {
    for (seed, p) in PROFILES.iter().enumerate() {
        day(p, Link::bad(2), seed as u64);
    }
}
