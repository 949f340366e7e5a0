//! Kernels on slices against loops that can be checked by eye.

mod conv;
mod pointwise;
mod rows;
mod steps;

/// Numbers from -1.5 to 2.5 (xorshift).
fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 22) as f32 - 1.5
    };
    (0..len).map(|_| next()).collect()
}
