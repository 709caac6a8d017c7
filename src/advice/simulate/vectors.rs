//! A session of all columns, in the widest vectors that suit.
//!
//! In: a row's residuals and factors, the columns' constants, where they stand. Out: where they stand
//! after it, and the sum of their values. Eight columns are one vector of AVX2, which the processor is
//! asked for once a block of paths; elsewhere the same is written out for the compiler ([`Portable`]).
//!
//! **Equal bits.** Every operation is that of IEEE 754 (no fused multiply-add, no approximate root), and
//! sums are taken in [`LANES`] parts and in one order. So an answer does not depend on the processor.

use super::table::{Cell, LANES};

/// The price limit of a day.
pub const PRICE_LIMIT: f32 = 0.3;
/// Largest variance of a day: a deviation as large as the price limit.
pub const MOST_VARIANCE: f32 = 0.09;

/// Constants of eight columns.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fixed {
    /// (1 − φ) h̄.
    pub pull: [f32; LANES],
    /// Multiple of the return.
    pub multiple: [f32; LANES],
    /// What is added to it.
    pub carry: [f32; LANES],
}

/// Where eight columns stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lane {
    /// Variance of the next session's return.
    pub variance: [f32; LANES],
    /// Value, the portfolio's start being 1.
    pub value: [f32; LANES],
}

/// Something that computes eight columns at a time.
pub trait Vectors: Copy {
    /// One session of all columns; gives the sum of values. `PLAIN`: multiples are 1, nothing is added.
    fn advance<const PLAIN: bool>(self, row: &[Cell], fixed: &[Fixed], lanes: &mut [Lane]) -> f32;
}

/// What is to be computed with them. Its `run` must be inlined, to be compiled for them.
pub trait Work {
    /// Computes it.
    fn run<V: Vectors>(self, vectors: V);
}

/// Does `work` with the widest vectors that this processor has.
pub fn widest<W: Work>(work: W) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(avx2::OnAvx2 { simd, work });
    }
    work.run(Portable);
}

/// Any processor.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Vectors for Portable {
    #[inline(always)]
    fn advance<const PLAIN: bool>(self, row: &[Cell], fixed: &[Fixed], lanes: &mut [Lane]) -> f32 {
        let mut sums = [0.0_f32; LANES];
        for ((cell, fixed), lane) in row.iter().zip(fixed).zip(lanes) {
            for (at, sum) in sums.iter_mut().enumerate() {
                let r = lane.variance[at].sqrt() * cell.residual[at];
                // The comparisons of the vector instructions; `clamp` is another.
                let r = if r > -PRICE_LIMIT { r } else { -PRICE_LIMIT };
                let r = if r < PRICE_LIMIT { r } else { PRICE_LIMIT };
                let growth =
                    if PLAIN { 1.0 + r } else { 1.0 + fixed.multiple[at] * r + fixed.carry[at] };
                lane.value[at] *= growth;
                *sum += lane.value[at];
                let h = fixed.pull[at] + lane.variance[at] * cell.factor[at];
                lane.variance[at] = if h < MOST_VARIANCE { h } else { MOST_VARIANCE };
            }
        }
        together(sums)
    }
}

/// The sum of eight parts.
#[inline(always)]
fn together(sums: [f32; LANES]) -> f32 {
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use pulp::x86::V3;
    use pulp::{NullaryFnOnce, Simd, cast, f32x8};

    use super::{Cell, Fixed, LANES, Lane, MOST_VARIANCE, PRICE_LIMIT, Vectors, Work, together};

    /// Work that is done where AVX2 may be used.
    pub struct OnAvx2<W> {
        pub simd: V3,
        pub work: W,
    }

    impl<W: Work> NullaryFnOnce for OnAvx2<W> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            self.work.run(self.simd);
        }
    }

    #[inline(always)]
    fn vector(numbers: &[f32; LANES]) -> f32x8 {
        cast(*numbers)
    }

    impl Vectors for V3 {
        #[inline(always)]
        fn advance<const PLAIN: bool>(
            self,
            row: &[Cell],
            fixed: &[Fixed],
            lanes: &mut [Lane],
        ) -> f32 {
            let (one, most) = (self.splat_f32s(1.0), self.splat_f32s(MOST_VARIANCE));
            let (down, up) = (self.splat_f32s(-PRICE_LIMIT), self.splat_f32s(PRICE_LIMIT));
            let mut sums = self.splat_f32s(0.0);
            for ((cell, fixed), lane) in row.iter().zip(fixed).zip(lanes) {
                let variance = vector(&lane.variance);
                let r = self.mul_f32s(self.sqrt_f32s(variance), vector(&cell.residual));
                let r = self.min_f32s(self.max_f32s(r, down), up);
                let growth = if PLAIN {
                    self.add_f32s(one, r)
                } else {
                    let r = self.mul_f32s(vector(&fixed.multiple), r);
                    self.add_f32s(self.add_f32s(one, r), vector(&fixed.carry))
                };
                let value = self.mul_f32s(vector(&lane.value), growth);
                sums = self.add_f32s(sums, value);
                let h = self.mul_f32s(variance, vector(&cell.factor));
                let h = self.add_f32s(vector(&fixed.pull), h);
                *lane = Lane { variance: cast(self.min_f32s(h, most)), value: cast(value) };
            }
            together(cast(sums))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(least: f32, most: f32) -> impl Strategy<Value = [f32; LANES]> {
        proptest::array::uniform8(least..most)
    }

    fn cells() -> impl Strategy<Value = Cell> {
        (numbers(-30.0, 30.0), numbers(0.0, 9.0))
            .prop_map(|(residual, factor)| Cell { residual, factor })
    }

    struct Step<'a>(&'a [Cell], &'a [Fixed], &'a mut [Lane], &'a mut [f32; 2]);

    impl Work for Step<'_> {
        #[inline(always)]
        fn run<V: Vectors>(self, vectors: V) {
            let Step(row, fixed, lanes, sums) = self;
            sums[0] = vectors.advance::<true>(row, fixed, lanes);
            sums[1] = vectors.advance::<false>(row, fixed, lanes);
        }
    }

    proptest! {
        #[test]
        fn any_vectors_give_equal_bits(
            row in proptest::collection::vec(cells(), 1..9),
            start in (numbers(0.0, 0.09), numbers(-1.0, 1.0)),
            constants in (numbers(0.0, 0.01), numbers(-2.0, 2.0), numbers(-0.01, 0.01)),
        ) {
            let fixed = Fixed { pull: constants.0, multiple: constants.1, carry: constants.2 };
            let fixed = vec![fixed; row.len()];
            let lanes = vec![Lane { variance: start.0, value: start.1 }; row.len()];
            let (mut wide, mut plain) = (lanes.clone(), lanes);
            let (mut of_wide, mut of_plain) = ([0.0; 2], [0.0; 2]);
            widest(Step(&row, &fixed, &mut wide, &mut of_wide));
            Step(&row, &fixed, &mut plain, &mut of_plain).run(Portable);
            prop_assert_eq!(of_wide.map(f32::to_bits), of_plain.map(f32::to_bits));
            for (a, b) in wide.iter().zip(&plain) {
                prop_assert_eq!(a.value.map(f32::to_bits), b.value.map(f32::to_bits));
                prop_assert_eq!(a.variance.map(f32::to_bits), b.variance.map(f32::to_bits));
            }
        }
    }
}
