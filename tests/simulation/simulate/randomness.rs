//! What the operating system's random numbers are in a run: a sequence that follows from its seed. The standard library asks
//! for them to order its hash maps, and crates for their ids, so nothing else makes two runs of a seed the same. The
//! simulator madsim does the same.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// From now on everything random on this thread follows from `seed`.
pub fn seed(seed: u64) {
    STATE.set(seed);
    fastrand::seed(seed);
}

/// SplitMix64: the state goes on by a constant, and what it gives is mixed from it.
fn next() -> u64 {
    let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Takes the place of the C library's function in this program.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes, as every caller of the C library's function promises.
#[allow(
    unsafe_code,
    reason = "the only way to decide what std and crates take for the system's random numbers"
)]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: as above.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
    }
    length.try_into().unwrap_or(isize::MAX)
}
