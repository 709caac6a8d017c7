//! The settings of each task: limits and retries, the same keys for all.

use super::keys::Key;
use super::value::Kind::{Integer, Rate};

/// The dotted keys of one task's settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskPaths {
    pub(super) name: &'static str,
    pub(super) soft_limit: &'static str,
    pub(super) hard_limit: &'static str,
    pub(super) max_retries: &'static str,
    pub(super) retry_backoff: &'static str,
    pub(super) retry_backoff_max: &'static str,
    pub(super) rate_limit: &'static str,
}

macro_rules! tasks {
    ($($name:literal: $soft:literal, $hard:literal, $retries:literal, $backoff:literal, $most:literal;)+) => {
        /// A row for each setting of each task.
        pub(super) const TASK_KEYS: &[Key] = &[$(
            Key::new(concat!("tasks.", $name, ".soft_limit"), Integer(1, 86_400), "Then it is asked to stop, s")
                .default($soft),
            Key::new(concat!("tasks.", $name, ".hard_limit"), Integer(1, 86_400), "Then its caller has its answer, s")
                .default($hard),
            Key::new(concat!("tasks.", $name, ".max_retries"), Integer(0, 100), "Retries after a failure that may pass, at most")
                .default($retries),
            Key::new(concat!("tasks.", $name, ".retry_backoff"), Integer(1, 86_400), "Pause before the first of them, s; each further one is twice as long")
                .default($backoff),
            Key::new(concat!("tasks.", $name, ".retry_backoff_max"), Integer(1, 86_400), "Longest pause, s")
                .default($most),
            Key::new(concat!("tasks.", $name, ".rate_limit"), Rate, "Calls in a time. Unset: as many as come")
                .example("10/m"),
        )+];

        /// The tasks.
        pub(super) const TASKS: &[TaskPaths] = &[$(TaskPaths {
            name: $name,
            soft_limit: concat!("tasks.", $name, ".soft_limit"),
            hard_limit: concat!("tasks.", $name, ".hard_limit"),
            max_retries: concat!("tasks.", $name, ".max_retries"),
            retry_backoff: concat!("tasks.", $name, ".retry_backoff"),
            retry_backoff_max: concat!("tasks.", $name, ".retry_backoff_max"),
            rate_limit: concat!("tasks.", $name, ".rate_limit"),
        },)+];
    };
}

tasks! {
    "debug_ping": "30", "60", "0", "1", "1";
    "collect_market_prices": "1500", "1800", "1", "60", "60";
    "compute_risk": "20", "40", "3", "1", "60";
    "generate_recommendations": "30", "60", "3", "1", "60";
    "plan_mitigation": "30", "60", "3", "1", "60";
    "simulate_scenario": "150", "180", "3", "1", "60";
    "summarize_recommendation": "60", "90", "3", "1", "60";
    "draft_alert": "60", "90", "3", "1", "60";
    "generate_report": "60", "90", "3", "1", "60";
    "weekly_review": "60", "90", "3", "1", "60";
    "retrain_model": "3000", "3600", "0", "1", "1";
    "evaluate_models": "3000", "3600", "0", "1", "1";
    "snapshot_backup": "900", "1200", "2", "30", "300";
}

#[cfg(test)]
mod tests {
    use crate::config::{Settings, Sources};

    fn load(file: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        std::fs::write(folder.path().join("config/bongsu.toml"), file).unwrap();
        let environment = vec![("BONGSU_TASKS__COMPUTE_RISK__MAX_RETRIES".into(), "7".into())];
        let directory = folder.path().to_owned();
        let sources = Sources { directory, environment, ..Sources::default() };
        Settings::load(&sources).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_task_has_settings_of_its_own() {
        let file =
            "[tasks]\ncompute_risk.hard_limit = 50\n[tasks.draft_alert]\nrate_limit = \"10/m\"\n";
        let settings = load(file).unwrap();
        let of = |name: &str| settings.task_limits.iter().find(|task| task.name == name).unwrap();
        let risk = of("compute_risk");
        assert_eq!(
            (risk.hard_limit_seconds, risk.max_retries, risk.soft_limit_seconds),
            (50, 7, 20)
        );
        assert_eq!(of("draft_alert").rate_limit.as_deref(), Some("10/m"));
        let file = "[tasks]\ncompute_risk.hard_limit = 5\ndraft_alert.rate_limit = \"fast\"\nnobody.hard_limit = 5\n";
        let errors = load(file).unwrap_err();
        for told in [
            "tasks.compute_risk.soft_limit",
            "20 is more than",
            "tasks.draft_alert.rate_limit",
            "tasks.nobody.hard_limit",
        ] {
            assert!(errors.contains(told), "{told}: {errors}");
        }
    }
}
