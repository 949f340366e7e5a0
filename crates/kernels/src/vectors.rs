//! Which vectors kernels run with.

use std::sync::OnceLock;

use pulp::{Arch, WithSimd};

/// The variable by which tests ask for narrower vectors than the processor has: `avx2`, or `scalar` for none.
const VARIABLE: &str = "ELUCID_TEST_VECTORS";

/// The widest vectors that this processor has, found once, at run time.
fn widest() -> Arch {
    static WIDEST: OnceLock<Arch> = OnceLock::new();
    *WIDEST.get_or_init(|| match std::env::var(VARIABLE).as_deref() {
        Ok("scalar") => Arch::Scalar,
        Ok("avx2") => avx2(),
        _ => Arch::new(),
    })
}

/// Named, so that nothing compiles if pulp is built without them.
#[cfg(target_arch = "x86_64")]
fn avx2() -> Arch {
    pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3)
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> Arch {
    Arch::Scalar
}

/// Runs `op` compiled for the widest vectors that this processor has.
#[inline(always)]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    widest().dispatch(op)
}

/// Runs `f` compiled for the widest vectors that this processor has, found at run time: what is
/// inlined into `f` is, so kernels, their helpers and `f` itself are to be `inline(always)`.
#[inline(always)]
pub fn vectorised(f: impl FnOnce()) {
    dispatch(f);
}

#[cfg(test)]
mod tests {
    use pulp::Simd;

    use super::*;

    struct Lanes;

    impl WithSimd for Lanes {
        type Output = usize;

        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn vectors_are_as_wide_as_the_processor_has_them() {
        use std::arch::is_x86_feature_detected as has;

        let by_hand = match std::env::var(VARIABLE).as_deref() {
            Ok("scalar") => 1,
            Ok("avx2") if has!("avx2") && has!("fma") => 8,
            _ if has!("avx512f") && has!("avx512vl") && has!("avx512dq") => 16,
            _ if has!("avx2") && has!("fma") => 8,
            _ => 1,
        };
        assert_eq!(dispatch(Lanes), by_hand);
    }
}
