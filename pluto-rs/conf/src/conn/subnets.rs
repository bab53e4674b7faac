//! `leftsubnets=`: one section, many conns.

use ipsec_types::conn::{ClientSpec, EndSpec};

use super::{Builder, Conn};
use crate::diag::{Diagnostic, Severity};
use crate::keywords::Side;
use crate::net;

/// Most conns one section may expand to.
const MAX_EXPANDED: usize = 1024;

impl Builder<'_> {
    /// `leftsubnets={a b}`: a conn `NAME/1x2` for each pair, all of them with the alias NAME.
    pub(super) fn with_subnets(&mut self, conn: Conn) -> Vec<Conn> {
        let left = self.subnets(Side::Left, &conn.spec.left);
        let right = self.subnets(Side::Right, &conn.spec.right);
        if left.is_none() && right.is_none() {
            return vec![conn];
        }
        let left = left.unwrap_or_else(|| vec![(0, conn.spec.left.client.clone())]);
        let right = right.unwrap_or_else(|| vec![(0, conn.spec.right.client.clone())]);
        if left.len() * right.len() > MAX_EXPANDED {
            let message = format!("while loading '{}': more than {MAX_EXPANDED} pairs of subnets", self.name);
            self.tell(Diagnostic::new(Severity::Error, self.place.clone(), message));
            return Vec::new();
        }
        let mut conns = Vec::new();
        for (i, l) in &left {
            for (j, r) in &right {
                let mut one = conn.clone();
                one.spec.name = format!("{}/{i}x{j}", self.name);
                one.spec.aliases.push(self.name.to_string());
                one.spec.left.client = l.clone();
                one.spec.right.client = r.clone();
                conns.push(one);
            }
        }
        conns
    }

    /// The subnets of a side with their numbers; `leftsubnet=` besides is number 0.
    fn subnets(&mut self, side: Side, end: &EndSpec) -> Option<Vec<(usize, ClientSpec)>> {
        let params = self.merged.appended.get(&("subnets", side))?.clone();
        let mut list = Vec::new();
        if end.client != ClientSpec::Host {
            list.push((0, end.client.clone()));
        }
        let mut number = 0;
        for p in params {
            for word in p.value.split([' ', '\t', ',']).filter(|w| !w.is_empty()) {
                number += 1;
                match net::subnet(word) {
                    // One too many is enough to be refused for.
                    Ok(net) if number <= MAX_EXPANDED + 1 => list.push((number, ClientSpec::Net(net))),
                    Ok(_) => {}
                    Err(_) => {
                        let key = format!("{}subnets", side.prefix());
                        let message = format!(
                            "conn: \"{}\" warning '{word}' is not a subnet declaration. ({key})",
                            self.name
                        );
                        self.say(Severity::Warning, p, message);
                    }
                }
            }
        }
        Some(list)
    }
}
