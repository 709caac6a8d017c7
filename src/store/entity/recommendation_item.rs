//! `recommendation_items`: picks of the recommendation sets.

use sea_orm::entity::prelude::*;

/// A row of `recommendation_items`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "recommendation_items")]
pub struct Model {
    /// Running number; no meaning.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The set.
    pub recommendation_id: String,
    /// Rank, from 1.
    pub rank: i32,
    /// Issue code.
    pub symbol: String,
    /// Korean name.
    pub name: String,
    /// Share of the capital.
    pub weight: f64,
    /// Ranking value.
    pub value: f64,
    /// Risk score at the time.
    pub score: f64,
    /// Price at the time, won.
    pub price: i64,
    /// Forecast standard deviation of one day's return, per cent.
    pub daily_volatility_pct: f64,
    /// JSON array of Korean sentences.
    pub reasons: String,
    /// JSON array of [name, amount].
    pub factors: String,
    /// Expected return over the horizon after costs, per cent; null in rows of earlier versions.
    pub expected_return_pct: Option<f64>,
    /// Mean loss in the worst 2.5 % of cases over the horizon, per cent; likewise.
    pub downside_pct: Option<f64>,
}

/// No relation is declared: rows are joined by their ids.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
