//! Two engines that talk, and somebody on the path with the keys of both who changes their messages, holds them back,
//! repeats them, while administrators, kernels and clocks do what they do: whatever the input says. In the end both have
//! nothing left, and a good client gets in.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ipsec_types::conn::{ClientSpec, ConnType};
use ipsec_types::kernel::KernelEvent;
use ipsec_types::modecfg::{AddressPool, ModeConfig};
use ipsec_types::whack::Request;
use ipsec_types::{ConnSpec, ProtoPort};

use super::script::Script;
use crate::check::clean;
use crate::conns::{PASSWORD, SERVER, USER};
use crate::impair::{AUTHS, balanced, live, suite};
use crate::message::{Message, Payload};
use crate::net::Datagram;
use crate::pair::{Pair, PairConfig};
use crate::spy::Spy;

/// What a script does at most.
const ACTIONS: usize = 48;

/// XAUTH and addresses by Mode Config, with everything of Cisco's.
fn road_warrior(mut config: PairConfig, pull: bool) -> PairConfig {
    let tunnel = |c: &mut ConnSpec| {
        c.conn_type = ConnType::Tunnel;
        (c.left.protoport, c.right.protoport) = (ProtoPort::default(), ProtoPort::default());
        (c.modecfg.pull, c.cisco_unity) = (pull, true);
    };
    let everywhere = "0.0.0.0/0".parse().map_or(ClientSpec::Host, ClientSpec::Net);
    for c in &mut config.server {
        tunnel(c);
        (c.left.client, c.right.client) = (everywhere.clone(), ClientSpec::Host);
        (c.left.modecfg_server, c.right.modecfg_client) = (true, true);
        let [first, last] = [1, 2].map(|n| IpAddr::from([10, 9, 0, n]));
        c.right.address_pool = Some(AddressPool { first, last });
        c.modecfg = ModeConfig {
            dns: vec![IpAddr::from([10, 1, 0, 53])],
            domains: vec!["example.com".into()],
            banner: Some("Be nice".into()),
            split: "10.1.0.0/16".parse().into_iter().collect(),
            ..c.modecfg.clone()
        };
    }
    let client = &mut config.client;
    tunnel(client);
    client.right.client = everywhere;
    (client.left.modecfg_client, client.right.modecfg_server) = (true, true);
    config
}

/// The world of a script, and whether `SKEYID` is made of a pre-shared key.
fn world(script: &mut Script<'_>) -> (PairConfig, bool) {
    let (which, flags) = (usize::from(script.octet()) % (AUTHS.len() + 2), script.octet());
    // The last one is XAUTH.
    let auth = AUTHS[which.min(AUTHS.len() - 1)];
    let mut config = (auth.config)();
    if which >= AUTHS.len() {
        config = road_warrior(config, which > AUTHS.len());
    }
    let flag = |n: u8| flags & (1 << n) != 0;
    for c in config.server.iter_mut().chain([&mut config.client]) {
        if flag(0) {
            (c.dpd_delay, c.dpd_timeout) = (10, 40);
        }
        if flag(1) {
            (c.rekey, c.ike_lifetime, c.sa_lifetime, c.rekey_margin, c.rekey_fuzz) = (true, 300, 200, 30, 0);
        }
        c.pfs = flag(2);
        c.keyingtries = if flag(3) { 2 } else { 1 };
    }
    if flag(4) {
        config.busy = Duration::from_millis(300);
    }
    (config, auth.psk)
}

/// One change of one message.
struct Edit {
    /// Messages that pass before it, of the end that is meant.
    skip: u8,
    /// Which end.
    of_client: bool,
    kind: u8,
    /// Which payload, and where in it.
    payload: usize,
    at: usize,
    value: u8,
    octets: Vec<u8>,
}

impl Edit {
    fn read(kind: u8, script: &mut Script<'_>) -> Edit {
        let who = script.octet();
        let (payload, at, value) = (script.octet().into(), script.octet().into(), script.octet());
        let octets = if kind >= 10 { script.octets((value & 0x1f).into()).to_vec() } else { Vec::new() };
        Edit { skip: who >> 1 & 0x0f, of_client: who & 1 != 0, kind, payload, at, value, octets }
    }

