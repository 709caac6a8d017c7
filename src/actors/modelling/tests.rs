use super::*;
use crate::model::{Losses, Origin};

fn measured(fz0_025: f64) -> Validation {
    Validation {
        origin: Origin::Close,
        from: "2024-07-01".parse().unwrap(),
        to: "2025-06-30".parse().unwrap(),
        rows: 1_000,
        symbols: 10,
        qlike_r2: 2.8,
        qlike_range: 0.5,
        fz0_025,
        fz0_05: 1.6,
        exceed_99: 0.01,
        exceed_975: 0.025,
        exceed_95: 0.05,
        es_ratio_975: 1.0,
    }
}

#[test]
fn what_is_worse_or_unproven_is_not_put_to_use() {
    let old: ModelId = "20260105T090000Z".parse().unwrap();
    let decide = |activate, new: Option<f64>, old: Option<(ModelId, Option<f64>)>| {
        let losses = |loss| Losses::from(&measured(loss));
        let found = old.map(|(with, old)| Comparison {
            with,
            since_its_fit: true,
            losses: new.zip(old).map(|(new, old)| (losses(new), losses(old))),
        });
        verdict(activate, new.map(measured).as_ref(), found.as_ref())
    };
    let better = Activate::UnlessWorse;
    assert!(decide(better, Some(1.8), None).is_ok());
    assert!(decide(better, Some(1.8), Some((old, Some(1.8)))).is_ok());
    let why = decide(better, Some(2.0), Some((old, Some(1.8)))).unwrap_err();
    assert!(why.contains(&old.to_string()) && why.contains("2.0000"), "{why}");
    assert!(decide(better, None, Some((old, None))).unwrap_err().contains("--force"));
    assert!(decide(better, Some(2.0), Some((old, None))).is_ok(), "the old one cannot be scored");
    let other_rows = Validation { rows: 900, ..measured(2.0) };
    let found = Comparison {
        with: old,
        since_its_fit: true,
        losses: Some((Losses::from(&measured(1.8)), Losses::from(&other_rows))),
    };
    let why = verdict(better, Some(&measured(1.8)), Some(&found)).unwrap_err();
    assert!(why.contains("1000 rows") && why.contains("900") && why.contains("--force"), "{why}");
    assert!(decide(Activate::Always, None, Some((old, Some(1.0)))).is_ok());
    assert!(decide(Activate::Never, Some(1.0), None).is_err());
}
