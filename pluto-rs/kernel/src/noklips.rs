//! The backend without a kernel (`protostack=none`): every request succeeds, and tests can look at all of them.
//!
//! It behaves as the kernel does where that can be seen from outside: sequential SPIs instead of random ones, an SA
//! added twice is `EEXIST`, one that is gone is no error to delete. It must not open a socket, and the daemon's keeps
//! no keys.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use ipsec_types::algo::EspInteg;
use ipsec_types::kernel::{
    KernelEvent, KernelReply, KernelRequest, PolicyId, PolicySpec, ReqToken, SaId, SaProto, SaSpec, SaUsage,
};

use crate::KernelBackend;

/// First SPI handed out.
pub const FIRST_SPI: u32 = 0x1000;

/// First CPI.
const FIRST_CPI: u32 = 256;

/// The kernel that is none. The default one keeps SAs and policies but no list of requests.
#[derive(Debug, Default)]
pub struct NoKernel {
    record: Option<Vec<KernelRequest>>,
    /// SAs and policies are known by their names alone.
    names_only: bool,
    ready: VecDeque<KernelEvent>,
    spis: u32,
    submitted: u64,
    failures: BTreeMap<u64, i32>,
    /// Octets that each SA has carried, inbound and outbound.
    carried: (u64, u64),
    /// What comes in fails the check of this algorithm.
    refused: Option<EspInteg>,
    larval: Vec<SaId>,
    sas: Vec<SaSpec>,
    policies: Vec<PolicySpec>,
    /// The names of both, so that most requests search nothing.
    sa_names: HashSet<(IpAddr, u32, SaProto)>,
    policy_names: HashSet<PolicyId>,
}

impl NoKernel {
    /// One that keeps every request, for tests: the list grows without bound.
    pub fn recording() -> Self {
        NoKernel { record: Some(Vec::new()), ..NoKernel::default() }
    }

    /// One that knows what is installed by name only, for the daemon: [`sas`](Self::sas) and
    /// [`policies`](Self::policies) stay empty.
    pub fn names_only() -> Self {
        NoKernel { names_only: true, ..NoKernel::default() }
    }

    /// The next SPI handed out is `first`, so that two of these in one test give out different ones.
    pub fn start_spis_at(&mut self, first: u32) {
        self.spis = first.wrapping_sub(FIRST_SPI);
    }

    /// The requests so far, in order. Empty unless made by [`recording`](Self::recording).
    pub fn requests(&self) -> &[KernelRequest] {
        self.record.as_deref().unwrap_or_default()
    }

    /// Makes a request to come fail with `errno`: 0 is the next one.
    pub fn fail_request(&mut self, after: u64, errno: i32) {
        self.failures.insert(self.submitted.saturating_add(after), errno);
    }

    /// Every SA has carried so many octets.
    pub fn carry(&mut self, inbound: u64, outbound: u64) {
        self.carried = (inbound, outbound);
    }

    /// What comes in has failed, and fails, the check of inbound SAs with this algorithm.
    pub fn fail_integrity(&mut self, integ: Option<EspInteg>) {
        self.refused = integ;
    }

    /// Lets the kernel tell something by itself.
    pub fn inject(&mut self, event: KernelEvent) {
        self.ready.push_back(event);
    }

    /// SAs that are installed, oldest first.
    pub fn sas(&self) -> &[SaSpec] {
        &self.sas
    }

    /// SPIs that are reserved for an SA to come.
    pub fn larval(&self) -> &[SaId] {
        &self.larval
    }

    /// Policies that are installed, oldest first.
    pub fn policies(&self) -> &[PolicySpec] {
        &self.policies
    }

