//! How a variance follows along a path.
//!
//! h' = (1 − φ) h̄ + φ h + α₋ h (x₋ − m₋) + α₊ h (x₊ − m₊), with h̄ the long-run variance of the
//! issue and the news x = min(z², [`NEWS_CAP`]) of the day, split by the sign of z (the asymmetry of
//! Glosten, Jagannathan & Runkle 1993). m is the mean of the news, so that E h' = h̄ + φ (h − h̄):
//! the form in which Barone-Adesi, Giannopoulos & Vosper (1999) let the variance follow, written
//! about its long-run level. A day's news counts up to three deviations, because the forecasts that
//! it mimics grow with the logarithm of a day's variance, not with its square.
//!
//! φ, α₋ and α₊ are the same for all issues: least squares of the model's own forecasts, one
//! session on the session before, over all issues, each row divided by h so that wild times do not
//! rule:
//!
//! h'/h − q = φ (1 − q) + α₋ (x₋ − m₋) + α₊ (x₊ − m₊), q = h̄ / h.
//!
//! So a path's variance moves as the daily model's forecast would have moved.

use serde::{Deserialize, Serialize};

/// News of a day count up to this: three deviations, squared.
pub const NEWS_CAP: f64 = 9.0;

/// Parameters of the recursion, common to all issues.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dynamics {
    /// Persistence φ, 0 to below 1.
    pub persistence: f64,
    /// Weight of the news of a fall, α₋.
    pub fall: f64,
    /// Weight of the news of a rise, α₊.
    pub rise: f64,
    /// Rows it was estimated on; 0: nothing was, and these are the published values.
    pub rows: u64,
}

impl Default for Dynamics {
    /// Persistence 0.95 with weights 0.07 and 0.03: about what is found for daily stock returns.
    fn default() -> Self {
        Self { persistence: 0.95, fall: 0.07, rise: 0.03, rows: 0 }
    }
}

/// A row of the estimation: today's variance, tomorrow's, the long-run one, and the residual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// h, above 0.
    pub variance: f64,
    /// h' of the session after.
    pub next: f64,
    /// h̄.
    pub long_run: f64,
    /// z of the day.
    pub residual: f64,
}

/// News of a residual, of a fall and of a rise.
#[must_use]
pub fn news(residual: f64) -> (f64, f64) {
    let size = (residual * residual).min(NEWS_CAP);
    if residual < 0.0 { (size, 0.0) } else { (0.0, size) }
}

/// Rows without which nothing is estimated.
const LEAST_ROWS: u64 = 1_000;

impl Dynamics {
    /// Least squares over `rows`; the default with too few rows or a system that cannot be solved.
    #[must_use]
    pub fn estimate(rows: impl Iterator<Item = Transition> + Clone) -> Self {
        let (mut count, mut falls, mut rises) = (0_u64, 0.0, 0.0);
        for row in rows.clone() {
            let (fall, rise) = news(row.residual);
            (count, falls, rises) = (count + 1, falls + fall, rises + rise);
        }
        if count < LEAST_ROWS {
            return Self::default();
        }
        let (falls, rises) = (falls / count as f64, rises / count as f64);
        let (mut a, mut b) = ([[0.0; 3]; 3], [0.0; 3]);
        for row in rows {
            let q = row.long_run / row.variance;
            let (fall, rise) = news(row.residual);
            let x = [1.0 - q, fall - falls, rise - rises];
            let y = row.next / row.variance - q;
            for i in 0..3 {
                b[i] += x[i] * y;
                for j in 0..3 {
                    a[i][j] += x[i] * x[j];
                }
            }
        }
        match solve3(a, b) {
            Some([persistence, fall, rise]) => Self {
                persistence: persistence.clamp(0.5, 0.995),
                fall: fall.clamp(0.0, 0.2),
                rise: rise.clamp(0.0, 0.2),
                rows: count,
            },
            None => Self::default(),
        }
    }
}

/// Solution of a symmetric system of three equations by Cramer's rule; `None` when it has none.
fn solve3(a: [[f64; 3]; 3], b: [f64; 3]) -> Option<[f64; 3]> {
    let det = |m: [[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = det(a);
    let scale = a[0][0] * a[1][1] * a[2][2];
    if !whole.is_finite() || whole.abs() <= 1e-12 * scale.abs() {
        return None;
    }
    let column = |at: usize| {
        let mut m = a;
        (0..3).for_each(|row| m[row][at] = b[row]);
        det(m) / whole
    };
    let solution = [column(0), column(1), column(2)];
    solution.iter().all(|x| x.is_finite()).then_some(solution)
}
