//! RSA keys as Openswan keeps them: eight numbers in `ipsec.secrets`, and the public part as RFC 3110 writes it.
//!
//! Makes keys from the caller's random octets and tells whether the numbers of one fit together. Signing is not done here.

use std::ops::RangeInclusive;

use ipsec_types::SecretBytes;
use ipsec_types::auth::RsaNumbers;
use openssl::bn::{BigNum, BigNumContext, BigNumContextRef, BigNumRef};

use crate::CryptoError;

/// Lengths of a modulus that [`generate`] makes, in bits.
pub const BITS: RangeInclusive<u32> = 1024..=8192;
/// The public exponent of new keys.
const EXPONENT: u32 = 65_537;
/// Longest public exponent and modulus that are taken, in octets.
const LONGEST: usize = 2048;

/// A new key with a modulus of exactly `bits` bits. `random` fills a buffer with random octets and is asked anew for each
/// candidate; its error ends the search.
///
/// # Errors
/// `bits` is outside [`BITS`] or no multiple of 16, or what `random` said.
pub fn generate(
    bits: u32,
    random: &mut dyn FnMut(&mut [u8]) -> Result<(), CryptoError>,
) -> Result<RsaNumbers, CryptoError> {
    if !BITS.contains(&bits) || !bits.is_multiple_of(16) {
        return Err(CryptoError::KeySize(u16::try_from(bits).unwrap_or(u16::MAX)));
    }
    let mut ctx = BigNumContext::new_secure()?;
    let e = BigNum::from_u32(EXPONENT)?;
    loop {
        let p = prime(bits / 2, &e, random, &mut ctx)?;
        let q = prime(bits / 2, &e, random, &mut ctx)?;
        let (p, q) = if p > q { (p, q) } else { (q, p) };
        // FIPS 186-5 A.1.3: the primes must not be close to each other.
        let mut apart = secret()?;
        apart.checked_sub(&p, &q)?;
        if apart.num_bits() > i32::try_from(bits / 2).unwrap_or(i32::MAX) - 100 {
            return numbers(&p, &q, &e, &mut ctx);
        }
    }
}

fn secret() -> Result<BigNum, CryptoError> {
    Ok(BigNum::new_secure()?)
}

/// A random prime whose two highest bits are set (so that the product of two has its full length), with `p - 1` prime to `e`.
fn prime(
    bits: u32,
    e: &BigNumRef,
    random: &mut dyn FnMut(&mut [u8]) -> Result<(), CryptoError>,
    ctx: &mut BigNumContextRef,
) -> Result<BigNum, CryptoError> {
    let mut octets = zeroize::Zeroizing::new(vec![0; bits as usize / 8]);
    loop {
        random(&mut octets)?;
        if let Some(first) = octets.first_mut() {
            *first |= 0xc0;
        }
        if let Some(last) = octets.last_mut() {
            *last |= 1;
        }
        let mut p = secret()?;
        p.copy_from_slice(&octets)?;
        if !p.is_prime_fasttest(0, ctx, true)? {
            continue;
        }
        let (mut below, mut common) = (secret()?, secret()?);
        below.checked_sub(&p, &*BigNum::from_u32(1)?)?;
        common.gcd(&below, e, ctx)?;
        if common == BigNum::from_u32(1)? {
            return Ok(p);
        }
    }
}

/// The eight numbers of the key with these primes.
fn numbers(
    p: &BigNumRef,
    q: &BigNumRef,
    e: &BigNumRef,
    ctx: &mut BigNumContextRef,
) -> Result<RsaNumbers, CryptoError> {
    let one = BigNum::from_u32(1)?;
    let (mut n, mut p1, mut q1, mut both, mut common, mut lcm) =
        (BigNum::new()?, secret()?, secret()?, secret()?, secret()?, secret()?);
    n.checked_mul(p, q, ctx)?;
    p1.checked_sub(p, &one)?;
    q1.checked_sub(q, &one)?;
    both.checked_mul(&p1, &q1, ctx)?;
    common.gcd(&p1, &q1, ctx)?;
    lcm.checked_div(&both, &common, ctx)?;
    let (mut d, mut dp, mut dq, mut qinv) = (secret()?, secret()?, secret()?, secret()?);
    d.mod_inverse(e, &lcm, ctx)?;
    dp.nnmod(&d, &p1, ctx)?;
    dq.nnmod(&d, &q1, ctx)?;
    qinv.mod_inverse(q, p, ctx)?;
    let bytes = |x: &BigNumRef| SecretBytes::new(x.to_vec());
    Ok(RsaNumbers {
        n: bytes(&n),
        e: bytes(e),
        d: bytes(&d),
        p: bytes(p),
        q: bytes(q),
        dp: bytes(&dp),
        dq: bytes(&dq),
        qinv: bytes(&qinv),
    })
}

