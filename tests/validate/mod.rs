//! The validator over directories that fail in every known way, and over healthy ones (tests/fixtures/validate/README.md).

mod alarms;
mod cases;
mod hostile;
mod large;
mod page;
mod repair;
