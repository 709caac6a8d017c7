//! KIS (한국투자증권) Open API: the client's side, and a simulator that plays the server's.

pub mod frame;
pub mod sim;
