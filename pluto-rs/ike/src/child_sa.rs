//! Child SAs: what is known of each, and the states of Quick Mode (RFC 2409 §5.5). What is done with them is in `child`.

use std::net::IpAddr;

use ipsec_types::SecretBytes;
use ipsec_types::algo::EspSuite;
use ipsec_types::kernel::{Layers, Mode, SaId, SaProto};

use crate::conn::ConnId;
use crate::io::ClientId;
use crate::sa::{Digest, Role, Serial, StateName};
use crate::spd::{Flow, Slot};
use crate::v1::AfterQi1;

/// Quick Mode states.
#[derive(Debug)]
pub(crate) enum Phase2 {
    /// Sent QI1, expecting QR1.
    QuickI1(Box<QuickI1>),
    /// Sent QR1, expecting QI2.
    QuickR1(Box<QuickR1>),
    /// The kernel or a worker is busy.
    Suspended(StateName),
    /// Established.
    Up,
}

#[derive(Debug)]
pub(crate) struct QuickI1 {
    pub ni: Vec<u8>,
    pub secret: Option<SecretBytes>,
}

#[derive(Debug)]
pub(crate) struct QuickR1 {
    pub ni: Vec<u8>,
    pub nr: Vec<u8>,
    pub out_keys: EspKeys,
}

/// Keys of one direction.
#[derive(Clone, Debug)]
pub(crate) struct EspKeys {
    pub cipher: SecretBytes,
    pub integ: SecretBytes,
}

/// One Child SA, or the Quick Mode that makes it.
#[derive(Debug)]
pub(crate) struct ChildSa {
    pub ike: Serial,
    pub conn: ConnId,
    pub role: Role,
    pub msgid: u32,
    /// IV of the next message of this Quick Mode.
    pub iv: Vec<u8>,
    pub state: Phase2,
    pub suite: Option<EspSuite>,
    pub mode: Mode,
    /// ESP or AH; with IPComp if that is offered, then if it is agreed.
    pub layers: Layers,
    pub pfs: Option<ipsec_types::algo::DhGroup>,
    pub flow: Flow,
    pub slot: Option<Slot>,
    pub spi_in: u32,
    pub spi_out: u32,
    /// Compression parameter indices, 0 without.
    pub cpi_in: u32,
    pub cpi_out: u32,
    pub nat_oa: Option<IpAddr>,
    pub lifetime: u32,
    /// Octets, the smaller of ours and the negotiated one; 0 is no limit.
    pub life_bytes: u64,
    pub in_sa: Option<SaId>,
    pub out_sa: Option<SaId>,
    /// Keys of the outbound SA while the predecessor's is still used.
    pub switch: Option<Box<EspKeys>>,
    pub last_received: Option<Digest>,
    pub last_sent: Vec<u8>,
    pub retransmits: u32,
    pub answered_duplicates: u32,
    pub tries: u32,
    pub whack: Option<ClientId>,
    /// What waits for the kernel's SPI.
    pub waiting: Option<WaitingForSpi>,
    /// Wall-clock second of establishment.
    pub since: u64,
}

/// A Quick Mode that has asked the kernel for an SPI.
#[derive(Debug)]
pub(crate) enum WaitingForSpi {
    Initiator,
    Responder(Box<AfterQi1>),
}

impl ChildSa {
    pub(crate) fn name(&self) -> StateName {
        match (&self.state, self.role) {
            (Phase2::QuickI1(_), _) => StateName::QuickI1,
            (Phase2::QuickR1(_), _) => StateName::QuickR1,
            (Phase2::Suspended(name), _) => *name,
            (Phase2::Up, Role::Initiator) => StateName::QuickI2,
            (Phase2::Up, Role::Responder) => StateName::QuickR2,
        }
    }

    /// The IPComp SA beside `main`.
    fn comp_sa(&self, main: Option<SaId>, cpi: u32) -> Option<SaId> {
        main.filter(|_| cpi != 0).map(|id| SaId { spi: cpi, proto: SaProto::Comp, ..id })
    }

    /// The inbound IPComp SA.
    pub(crate) fn comp_in(&self) -> Option<SaId> {
        self.comp_sa(self.in_sa, self.cpi_in)
    }

    /// The outbound IPComp SA.
    pub(crate) fn comp_out(&self) -> Option<SaId> {
        self.comp_sa(self.out_sa, self.cpi_out)
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state, Phase2::Up)
    }
}
