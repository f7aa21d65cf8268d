//! slotline
pub mod batch;
pub mod config;
pub mod http;
pub mod influxql;
pub mod lineprotocol;
pub mod stats;
pub mod topology;

#[cfg(feature = "server")]
pub mod backend;
#[cfg(feature = "server")]
pub mod net;