/// The key with these primes and this public exponent, all big-endian; for `rsasigkey --oldkey`.
///
/// # Errors
/// There is none with these numbers.
pub fn from_primes(p: &[u8], q: &[u8], e: &[u8]) -> Result<RsaNumbers, CryptoError> {
    let refuse = || CryptoError::Library("these are not the primes of a key".into());
    if [p, q, e].iter().any(|x| x.is_empty() || x.len() > LONGEST) {
        return Err(refuse());
    }
    let mut ctx = BigNumContext::new_secure()?;
    let (p, q, e) = (BigNum::from_slice(p)?, BigNum::from_slice(q)?, BigNum::from_slice(e)?);
    if p == q || !p.is_prime(0, &mut ctx)? || !q.is_prime(0, &mut ctx)? {
        return Err(refuse());
    }
    let (p, q) = if p > q { (p, q) } else { (q, p) };
    numbers(&p, &q, &e, &mut ctx).map_err(|_| refuse())
}

/// Base64 of a public key, without the `0s` in front.
pub fn base64(octets: &[u8]) -> String {
    openssl::base64::encode_block(octets)
}

/// What is wrong with a private key, in Openswan's words (ours for what it did not look at); `None` if the numbers fit.
///
/// # Errors
/// The library's.
pub fn defect(key: &RsaNumbers) -> Result<Option<&'static str>, CryptoError> {
    let all = [&key.n, &key.e, &key.d, &key.p, &key.q, &key.dp, &key.dq, &key.qinv];
    if all.iter().any(|x| x.len() > LONGEST) {
        return Ok(Some("a number of the key is too long"));
    }
    let read = |x: &SecretBytes| -> Result<BigNum, CryptoError> {
        let mut number = secret()?;
        number.copy_from_slice(x.expose())?;
        Ok(number)
    };
    let one = BigNum::from_u32(1)?;
    let (p, q, e) = (read(&key.p)?, read(&key.q)?, read(&key.e)?);
    if read(&key.n)?.num_bits() < 512 {
        return Ok(Some("RSA modulus too small for security: less than 512 bits"));
    }
    if p <= one || q <= one || e <= one {
        return Ok(Some("n != p * q"));
    }
    let mut ctx = BigNumContext::new_secure()?;
    let mut x = secret()?;
    x.checked_mul(&p, &q, &mut ctx)?;
    if x != read(&key.n)? {
        return Ok(Some("n != p * q"));
    }
    let (mut p1, mut q1) = (secret()?, secret()?);
    p1.checked_sub(&p, &one)?;
    q1.checked_sub(&q, &one)?;
    for (less, words) in [(&p1, "e divides p-1"), (&q1, "e divides q-1")] {
        x.gcd(less, &e, &mut ctx)?;
        if x != one {
            return Ok(Some(words));
        }
    }
    let d = read(&key.d)?;
    for less in [&p1, &q1] {
        // For each prime, which is the same as for the least common multiple.
        x.mod_mul(&d, &e, less, &mut ctx)?;
        if x != one {
            return Ok(Some("(d * e) mod (lcm(p-1, q-1)) != 1"));
        }
    }
    for (less, have, words) in [
        (&p1, &key.dp, "dP is not congruent to d mod (p-1)"),
        (&q1, &key.dq, "dQ is not congruent to d mod (q-1)"),
    ] {
        x.nnmod(&d, less, &mut ctx)?;
        if x != read(have)? {
            return Ok(Some(words));
        }
    }
    let qinv = read(&key.qinv)?;
    x.mod_mul(&qinv, &q, &p, &mut ctx)?;
    Ok((x != one).then_some("qInv is not conguent ot (q^-1) mod p"))
}

/// The public key as RFC 3110 §2 writes it: the length of the exponent (one octet, or zero and two), the exponent, the
/// modulus. Empty if a number is, or is longer than any key.
pub fn public_key(e: &[u8], n: &[u8]) -> Vec<u8> {
    let strip = |x: &[u8]| -> Vec<u8> { x.iter().copied().skip_while(|b| *b == 0).collect() };
    let (e, n) = (strip(e), strip(n));
    if e.is_empty() || n.is_empty() || e.len() > LONGEST || n.len() > LONGEST {
        return Vec::new();
    }
    let mut out = match u8::try_from(e.len()) {
        Ok(short) => vec![short],
        Err(_) => [&[0], &(e.len() as u16).to_be_bytes()[..]].concat(),
    };
    out.extend(e);
    out.extend(n);
    out
}

