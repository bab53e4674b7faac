//! The XFRM backend against a real kernel.
//!
//! Changes the IPsec tables of the machine, so it runs only where `CYGNET_KERNEL_TESTS=1` is set: as root in a
//! machine that is thrown away afterwards, with `ip`, `bash` and the modules `esp4 xfrm_user authenc cbc veth`.
//! Everywhere else each test says so and passes.

mod lab;

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use ipsec_kernel::{KernelBackend, PRIORITY_RANGE, sockopt, xfrm::Xfrm};
use ipsec_types::algo::{EspCipher, EspInteg};
use ipsec_types::kernel::{
    Dir, Encap, KernelEvent, KernelReply, KernelRequest, Mark, PolicyAction, PolicySpec, SaId, SaProto,
    SaSpec,
};
use lab::{
    PEER, REQID, US, addr, ask, esp, has, hex, key, l2tp, lab, policies_in_table, run, sa, wait_event,
};

#[test]
fn spi_then_sa() {
    let Some((_guard, mut kernel)) = lab() else { return };
    assert_eq!(kernel.name(), "netkey");
    let Ok(KernelReply::Spi(spi)) = ask(
        &mut kernel,
        KernelRequest::GetSpi { src: addr(PEER), dst: addr(US), reqid: REQID, proto: SaProto::Esp },
    ) else {
        panic!("no SPI");
    };
    assert!(spi >= 0xc000_0000, "{spi:x}");
    let text = run("ip xfrm state");
    assert!(has(&text, &format!("src {PEER} dst {US} proto esp spi 0x{spi:08x} reqid {REQID}")), "{text}");

    let spec = SaSpec { inbound: true, replay_window: 32, ..sa(PEER, US, spi) };
    assert_eq!(ask(&mut kernel, KernelRequest::AddSa(Box::new(spec.clone()))), Ok(KernelReply::Done));
    let text = run("ip -d xfrm state");
    assert_eq!(text.matches("proto esp").count(), 1, "the larval SA is replaced: {text}");
    assert!(has(&text, "mode transport replay-window 32"), "{text}");

    // Outbound the same again is refused, deletion works twice, an unknown SA has no counters.
    let again = SaSpec { inbound: false, ..spec.clone() };
    assert_eq!(ask(&mut kernel, KernelRequest::AddSa(Box::new(again))).unwrap_err().errno, libc::EEXIST);
    for _ in 0..2 {
        assert_eq!(ask(&mut kernel, KernelRequest::DelSa(spec.id)), Ok(KernelReply::Done));
    }
    let e = ask(&mut kernel, KernelRequest::QuerySa(spec.id)).unwrap_err();
    assert_eq!(e.to_string(), "ERROR: netlink response for XFRM_MSG_GETSA included errno 3: No such process");

    // A larval SA that has run out: the inbound SA is added all the same.
    assert_eq!(ask(&mut kernel, KernelRequest::AddSa(Box::new(spec))), Ok(KernelReply::Done));
    assert_eq!(run("ip xfrm state").matches("proto esp").count(), 1);
}

