//! The tables by name, and counts of rows for each.

/// A table the writer fills; label of `bongsu_store_rows_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the table of its name")]
pub enum Table {
    MarketPrices,
    TradeLogs,
    ThreatEvents,
    RiskScores,
    Recommendations,
    RecommendationItems,
    MitigationPlans,
    Reports,
    LlmUsage,
    EtlFailures,
    EtlRuns,
    TaskRuns,
    JobRuns,
    ModelVersions,
    EvaluationMetrics,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 15] = [
        Self::MarketPrices,
        Self::TradeLogs,
        Self::ThreatEvents,
        Self::RiskScores,
        Self::Recommendations,
        Self::RecommendationItems,
        Self::MitigationPlans,
        Self::Reports,
        Self::LlmUsage,
        Self::EtlFailures,
        Self::EtlRuns,
        Self::TaskRuns,
        Self::JobRuns,
        Self::ModelVersions,
        Self::EvaluationMetrics,
    ];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MarketPrices => "market_prices",
            Self::TradeLogs => "trade_logs",
            Self::ThreatEvents => "threat_events",
            Self::RiskScores => "risk_scores",
            Self::Recommendations => "recommendations",
            Self::RecommendationItems => "recommendation_items",
            Self::MitigationPlans => "mitigation_plans",
            Self::Reports => "reports",
            Self::LlmUsage => "llm_usage",
            Self::EtlFailures => "etl_failures",
            Self::EtlRuns => "etl_runs",
            Self::TaskRuns => "task_runs",
            Self::JobRuns => "job_runs",
            Self::ModelVersions => "model_versions",
            Self::EvaluationMetrics => "evaluation_metrics",
        }
    }
}

/// Rows for each table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RowCounts([u64; Table::ALL.len()]);

impl RowCounts {
    /// Rows of `table`.
    #[must_use]
    pub const fn get(&self, table: Table) -> u64 {
        self.0[table as usize]
    }

    /// Adds `rows` rows of `table`.
    pub const fn add(&mut self, table: Table, rows: u64) {
        self.0[table as usize] += rows;
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (table, rows) in other.iter() {
            self.add(table, rows);
        }
    }

    /// Rows of all tables together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each table with its rows.
    pub fn iter(&self) -> impl Iterator<Item = (Table, u64)> + '_ {
        Table::ALL.into_iter().map(|table| (table, self.get(table)))
    }
}
