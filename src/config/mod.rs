//! Settings: read from every layer, checked together, typed.
//!
//! Layers, the higher wins: command-line flag, environment, `.env`, TOML file (`--config F` or
//! `config/bongsu.toml`), `kis_devlp.yaml`, built-in default. [`Settings::load`] reads them all
//! and either returns settings in which everything is valid, or *every* problem at once, each with
//! its key, value, expected form and place. The process environment is never changed.
//!
//! - [`keys`]: the table of every setting, which drives everything else
//! - [`value`]: the forms a value can have, and how it may be shown
//! - [`service_url`]: URLs that print without their credentials
//! - [`settings`]: the typed result, one struct a section
//! - [`problem`]: what can be wrong, and where a value comes from
//! - [`template`]: the shipped `config/bongsu.toml`
//!
//! Secrets are [`secrecy::SecretString`] or, inside a URL, [`ServiceUrl`]: neither `Debug`, nor an
//! error, nor `config show` prints them.
//!
//! Files are read once, whole, at start-up; what changes later takes a restart.

mod build;
pub mod keys;
mod kis_devlp;
mod layers;
mod load;
pub mod problem;
pub mod service_url;
pub mod settings;
mod task_keys;
pub mod template;
#[cfg(test)]
mod tests;
pub mod value;

pub use load::{Effective, Settings, Sources};
pub use problem::{Origin, Problem, SettingsErrors};
pub use service_url::ServiceUrl;
pub use settings::*;
pub use value::{Speed, Value};
