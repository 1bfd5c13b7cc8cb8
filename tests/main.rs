//! All integration tests in one program: one link, one device.

mod adapter;
mod checkpoint;
mod cli;
mod config;
mod data;
mod generate;
mod golden;
mod kernels;
mod plan;
mod reference;
mod train;
mod validate;
mod web;
