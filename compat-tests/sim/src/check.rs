//! How a run ended.

use std::time::Duration;

use ipsec_types::kernel::PolicyAction;

use crate::host::Host;
use crate::pair::Pair;

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both ends have the same Child SAs, with the same keys in both kernels.
    Established,
    /// Neither end has a Child SA or a negotiation under way.
    Failed,
    /// The ends disagree, and why.
    Stuck(String),
}

/// Compares the two ends of the server's and the first client's SAs.
pub fn outcome(pair: &Pair) -> Outcome {
    let (server, client) = (&pair.hosts[0], &pair.hosts[1]);
    let mut ours: Vec<_> = server.engine.established().into_iter().map(|(_, i, o)| (o, i)).collect();
    let mut theirs: Vec<_> = client.engine.established().into_iter().map(|(_, i, o)| (i, o)).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    if ours != theirs {
        return Outcome::Stuck(format!("Child SAs: {} here, {} there", ours.len(), theirs.len()));
    }
    for host in [server, client] {
        let [_, children, _, waits] = host.engine.counts();
        if children != ours.len() || waits != 0 {
            return Outcome::Stuck(format!("{}: {children} children, {waits} waits", host.addr));
        }
        if host.kernel.sas().len() != 2 * children || !host.kernel.larval().is_empty() {
            let (sas, larval) = (host.kernel.sas().len(), host.kernel.larval().len());
            return Outcome::Stuck(format!(
                "{}: {sas} SAs and {larval} larval ones in the kernel",
                host.addr
            ));
        }
    }
    if ours.is_empty() {
        return Outcome::Failed;
    }
    for sa in client.kernel.sas() {
        let same = server.kernel.sas().iter().any(|x| {
            x.id.spi == sa.id.spi
                && x.inbound != sa.inbound
                && (x.cipher, x.integ, x.mode) == (sa.cipher, sa.integ, sa.mode)
                && x.cipher_key == sa.cipher_key
                && x.integ_key == sa.integ_key
        });
        if !same {
            return Outcome::Stuck(format!("SA {:08x}: the kernels' keys differ", sa.id.spi));
        }
    }
    Outcome::Established
}

/// Whether nothing is left of any negotiation: no state, wait, timer, SA or policy.
///
/// # Errors
/// What is left.
pub fn clean(host: &Host) -> Result<(), String> {
    let counts = host.engine.counts();
    // A conn's guard against clear text stays as long as the conn.
    let esp = host.kernel.policies().iter().filter(|p| matches!(p.action, PolicyAction::Esp { .. })).count();
    let kernel = [host.kernel.sas().len(), host.kernel.larval().len(), esp];
    let timer = host.engine.poll_timeout();
    if counts == [0, 0, host.conns, 0] && kernel == [0; 3] && timer.is_none() {
        return Ok(());
    }
    Err(format!(
        "{}: states, conns and waits {counts:?}, in the kernel {kernel:?}, next {timer:?}",
        host.addr
    ))
}

/// Lets the client connect and lives on to the end of all lifetimes: how it stood when every retransmission was over.
///
/// # Errors
/// It was neither established nor had failed, or something is left at last.
pub fn settled(pair: &mut Pair) -> Result<Outcome, String> {
    pair.up(1);
    pair.run_for(Duration::from_secs(1000));
    let end = outcome(pair);
    if let Outcome::Stuck(why) = end {
        return Err(why);
    }
    pair.run_for(Duration::from_secs(86_400));
    pair.hosts.iter().try_for_each(clean)?;
    Ok(end)
}
