//! Records of preferences: two answers of which one is better, or one that is marked as good or bad; and which stage learns from what.

use serde_json::Value as Json;

use super::layout::{kind_of, missing};
use super::reading::checked;
use super::record::{Content, Conversation};
use super::template::Message;
use crate::config::Stage;

/// How many answers a record has, and which fields say what they are worth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Answers {
    /// One, to be learned.
    #[default]
    One,
    /// Two, in these fields: LLaMA-Factory's `ranking: true`.
    Ranked {
        /// The preferred answer.
        chosen: String,
        /// The rejected one.
        rejected: String,
    },
    /// One, and this field says whether it is good: LLaMA-Factory's `kto_tag`.
    Rated(String),
}

impl Answers {
    /// Two answers under their usual names.
    pub(super) fn ranked() -> Answers {
        Answers::Ranked { chosen: "chosen".into(), rejected: "rejected".into() }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Answers::One => Vec::new(),
            Answers::Ranked { chosen, rejected } => vec![chosen, rejected],
            Answers::Rated(tag) => vec![tag],
        }
    }

    /// Refuses records that a stage does not learn from: answers of which some are bad must not be learned as if they were good.
    ///
    /// # Errors
    /// What the records are, and what to do.
    pub(super) fn check_stage(&self, stage: Stage) -> Result<(), String> {
        let reason = match (stage, self) {
            (Stage::Sft | Stage::Pt, Answers::One) | (Stage::Dpo | Stage::Rm, Answers::Ranked { .. }) | (Stage::Kto, Answers::Rated(_)) => {
                return Ok(());
            }
            (Stage::Sft | Stage::Pt, Answers::Ranked { chosen, .. }) => format!(
                "\"{chosen}\" says that one answer is better than another: records for preference training (stage: dpo); stages sft and pt \
                 learn one answer: keep the good one as {{\"messages\": …}} or {{\"instruction\": …, \"output\": …}}"
            ),
            (Stage::Sft | Stage::Pt, Answers::Rated(tag)) => format!(
                "\"{tag}\" marks answers as good or bad (records for stage: kto), and stages sft and pt learn every answer; keep the records \
                 in which it is true, and remove that field"
            ),
            (Stage::Dpo, Answers::Rated(tag)) => format!(
                "stage dpo compares two answers to a question, and here \"{tag}\" marks single ones as good or bad: that is stage: kto"
            ),
            (Stage::Dpo, Answers::One) => {
                "stage dpo compares two answers to a question: give \"chosen\" and \"rejected\" (in dataset_info.json \"ranking\": true and \
                 their columns); records of one answer are for stage: sft"
                    .into()
            }
            (Stage::Rm, Answers::Rated(tag)) => format!(
                "stage rm learns from two answers to a question, of which one is better, and here \"{tag}\" marks single ones as good or bad \
                 (records for stage: kto)"
            ),
            (Stage::Rm, Answers::One) => {
                "stage rm learns from two answers to a question, of which one is better: give \"chosen\" and \"rejected\" (in \
                 dataset_info.json \"ranking\": true and their columns); records of one answer are for stage: sft"
                    .into()
            }
            (Stage::Kto, Answers::Ranked { .. }) => {
                "stage kto learns from single answers that are marked as good or bad, and here are pairs of them: that is stage: dpo".into()
            }
            (Stage::Kto, Answers::One) => {
                "stage kto learns from answers that are marked as good or bad: give \"label\": true or false (in dataset_info.json the column \
                 kto_tag); records without it are for stage: sft"
                    .into()
            }
        };
        Err(reason)
    }

    /// Whether a conversation's last answer is good, where a field says so.
    pub(super) fn rate(&self, record: &Json, conversation: Conversation) -> Result<Content, String> {
        let Answers::Rated(tag) = self else { return Ok(Content::Conversation(conversation)) };
        match &record[tag.as_str()] {
            Json::Bool(good) => Ok(Content::Rated(conversation, *good)),
            Json::Null => Err(missing(record, tag)),
            other => Err(format!("\"{tag}\" is {}, expected true (a good answer) or false", kind_of(other))),
        }
    }
}

/// The two conversations of a pair, whose answers must differ.
pub(super) fn pair(names: [&String; 2], [chosen, rejected]: [Vec<Message>; 2], tools: Vec<Json>) -> Result<Content, String> {
    if chosen == rejected {
        return Err(format!("\"{}\" and \"{}\" are the same answer: neither is better; remove this record", names[0], names[1]));
    }
    let chosen = checked(chosen, tools.clone()).map_err(|reason| format!("\"{}\": {reason}", names[0]))?;
    let rejected = checked(rejected, tools).map_err(|reason| format!("\"{}\": {reason}", names[1]))?;
    Ok(Content::Pair(chosen, rejected))
}

/// Answers of which some are marked as bad must not be learned as if they were good: what a layout does not read of that is an error.
pub(super) fn refuse_preferences(record: &Json, answers: &Answers) -> Result<(), String> {
    let read = answers.names();
    let preferences = ["chosen", "rejected", "chosen_messages", "rejected_messages"];
    let unread = |name: &&str| !record[*name].is_null() && !read.contains(name);
    if let Some(name) = preferences.into_iter().find(unread).filter(|_| *answers == Answers::One) {
        return Err(format!(
            "\"{name}\" says that one answer is better than another, and this dataset is read as one of single answers; give it \"ranking\": \
             true and its columns in dataset_info.json (docs/datasets.md), or remove that field"
        ));
    }
    let marked = ["label", "kto_tag"].into_iter().filter(unread).find_map(|name| Some((name, record[name].as_bool()?)));
    if let Some((name, good)) = marked.filter(|_| *answers == Answers::One) {
        return Err(format!(
            "\"{name}\" marks this answer as {}, and this dataset is read as one of answers to be learned; give it the column kto_tag in \
             dataset_info.json (stage kto, docs/datasets.md), or remove that field",
            if good { "good" } else { "bad" }
        ));
    }
    Ok(())
}
