//! Generates `docs/checkpoint-faults.md` from the table of faults.

use std::fmt::Write;

use super::code::{Code, Severity};
use super::group::Group;

/// All faults as Markdown. A test compares it with the committed page.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut group: Option<Group> = None;
    for fault in Code::all() {
        if group != Some(fault.group) {
            group = Some(fault.group);
            let title = fault.group.title();
            // Writing into a String cannot fail.
            let _ =
                write!(page, "\n## {title}\n\n| finding | what is wrong | what other tools say or do | the way out |\n|---|---|---|---|\n");
        }
        let severity = match fault.severity {
            Severity::Error => "",
            Severity::Warning => " (warning)",
            Severity::Info => " (info)",
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(page, "| `{}`{severity} | {} | {} | {} |", fault.name, cell(fault.title), cell(fault.elsewhere), cell(fault.cure));
    }
    page
}

const INTRODUCTION: &str = "# What is wrong with this checkpoint?

`rootstock validate DIR` finds all of this at once and names the file, the tensor and the numbers; [validate.md](validate.md) says how. If
another tool failed with a message, search for its words here: the third column has them.

The first column is the name of the finding in `--json`. A finding is an error unless another severity stands behind its name; errors keep
a directory from being *ready*. Where the last column says that `--fix` does something, the directory is *repairable*.

This page is generated from the table that the validator itself reads (`src/validate/code.rs`).
";
