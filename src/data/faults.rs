//! Records that cannot be learned from: counted, and the first of them named.

use crate::config::OnBadRecord;
use crate::error::{Error, Result};

/// How many are named.
const SHOWN: usize = 20;

/// The faulty records of a dataset.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    first: Vec<Error>,
    count: usize,
}

impl Faults {
    pub(super) fn note(&mut self, fault: Error) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(fault);
        }
    }

    /// Whether these faults end the run; otherwise what the user is told about them.
    ///
    /// # Errors
    /// The fault itself where there is one; [`Error::Records`] with the first of several.
    pub(super) fn judge(self, name: &str, records: usize, on_bad_record: OnBadRecord) -> Result<Option<String>> {
        let Faults { mut first, count } = self;
        if count == 0 {
            return Ok(None);
        }
        let skip = on_bad_record == OnBadRecord::Skip;
        if !skip && count == 1 {
            return Err(first.remove(0));
        }
        let faults: Vec<String> = first.iter().map(ToString::to_string).collect();
        if !skip || count == records {
            return Err(Error::Records { dataset: name.into(), count, records, faults });
        }
        let more = count - faults.len();
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Ok(Some(format!("{count} of {records} records are left out (on_bad_record: skip): {}{more}", faults.join("; "))))
    }
}
