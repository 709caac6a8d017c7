//! The bars behind the answers, kept between questions.
//!
//! Files are read anew when their length or time of change is another; the database's bars when their
//! number or the newest of them is another, and after [`REREAD`] in any case, because a bar can be
//! corrected in its place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::super::limits::REREAD;
use super::super::modelling::{Effort, ModellingError, Source, compute};
use crate::advice::simulate::Known;
use crate::market::Symbol;
use crate::model::Panel;
use crate::store::panel::{DailyBarCount, Join, count_daily_bars, read, read_database, read_known};

/// What is known of the issues, by code.
pub type KnownIssues = Arc<BTreeMap<Symbol, Known>>;

/// How the source looked when it was read.
#[derive(Debug, Clone, PartialEq)]
enum Mark {
    Files(Vec<(PathBuf, u64, Option<SystemTime>)>),
    Database(DailyBarCount),
}

/// Bars that were read.
#[derive(Debug)]
struct Kept {
    mark: Mark,
    at: Instant,
    panel: Arc<Panel>,
    known: KnownIssues,
}

/// A source of bars and what was last read of it.
#[derive(Debug)]
pub struct History {
    source: Source,
    /// What is known of issues besides what the files say.
    others: BTreeMap<Symbol, Known>,
    kept: Option<Kept>,
}

impl History {
    /// Of a source; nothing is read yet.
    #[must_use]
    pub const fn new(source: Source, others: BTreeMap<Symbol, Known>) -> Self {
        Self { source, others, kept: None }
    }

    /// The bars as they are now, and what is known of their issues.
    ///
    /// # Errors
    /// When they cannot be read, or there are none.
    pub async fn read(
        &mut self,
        effort: Effort,
    ) -> Result<(Arc<Panel>, KnownIssues), ModellingError> {
        let mark = self.mark().await?;
        if let Some(kept) = &self.kept
            && kept.mark == mark
            && (matches!(mark, Mark::Files(_)) || kept.at.elapsed() < REREAD)
        {
            return Ok((Arc::clone(&kept.panel), Arc::clone(&kept.known)));
        }
        let (panel, mut known) = match &self.source {
            Source::Files(data, indices) => {
                let (data, indices) = (data.clone(), indices.clone());
                let work = move || {
                    let panel = read(&data, &indices, Join::BySymbol)?;
                    Ok::<_, ModellingError>((panel, read_known(&data)?))
                };
                compute(effort, work).await??
            }
            Source::Database(database) => (read_database(database, None).await?, BTreeMap::new()),
        };
        if panel.issues.is_empty() {
            return Err(ModellingError::NoRows);
        }
        // A file that names an issue knows it best.
        for (symbol, other) in &self.others {
            known.entry(*symbol).or_insert_with(|| other.clone());
        }
        let (panel, known) = (Arc::new(panel), Arc::new(known));
        let at = Instant::now();
        self.kept = Some(Kept { mark, at, panel: Arc::clone(&panel), known: Arc::clone(&known) });
        Ok((panel, known))
    }

    async fn mark(&self) -> Result<Mark, ModellingError> {
        match &self.source {
            Source::Files(data, indices) => {
                let about = |path: &PathBuf| {
                    // A file that is not there is told by the reader, with its name.
                    let found = std::fs::metadata(path).ok();
                    let length = found.as_ref().map_or(0, std::fs::Metadata::len);
                    (path.clone(), length, found.and_then(|found| found.modified().ok()))
                };
                Ok(Mark::Files(data.iter().chain(indices).map(about).collect()))
            }
            Source::Database(database) => Ok(Mark::Database(count_daily_bars(database).await?)),
        }
    }
}
