//! Updown scripts on their way to the shell. A `down` says how many octets went through the SA that is gone, so it waits for
//! the kernel's answer; what the same conn's scripts are told after it waits behind it. What they are told is decided in
//! `updown`.

use std::collections::{HashMap, VecDeque};

use ipsec_types::kernel::{KernelError, KernelReply, KernelRequest};

use crate::Endpoint;
use crate::conn::ConnId;
use crate::endpoint::KernelWait;
use crate::io::{Output, Updown, UpdownToken};
use crate::sa::Serial;
use crate::updown::Script;

/// Scripts that run, and those that do not yet.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    pub running: HashMap<UpdownToken, Script>,
    /// By conn, in order.
    held: HashMap<ConnId, VecDeque<Held>>,
}

#[derive(Debug)]
struct Held {
    token: UpdownToken,
    script: Updown,
    /// Counters that are still to come.
    counts: Option<Counts>,
}

/// Octets through an SA that goes.
#[derive(Debug)]
struct Counts {
    child: Serial,
    inbound: Option<u64>,
    outbound: Option<u64>,
}

/// Which counter the kernel was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastUsage {
    conn: ConnId,
    child: Serial,
    inbound: bool,
}

impl Endpoint {
    /// Asks for the counters of a Child SA whose deletion follows, if a script of its conn will want them; whether it did.
    pub(crate) fn count_last(&mut self, child: Serial) -> bool {
        let Some(c) = self.children.get(&child).filter(|c| c.is_up()) else { return false };
        let (conn, Some(ours), Some(theirs)) = (c.conn, c.in_sa, c.out_sa) else { return false };
        if !self.has_last_word(conn) {
            return false;
        }
        for (id, inbound) in [(ours, true), (theirs, false)] {
            let wait = KernelWait::LastUsage(LastUsage { conn, child, inbound });
            self.kernel(KernelRequest::QuerySa(id), Some(wait));
        }
        true
    }

    /// Hands a script to the shell: at once, or when the counters of `counted` are there and what was to run before it runs.
    pub(crate) fn submit_script(
        &mut self,
        conn: ConnId,
        token: UpdownToken,
        script: Updown,
        counted: Option<Serial>,
    ) {
        let counts = counted.map(|child| Counts { child, inbound: None, outbound: None });
        if counts.is_none() && !self.scripts.held.contains_key(&conn) {
            return self.out.push_back(Output::Updown(token, script));
        }
        self.scripts.held.entry(conn).or_default().push_back(Held { token, script, counts });
    }

    /// The kernel has answered [`Self::count_last`]; an SA that is not there has carried nothing.
    pub(crate) fn on_last_usage(&mut self, asked: LastUsage, result: Result<KernelReply, KernelError>) {
        let bytes = match result {
            Ok(KernelReply::Usage(u)) => u.bytes,
            _ => 0,
        };
        let Some(list) = self.scripts.held.get_mut(&asked.conn) else { return };
        let counts = list.iter_mut().find_map(|h| h.counts.as_mut().filter(|c| c.child == asked.child));
        if let Some(counts) = counts {
            let of = if asked.inbound { &mut counts.inbound } else { &mut counts.outbound };
            *of = Some(bytes);
        }
        while let Some(next) = list.front_mut() {
            match &next.counts {
                Some(Counts { inbound: Some(i), outbound: Some(o), .. }) => next
                    .script
                    .env
                    .extend([("PLUTO_INBYTES", i.to_string()), ("PLUTO_OUTBYTES", o.to_string())]),
                Some(_) => return,
                None => {}
            }
            if let Some(Held { token, script, .. }) = list.pop_front() {
                self.out.push_back(Output::Updown(token, script));
            }
        }
        self.scripts.held.remove(&asked.conn);
    }
}