    fn of_message(&self, m: &mut Message) {
        let count = m.payloads.len();
        let n = self.payload.checked_rem(count).unwrap_or(0);
        let (at, value) = (self.at, self.value);
        match self.kind {
            1 if count > 0 => drop(m.payloads.remove(n)),
            2 if (1..20).contains(&count) => m.payloads.insert(n, m.payloads[n].clone()),
            3 if count > 0 => m.payloads.swap(n, at % count),
            4 => m.exchange = value,
            5 => m.flags ^= value,
            6 => m.msgid ^= u32::from(value) << (at % 32),
            7 => m.lie = i32::from(value.cast_signed()),
            8 => m.version = value,
            9 => m.repair = false,
            10 if count < 20 => {
                m.payloads.insert(n.min(count), Payload::new(self.at as u8, self.octets.clone()));
            }
            11 => m.tail.extend(&self.octets),
            // The attributes of the first transform.
            12 => {
                let room = m.find(crate::message::SA).is_some_and(|sa| {
                    sa.body.get(14).is_some_and(|spi| sa.body.len() >= 24 + usize::from(*spi))
                });
                if room {
                    m.attributes(|a| {
                        drop(a.splice(at.min(a.len())..(at + 4).min(a.len()), self.octets.clone()))
                    });
                }
            }
            _ => {
                let Some(p) = m.payloads.get_mut(n) else { return };
                let length = p.body.len();
                match self.kind {
                    13 => p.body.clone_from(&self.octets),
                    14 => p.body.extend(&self.octets),
                    15 => drop(p.body.splice(at.min(length)..(at + 2).min(length), self.octets.clone())),
                    16 => p.kind = value,
                    17 => p.lie = i16::from(value.cast_signed()),
                    18 => p.reserved = value,
                    19 => p.body.truncate(at),
                    20 => p.body.fill(value),
                    _ => {
                        if let Some(octet) = p.body.get_mut(at.checked_rem(length).unwrap_or(0)) {
                            *octet ^= value | 1;
                        }
                    }
                }
            }
        }
    }
}

/// Changes of messages, in the order in which they come about.
type Edits = Rc<RefCell<VecDeque<Edit>>>;

fn on_the_path(pair: &mut Pair, psk: bool, edits: Edits) {
    let mut spy = Spy::new(suite(psk));
    let delay = pair.net.link.delay;
    pair.tamper = Some(Box::new(move |hosts, mut d| {
        let from_client = d.src.ip() == hosts[1].addr;
        let mut edits = edits.borrow_mut();
        let due = match edits.front_mut() {
            Some(e) if e.of_client == from_client && e.skip > 0 => {
                e.skip -= 1;
                None
            }
            Some(e) if e.of_client == from_client => edits.pop_front(),
            _ => None,
        };
        let mut change = |m: &mut Message| {
            if let Some(edit) = due.as_ref().filter(|e| e.kind <= 20) {
                edit.of_message(m);
            }
        };
        d.data = spy.pass([&hosts[1].shared, &hosts[0].shared], from_client, &d.data, &mut change);
        match due {
            Some(Edit { kind: 21, .. }) => Vec::new(),
            Some(Edit { kind: 22, at, .. }) => vec![(delay + Duration::from_millis(at as u64 * 500), d)],
            Some(Edit { kind: 23, at, .. }) => {
                vec![(delay, d.clone()), (delay + Duration::from_millis(at as u64 * 500), d)]
            }
            _ => vec![(delay, d)],
        }
    }));
}

/// What is said again, by whom it was or by a stranger, perhaps with an octet changed or cut short.
fn again(pair: &mut Pair, script: &mut Script<'_>) {
    let (which, how, at, value) = (script.octet(), script.octet(), script.octet(), script.octet());
    let Some(n) = usize::from(which).checked_rem(pair.sent.len()) else { return };
    let Datagram { mut src, mut dst, mut data } = pair.sent[pair.sent.len() - 1 - n].clone();
    if let Some(octet) = data.get_mut(usize::from(at)).filter(|_| how & 1 != 0) {
        *octet ^= value;
    }
    if how & 2 != 0 {
        data.truncate(at.into());
    }
    if how & 4 != 0 {
        src = SocketAddr::new(IpAddr::from([203, 0, 113, 9]), src.port());
    }
    if how & 8 != 0 {
        dst.set_port(if dst.port() == 500 { 4500 } else { 500 });
    }
    pair.inject(src, dst, data);
}

