//! All integration tests in one program: one link, one device.

mod config;
mod data;
mod train;
