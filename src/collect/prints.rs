//! Which trades the newest prints of an issue are.
//!
//! A trade of the market is known by its session's cumulative volume, and KIS's list of the newest
//! prints does not tell it. The volume of the day, asked for before and after the list, brackets
//! the newest print's; from there the sizes lead back. Only when exactly one value is possible is
//! it taken: a wrong identity would store the same trade twice.

use crate::market::{TimeOfDay, Won};

/// One print as KIS lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    /// Time of the trade.
    pub time: TimeOfDay,
    /// Price, won.
    pub price: Won,
    /// Shares.
    pub quantity: i64,
}

/// Why prints stay without identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// The issue traded while it was asked: more than one identity is possible. Ask again.
    #[error("{traded} shares were traded while the prints were asked for")]
    Ambiguous {
        /// Shares traded between the two volumes.
        traded: i64,
    },
    /// The answers contradict each other.
    #[error("the prints and the volumes of the day do not fit: {0}")]
    Inconsistent(&'static str),
}

/// The cumulative volume after each of `prints` (newest first), given the day's volume `before` and
/// `after` the list was asked for.
///
/// # Errors
/// [`Unidentified`] when not exactly one answer is possible.
pub fn cumulative_volumes(
    before: i64,
    prints: &[Print],
    after: i64,
) -> Result<Vec<i64>, Unidentified> {
    let Some(newest) = prints.first() else { return Ok(Vec::new()) };
    if prints.iter().any(|print| print.quantity <= 0) {
        return Err(Unidentified::Inconsistent("a print has no quantity"));
    }
    let traded = after - before;
    if traded < 0 {
        return Err(Unidentified::Inconsistent("the volume of the day fell"));
    }
    // The newest print may itself have come in between, unless more shares are in it than came.
    if traded > 0 && newest.quantity <= traded {
        return Err(Unidentified::Ambiguous { traded });
    }
    let mut volume = before;
    let mut volumes = Vec::with_capacity(prints.len());
    for print in prints {
        volumes.push(volume);
        volume = volume
            .checked_sub(print.quantity)
            .filter(|left| *left >= 0)
            .ok_or(Unidentified::Inconsistent("the prints hold more than the volume of the day"))?;
    }
    Ok(volumes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print(quantity: i64) -> Print {
        Print { time: TimeOfDay::from_seconds(32_400).unwrap(), price: 100, quantity }
    }

    #[test]
    fn a_still_market_pins_down_every_print() {
        let prints = [3, 5, 2].map(print);
        assert_eq!(cumulative_volumes(10, &prints, 10).unwrap(), [10, 7, 2]);
        assert_eq!(cumulative_volumes(10, &[], 99).unwrap(), [0_i64; 0]);
    }

    #[test]
    fn a_newest_print_too_large_to_be_new_pins_them_down_too() {
        assert_eq!(cumulative_volumes(10, &[print(8)], 17).unwrap(), [10]);
        let error = cumulative_volumes(10, &[print(7)], 17).unwrap_err();
        assert_eq!(error, Unidentified::Ambiguous { traded: 7 });
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (before, prints, after) in [
            (10, vec![11], 10),
            (10, vec![1], 9),
            (10, vec![0], 10),
            (i64::MIN + 1, vec![3], i64::MIN + 1),
        ] {
            let prints: Vec<Print> = prints.into_iter().map(print).collect();
            let error = cumulative_volumes(before, &prints, after).unwrap_err();
            assert!(matches!(error, Unidentified::Inconsistent(_)), "{error}");
        }
    }

    proptest! {
        /// A day of trades, looked at three times while it goes on: what is identified is true.
        #[test]
        fn an_identity_that_is_given_is_the_right_one(
            sizes in prop::collection::vec(1i64..6, 1..40),
            looks in prop::collection::vec(any::<prop::sample::Index>(), 3),
            most in 1usize..10,
        ) {
            let mut looks: Vec<usize> = looks.iter().map(|look| look.index(sizes.len() + 1)).collect();
            looks.sort_unstable();
            let volume = |trades: usize| sizes[..trades].iter().sum::<i64>();
            let first = looks[1].saturating_sub(most);
            let prints: Vec<Print> =
                sizes[first..looks[1]].iter().rev().map(|size| print(*size)).collect();
            let truth: Vec<i64> = (first + 1..=looks[1]).rev().map(volume).collect();
            match cumulative_volumes(volume(looks[0]), &prints, volume(looks[2])) {
                Ok(volumes) => prop_assert_eq!(volumes, truth),
                Err(error) => {
                    prop_assert!(matches!(error, Unidentified::Ambiguous { .. }), "{error}");
                    prop_assert!(looks[0] != looks[2]);
                }
            }
        }
    }
}
