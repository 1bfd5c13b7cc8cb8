//! The training loop and what it needs.

mod beginnings;
mod faults;
mod keeping;
mod kept;
mod objectives;
mod preference;
mod references;
mod reward;
mod schedule;
