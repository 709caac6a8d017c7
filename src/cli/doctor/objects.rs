//! The object store: whether it is there, lets this key in, and how its buckets are. Nothing is
//! changed: buckets are made by the daemon.

use std::collections::BTreeMap;

use super::probe::writable;
use crate::cli::assembly;
use crate::cli::finding::Check;
use crate::config::Settings;
use crate::store::ObjectError;
use crate::store::objects::buckets::{Finding, Standing};

const NAME: &str = "objects";

/// Whether raw answers and the archive can be kept.
pub(in crate::cli) async fn objects(settings: &Settings) -> Vec<Check> {
    if !settings.writes {
        return vec![Check::ok(NAME, "a dry run (BONGSU_WRITES=off): none are stored")];
    }
    if settings.objects.endpoint.is_none() {
        return vec![folder(settings)];
    }
    let store = match assembly::object_store(settings, None, false) {
        Ok(store) => store,
        Err(error) => {
            return vec![Check::fail(NAME, error.to_string(), "correct the setting it names")];
        }
    };
    match store.inspect(&assembly::bucket_wishes(settings)).await {
        Ok(findings) => {
            let mut checks = vec![Check::ok(NAME, format!("{} lets the key in", store.place()))];
            checks.extend(buckets(&findings));
            checks
        }
        Err(error) => {
            let advice = match &error {
                ObjectError::Refused { advice, .. } => advice.clone(),
                _ => "start the object store, or correct objects.endpoint (MINIO_ENDPOINT); until \
                      then sealed journal segments wait"
                    .to_owned(),
            };
            vec![Check::fail(NAME, error.to_string(), advice)]
        }
    }
}

fn folder(settings: &Settings) -> Check {
    let folder = settings.data_dir.join("objects");
    let shown = folder.display();
    match writable(&folder) {
        Ok(true) => Check::ok(NAME, format!("{shown} is writable")),
        Ok(false) => Check::ok(NAME, format!("{shown} will be made at the first start")),
        Err(error) => Check::fail(
            NAME,
            format!("{shown}: {error}"),
            "give the daemon's user write access, or choose another data_dir (BONGSU_DATA_DIR)",
        ),
    }
}

/// A line a bucket.
fn buckets(findings: &[Finding]) -> Vec<Check> {
    let mut by_bucket: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_bucket.entry(finding.bucket.as_str()).or_default().push(finding);
    }
    let check = |(bucket, findings): (&str, Vec<&Finding>)| {
        let name = format!("bucket {bucket}");
        let warnings: Vec<String> = findings
            .iter()
            .filter(|finding| finding.is_warning())
            .map(ToString::to_string)
            .collect();
        let absent: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.standing == Standing::Absent)
            .map(|finding| finding.feature.as_str())
            .collect();
        let features: Vec<&str> = findings.iter().map(|finding| finding.feature.as_str()).collect();
        match (warnings.is_empty(), absent.is_empty()) {
            (true, true) => Check::ok(name, format!("{} as they should be", features.join(", "))),
            (true, false) => Check::ok(
                name,
                format!("absent: {}; the daemon makes them at its next start", absent.join(", ")),
            ),
            (false, _) => Check::warn(
                name,
                warnings.join("; "),
                "nothing, if you want it so; otherwise set it with the tools of the object store",
            ),
        }
    };
    by_bucket.into_iter().map(check).collect()
}
