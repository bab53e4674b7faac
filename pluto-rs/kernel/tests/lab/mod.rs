//! What the tests against a real kernel share.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers")]

use std::net::IpAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipsec_kernel::{KernelBackend, REQID_RANGE, xfrm::Xfrm};
use ipsec_types::SecretBytes;
use ipsec_types::algo::{EspCipher, EspInteg};
use ipsec_types::kernel::{
    Dir, KernelError, KernelEvent, KernelReply, KernelRequest, Layers, Mark, Mode, PolicyAction, PolicyId,
    ReqToken, SaId, SaProto, SaSpec, Selector,
};

pub(crate) const REQID: u32 = *REQID_RANGE.start() + 7;
pub(crate) const US: &str = "10.9.0.1";
pub(crate) const PEER: &str = "10.9.0.2";

/// Runs a command, fails the test if it fails, returns what it printed.
pub(crate) fn run(command: &str) -> String {
    let out = Command::new("bash").args(["-ec", command]).output().unwrap();
    assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// One test at a time, with empty tables and a neighbour `PEER` in a namespace of its own; `None` to skip.
pub(crate) fn lab() -> Option<(MutexGuard<'static, ()>, Xfrm)> {
    static ONE: Mutex<()> = Mutex::new(());
    static SETUP: Once = Once::new();
    if std::env::var("CYGNET_KERNEL_TESTS").as_deref() != Ok("1") {
        eprintln!("skipped: CYGNET_KERNEL_TESTS=1 is not set");
        return None;
    }
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    SETUP.call_once(|| {
        run("ip netns add peer
            ip link add name v0 type veth peer name v1 netns peer
            ip addr add 10.9.0.1/24 dev v0; ip link set dev v0 up
            ip -n peer addr add 10.9.0.2/24 dev v1; ip -n peer addr add 10.9.0.3/24 dev v1
            ip -n peer link set dev v1 up; ip -n peer link set dev lo up");
    });
    run(
        "ip xfrm state flush; ip xfrm policy flush; ip -n peer xfrm state flush; ip -n peer xfrm policy flush",
    );
    Some((guard, Xfrm::open().unwrap()))
}

pub(crate) fn ask(kernel: &mut Xfrm, req: KernelRequest) -> Result<KernelReply, KernelError> {
    kernel.submit(ReqToken(42), req);
    match kernel.poll_event() {
        Some(KernelEvent::Done(ReqToken(42), result)) => result,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn wait_event(kernel: &mut Xfrm, seconds: u64) -> KernelEvent {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(event) = kernel.poll_event() {
            return event;
        }
        assert!(Instant::now() < end, "no event");
        sleep(Duration::from_millis(20));
    }
}

pub(crate) fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn key(len: usize, first: u8) -> SecretBytes {
    SecretBytes::new((0..len).map(|i| first.wrapping_add(i as u8)).collect())
}

pub(crate) fn hex(key: &SecretBytes) -> String {
    key.expose().iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn sa(src: &str, dst: &str, spi: u32) -> SaSpec {
    SaSpec {
        id: SaId { src: addr(src), dst: addr(dst), spi, proto: SaProto::Esp },
        reqid: REQID,
        mode: Mode::Transport,
        cipher: EspCipher::Aes(128),
        cipher_key: key(16, 1),
        integ: EspInteg::Sha1,
        life_bytes: (0, 0),
        life_packets: (0, 0),
        integ_key: key(20, 101),
        encap: None,
        replay_window: 0,
        hard_seconds: 0,
        set_mark: None,
        inbound: false,
    }
}

pub(crate) fn l2tp(src: &str, dst: &str, dir: Dir, mark: Option<Mark>) -> PolicyId {
    let (sport, dport) = (1701, 1701);
    let selector = Selector { src: addr(src).into(), dst: addr(dst).into(), proto: 17, sport, dport };
    PolicyId { selector, dir, mark }
}

pub(crate) fn esp(src: &str, dst: &str) -> PolicyAction {
    let layers = Layers::default();
    PolicyAction::Esp { src: addr(src), dst: addr(dst), reqid: REQID, mode: Mode::Transport, layers }
}

/// The policies in the table, without those of sockets.
pub(crate) fn policies_in_table() -> Vec<String> {
    let text = format!("\n{}", run("ip xfrm policy"));
    text.split("\nsrc ").skip(1).filter(|p| !p.contains("socket ")).map(str::to_owned).collect()
}

/// Whether `text` has all the words, in this order, whatever is between them.
pub(crate) fn has(text: &str, words: &str) -> bool {
    let mut rest = text.split_whitespace();
    words.split_whitespace().all(|w| rest.any(|t| t == w))
}