/// What the kernel, the administrator or the clock does.
fn act(pair: &mut Pair, config: &PairConfig, kind: u8, script: &mut Script<'_>) -> Result<(), String> {
    let value = script.octet();
    let (number, now) = (usize::from(value & 1), pair.now);
    let host = &mut pair.hosts[number];
    match kind {
        0 => {
            let unit = [10, 1000, 10_000, 60_000][usize::from(value >> 6)];
            live(pair, Duration::from_millis(unit * u64::from(value & 0x3f)))?;
        }
        1 => pair.up(1),
        2 => pair.down(number),
        3 => host.script_status = i32::from(value >> 1 & 1),
        4 => host.users.clear(),
        5 => host.whack(now, Request::DeleteState { serial: u32::from(value >> 1) }),
        6 => host.whack(now, Request::Status),
        7 => {
            let sas = host.kernel.sas();
            let sa = usize::from(value >> 2).checked_rem(sas.len()).and_then(|n| sas.get(n)).map(|s| s.id);
            if let Some(id) = sa {
                host.kernel.inject(KernelEvent::Expire { id, hard: value & 2 != 0 });
                host.collect_kernel(now);
            }
        }
        8 => {
            let new = SocketAddr::from(([198, 51, 100, 2 + (value >> 4)], 4500 + u16::from(value >> 2 & 3)));
            let sas: Vec<_> = host.kernel.sas().iter().filter(|s| s.inbound).map(|s| s.id).collect();
            if let Some(id) = script.pick(&sas) {
                host.kernel.inject(KernelEvent::Mapping { id, new });
                host.collect_kernel(now);
            }
        }
        9 => host.kernel.carry(value.into(), script.octet().into()),
        10 => {
            let conn = if number == 0 { config.server[0].clone() } else { config.client.clone() };
            host.whack(now, Request::Load { spec: Box::new(conn), keep_equal: value & 2 != 0 });
        }
        11 => {
            let (src, port) = (host.addr, if value & 2 == 0 { 500 } else { 4500 });
            let dst = if number == 0 { pair.hosts[1].addr } else { SERVER };
            let length = script.octet().into();
            pair.inject((src, port).into(), (dst, port).into(), script.octets(length).to_vec());
        }
        _ => again(pair, script),
    }
    Ok(())
}

/// Plays it.
///
/// # Errors
/// What was wrong.
fn play(data: &[u8]) -> Result<(), String> {
    let mut script = Script(data);
    let (config, psk) = world(&mut script);
    let mut pair = Pair::new(config.clone());
    let users = vec![(USER.to_string(), PASSWORD.into())];
    pair.server().users.clone_from(&users);
    pair.drain();
    let edits = Edits::default();
    on_the_path(&mut pair, psk, edits.clone());
    let (mut refused, mut actions) = (false, 0);
    while !script.is_over() && actions < ACTIONS {
        actions += 1;
        match script.octet() & 0x3f {
            kind @ 0..=23 => edits.borrow_mut().push_back(Edit::read(kind, &mut script)),
            24 => {
                let value = script.octet();
                let host = usize::from(value & 1);
                pair.hosts[host].kernel.fail_request((value >> 1 & 7).into(), 12);
                refused = true;
            }
            kind => act(&mut pair, &config, (kind - 25) % 13, &mut script)?,
        }
    }
    pair.up(1);
    live(&mut pair, Duration::from_secs(1000))?;
    pair.tamper = None;
    for h in &mut pair.hosts {
        (h.busy, h.script_status) = (Duration::ZERO, 0);
    }
    pair.server().users = users;
    pair.down(1);
    pair.down(0);
    for number in [0, 1] {
        // A dead peer leaves a trap behind.
        let (now, name) = (pair.now, config.client.name.clone());
        pair.hosts[number].whack(now, Request::Unroute { name });
    }
    // What a peer was not told of goes when its life ends.
    live(&mut pair, Duration::from_secs(90_000))?;
    for h in &pair.hosts {
        balanced(h)?;
        match h.engine.counts() {
            [0, 0, conns, 0] if conns == h.conns && h.engine.poll_timeout().is_none() => {}
            counts => return Err(format!("{}: {counts:?}, {:?}", h.addr, h.engine.poll_timeout())),
        }
        // A kernel that refuses to delete keeps what it has.
        if !refused {
            clean(h)?;
        }
    }
    if !refused && !pair.connect() {
        return Err("a good client does not get in afterwards".into());
    }
    Ok(())
}

/// Plays a script: the authentication, what the conns ask for, then what is changed and what happens.
pub fn ike_conversation(data: &[u8]) {
    let end = play(data);
    assert!(end.is_ok(), "{end:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_comes_up_when_nothing_is_changed() {
        for (which, flags) in (0..7).flat_map(|w| [(w, 0), (w, 31)]) {
            let (config, psk) = world(&mut Script(&[which, flags]));
            let mut pair = Pair::new(config);
            pair.server().users = vec![(USER.to_string(), PASSWORD.into())];
            on_the_path(&mut pair, psk, Edits::default());
            assert!(pair.connect(), "{which} {flags}: {:?}", pair.hosts[1].log);
        }
    }
}
