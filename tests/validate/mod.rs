//! The validator over directories that fail in every known way, and over healthy ones (tests/fixtures/validate/README.md).

mod adopt;
mod alarms;
mod cases;
mod faults;
mod hostile;
mod large;
mod page;
mod refused;
mod repair;

#[path = "../../fuzz/src/counting.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets, a crate of their own")]
pub(crate) mod counting;
#[path = "../../fuzz/src/readers.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets, a crate of their own")]
mod readers;
