//! The terms of the variance forecast: names, order, and which of them a forecast may lack.
//!
//! 17 terms are the issue's own ([`OWN`]), 16 are the same for all issues of a session
//! ([`MARKET`]). All are known before the session they forecast. A forecast that lacks some of the
//! market terms uses the coefficients that were fitted without them ([`Variant`]).

pub mod breadth;
pub mod market;
pub mod own;
pub mod window;

use serde::{Deserialize, Serialize};

pub use breadth::Breadth;
pub use market::{IndexTerms, SessionTerms};
pub use own::{OwnState, own_terms};

/// Number of an issue's own terms.
pub const OWN: usize = 17;
/// Number of the terms that all issues of a session share.
pub const MARKET: usize = 16;

/// Names of the own terms, in the order of [`OwnTerms`].
///
/// `lp*`: ln of the mean range variance over the last 1, 5, 22, 66, 250 rows (HAR: Corsi 2009, on
/// the logarithm as Corsi, Audrino & Renò 2012). `lr22`: ln of the mean squared return of 22.
/// `lrat250`: ln of mean squared return over mean range variance of 250. `neg1 pos1 neg5 pos5`:
/// negative and positive part of the last return and of the sum of 5, standardised (leverage:
/// Corsi & Renò 2012). `on22`: overnight share of the variance. `zero22`: share of zero returns.
/// `lvol`: ln of the last volume over its mean of 22. `ltv`: ln of the median value traded of 250.
/// `lp2`: ln range variance of the second last row. `d1lv`: (lp1 − lp22) · lvol.
pub const OWN_NAMES: [&str; OWN] = [
    "lp1", "lp5", "lp22", "lp66", "lp250", "lr22", "lrat250", "neg1", "pos1", "neg5", "pos5",
    "on22", "zero22", "lvol", "ltv", "lp2", "d1lv",
];

/// Names of the market terms, in the order of [`MarketTerms`].
///
/// `cs1 cs5`: mean over the fitted issues of the ln range variance of the session before, and of 5.
/// `gap`: ln of the calendar days since it. `bz bp`: whether most issues fell or rose lately
/// ([`Breadth`]). `m1 m5 m22 mneg1 mpos1`: as the own terms, of the KOSPI index. `vix usabs`: ln
/// VIX and the size of the S&P 500 return in units of what the VIX said before it (Whaley 2000),
/// of the US session known at the close; `ovix ousabs ousneg`: of the one known at the open, with
/// its negative part. `ousret`: the S&P 500 return between the two; no term of the variance, but
/// one of the downside scale.
pub const MARKET_NAMES: [&str; MARKET] = [
    "cs1", "cs5", "gap", "bz", "bp", "m1", "m5", "m22", "mneg1", "mpos1", "vix", "usabs", "ovix",
    "ousabs", "ousneg", "ousret",
];

/// Where `bz` stands in [`MARKET_NAMES`]; `bp` follows.
pub const BREADTH: usize = 3;
/// Where the terms of the KOSPI index begin in [`MARKET_NAMES`].
pub const INDEX_TERMS: usize = 5;
/// Where the US terms of the close begin in [`MARKET_NAMES`].
pub const US_CLOSE: usize = 10;
/// Where the US terms of the open begin in [`MARKET_NAMES`].
pub const US_OPEN: usize = 12;
/// Where `ousret` stands in [`MARKET_NAMES`].
pub const US_RETURN: usize = 15;
/// Where `ltv` stands in [`OWN_NAMES`].
pub const LTV: usize = 14;
/// Where the terms that the classical set lacks begin in [`OWN_NAMES`].
pub const OWN_EXTRA: usize = 15;

/// An issue's own terms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OwnTerms(pub [f64; OWN]);

/// What all issues of a session share; a term that is not known is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarketTerms(pub [f64; MARKET]);

impl MarketTerms {
    /// Nothing known.
    pub const UNKNOWN: Self = Self([f64::NAN; MARKET]);

    /// Whether all terms of `variant` are known.
    #[must_use]
    pub fn suffice(&self, variant: Variant) -> bool {
        self.0.iter().zip(variant.market_mask()).all(|(value, used)| !used || value.is_finite())
    }

    /// The richest variant whose terms are known, among those that `origin` allows.
    #[must_use]
    pub fn variant(&self, origin: Origin) -> Variant {
        let open = (origin == Origin::Open).then_some(Variant::Open);
        let others = Variant::ALL[1..].iter().copied();
        open.into_iter().chain(others).find(|&v| self.suffice(v)).unwrap_or(Variant::OwnOnly)
    }
}

/// When a forecast is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// At the KRX close of the session before.
    #[default]
    Close,
    /// Before the open, with the US session of the night.
    Open,
}

/// A set of terms with coefficients of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// All 32, with the US session of the night.
    Open,
    /// The 29 known at the KRX close.
    Close,
    /// Without the US terms: 27.
    NoUs,
    /// Without terms of any index: 22.
    NoIndex,
    /// The issue's own 17 alone.
    OwnOnly,
}

impl Variant {
    /// Every variant, the richest first.
    pub const ALL: [Self; 5] = [Self::Open, Self::Close, Self::NoUs, Self::NoIndex, Self::OwnOnly];

    /// Which of the market terms it has.
    #[must_use]
    pub fn market_mask(self) -> [bool; MARKET] {
        let known = match self {
            Self::Open => US_RETURN,
            Self::Close => US_OPEN,
            Self::NoUs => US_CLOSE,
            Self::NoIndex => INDEX_TERMS,
            Self::OwnOnly => 0,
        };
        std::array::from_fn(|term| term < known)
    }

    /// Which one forecasts at `origin` when everything is known.
    #[must_use]
    pub const fn of(origin: Origin) -> Self {
        match origin {
            Origin::Close => Self::Close,
            Origin::Open => Self::Open,
        }
    }
}

/// The terms of one fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermSet {
    /// Of which variant.
    pub variant: Variant,
    /// Which own terms.
    pub own: [bool; OWN],
    /// Which market terms.
    pub market: [bool; MARKET],
}

impl TermSet {
    /// All terms of a variant.
    #[must_use]
    pub fn full(variant: Variant) -> Self {
        Self { variant, own: [true; OWN], market: variant.market_mask() }
    }

    /// Without breadth, the second last day and the interaction: 25 terms at the close, 28 at the
    /// open.
    #[must_use]
    pub fn classical(variant: Variant) -> Self {
        let mut set = Self::full(variant);
        set.own[OWN_EXTRA..].fill(false);
        set.market[BREADTH..INDEX_TERMS].fill(false);
        set
    }

    /// Number of terms, the intercept not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.own.iter().chain(&self.market).filter(|used| **used).count()
    }
}
