//! What a stranger and an established client cost in memory, measured with an allocator that counts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "test helpers")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use common::Script;
use ike::Limits;
use ipsec_kernel::noklips::NoKernel;
use sim::{Pair, PairConfig};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
/// One test at a time: they share the count.
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server whose kernel and log remember nothing.
fn server() -> Pair {
    let limits = Limits { half_open: 5000, ..Limits::default() };
    let mut pair = Pair::new(PairConfig { limits, ..PairConfig::default() });
    pair.run_for(Duration::from_secs(1));
    let mut kernel = NoKernel::default();
    kernel.start_spis_at(0x2000_0000);
    pair.server().kernel = kernel;
    pair
}

fn forget(pair: &mut Pair) {
    // What is under way arrives.
    pair.run_for(Duration::from_millis(11));
    (pair.sent, pair.delivered) = Default::default();
    (pair.hosts[0].log, pair.hosts[0].replies, pair.hosts[0].shared) = Default::default();
}

fn peer(n: u32) -> Script {
    let at = SocketAddr::new(Ipv4Addr::from(0x1400_0000 + n).into(), 500);
    let mut s = Script::new(&at.to_string(), (n % 250) as u8);
    s.icookie = (u64::from(n) + 1).to_be_bytes();
    s
}

const COUNT: u32 = 1500;

/// Octets held for each of [`COUNT`] peers after `what`.
fn each(pair: &mut Pair, what: impl Fn(&mut Pair, Script)) -> usize {
    forget(pair);
    let before = HELD.load(Relaxed);
    for n in 0..COUNT {
        what(pair, peer(n));
        forget(pair);
    }
    // The simulated kernel's part is not the daemon's.
    pair.hosts[0].kernel = NoKernel::default();
    (HELD.load(Relaxed) - before) / COUNT as usize
}

#[test]
fn a_stranger_holds_little_and_nothing_when_it_is_over() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut pair = server();
    let before = HELD.load(Relaxed);
    let held = each(&mut pair, |pair, mut s| s.open(pair));
    assert_eq!(pair.server().engine.counts()[0], COUNT as usize);
    assert!(held <= 1024, "{held} octets");
    pair.run_for(Duration::from_secs(60));
    forget(&mut pair);
    assert_eq!(pair.server().engine.counts()[0], 0);
    let rest = HELD.load(Relaxed).saturating_sub(before);
    // What is left are empty tables.
    assert!(rest < 400 * 1024, "{rest} octets");
}

#[test]
fn an_established_pair_holds_at_most_two_and_a_half_kibibytes() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut pair = server();
    let held = each(&mut pair, |pair, mut s| {
        s.main_mode(pair, &[]);
        let spi = u32::from_be_bytes(s.icookie[4..].try_into().unwrap()) + 0x4000_0000;
        s.quick_mode(pair, 7, spi);
    });
    assert_eq!(pair.server().engine.counts()[..2], [COUNT as usize; 2]);
    // The allocator's own part and the kernel's pages come on top; the goal is 4 KiB of the process.
    assert!(held <= 2560, "{held} octets");
}
