//! The training loop and what it needs.

mod schedule;

pub use schedule::Schedule;