#[test]
fn every_algorithm() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let name = |c| match c {
        EspCipher::Des => "cbc(des)",
        EspCipher::TripleDes => "cbc(des3_ede)",
        EspCipher::Null => "ecb(cipher_null)",
        EspCipher::Aes(_) => "cbc(aes)",
        EspCipher::AesCtr(_) => "rfc3686(ctr(aes))",
        EspCipher::AesCcm(..) => "rfc4309(ccm(aes))",
        EspCipher::AesGcm(..) => "rfc4106(gcm(aes))",
        EspCipher::AesGmac(_) => "rfc4543(gcm(aes))",
        EspCipher::Camellia(_) => "cbc(camellia)",
        EspCipher::ChaCha20Poly1305 => "rfc7539esp(chacha20,poly1305)",
    };
    let integs = [
        (EspInteg::Md5, "hmac(md5)"),
        (EspInteg::Sha1, "hmac(sha1)"),
        (EspInteg::Sha256, "hmac(sha256)"),
        (EspInteg::Sha256Trunc96, "hmac(sha256)"),
        (EspInteg::Sha384, "hmac(sha384)"),
        (EspInteg::Sha512, "hmac(sha512)"),
        (EspInteg::AesXcbc, "xcbc(aes)"),
        (EspInteg::AesCmac, "cmac(aes)"),
    ];
    let mut refused = Vec::new();
    for cipher in EspCipher::ALL {
        let tag = cipher.tag_len();
        let beside: &[_] = if tag.is_some() { &[(EspInteg::None, "")] } else { &integs };
        for (integ, iname) in beside.iter().copied() {
            let mut spec = sa(US, PEER, 0x1000);
            (spec.cipher, spec.cipher_key) = (cipher, key(cipher.key_len(), 3));
            (spec.integ, spec.integ_key) = (integ, key(integ.key_len(), 77));
            let (cname, ckey, ikey) = (name(cipher), hex(&spec.cipher_key), hex(&spec.integ_key));
            let id = spec.id;
            if let Err(e) = ask(&mut kernel, KernelRequest::AddSa(Box::new(spec))) {
                // What this kernel was built without: it says so by this number, and the SA is refused cleanly.
                assert_eq!(e.errno, libc::ENOSYS, "{cname} {iname}: {e}");
                refused.push(cname);
                continue;
            }
            let text = run("ip -d xfrm state");
            let bits = integ.trunc_bits();
            let want = match tag {
                Some(tag) => format!("aead {cname} 0x{ckey} {}", u32::from(tag) * 8),
                None if cipher == EspCipher::Null => {
                    format!("auth-trunc {iname} 0x{ikey} {bits} enc {cname}")
                }
                None => format!("auth-trunc {iname} 0x{ikey} {bits} enc {cname} 0x{ckey}"),
            };
            assert!(has(&text, &want), "{want}: {text}");
            ask(&mut kernel, KernelRequest::DelSa(id)).unwrap();
        }
    }
    for needed in ["cbc(aes)", "cbc(des3_ede)", "rfc4106(gcm(aes))"] {
        assert!(!refused.contains(&needed), "{refused:?}");
    }
}

/// The kernel changes no SA's algorithm: another one of the same name, with the window where it was.
#[test]
fn another_truncation_takes_the_place_of_the_first() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let mut spec = sa(PEER, US, 0x1234);
    (spec.integ, spec.integ_key) = (EspInteg::Sha256, key(32, 77));
    (spec.inbound, spec.replay_window) = (true, 64);
    let (id, ikey) = (spec.id, hex(&spec.integ_key));
    ask(&mut kernel, KernelRequest::AddSa(Box::new(spec))).unwrap();
    for (integ, bits) in [(EspInteg::Sha256Trunc96, 96), (EspInteg::Sha256, 128)] {
        ask(&mut kernel, KernelRequest::SetIntegrity { id, integ }).unwrap();
        let text = run("ip -d xfrm state");
        assert_eq!(text.matches("proto esp").count(), 1, "{text}");
        assert!(has(&text, &format!("auth-trunc hmac(sha256) 0x{ikey} {bits}")), "{text}");
        assert!(has(&text, "replay_window 64,"), "{text}");
    }
    // A key of another length is none.
    let other = KernelRequest::SetIntegrity { id, integ: EspInteg::Sha512 };
    assert_eq!(ask(&mut kernel, other).unwrap_err().errno, libc::ESRCH);
    ask(&mut kernel, KernelRequest::DelSa(id)).unwrap();
}

