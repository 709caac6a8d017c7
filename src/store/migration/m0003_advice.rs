//! What advice rests on: the model and the day of its data, the basis of a ranking with its evidence,
//! the simulation behind a plan.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::schema::Kind::{Ascii, Integer, Real, Text};
use super::schema::add_columns;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_advice"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let traced = [("model", Ascii(16)), ("data_cut", Ascii(10))];
        add_columns(manager, "recommendations", &traced).await?;
        add_columns(
            manager,
            "recommendations",
            &[
                ("basis", Ascii(16)),
                ("horizon_sessions", Integer),
                ("cash", Real),
                ("var_pct", Real),
                ("evidence", Text),
            ],
        )
        .await?;
        let columns = [("expected_return_pct", Real), ("downside_pct", Real)];
        add_columns(manager, "recommendation_items", &columns).await?;
        add_columns(manager, "mitigation_plans", &traced).await?;
        let columns = [
            ("horizon_sessions", Integer),
            ("paths", Integer),
            ("seed", Integer),
            ("risk_error", Integer),
        ];
        add_columns(manager, "mitigation_plans", &columns).await
    }
}
