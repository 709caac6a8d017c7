//! The actors and the tree they stand in.
//!
//! One actor a file, named by its job; what an actor computes lies in a module that knows no
//! actor. [`tree`] is the only file that knows who feeds and who supervises whom.

pub mod alert;
pub mod archiver;
pub mod backfill;
pub mod checkpointer;
pub mod collection;
mod faults;
pub mod feed;
mod feed_watch;
pub mod follow;
pub mod ingest;
pub mod jobs;
pub mod limits;
pub mod llm_summarizer;
pub mod mitigator;
pub mod model_watch;
pub mod modelling;
pub mod normalizer;
pub mod object_watch;
pub mod outlet;
pub mod poll;
pub mod recommender;
pub mod recorded;
pub mod recorder;
pub mod recovery;
mod references;
mod reject;
pub mod reports;
pub mod risk_scorer;
pub mod scenarios;
pub mod scheduler;
pub mod states;
pub mod supervision;
pub mod task_desk;
pub mod task_log;
pub mod task_queue;
pub mod task_worker;
pub mod trading_days;
pub mod tree;