#[test]
fn encapsulation_mark_and_window() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let mut spec = sa(PEER, US, 0x2000);
    spec.inbound = true;
    spec.encap = Some(Encap { sport: 61234, dport: 4500, original: Some(addr("10.1.0.11")) });
    spec.set_mark = Some(Mark { value: 0x0007_0000, mask: 0x7fff_0000 });
    spec.replay_window = 128;
    spec.hard_seconds = 3600;
    assert_eq!(ask(&mut kernel, KernelRequest::AddSa(Box::new(spec.clone()))), Ok(KernelReply::Done));
    let text = run("ip -d xfrm state");
    assert!(has(&text, "encap type espinudp sport 61234 dport 4500 addr 10.1.0.11"), "{text}");
    assert!(has(&text, "output-mark 0x70000/0x7fff0000"), "{text}");
    assert!(has(&text, "replay_window 128, bitmap-length 4"), "{text}");
    let stats = run("ip -s xfrm state");
    assert!(has(&stats, "expire add: soft 0(sec), hard 3600(sec)"), "{stats}");

    // New ports only.
    let encap = Encap { sport: 61235, dport: 4500, original: Some(addr("10.1.0.11")) };
    let id = spec.id;
    assert_eq!(ask(&mut kernel, KernelRequest::UpdateEncap { id, new_id: id, encap }), Ok(KernelReply::Done));
    let text = run("ip xfrm state");
    assert!(has(&text, &format!("src {PEER} dst {US} sport 61235 dport 4500")), "{text}");

    // A new address.
    let new_id = SaId { src: addr("10.9.0.3"), ..id };
    let encap = Encap { sport: 61236, ..encap };
    assert_eq!(ask(&mut kernel, KernelRequest::UpdateEncap { id, new_id, encap }), Ok(KernelReply::Done));
    let text = run("ip -d xfrm state");
    assert_eq!(text.matches("proto esp").count(), 1, "{text}");
    assert!(has(&text, &format!("src 10.9.0.3 dst {US} sport 61236 dport 4500")), "{text}");
    assert!(has(&text, "output-mark 0x70000/0x7fff0000"), "{text}");
    assert!(has(&text, "replay_window 128, bitmap-length 4"), "{text}");
}

#[test]
fn keys_of_a_wrong_length_never_reach_the_kernel() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let mut spec = sa(US, PEER, 0x2100);
    spec.cipher_key = key(15, 1);
    assert_eq!(ask(&mut kernel, KernelRequest::AddSa(Box::new(spec))).unwrap_err().errno, libc::EINVAL);
    assert_eq!(run("ip xfrm state"), "");
}

#[test]
fn policies() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let mark = Mark { value: 0x0007_0000, mask: 0x7fff_0000 };
    let marked =
        PolicySpec { id: l2tp(PEER, US, Dir::In, Some(mark)), priority: 2000, action: esp(PEER, US) };
    let out = PolicySpec { id: l2tp(US, PEER, Dir::Out, None), priority: 2001, action: esp(US, PEER) };
    let low = *PRIORITY_RANGE.start();
    let block =
        PolicySpec { id: l2tp(PEER, US, Dir::In, None), priority: low + 3, action: PolicyAction::Block };
    let mut allow =
        PolicySpec { id: l2tp(US, PEER, Dir::Out, None), priority: low, action: PolicyAction::Allow };
    allow.id.selector.dport = 0;
    for spec in [marked, out, block, allow] {
        assert_eq!(ask(&mut kernel, KernelRequest::AddPolicy(spec)), Ok(KernelReply::Done));
    }
    let text = run("ip xfrm policy");
    for words in [
        &format!(
            "src {PEER}/32 dst {US}/32 proto udp sport 1701 dport 1701 dir in priority 2000 mark 0x70000/0x7fff0000 \
                  tmpl src {PEER} dst {US} proto esp reqid {REQID} mode transport"
        ),
        &format!(
            "src {US}/32 dst {PEER}/32 proto udp sport 1701 dport 1701 dir out priority 2001 \
                  tmpl src {US} dst {PEER} proto esp reqid {REQID} mode transport"
        ),
        &format!(
            "src {PEER}/32 dst {US}/32 proto udp sport 1701 dport 1701 dir in action block priority {}",
            low + 3
        ),
        &format!("src {US}/32 dst {PEER}/32 proto udp sport 1701 dir out priority {low}"),
    ] {
        assert!(has(&text, words), "{words}\n{text}");
    }
    assert_eq!(text.matches("action block").count(), 1);

    // Replaced, not doubled; deleted twice.
    let replaced = PolicySpec { priority: 2002, ..out };
    assert_eq!(ask(&mut kernel, KernelRequest::AddPolicy(replaced)), Ok(KernelReply::Done));
    let text = run("ip xfrm policy");
    assert_eq!(text.matches("\tdir ").count(), 4, "{text}");
    assert!(text.contains("priority 2002") && !text.contains("priority 2001"), "{text}");
    for spec in [marked, out, block, allow, marked] {
        assert_eq!(ask(&mut kernel, KernelRequest::DelPolicy(spec.id)), Ok(KernelReply::Done));
    }
    assert_eq!(run("ip xfrm policy"), "");

    let foreign = PolicySpec { priority: 5, ..block };
    assert_eq!(ask(&mut kernel, KernelRequest::AddPolicy(foreign)).unwrap_err().errno, libc::EINVAL);
}

