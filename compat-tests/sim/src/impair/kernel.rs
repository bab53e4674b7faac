//! A kernel that refuses one step of an installation: the steps before it are undone.

use super::{Fault, Row, row};

pub(super) fn rows() -> Vec<Row> {
    // Request 0 is for the SPI; the others are the four steps, in transport mode.
    [
        ("install_ipsec_sa_inbound_state", 1),
        ("install_ipsec_sa_inbound_policy", 2),
        ("install_ipsec_sa_outbound_state", 3),
        ("install_ipsec_sa_outbound_policy", 4),
    ]
    .into_iter()
    .map(|(name, n)| row(name, vec![("refused", Fault::Kernel(n))]))
    .chain([row("no SPI", vec![("refused", Fault::Kernel(0))])])
    .collect()
}