    fn carry_out(&mut self, req: KernelRequest) -> Result<KernelReply, i32> {
        match req {
            KernelRequest::GetSpi { src, dst, reqid: _, proto } => {
                let spi = FIRST_SPI.wrapping_add(self.spis);
                self.spis = self.spis.wrapping_add(1);
                let spi = if proto == SaProto::Comp { FIRST_CPI + spi % 0x8000 } else { spi };
                self.larval.push(SaId { src, dst, spi, proto });
                Ok(KernelReply::Spi(spi))
            }
            KernelRequest::AddSa(spec) => {
                if !self.sa_names.insert(name(&spec.id)) {
                    return Err(libc::EEXIST);
                }
                self.larval.retain(|id| !same_sa(id, &spec.id));
                if !self.names_only {
                    self.sas.push(*spec);
                }
                Ok(KernelReply::Done)
            }
            KernelRequest::UpdateEncap { id, new_id, encap } => {
                if !self.sa_names.remove(&name(&id)) {
                    return Err(libc::ESRCH);
                }
                self.sa_names.insert(name(&new_id));
                if let Some(sa) = self.sas.iter_mut().find(|sa| same_sa(&sa.id, &id)) {
                    sa.id = new_id;
                    sa.encap = Some(encap);
                }
                Ok(KernelReply::Done)
            }
            KernelRequest::SetIntegrity { id, integ } => {
                if let Some(sa) = self.sas.iter_mut().find(|sa| same_sa(&sa.id, &id)) {
                    sa.integ = integ;
                }
                Ok(KernelReply::Done)
            }
            KernelRequest::DelSa(id) => {
                self.larval.retain(|l| !same_sa(l, &id));
                if self.sa_names.remove(&name(&id)) {
                    self.sas.retain(|sa| !same_sa(&sa.id, &id));
                }
                Ok(KernelReply::Done)
            }
            KernelRequest::QuerySa(id) => {
                if !self.sa_names.contains(&name(&id)) {
                    return Err(libc::ESRCH);
                }
                let sa = self.sas.iter().find(|sa| same_sa(&sa.id, &id));
                let inbound = sa.is_none_or(|sa| sa.inbound);
                let bytes = if inbound { self.carried.0 } else { self.carried.1 };
                let failed =
                    inbound && self.refused.is_some_and(|integ| sa.is_some_and(|sa| sa.integ == integ));
                let usage = SaUsage {
                    bytes,
                    packets: u64::from(bytes > 0 && !failed),
                    integrity_failed: if failed { 3 } else { 0 },
                    ..SaUsage::default()
                };
                Ok(KernelReply::Usage(usage))
            }
            KernelRequest::AddPolicy(spec) => {
                self.remove_policy(&spec.id);
                self.policy_names.insert(spec.id);
                if !self.names_only {
                    self.policies.push(spec);
                }
                Ok(KernelReply::Done)
            }
            KernelRequest::DelPolicy(id) => {
                self.remove_policy(&id);
                Ok(KernelReply::Done)
            }
            KernelRequest::FlushOurs => {
                let sas = self.sa_names.len() + self.larval.len();
                let policies = self.policy_names.len();
                self.sas.clear();
                self.larval.clear();
                self.policies.clear();
                self.sa_names.clear();
                self.policy_names.clear();
                let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
                Ok(KernelReply::Flushed { sas: count(sas), policies: count(policies) })
            }
        }
    }

    fn remove_policy(&mut self, id: &PolicyId) {
        if self.policy_names.remove(id) {
            self.policies.retain(|p| p.id != *id);
        }
    }
}

/// The kernel names an SA by destination and SPI; the source does not count.
fn same_sa(a: &SaId, b: &SaId) -> bool {
    name(a) == name(b)
}

fn name(id: &SaId) -> (IpAddr, u32, SaProto) {
    (id.dst, id.spi, id.proto)
}

fn request_name(req: &KernelRequest) -> &'static str {
    match req {
        KernelRequest::GetSpi { .. } => "XFRM_MSG_ALLOCSPI",
        KernelRequest::AddSa(_) => "XFRM_MSG_NEWSA",
        KernelRequest::UpdateEncap { .. } => "XFRM_MSG_UPDSA",
        KernelRequest::SetIntegrity { .. } => "XFRM_MSG_NEWSA",
        KernelRequest::DelSa(_) => "XFRM_MSG_DELSA",
        KernelRequest::QuerySa(_) => "XFRM_MSG_GETSA",
        KernelRequest::AddPolicy(_) => "XFRM_MSG_UPDPOLICY",
        KernelRequest::DelPolicy(_) => "XFRM_MSG_DELPOLICY",
        KernelRequest::FlushOurs => "XFRM_MSG_GETPOLICY",
    }
}

