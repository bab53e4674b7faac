#!/usr/bin/env python3
"""Prints ikev1.txt: the key derivation and the IV chaining of IKEv1, computed without this project's code.

HMAC and hashes are Python's, ciphers are PyCryptodome's own. Every value follows from RFC 2409 as it stands:

  SKEYID   = prf(psk, Ni | Nr)                                     section 5.4
  SKEYID_d = prf(SKEYID,            g^xy | CKY-I | CKY-R | 0)      section 5
  SKEYID_a = prf(SKEYID, SKEYID_d | g^xy | CKY-I | CKY-R | 1)
  SKEYID_e = prf(SKEYID, SKEYID_a | g^xy | CKY-I | CKY-R | 2)
  HASH_I   = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi | IDii)
  HASH_R   = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi | IDir)
  key      = SKEYID_e, or K1 | K2 | ... where K1 = prf(SKEYID_e, 0), Kn = prf(SKEYID_e, Kn-1)    appendix B
  IV       = hash(g^xi | g^xr), then the last block of each message, then hash(last block | M-ID) appendix B
  KEYMAT   = K1 | K2 | ..., K1 = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni | Nr),
             Kn = prf(SKEYID_d, Kn-1 | [g(qm)^xy |] protocol | SPI | Ni | Nr)                    section 5.5
  NAT-D    = hash(CKY-I | CKY-R | address | port)                                   RFC 3947, section 3.2
"""
import hashlib
import hmac
import ipaddress

from Crypto.Cipher import AES, DES, DES3

HASHES = ["md5", "sha1", "sha256", "sha384", "sha512"]
CIPHERS = [("des", 8, 8), ("3des", 24, 8), ("aes128", 16, 16), ("aes192", 24, 16), ("aes256", 32, 16)]


def octets(label, n):
    """n octets that follow from a label."""
    out = b""
    while len(out) < n:
        out += hashlib.sha256(label.encode() + len(out).to_bytes(4, "big")).digest()
    return out[:n]


PSK = b"keysharedbyallclients"
NI, NR = octets("Ni", 16), octets("Nr", 32)
CKY_I, CKY_R = octets("CKY-I", 8), octets("CKY-R", 8)
G_XI, G_XR, G_XY = octets("g^xi", 256), octets("g^xr", 256), octets("g^xy", 256)
SA_I, ID_I, ID_R = octets("SAi", 52), octets("IDii", 8), octets("IDir", 8)
QM_NI, QM_NR, QM_XY = octets("qm Ni", 24), octets("qm Nr", 20), octets("qm g^xy", 128)
MSGID, SPI = 0xDEADBEEF, 0xC0FFEE01


def encrypt(cipher, key, iv, data):
    kind = {"des": DES, "3des": DES3}.get(cipher, AES)
    return kind.new(key, kind.MODE_CBC, iv).encrypt(data)


def show(name, value):
    print(f"{name} = {value.hex() if isinstance(value, bytes) else value}")


for h in HASHES:
    prf = lambda key, data: hmac.new(key, data, h).digest()
    digest = lambda data: hashlib.new(h, data).digest()
    print(f"\n[{h}]")
    skeyid = prf(PSK, NI + NR)
    d = prf(skeyid, G_XY + CKY_I + CKY_R + b"\0")
    a = prf(skeyid, d + G_XY + CKY_I + CKY_R + b"\1")
    e = prf(skeyid, a + G_XY + CKY_I + CKY_R + b"\2")
    for name, value in [("skeyid", skeyid), ("d", d), ("a", a), ("e", e)]:
        show(name, value)
    show("hash_i", prf(skeyid, G_XI + G_XR + CKY_I + CKY_R + SA_I + ID_I))
    show("hash_r", prf(skeyid, G_XR + G_XI + CKY_R + CKY_I + SA_I + ID_R))
    for name, pfs in [("keymat", b""), ("keymat_pfs", QM_XY)]:
        seed = pfs + b"\3" + SPI.to_bytes(4, "big") + QM_NI + QM_NR
        out, k = b"", b""
        while len(out) < 96:
            k = prf(d, k + seed)
            out += k
        show(name, out[:96])
    for name, address, port in [("natd_v4", "192.0.2.1", 4500), ("natd_v6", "2001:db8::1", 500)]:
        show(name, digest(CKY_I + CKY_R + ipaddress.ip_address(address).packed + port.to_bytes(2, "big")))
    for cipher, size, block in CIPHERS:
        key = e[:size]
        if len(e) < size:
            key, k = b"", b"\0"
            while len(key) < size:
                k = prf(e, k)
                key += k
            key = key[:size]
        show(f"{cipher}.key", key)
        iv = digest(G_XI + G_XR)[:block]
        for n in (1, 2):
            iv = encrypt(cipher, key, iv, octets(f"phase 1, {n}", 48 + 16 * n))
            show(f"{cipher}.main{n}", iv)
            iv = iv[-block:]
        iv = digest(iv + MSGID.to_bytes(4, "big"))[:block]
        for n in (1, 2, 3):
            iv = encrypt(cipher, key, iv, octets(f"phase 2, {n}", 32 + 16 * n))
            show(f"{cipher}.quick{n}", iv)
            iv = iv[-block:]