/// Exponent and modulus of a public key in the form of RFC 3110; `None` if it is cut off or longer than any key.
pub fn split_public_key(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match key {
        [0, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [0, ..] | [] => return None,
        [len, rest @ ..] => (usize::from(*len), rest),
    };
    let (e, n) = rest.split_at_checked(len)?;
    (!e.is_empty() && !n.is_empty() && e.len() <= LONGEST && n.len() <= LONGEST).then_some((e, n))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SplitMix64: the same numbers for the same seed.
    fn random(mut seed: u64) -> impl FnMut(&mut [u8]) -> Result<(), CryptoError> {
        move |out| {
            for chunk in out.chunks_mut(8) {
                seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = seed;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
            }
            Ok(())
        }
    }

    fn is_sound(key: &RsaNumbers) -> bool {
        let number = |x: &SecretBytes| BigNum::from_slice(x.expose()).unwrap();
        let builder = openssl::rsa::RsaPrivateKeyBuilder::new(number(&key.n), number(&key.e), number(&key.d));
        let builder = builder.unwrap().set_factors(number(&key.p), number(&key.q)).unwrap();
        let built = builder.set_crt_params(number(&key.dp), number(&key.dq), number(&key.qinv)).unwrap();
        built.build().check_key().unwrap()
    }

    #[test]
    fn a_key_has_its_length_and_its_numbers_fit() {
        for bits in [1024, 1040, 2048] {
            let key = generate(bits, &mut random(u64::from(bits))).unwrap();
            assert_eq!(BigNum::from_slice(key.n.expose()).unwrap().num_bits(), bits as i32);
            assert!(is_sound(&key));
            assert_eq!(defect(&key).unwrap(), None);
            assert_eq!(key, generate(bits, &mut random(u64::from(bits))).unwrap());
            assert_eq!(key, from_primes(key.q.expose(), key.p.expose(), key.e.expose()).unwrap());
            assert!(from_primes(key.p.expose(), key.p.expose(), key.e.expose()).is_err());
            assert!(from_primes(key.n.expose(), key.p.expose(), key.e.expose()).is_err());
            assert!(from_primes(&[], &[7], &[2]).is_err() && from_primes(&[7], &[11], &[2]).is_err());
        }
    }

    #[test]
    fn sizes_nobody_should_have_are_refused() {
        for bits in [0, 512, 1008, 1025, 8208, u32::MAX] {
            assert!(generate(bits, &mut random(1)).is_err(), "{bits}");
        }
        let mut broken = |_: &mut [u8]| Err(CryptoError::Library("no random".into()));
        assert!(generate(1024, &mut broken).is_err());
    }

    #[test]
    fn each_number_that_does_not_fit_is_told() {
        let key = generate(1024, &mut random(7)).unwrap();
        type Field = fn(&mut RsaNumbers) -> &mut SecretBytes;
        let cases: [(Field, &str); 6] = [
            (|k| &mut k.n, "n != p * q"),
            (|k| &mut k.q, "n != p * q"),
            (|k| &mut k.d, "(d * e) mod (lcm(p-1, q-1)) != 1"),
            (|k| &mut k.dp, "dP is not congruent to d mod (p-1)"),
            (|k| &mut k.dq, "dQ is not congruent to d mod (q-1)"),
            (|k| &mut k.qinv, "qInv is not conguent ot (q^-1) mod p"),
        ];
        for (field, words) in cases {
            let mut bad = key.clone();
            let mut octets = field(&mut bad).expose().to_vec();
            *octets.last_mut().unwrap() ^= 2;
            *field(&mut bad) = SecretBytes::new(octets);
            assert_eq!(defect(&bad).unwrap(), Some(words));
        }
        let even = RsaNumbers { e: SecretBytes::new(vec![2]), ..key.clone() };
        assert_eq!(defect(&even).unwrap(), Some("e divides p-1"));
        let empty = RsaNumbers { p: SecretBytes::default(), ..key.clone() };
        assert_eq!(defect(&empty).unwrap(), Some("n != p * q"));
        let long = RsaNumbers { d: SecretBytes::new(vec![1; 3000]), ..key };
        assert_eq!(defect(&long).unwrap(), Some("a number of the key is too long"));
        assert!(defect(&RsaNumbers::default()).unwrap().is_some());
    }

    #[test]
    fn rfc_3110_has_two_forms_of_length() {
        assert_eq!(public_key(&[0, 1, 0, 1], &[0, 0xc0, 1]), [3, 1, 0, 1, 0xc0, 1]);
        let long = public_key(&[1; 300], &[9; 400]);
        assert_eq!(long[..4], [0, 1, 44, 1]);
        assert_eq!(split_public_key(&long), Some((&[1; 300][..], &[9; 400][..])));
        for bad in [&[][..], &[0], &[0, 0, 0, 1], &[3, 1], &[3, 1, 0, 1], &[0, 255, 255, 1]] {
            assert_eq!(split_public_key(bad), None, "{bad:?}");
        }
        assert!(public_key(&[0], &[1]).is_empty() && public_key(&[1], &[1; 3000]).is_empty());
    }

    proptest! {
        #[test]
        fn what_was_put_together_comes_apart(e in proptest::collection::vec(1u8.., 1..600), n in proptest::collection::vec(1u8.., 1..600)) {
            let joined = public_key(&e, &n);
            prop_assert_eq!(split_public_key(&joined), Some((&e[..], &n[..])));
        }

        #[test]
        fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..700)) {
            split_public_key(&octets);
            let x = SecretBytes::new(octets);
            let key = RsaNumbers { n: x.clone(), e: x.clone(), d: x.clone(), p: x.clone(), q: x.clone(), dp: x.clone(), dq: x.clone(), qinv: x };
            let _ = defect(&key);
        }
    }
}
