//! Validates whether a directory is a model that can be trained and run, also as the base of an adapter: reports all faults at once,
//! each with a message that says what to do.
//!
//! The rules are grouped into families, one file each: the kind of directory, its files, config.json, the tensors, tokenizer and
//! settings, the numbers, a test run, the comparison with a base. They run in this order, since a fault of one family hides those of
//! the next. They share a [`View`]: a rule that finds a repairable fault repairs it in the view, so that the next rule sees what the
//! fault would hide; `--fix` writes the view. Opening a model for training or inference applies the same rules.

mod adapter;
mod architecture;
mod base;
mod behaviour;
mod case;
mod code;
mod compare;
mod config;
mod directory;
mod docs;
mod files;
mod fresh;
mod fsdp;
mod group;
mod heads;
mod infer;
mod json;
mod knowledge;
mod layout;
mod names;
mod numbers;
mod open;
mod options;
mod quantised;
mod repair;
mod report;
mod rope;
mod said;
mod sizes;
mod source;
mod subdirectory;
mod tensors;
mod tokenizer;
mod value_head;
mod view;
mod zero;

pub use case::{Validation, examine, validate};
pub use code::{Code, Fault, Severity};
pub use docs::markdown;
pub use group::Group;
pub use open::{Opened, open, open_checkpoint};
pub use options::{Options, Progress};
pub use repair::{Candidate, Fixed, Repair, adopt, fix};
pub use report::{Finding, Kind, Report, Verdict};
pub use said::Said;
pub use source::ViewParams;
pub use view::{Source, Tensor, View};