#[test]
fn a_policy_of_somebody_else_is_neither_replaced_nor_deleted() {
    let Some((_guard, mut kernel)) = lab() else { return };
    run(&format!(
        "ip xfrm policy add src {US} dst {PEER} proto udp sport 1701 dport 1701 dir out priority 9 \
         tmpl proto esp mode transport reqid 5"
    ));
    let before = run("ip xfrm policy");
    let spec = PolicySpec { id: l2tp(US, PEER, Dir::Out, None), priority: 2001, action: esp(US, PEER) };
    let e = ask(&mut kernel, KernelRequest::AddPolicy(spec)).unwrap_err();
    assert_eq!((e.request, e.errno), ("XFRM_MSG_NEWPOLICY", libc::EEXIST));
    assert_eq!(ask(&mut kernel, KernelRequest::DelPolicy(spec.id)), Ok(KernelReply::Done));
    assert_eq!(run("ip xfrm policy"), before);
}

#[test]
fn flush_takes_ours_and_leaves_the_rest() {
    let Some((_guard, mut kernel)) = lab() else { return };
    run(&format!(
        "ip xfrm state add src {US} dst {PEER} proto esp spi 0x77 reqid 77 mode transport \
           enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha1)' 0x0011223344556677889900112233445566778899
         ip xfrm policy add src 10.77.0.0/16 dst 10.78.0.0/16 dir out priority 100 tmpl src {US} dst {PEER} \
           proto esp reqid 77 mode tunnel
         ip xfrm policy add src 10.77.0.0/16 dst 10.79.0.0/16 dir in priority 100 action block"
    ));
    let foreign = (run("ip xfrm state"), policies_in_table());
    assert_eq!(foreign.1.len(), 2);
    let socket = UdpSocket::bind((US, 0)).unwrap();
    sockopt::bypass_ipsec(socket.as_fd(), false).unwrap();

    for spi in 0x3000..0x3040 {
        assert!(ask(&mut kernel, KernelRequest::AddSa(Box::new(sa(US, PEER, spi)))).is_ok());
    }
    ask(
        &mut kernel,
        KernelRequest::GetSpi { src: addr(PEER), dst: addr(US), reqid: REQID, proto: SaProto::Esp },
    )
    .unwrap();
    let mark = Some(Mark { value: 0x0003_0000, mask: 0x7fff_0000 });
    let low = *PRIORITY_RANGE.start();
    for (id, priority, action) in [
        (l2tp(US, PEER, Dir::Out, None), 2000, esp(US, PEER)),
        (l2tp(US, PEER, Dir::Out, mark), 2000, esp(US, PEER)),
        (l2tp(PEER, US, Dir::In, mark), 2000, esp(PEER, US)),
        (l2tp(PEER, US, Dir::In, None), low, PolicyAction::Block),
        (l2tp(PEER, US, Dir::Fwd, None), low + 9, PolicyAction::Allow),
    ] {
        ask(&mut kernel, KernelRequest::AddPolicy(PolicySpec { id, priority, action })).unwrap();
    }
    // As after kill -9: another process, with no memory of any of this.
    drop(kernel);
    let mut kernel = Xfrm::open().unwrap();
    let flushed = ask(&mut kernel, KernelRequest::FlushOurs);
    assert_eq!(flushed, Ok(KernelReply::Flushed { sas: 65, policies: 5 }));
    assert_eq!((run("ip xfrm state"), policies_in_table()), foreign);
    assert_eq!(run("ip xfrm policy").matches("socket ").count(), 2, "the bypass stays, too");
    assert_eq!(ask(&mut kernel, KernelRequest::FlushOurs), Ok(KernelReply::Flushed { sas: 0, policies: 0 }));
    drop(socket);
}

