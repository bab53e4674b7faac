//! What a handshake is measured by: two exponentiations as a library does them, of a base that is not known before, and
//! with signatures one of its own and one to check. (A public value out of tables costs less than an exponentiation.)

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ike::{CryptoJob, KeyExchange, run_crypto};
use ipsec_crypto::dh;
use ipsec_types::SecretBytes;
use ipsec_types::algo::DhGroup;

use crate::proof::Proof;

const ROUNDS: u32 = 200;

/// CPU time of this thread so far, in milliseconds (proc(5), `schedstat`); where there is no such file, the time that
/// has passed.
fn thread_ms(start: Instant) -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    ns.filter(|n| *n > 0.0).map_or_else(|| start.elapsed().as_secs_f64() * 1e3, |n| n / 1e6)
}

/// The arithmetic of one handshake.
fn once(group: DhGroup, proof: &Proof, peer: &[u8], n: u8) -> Result<(), String> {
    for n in [n, !n] {
        let job = CryptoJob::KeyExchange(KeyExchange {
            group,
            secret: secret(group, n),
            public: false,
            peer: Some(peer.to_vec()),
        });
        run_crypto(&job).map_err(|e| e.to_string())?;
    }
    if let Proof::Rsa { own, .. } = proof {
        // The peer's key has the same length as ours.
        let hash = [n; 20];
        let signature = own.sign(&hash).map_err(|e| e.to_string())?;
        own.public().verify(&hash, &signature).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn secret(group: DhGroup, n: u8) -> SecretBytes {
    SecretBytes::new((0..dh::secret_len(group)).map(|i| n.wrapping_add(i as u8) | 1).collect())
}

/// Milliseconds of the arithmetic of one handshake, in CPU time of one thread. Another thread computes the same beside it,
/// as we do for the other end while the responder is measured: processors that share a core slow each other down.
pub(crate) fn ms(group: DhGroup, proof: &Proof) -> Result<f64, String> {
    let peer = dh::public(group, &secret(group, 0x55)).map_err(|e| e.to_string())?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
            scope.spawn(|| {
                (0..u32::MAX).all(|_| !done.load(Ordering::Relaxed) && once(group, proof, &peer, 1).is_ok())
            });
        }
        let start = Instant::now();
        let before = thread_ms(start);
        let result = (0..ROUNDS).try_for_each(|n| once(group, proof, &peer, n as u8));
        let used = thread_ms(start) - before;
        done.store(true, Ordering::Relaxed);
        result.map(|()| used / f64::from(ROUNDS))
    })
}
