//! What a responder cannot do without: two exponentiations, and with signatures one of its own and one to check.

use std::fs;
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

/// Milliseconds of the arithmetic of one handshake.
pub(crate) fn ms(group: DhGroup, proof: &Proof) -> Result<f64, String> {
    let secret =
        |n: u8| SecretBytes::new((0..dh::secret_len(group)).map(|i| n.wrapping_add(i as u8) | 1).collect());
    let peer = dh::public(group, &secret(0x55)).map_err(|e| e.to_string())?;
    let start = Instant::now();
    let before = thread_ms(start);
    for n in 0..ROUNDS {
        let job = CryptoJob::KeyExchange(KeyExchange {
            group,
            secret: secret(n as u8),
            public: true,
            peer: Some(peer.clone()),
        });
        run_crypto(&job).map_err(|e| e.to_string())?;
        if let Proof::Rsa { own, .. } = proof {
            // The peer's key has the same length as ours.
            let hash = [n as u8; 20];
            let signature = own.sign(&hash).map_err(|e| e.to_string())?;
            own.public().verify(&hash, &signature).map_err(|e| e.to_string())?;
        }
    }
    Ok((thread_ms(start) - before) / f64::from(ROUNDS))
}
