//! Randomness of the operating system.

/// Fills `out` from `getrandom(2)`.
///
/// # Panics
/// If the operating system has no randomness to give: every key would be known, so there is no going on.
#[expect(clippy::expect_used, reason = "keys without randomness are worse than no daemon")]
pub fn fill(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives no random octets");
}
