//! Which certificates of `leftcert=` and `rightcert=` conns name, so that one that is named no more can be forgotten.
//! Nothing here holds or reads a certificate.

use std::collections::HashMap;

use ipsec_types::ConnSpec;

use crate::Endpoint;
use crate::io::Output;

/// By the words of `leftcert=`: how many conns name it. Instances do not count, as their template lives longer.
#[derive(Debug, Default)]
pub(crate) struct CertUsers {
    users: HashMap<String, usize>,
    /// What has lost its last conn, or was never named by one that was taken.
    left: Vec<String>,
}

fn names(spec: &ConnSpec) -> impl Iterator<Item = &String> {
    [&spec.left.cert, &spec.right.cert].into_iter().flatten()
}

impl CertUsers {
    /// A conn was added.
    pub(crate) fn added(&mut self, spec: &ConnSpec) {
        names(spec).for_each(|name| *self.users.entry(name.clone()).or_default() += 1);
    }

    /// A conn was removed.
    pub(crate) fn removed(&mut self, spec: &ConnSpec) {
        for name in names(spec) {
            if let Some(n) = self.users.get_mut(name) {
                *n -= 1;
                if *n == 0 {
                    self.users.remove(name);
                    self.left.push(name.clone());
                }
            }
        }
    }

    /// A conn that is perhaps not taken has had its certificates read.
    pub(crate) fn were_read(&mut self, spec: &ConnSpec) {
        self.left.extend(names(spec).cloned());
    }
}

impl Endpoint {
    /// Forgets certificates that no conn names any more: once a request is done, as one conn may replace another.
    pub(crate) fn forget_certs(&mut self) {
        for name in std::mem::take(&mut self.conns.certs.left) {
            if !self.conns.certs.users.contains_key(&name) && self.certs.remove(&name).is_some() {
                self.out.push_back(Output::ForgetCert(name));
            }
        }
    }
}