#[test]
fn an_sa_expires() {
    let Some((_guard, mut kernel)) = lab() else { return };
    run(&format!(
        "ip xfrm state add src {US} dst {PEER} proto esp spi 0x78 reqid 78 mode transport limit time-hard 1 \
         enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha1)' 0x0011223344556677889900112233445566778899"
    ));
    let spec = SaSpec { hard_seconds: 2, ..sa(US, PEER, 0x4000) };
    let id = spec.id;
    ask(&mut kernel, KernelRequest::AddSa(Box::new(spec))).unwrap();
    // The first event told is ours, although the other SA runs out earlier.
    match wait_event(&mut kernel, 8) {
        KernelEvent::Expire { id: gone, hard: true } => assert_eq!(gone, id),
        other => panic!("{other:?}"),
    }
    assert!(ask(&mut kernel, KernelRequest::QuerySa(id)).is_err());
}

#[test]
fn packets_are_counted_against_their_limits() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let spec = SaSpec { life_packets: (2, 4), ..sa(US, PEER, 0x4100) };
    let id = spec.id;
    ask(&mut kernel, KernelRequest::AddSa(Box::new(spec))).unwrap();
    let policy = PolicySpec { id: l2tp(US, PEER, Dir::Out, None), priority: 2000, action: esp(US, PEER) };
    ask(&mut kernel, KernelRequest::AddPolicy(policy)).unwrap();
    let socket = UdpSocket::bind((US, 1701)).unwrap();
    let mut told = Vec::new();
    for _ in 0..10 {
        // What is too many is refused.
        let _ = socket.send_to(b"hello", (PEER, 1701));
        while let Some(event) = kernel.poll_event() {
            told.push(event);
        }
    }
    while told.len() < 2 {
        told.push(wait_event(&mut kernel, 30));
    }
    let [KernelEvent::Expire { id: a, hard: false }, KernelEvent::Expire { id: b, hard: true }] = told[..2]
    else {
        panic!("{told:?}")
    };
    assert_eq!([a, b], [id, id]);
}

