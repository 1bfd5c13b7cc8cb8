//! What the journey ends with: the methods side by side, and what became of the answers.

use std::fs;
use std::path::Path;

use rootstock::gpu::human_bytes;
use rootstock::train::{Outcome, Start};

use super::ask::{Exam, Marks, Task};
use crate::cli::console::{count, duration, table, thousands};

/// Columns of an answer that are shown.
const WIDTH: usize = 52;
/// Held-out questions whose answers are shown; a person can judge them at a glance.
const SHOWN: [usize; 4] = [0, 20, 40, 80];

/// What a run cost.
pub(super) struct Cost {
    pub(super) samples: usize,
    pub(super) start: Option<Start>,
    pub(super) outcome: Outcome,
    /// What it left: the weights, and the newest checkpoint with the state to go on from.
    pub(super) weights: u64,
    pub(super) checkpoint: u64,
}

impl Cost {
    pub(super) fn of(samples: usize, start: Option<Start>, outcome: Outcome, out: &Path, weights: &str) -> Cost {
        let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
        let checkpoint = out.join(format!("checkpoint-{}", outcome.steps));
        let files = fs::read_dir(checkpoint).into_iter().flatten().flatten();
        let checkpoint = files.map(|entry| size(&entry.path())).sum();
        Cost { samples, start, outcome, weights: size(&out.join(weights)), checkpoint }
    }

    fn trained(&self) -> String {
        let Some(start) = &self.start else { return String::new() };
        match start.trainable == start.parameters {
            true => format!("{} (all)", thousands(start.trainable)),
            false => format!("{} ({:.1} %)", thousands(start.trainable), 100.0 * start.trainable as f64 / start.parameters as f64),
        }
    }

    fn state(&self) -> String {
        self.start.as_ref().map_or(String::new(), |start| human_bytes(start.memory.gradients_bytes + start.memory.optimizer_bytes))
    }
}

/// The whole journey.
pub(super) struct Journey {
    pub(super) exam: Exam,
    pub(super) base_bytes: u64,
    pub(super) full: Cost,
    pub(super) lora: Cost,
    /// Of the base, the full fine-tune, and the adapter on it.
    pub(super) marks: [Marks; 3],
}

/// `82 % (96 of 117)`.
fn share(right: &[bool]) -> String {
    let (n, of) = (right.iter().filter(|right| **right).count(), right.len());
    format!("{} % ({n} of {of})", (100 * n + of / 2) / of.max(1))
}

/// One line, not too long.
pub(super) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.chars().count() <= WIDTH {
        true => line,
        false => format!("{} …", line.chars().take(WIDTH - 2).collect::<String>()),
    }
}

impl Journey {
    /// Costs and gains, a column for each model.
    pub(super) fn comparison(&self) -> String {
        let row = |name: &str, cells: [String; 3]| [vec![name.to_string()], cells.to_vec()].concat();
        let none = String::new;
        let cost = |what: &dyn Fn(&Cost) -> String| [none(), what(&self.full), what(&self.lora)];
        let marks = |what: &dyn Fn(&Marks) -> String| self.marks.each_ref().map(what);
        let right = |task: &Task| marks(&|marks| share(&marks.right(task)));
        let (skill, style) = (&self.exam.skill, &self.exam.style);
        table(&[
            row("", ["base".into(), "full fine-tuning".into(), "LoRA on its result".into()]),
            row("it costs", [none(), none(), none()]),
            row("  parameters trained", cost(&Cost::trained)),
            row("  examples", cost(&|cost| thousands(cost.samples as u64))),
            row("  steps", cost(&|cost| thousands(cost.outcome.steps))),
            row("  time", cost(&|cost| duration(cost.outcome.train_runtime))),
            row("  GPU memory at most", cost(&|cost| human_bytes(cost.outcome.peak_bytes))),
            row("    gradients and optimizer", cost(&Cost::state)),
            row("  file of weights", [human_bytes(self.base_bytes), human_bytes(self.full.weights), human_bytes(self.lora.weights)]),
            row("  checkpoint to resume from", cost(&|cost| if cost.checkpoint == 0 { none() } else { human_bytes(cost.checkpoint) })),
            row("it answers, held out", [none(), none(), none()]),
            row("  right (the skill)", right(skill)),
            row("  right, as a pirate (the style)", right(style)),
            row("  loss on plain answers", marks(&|marks| format!("{:.3}", marks.skill_loss))),
            row("  loss on a pirate's", marks(&|marks| format!("{:.3}", marks.style_loss))),
        ])
    }

    /// What the adapter did to what the full fine-tuning taught.
    pub(super) fn kept(&self) -> String {
        let [_, full, lora] = self.marks.each_ref().map(|marks| marks.right(&self.exam.skill));
        let both = |a: bool, b: bool| full.iter().zip(&lora).filter(|(full, lora)| **full == a && **lora == b).count();
        let (kept, lost, gained) = (both(true, true), both(true, false), both(false, true));
        format!(
            "With the adapter on, {kept} of the {} that full fine-tuning answers right stay right, {lost} are lost and {gained} others \
             become right.\nThe model itself is as it was: without the adapter it answers as before.",
            count(kept + lost, "question")
        )
    }

    /// Some questions with all answers.
    pub(super) fn answers(&self) -> String {
        let questions = SHOWN.iter().filter_map(|at| self.exam.skill.questions.get(*at));
        let mut rows = Vec::new();
        for question in questions {
            rows.push(vec![question.text().to_string()]);
            for (name, marks) in ["  base", "  full", "  full + LoRA"].into_iter().zip(&self.marks) {
                let answer = marks.answer(question);
                let verdict = if question.is_answered_by(answer) { "right" } else { "wrong" };
                rows.push(vec![name.to_string(), verdict.to_string(), shorten(answer)]);
            }
        }
        // A question is a line of its own and no column.
        let (questions, answers): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.len() == 1);
        let answers = table(&answers);
        let lines = questions.iter().zip(answers.lines().collect::<Vec<_>>().chunks(3).map(|of| of.join("\n")).collect::<Vec<_>>());
        lines.map(|(question, answers)| format!("{}\n{answers}", question[0])).collect::<Vec<_>>().join("\n")
    }
}
