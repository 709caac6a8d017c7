//! Whether a new model may take the place of the one in use.
//!
//! In: the losses of both over the same sessions and issues, both measured in the same way. Out: why the
//! new one is worse, if it is.
//!
//! **Rule.** Worse is a mean FZ0 loss at 2.5 % (Patton, Ziegel & Chen 2019) or a mean QLIKE against
//! squared returns (Patton 2011) that is higher by more than [`TOLERANCE`] of the old one's size. The
//! tolerance lets a refit through whose losses differ by what a month more of data changes; models that
//! differ in kind lie 1 % and more apart.
//!
//! **Measured how.** Neither may be judged on what only it has seen. When the one in use was fitted
//! [`LEAST_SESSIONS`] sessions ago or longer, the sessions since decide: they are new to it, and the new
//! one is measured walk-forward there, each month forecast with what was fitted before it. When it is
//! younger there are too few, and both are measured as they are over the new one's validation window,
//! which both have seen: that finds a fit to broken or too few rows, and no more.

use serde::Serialize;

use super::Validation;
use crate::market::SessionDay;

/// Sessions since the fit of the model in use that are enough to decide by: a quarter of a year.
pub const LEAST_SESSIONS: usize = 60;
/// How much higher a loss may be, as a share of the old one.
pub const TOLERANCE: f64 = 0.005;

/// What two models are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Losses {
    /// Mean FZ0 loss at 2.5 %.
    pub fz0_025: f64,
    /// Mean quasi-likelihood against squared returns.
    pub qlike_r2: f64,
    /// Rows scored.
    pub rows: u64,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
}

impl Losses {
    /// Whether both are of as many rows of the same sessions; else they cannot be compared.
    #[must_use]
    pub fn same_rows(&self, other: &Self) -> bool {
        (self.rows, self.from, self.to) == (other.rows, other.from, other.to)
    }
}

impl From<&Validation> for Losses {
    fn from(measured: &Validation) -> Self {
        let Validation { fz0_025, qlike_r2, rows, from, to, .. } = *measured;
        Self { fz0_025, qlike_r2, rows, from, to }
    }
}

/// A loss that is too high.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "its {loss} is {new:.4}, that of the model in use {old:.4} on the same {rows} rows of {from} to {to}; \
     at most {limit:.4} would do"
)]
pub struct Worse {
    /// Which loss.
    pub loss: &'static str,
    /// Of the new model.
    pub new: f64,
    /// Of the one in use.
    pub old: f64,
    /// The highest that would do.
    pub limit: f64,
    /// Rows scored.
    pub rows: u64,
    /// First session.
    pub from: SessionDay,
    /// Last session.
    pub to: SessionDay,
}

/// Why `new` is worse than `old`; `None` when it may take its place. A loss that is no number is worse
/// than any.
#[must_use]
pub fn worse(new: &Losses, old: &Losses) -> Option<Worse> {
    let losses = [
        ("FZ0 loss at 2.5 %", new.fz0_025, old.fz0_025),
        ("QLIKE against squared returns", new.qlike_r2, old.qlike_r2),
    ];
    losses.into_iter().find_map(|(loss, new_loss, old_loss)| {
        let limit = old_loss + TOLERANCE * old_loss.abs();
        let fits = new_loss <= limit || (old_loss.is_nan() && new_loss.is_finite());
        (!fits).then_some(Worse {
            loss,
            new: new_loss,
            old: old_loss,
            limit,
            rows: new.rows,
            from: new.from,
            to: new.to,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn measured(fz0_025: f64, qlike_r2: f64) -> Losses {
        let (from, to) = ("2024-07-01".parse().unwrap(), "2025-06-30".parse().unwrap());
        Losses { fz0_025, qlike_r2, rows: 100_000, from, to }
    }

    #[test]
    fn either_loss_counts() {
        let old = measured(1.88, 2.79);
        assert_eq!(worse(&measured(1.87, 2.78), &old), None);
        assert_eq!(worse(&measured(1.885, 2.80), &old), None, "within the tolerance");
        let text = worse(&measured(1.91, 2.78), &old).unwrap().to_string();
        assert!(
            text.contains("FZ0") && text.contains("1.9100") && text.contains("1.8800"),
            "{text}"
        );
        assert!(worse(&measured(1.80, 2.90), &old).unwrap().loss.contains("QLIKE"));
        assert!(worse(&measured(f64::NAN, 2.7), &old).is_some());
        assert_eq!(worse(&measured(1.8, 2.7), &measured(f64::NAN, f64::NAN)), None);
        // Losses may be below zero: higher is worse there too.
        assert!(worse(&measured(-0.9, 2.7), &measured(-1.0, 2.7)).is_some());
    }

    proptest! {
        #[test]
        fn nobody_is_worse_than_itself(fz in -5.0..5.0f64, qlike in -5.0..5.0f64, more in 0.03..1.0f64) {
            let one = measured(fz, qlike);
            prop_assert_eq!(worse(&one, &one), None);
            prop_assert!(worse(&measured(fz + more, qlike), &one).is_some());
            prop_assert_eq!(worse(&measured(fz - more, qlike), &one), None);
        }
    }
}
