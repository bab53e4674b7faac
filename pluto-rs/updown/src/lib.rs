//! The built-in updown script: what Openswan's `_updown` did for a tunnel, done by the program itself.
//!
//! ```text
//!  PLUTO_* variables ┐
//!  --route, --iproute ├─► plan (pure) ─► steps ─┬─ addresses, routes, tunnel devices: netlink
//!  pluto_updown file ┘                          ├─ firewall: iptables, or nft where there is no iptables
//!                                               └─ resolv.conf of a Cisco peer's client
//! ```
//! `pluto` calls [`run`] on a thread, `ipsec _updown` calls it for old scripts that end with that. No shell is started and
//! no text of a variable is taken for anything but an address, a number or a name. Nothing here is remembered between
//! two calls: what a verb undoes is found by its variables.

#![forbid(unsafe_code)]

mod firewall;
mod netlink;
mod plan;
mod resolv;
mod settings;
mod vti;

use std::collections::HashMap;

pub use netlink::{Found, lookup};
pub use settings::{BadOption, Settings};

/// How the names of variables begin.
const NAMES: [&str; 3] = ["PLUTO_", "VTI_", "CONNMARK_"];

/// The variables of a call.
#[derive(Clone, Debug, Default)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// Variables by name; what no script is told is left out.
    pub fn new(all: impl IntoIterator<Item = (String, String)>) -> Self {
        Variables(all.into_iter().filter(|(name, _)| NAMES.iter().any(|n| name.starts_with(n))).collect())
    }

    /// The value, empty if there is none.
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// What came of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the script would have printed.
    pub lines: Vec<String>,
    /// Its exit status.
    pub status: i32,
}

/// Whether a call is understood. Nothing is done.
///
/// # Errors
/// The line [`run`] would print.
pub fn check(variables: &Variables, settings: &Settings) -> Result<(), String> {
    plan::plan(variables, settings).map(|_| ())
}

/// Does what the verb asks for.
pub fn run(variables: &Variables, settings: &Settings) -> Outcome {
    let mut out = Outcome::default();
    let steps = match plan::plan(variables, settings) {
        Ok(steps) => steps,
        Err(why) => {
            out.lines.push(format!("ipsec _updown: {why}"));
            out.status = 1;
            return out;
        }
    };
    for step in steps {
        let result = match &step {
            plan::Step::AddAddress(a) => netlink::add_address(a),
            plan::Step::RemoveAddress(a) => netlink::remove_address(a),
            plan::Step::Route(r) => netlink::route(r),
            plan::Step::Unroute(r) => netlink::unroute(r),
            plan::Step::AddTunnel(t) => vti::add(t, &mut out.lines),
            plan::Step::RemoveTunnel(name) => vti::remove(name),
            plan::Step::Open(openings) => firewall::open(openings),
            plan::Step::Close(openings) => firewall::close(openings),
            plan::Step::Resolver(change) => resolv::run(change, &mut out.lines),
        };
        if let Err(why) = result {
            out.lines.push(format!("ipsec _updown: {why}"));
            // A route that is missing is a tunnel that does not work; the rest is told and no more.
            if matches!(step, plan::Step::Route(_)) {
                out.status = 2;
            }
        }
    }
    out
}
