//! A thousand seeds of the L2TP-PSK handshake on lines of three qualities, direct and behind a NAT.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they expect by panicking"
)]

use std::time::Duration;

use ipsec_types::algo::DhGroup;
use sim::{CLIENT, Link, Outcome, Pair, PairConfig, client_conn, outcome, server_conn, settled};

const SEEDS: u64 = 1000;

fn config(seed: u64, loss: u32, nat: bool) -> PairConfig {
    PairConfig { seed, link: Link::bad(loss), nat, busy: Duration::from_millis(20), ..PairConfig::default() }
}

/// One run to the end of all lifetimes: how it stood when every retransmission was over, and its fingerprint.
fn run(config: PairConfig) -> Result<(Outcome, u64), String> {
    let mut pair = Pair::new(config);
    let end = settled(&mut pair)?;
    Ok((end, pair.trace()))
}

fn thousand(loss: u32, nat: bool) {
    let mut established = 0;
    let mut bad = Vec::new();
    for seed in 0..SEEDS {
        match run(config(seed, loss, nat)) {
            Ok((Outcome::Established, _)) => established += 1,
            Ok(_) => {}
            Err(why) => {
                bad.push(format!("SIM_SEED={seed} SIM_LOSS={loss} SIM_NAT={}: {why}", u32::from(nat)))
            }
        }
    }
    println!("loss {loss} %, nat {nat}: {established} of {SEEDS} established");
    assert!(
        bad.is_empty(),
        "{} seeds ended badly; replay one with `SIM_… cargo test -p sim --test seeds replay -- --nocapture`:\n{}",
        bad.len(),
        bad[..bad.len().min(10)].join("\n")
    );
    let least = if loss < 20 { SEEDS } else { SEEDS * 99 / 100 };
    assert!(established >= least, "only {established} of {SEEDS} were established");
}

#[test]
fn direct_without_loss() {
    thousand(0, false);
}

#[test]
fn direct_with_five_percent_loss() {
    thousand(5, false);
}

#[test]
fn direct_with_twenty_percent_loss() {
    thousand(20, false);
}

#[test]
fn natted_without_loss() {
    thousand(0, true);
}

#[test]
fn natted_with_five_percent_loss() {
    thousand(5, true);
}

#[test]
fn natted_with_twenty_percent_loss() {
    thousand(20, true);
}

#[test]
fn modp_groups_work_as_the_curve_does() {
    for group in [DhGroup::Modp1024, DhGroup::Modp2048] {
        for seed in 0..5 {
            let config = PairConfig {
                server: vec![server_conn(group)],
                client: client_conn(group, CLIENT),
                ..config(seed, 20, seed % 2 == 0)
            };
            assert_eq!(run(config).map(|r| r.0), Ok(Outcome::Established), "{group:?} seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run_bit_for_bit() {
    for seed in [1, 7, 42] {
        for nat in [false, true] {
            let (a, b) = (run(config(seed, 20, nat)), run(config(seed, 20, nat)));
            assert_eq!(a, b);
            assert_ne!(a, run(config(seed + 1, 20, nat)));
        }
    }
}

/// Runs one seed again and tells the story: `SIM_SEED=… SIM_LOSS=… SIM_NAT=…`.
#[test]
fn replay() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let Some(seed) = number("SIM_SEED") else { return };
    let loss = u32::try_from(number("SIM_LOSS").unwrap_or(0)).unwrap();
    let mut pair = Pair::new(config(seed, loss, number("SIM_NAT") == Some(1)));
    let mut told = [0, 0];
    pair.up(1);
    let until = pair.now + Duration::from_secs(1000);
    while pair.step(until) {
        for (host, told) in pair.hosts.iter().zip(&mut told) {
            for line in &host.log[*told..] {
                println!("{:10.3} {:<15} {line}", pair.now.0 as f64 / 1e9, host.addr);
            }
            *told = host.log.len();
        }
    }
    println!("{:?}", outcome(&pair));
}
