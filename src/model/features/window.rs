//! Sums over the last values of a sequence, without cancellation.

/// Sum of the last `width` values.
///
/// Nothing is ever subtracted: the sequence is cut into blocks as long as the window, and a window
/// is the end of one block and the beginning of the next (van Herk 1992). So an error never
/// outlives the values it came from, and a push costs two additions.
#[derive(Debug, Clone)]
pub struct SlidingSum {
    /// Values of the block that is being filled.
    block: Vec<f64>,
    width: usize,
    /// Sum of `block`.
    prefix: f64,
    /// Sums of the block before from each of its places to its end; empty without one.
    suffixes: Vec<f64>,
}

impl SlidingSum {
    /// Of the last `width` values, at least one.
    #[must_use]
    pub fn new(width: usize) -> Self {
        let width = width.max(1);
        Self { block: Vec::with_capacity(width), width, prefix: 0.0, suffixes: Vec::new() }
    }

    /// Takes a value in.
    pub fn push(&mut self, value: f64) {
        self.block.push(value);
        self.prefix += value;
        if self.block.len() == self.width {
            self.suffixes.resize(self.width, 0.0);
            let mut sum = 0.0;
            for (suffix, value) in self.suffixes.iter_mut().zip(&self.block).rev() {
                sum += value;
                *suffix = sum;
            }
            self.block.clear();
            self.prefix = 0.0;
        }
    }

    /// Sum of the last `width` values, or of all when there were fewer.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.suffixes.get(self.block.len()).copied().unwrap_or(0.0) + self.prefix
    }

    /// How many values the sum is of.
    #[must_use]
    pub fn count(&self) -> usize {
        if self.suffixes.is_empty() { self.block.len() } else { self.width }
    }

    /// Mean of the last `width` values, or of all when there were fewer; NaN without any.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sum() / self.count() as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_huge_value_leaves_no_trace() {
        let mut sum = SlidingSum::new(3);
        for value in [1e-9, 1e18, 1e-9, 1e-9, 1e-9, 1e-9] {
            sum.push(value);
        }
        assert!((sum.sum() - 3e-9).abs() < 1e-24);
    }

    proptest! {
        #[test]
        fn as_if_summed_anew(values in prop::collection::vec(-1e3..1e3_f64, 1..200), width in 1..30_usize) {
            let mut sliding = SlidingSum::new(width);
            for (at, value) in values.iter().enumerate() {
                sliding.push(*value);
                let window = &values[(at + 1).saturating_sub(width)..=at];
                let naive: f64 = window.iter().sum();
                prop_assert_eq!(sliding.count(), window.len());
                prop_assert!((sliding.sum() - naive).abs() < 1e-10);
            }
        }
    }
}
