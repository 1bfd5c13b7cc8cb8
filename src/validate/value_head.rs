//! A reward model: a value head in a file of its own beside the model or the adapter.

use std::rc::Rc;

use super::code::{Code, Severity};
use super::directory::is_value_head;
use super::report::{Finding, Kind};
use super::said::said;
use crate::checkpoint::ValueHead;
use crate::platform::{Directory, Entry};

/// Says that there is a value head, or why it is none. `hidden_size` is that of the model, where it is known.
pub(super) async fn check(dir: &Rc<dyn Directory>, entries: &[Entry], kind: Kind, hidden_size: Option<usize>, findings: &mut Vec<Finding>) {
    let Some(entry) = entries.iter().find(|entry| is_value_head(&entry.name)) else { return };
    let what = if kind == Kind::Adapter { "adapter" } else { "model" };
    let found = match hidden_size {
        Some(hidden_size) => ValueHead::find(dir, hidden_size).await.map(|_| ()),
        None => Ok(()),
    };
    findings.push(match found {
        Ok(()) => {
            let message = said!(
                "makes this a reward model: it turns the {what}'s last hidden state into the value of an answer. Recipes of stage: rm judge by it \
                 (do_eval, do_predict) or train it on; in every other use the {what} is an ordinary one and this file is not read"
            );
            let finding = Finding::new(Code::ValueHead, message).file(&entry.name);
            Finding { severity: Severity::Info, ..finding }
        }
        Err(error) => {
            let message = said!("the value head of a reward model cannot be used ({error}); the {what} itself is as if it were not there");
            Finding::new(Code::ValueHead, message).file(&entry.name)
        }
    });
}
