//! `jobs.yaml` while the scheduler runs: an edit is in force at the next look, a wrong one is told and
//! changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use crate::schedule::{FILE, Jobs};

/// The file, its last good content, and what is wrong with the present one.
#[derive(Debug)]
pub struct ScheduleFile {
    folder: PathBuf,
    /// The text that was last looked at, good or not; `None` when it could not be read.
    text: Option<String>,
    jobs: Arc<Jobs>,
    problem: Option<String>,
}

/// What a look at the file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// As before.
    Same,
    /// Another schedule, which is in force now.
    Changed,
    /// A mistake: the schedule before stays in force.
    Wrong(String),
}

impl ScheduleFile {
    /// The file of `folder`, of which `jobs` were read from `text`.
    #[must_use]
    pub fn new(folder: PathBuf, text: String, jobs: Jobs) -> Self {
        Self { folder, text: Some(text), jobs: Arc::new(jobs), problem: None }
    }

    /// The schedule in force.
    #[must_use]
    pub fn jobs(&self) -> Arc<Jobs> {
        Arc::clone(&self.jobs)
    }

    /// What is wrong with the file, if it is not the schedule in force.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Looks at the file.
    pub async fn look(&mut self) -> Look {
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || Jobs::text(&folder)).await;
        let text = match read {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => return self.unread(error.to_string()),
            Err(error) => return self.unread(format!("{FILE} could not be read: {error}")),
        };
        if self.text.as_ref() == Some(&text) {
            return Look::Same;
        }
        match Jobs::parse(&text, &self.folder.join(FILE)) {
            Ok(jobs) => {
                (self.text, self.problem) = (Some(text), None);
                self.jobs = Arc::new(jobs);
                Look::Changed
            }
            Err(error) => {
                self.text = Some(text);
                self.wrong(error.to_string())
            }
        }
    }

    fn unread(&mut self, what: String) -> Look {
        self.text = None;
        self.wrong(what)
    }

    fn wrong(&mut self, what: String) -> Look {
        if self.problem.as_deref() == Some(&what) {
            return Look::Same;
        }
        self.problem = Some(what.clone());
        Look::Wrong(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "jobs:\n  - {name: a, task: debug_ping, every: 1h}\n";
    const BETTER: &str = "jobs:\n  - {name: b, task: debug_ping, every: 2h}\n";

    #[tokio::test]
    async fn edits_are_taken_in_and_mistakes_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, GOOD).unwrap();
        let jobs = Jobs::load(folder.path()).unwrap();
        let mut file = ScheduleFile::new(folder.path().into(), GOOD.into(), jobs);
        assert_eq!(file.look().await, Look::Same);
        std::fs::write(&path, "jobs:\n  - {name: a, task: dance, every: 1h}\n").unwrap();
        assert!(matches!(file.look().await, Look::Wrong(what) if what.contains("dance")));
        assert_eq!(file.look().await, Look::Same, "told once");
        assert!(file.jobs().find("a").is_some() && file.problem().unwrap().contains("dance"));
        std::fs::write(&path, BETTER).unwrap();
        assert_eq!(file.look().await, Look::Changed);
        assert!(file.jobs().find("b").is_some() && file.problem().is_none());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.look().await, Look::Changed, "the built-in schedule");
    }
}
