//! Powers of 2 modulo the primes of the MODP groups, out of tables (C. Lim and P. Lee, "More Flexible Exponentiation with
//! Precomputation", 1994).
//!
//! Our public value is always a power of the same 2, and the squares of it do not have to be made each time anew:
//! for 256 bits 65 multiplications are enough instead of some 320. OpenSSL has nothing for it. The exponent is a
//! secret: which entry of a table is taken must not show in the time nor in the addresses that are read, so every entry
//! is read each time.
//!
//! ```text
//!              block 3   block 2   block 1   block 0
//!   tooth 4   |         |         |         |        k|    the bits of the exponent, in rows of BLOCKS * columns; the
//!   ...       |         |         |         |        k|    bits k of a block are one index into the block's table, of
//!   tooth 0   |         |         |         |        k|    which entry i is 2 to the sum of the powers of two at its bits
//! ```

use std::sync::OnceLock;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{CtAssign, CtEq, MontyForm, MontyMultiplier, Odd, Uint};
use ipsec_types::algo::DhGroup;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use zeroize::Zeroize;

/// Rows the exponent is cut into; a table has 2 to that many entries.
const TEETH: usize = 5;
/// Tables; there are as many squarings as bits in a row, divided by this.
const BLOCKS: usize = 4;

/// 2 to the `exponent` (big-endian) modulo the prime of the group, as long as the prime; `None` for a group or an exponent
/// that no table is kept for.
pub(crate) fn power_of_two(group: DhGroup, exponent: &[u8]) -> Option<Vec<u8>> {
    static MODP_1024: Table<16> = OnceLock::new();
    static MODP_1536: Table<24> = OnceLock::new();
    static MODP_2048: Table<32> = OnceLock::new();
    static MODP_3072: Table<48> = OnceLock::new();
    static MODP_4096: Table<64> = OnceLock::new();
    if exponent.len() != crate::dh::secret_len(group) {
        return None;
    }
    match group {
        DhGroup::Modp1024 => power(&MODP_1024, BigNum::get_rfc2409_prime_1024, exponent),
        DhGroup::Modp1536 => power(&MODP_1536, BigNum::get_rfc3526_prime_1536, exponent),
        DhGroup::Modp2048 => power(&MODP_2048, BigNum::get_rfc3526_prime_2048, exponent),
        DhGroup::Modp3072 => power(&MODP_3072, BigNum::get_rfc3526_prime_3072, exponent),
        DhGroup::Modp4096 => power(&MODP_4096, BigNum::get_rfc3526_prime_4096, exponent),
        _ => None,
    }
}

/// Made when the group is first used.
type Table<const LIMBS: usize> = OnceLock<Option<Comb<LIMBS>>>;

fn power<const LIMBS: usize>(
    table: &'static Table<LIMBS>,
    prime: fn() -> Result<BigNum, ErrorStack>,
    exponent: &[u8],
) -> Option<Vec<u8>> {
    let comb = table.get_or_init(|| Comb::new(&prime().ok()?.to_vec(), exponent.len() * 8));
    Some(comb.as_ref()?.power(exponent))
}

struct Comb<const LIMBS: usize> {
    params: FixedMontyParams<LIMBS>,
    /// Bits of a row in one block.
    columns: usize,
    /// In Montgomery form.
    blocks: [Vec<Uint<LIMBS>>; BLOCKS],
}

impl<const LIMBS: usize> Comb<LIMBS> {
    /// For exponents of at most `bits` bits; `None` where the prime is not of `LIMBS` limbs.
    fn new(prime: &[u8], bits: usize) -> Option<Self> {
        if prime.len() != size_of::<Uint<LIMBS>>() {
            return None;
        }
        let modulus = Odd::new(Uint::from_be_slice(prime)).into_option()?;
        let params = FixedMontyParams::new_vartime(modulus);
        let columns = bits.div_ceil(TEETH * BLOCKS);
        let mut comb = Comb { params, columns, blocks: Default::default() };
        let one = FixedMontyForm::one(&comb.params);
        let mut square = one.double();
        comb.blocks.iter_mut().for_each(|b| b.push(one.to_montgomery()));
        for _tooth in 0..TEETH {
            for block in &mut comb.blocks {
                // the lower half is there, and the upper is that with one more tooth
                for i in 0..block.len() {
                    let lower = FixedMontyForm::from_montgomery(block[i], &params);
                    block.push((lower * square).to_montgomery());
                }
                for _ in 0..columns {
                    square = square.square();
                }
            }
        }
        Some(comb)
    }

    fn power(&self, exponent: &[u8]) -> Vec<u8> {
        let mut multiplier = <FixedMontyForm<LIMBS> as MontyForm>::Multiplier::from(&self.params);
        let mut result = FixedMontyForm::one(&self.params);
        let mut factor = result;
        for column in (0..self.columns).rev() {
            multiplier.square_assign(&mut result);
            for (b, block) in self.blocks.iter().enumerate() {
                let mut index = 0;
                for tooth in (0..TEETH).rev() {
                    index = index << 1 | bit(exponent, (tooth * BLOCKS + b) * self.columns + column);
                }
                for (i, entry) in (0u8..).zip(block) {
                    factor.as_montgomery_mut().ct_assign(entry, i.ct_eq(&index));
                }
                multiplier.mul_assign(&mut result, &factor);
            }
        }
        let bytes = result.retrieve().to_be_bytes();
        factor.as_montgomery_mut().zeroize();
        result.as_montgomery_mut().zeroize();
        bytes.as_ref().to_vec()
    }
}

/// Bit `i` of a big-endian number, counted from the lowest.
fn bit(number: &[u8], i: usize) -> u8 {
    let octet = number.len().checked_sub(1 + i / 8).and_then(|at| number.get(at));
    octet.map_or(0, |o| o >> (i % 8) & 1)
}