#[test]
fn a_trap_policy_asks() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let spec = PolicySpec { id: l2tp(US, PEER, Dir::Out, None), priority: 2001, action: esp(US, PEER) };
    ask(&mut kernel, KernelRequest::AddPolicy(spec)).unwrap();
    let socket = UdpSocket::bind((US, 1701)).unwrap();
    let _ = socket.send_to(b"hello", (PEER, 1701));
    match wait_event(&mut kernel, 5) {
        KernelEvent::Acquire { selector, reqid } => {
            assert_eq!(reqid, REQID);
            assert_eq!(selector, spec.id.selector);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_ike_socket_passes_a_policy_that_blocks() {
    let Some((_guard, _kernel)) = lab() else { return };
    run(&format!("ip xfrm policy add src {US} dst {PEER} dir out action block priority 1"));
    let socket = UdpSocket::bind((US, 500)).unwrap();
    assert!(socket.send_to(b"x", (PEER, 500)).is_err());
    sockopt::bypass_ipsec(socket.as_fd(), false).unwrap();
    assert_eq!(socket.send_to(b"x", (PEER, 500)).unwrap(), 1);
    let text = run("ip xfrm policy");
    assert!(text.contains("socket in") && text.contains("socket out"), "{text}");
    let v6 = UdpSocket::bind("[::1]:0").unwrap();
    sockopt::bypass_ipsec(v6.as_fd(), true).unwrap();
}

/// Two kernels, ESP in UDP between them: what is installed carries traffic, counts it, and a peer whose NAT gives it
/// another port is noticed and followed.
#[test]
fn traffic_and_a_moving_peer() {
    let Some((_guard, mut kernel)) = lab() else { return };
    let encap = UdpSocket::bind((US, 4500)).unwrap();
    sockopt::bypass_ipsec(encap.as_fd(), false).unwrap();
    sockopt::udp_encap(encap.as_fd()).unwrap();
    let l2tpd = UdpSocket::bind((US, 1701)).unwrap();
    l2tpd.set_read_timeout(Some(Duration::from_secs(3))).unwrap();

    let mut inbound = SaSpec { inbound: true, replay_window: 64, ..sa(PEER, US, 0x5000) };
    inbound.encap = Some(Encap { sport: 4500, dport: 4500, original: None });
    let id = inbound.id;
    let (ckey, ikey) = (hex(&inbound.cipher_key), hex(&inbound.integ_key));
    ask(&mut kernel, KernelRequest::AddSa(Box::new(inbound))).unwrap();
    let policy = PolicySpec { id: l2tp(PEER, US, Dir::In, None), priority: 2000, action: esp(PEER, US) };
    ask(&mut kernel, KernelRequest::AddPolicy(policy)).unwrap();
    let peer = |sport: u16, seq: u32| {
        run(&format!(
            "ip -n peer xfrm state flush; ip -n peer xfrm policy flush
             ip -n peer xfrm state add src {PEER} dst {US} proto esp spi 0x5000 reqid 1 mode transport \
               replay-window 0 replay-oseq {seq} enc 'cbc(aes)' 0x{ckey} auth-trunc 'hmac(sha1)' 0x{ikey} 96 \
               encap espinudp {sport} 4500 0.0.0.0
             ip -n peer xfrm policy add src {PEER} dst {US} proto udp sport 1701 dport 1701 dir out \
               tmpl proto esp reqid 1 mode transport"
        ));
        run("ip netns exec peer python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"10.9.0.2\", 1701))
s.sendto(b\"hello\", (\"10.9.0.1\", 1701))'");
    };
    let mut buf = [0; 64];

    peer(4500, 0);
    assert_eq!(l2tpd.recv_from(&mut buf).unwrap().0, 5);
    let Ok(KernelReply::Usage(usage)) = ask(&mut kernel, KernelRequest::QuerySa(id)) else { panic!() };
    assert_eq!(usage.packets, 1);
    assert!(usage.bytes > 5 && usage.last_used > 1_000_000_000, "{usage:?}");

    // The NAT forgot: the same SA from another port.
    peer(61000, 1);
    assert_eq!(l2tpd.recv_from(&mut buf).unwrap().0, 5);
    let new = match wait_event(&mut kernel, 3) {
        KernelEvent::Mapping { id: moved, new } => {
            assert_eq!(moved, id);
            new
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(new, "10.9.0.2:61000".parse().unwrap());
    let encap = Encap { sport: new.port(), dport: 4500, original: None };
    ask(&mut kernel, KernelRequest::UpdateEncap { id, new_id: id, encap }).unwrap();
    peer(61000, 2);
    assert_eq!(l2tpd.recv_from(&mut buf).unwrap().0, 5);
    assert!(kernel.poll_event().is_none(), "nothing is new any more");

    // Under a new address the window goes on where it was: a replay stays a replay.
    let new_id = SaId { src: addr("10.9.0.3"), ..id };
    ask(&mut kernel, KernelRequest::UpdateEncap { id, new_id, encap }).unwrap();
    let text = run("ip -d xfrm state");
    assert!(has(&text, "seq-hi 0x0, seq 0x3, oseq-hi 0x0, oseq 0x0 replay_window 64,"), "{text}");
}
