//! What an attempt of a stranger costs in memory, measured with an allocator that counts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "test helpers")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::*;
use l2tp_proto::Limits;
use l2tp_proto::avp::attr;
use l2tp_proto::message::{Body, MessageType};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

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

#[test]
fn a_half_open_tunnel_holds_at_most_a_kibibyte_and_nothing_when_it_is_over() {
    let mut cfg = config(lns());
    cfg.limits = Limits { half_open: 5000, half_open_per_peer: 5000, ..Limits::default() };
    let mut w = World::new(cfg);
    // All that a stranger can have kept: long words, and messages whose turn has not come.
    let flood = |w: &mut World, greedy: bool| {
        let long = [b'x'; 1500];
        for n in 1..=2000u16 {
            let mut lac = Lac::new(path((n % 250) as u8, n, 5), n);
            let mut body = lac.sccrq();
            if greedy {
                body = body.must(attr::HOST_NAME, &long).may(attr::VENDOR_NAME, &long);
            }
            lac.say(w, 0, body);
            for _ in 0..if greedy { 4 } else { 0 } {
                lac.ns += 1;
                lac.say(w, 0, Body::new(MessageType::ICRQ).may(attr::CALLED_NUMBER, &long[..200]));
            }
            (w.log, w.sent) = Default::default();
        }
    };
    let before = HELD.load(Relaxed);
    for greedy in [false, true] {
        flood(&mut w, greedy);
        assert_eq!(w.engine.sizes().0, 2000);
        let each = (HELD.load(Relaxed) - before) / 2000;
        assert!(each <= 1024, "{each} octets");
        w.pass(std::time::Duration::from_secs(60));
        (w.log, w.sent, w.events) = Default::default();
        assert_eq!(w.engine.sizes().0, 0);
        let rest = HELD.load(Relaxed).saturating_sub(before);
        // What is left are empty tables.
        assert!(rest < 200 * 1024, "{rest} octets");
    }
}
