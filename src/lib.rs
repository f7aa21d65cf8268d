//! slotline
pub mod batch;
pub mod http;
pub mod lineprotocol;
pub mod topology;