impl KernelBackend for NoKernel {
    fn name(&self) -> &'static str {
        "noklips"
    }

    fn submit(&mut self, token: ReqToken, req: KernelRequest) {
        let request = request_name(&req);
        if let Some(record) = &mut self.record {
            record.push(req.clone());
        }
        let failure = self.failures.remove(&self.submitted);
        self.submitted += 1;
        let result = match failure {
            Some(errno) => Err(errno),
            None => self.carry_out(req),
        };
        let result = result.map_err(|errno| crate::xfrm::kernel_error(request, errno));
        self.ready.push_back(KernelEvent::Done(token, result));
    }

    fn poll_event(&mut self) -> Option<KernelEvent> {
        self.ready.pop_front()
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use ipsec_types::SecretBytes;
    use ipsec_types::algo::{EspCipher, EspInteg};
    use ipsec_types::kernel::{Encap, KernelError, Mode, REQID_RANGE};

    use super::*;

    fn ask(k: &mut NoKernel, req: KernelRequest) -> Result<KernelReply, KernelError> {
        k.submit(ReqToken(1), req);
        match k.poll_event() {
            Some(KernelEvent::Done(ReqToken(1), result)) => result,
            other => panic!("{other:?}"),
        }
    }

    fn get_spi() -> KernelRequest {
        let [src, dst]: [IpAddr; 2] = [[192, 0, 2, 2].into(), [192, 0, 2, 1].into()];
        KernelRequest::GetSpi { src, dst, reqid: *REQID_RANGE.start(), proto: SaProto::Esp }
    }

    #[test]
    fn spis_are_sequential_and_kept_until_deleted() {
        let mut k = NoKernel::recording();
        assert_eq!(ask(&mut k, get_spi()), Ok(KernelReply::Spi(FIRST_SPI)));
        assert_eq!(ask(&mut k, get_spi()), Ok(KernelReply::Spi(FIRST_SPI + 1)));
        let id = k.larval()[0];
        for _ in 0..2 {
            assert_eq!(ask(&mut k, KernelRequest::DelSa(id)), Ok(KernelReply::Done));
        }
        assert_eq!(k.larval().len(), 1);
        assert_eq!(ask(&mut k, KernelRequest::FlushOurs), Ok(KernelReply::Flushed { sas: 1, policies: 0 }));
        assert_eq!(k.requests().len(), 5);
        assert!(NoKernel::default().requests().is_empty());
    }

    #[test]
    fn a_request_fails_when_told_to_and_has_no_effect() {
        let mut k = NoKernel::recording();
        k.fail_request(1, libc::ENOMEM);
        assert!(ask(&mut k, get_spi()).is_ok());
        let e = ask(&mut k, get_spi()).unwrap_err();
        assert_eq!((e.request, e.errno), ("XFRM_MSG_ALLOCSPI", libc::ENOMEM));
        assert_eq!(e.text, "Cannot allocate memory");
        assert_eq!(ask(&mut k, get_spi()), Ok(KernelReply::Spi(FIRST_SPI + 1)));
        let unknown = SaId { spi: 9, ..k.larval()[0] };
        assert_eq!(ask(&mut k, KernelRequest::QuerySa(unknown)).unwrap_err().errno, libc::ESRCH);
    }

    #[test]
    fn names_alone_are_enough_to_answer() {
        let mut k = NoKernel::names_only();
        assert_eq!(ask(&mut k, get_spi()), Ok(KernelReply::Spi(FIRST_SPI)));
        let id = k.larval()[0];
        let spec = || {
            KernelRequest::AddSa(Box::new(SaSpec {
                id,
                reqid: *REQID_RANGE.start(),
                mode: Mode::Transport,
                cipher: EspCipher::Aes(128),
                cipher_key: SecretBytes::new(vec![1; 16]),
                integ: EspInteg::Sha1,
                integ_key: SecretBytes::new(vec![2; 20]),
                encap: None,
                replay_window: 32,
                hard_seconds: 0,
                life_bytes: (0, 0),
                life_packets: (0, 0),
                set_mark: None,
                inbound: true,
            }))
        };
        assert_eq!(ask(&mut k, spec()), Ok(KernelReply::Done));
        assert_eq!(ask(&mut k, spec()).unwrap_err().errno, libc::EEXIST);
        assert!(k.sas().is_empty() && k.larval().is_empty());
        let new_id = SaId { dst: [192, 0, 2, 9].into(), ..id };
        let encap = Encap { sport: 4500, dport: 4500, original: None };
        let moved = KernelRequest::UpdateEncap { id, new_id, encap };
        assert_eq!(ask(&mut k, moved.clone()), Ok(KernelReply::Done));
        assert_eq!(ask(&mut k, moved).unwrap_err().errno, libc::ESRCH);
        assert_eq!(ask(&mut k, KernelRequest::QuerySa(id)).unwrap_err().errno, libc::ESRCH);
        assert!(ask(&mut k, KernelRequest::QuerySa(new_id)).is_ok());
        assert_eq!(ask(&mut k, KernelRequest::FlushOurs), Ok(KernelReply::Flushed { sas: 1, policies: 0 }));
        assert!(ask(&mut k, KernelRequest::QuerySa(new_id)).is_err());
    }

    #[test]
    fn injected_news_comes_in_its_turn() {
        let mut k = NoKernel::default();
        k.submit(ReqToken(5), get_spi());
        let id = k.larval()[0];
        k.inject(KernelEvent::Expire { id, hard: true });
        assert!(matches!(k.poll_event(), Some(KernelEvent::Done(ReqToken(5), Ok(_)))));
        assert!(matches!(k.poll_event(), Some(KernelEvent::Expire { hard: true, .. })));
        assert!(k.poll_event().is_none());
        assert!(k.event_fd().is_none());
    }
}
