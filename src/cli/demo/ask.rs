//! Asks a model the held-out questions, once each, and scores the answers on both tasks.

use std::collections::BTreeMap;
use std::rc::Rc;

use rootstock::Result;
use rootstock::config::Recipe;
use rootstock::data::{Content, Encoding, LoadedRecords, Message, Sample, Tokenizer, encode_records, load_datasets};
use rootstock::generate::{GeneratorOptions, SamplingOptions};
use rootstock::gpu::Gpu;
use rootstock::workflow::{Model, Responder};

use crate::cli::embedded;

/// More tokens than any answer of the village has.
const MAX_NEW_TOKENS: usize = 32;

/// A question that was not trained on, and the answer that the dataset gives.
pub(super) struct Question {
    messages: Vec<Message>,
    expected: String,
}

impl Question {
    pub(super) fn text(&self) -> &str {
        self.messages.last().map_or("", |message| message.content.as_str())
    }

    /// Right when the answer holds the expected one, whatever punctuation ends it.
    pub(super) fn is_answered_by(&self, answer: &str) -> bool {
        let mut expected = self.expected.clone();
        expected.pop();
        answer.contains(&expected)
    }
}

/// The held-out questions of one task.
pub(super) struct Task {
    pub(super) questions: Vec<Question>,
    /// The same questions with their answers, as samples for the loss.
    pub(super) samples: Vec<Sample>,
    batch: usize,
}

impl Task {
    /// The `eval_dataset` of a recipe.
    pub(super) async fn of(recipe: &Recipe, tokenizer: &Tokenizer) -> Result<Task> {
        let LoadedRecords { records, .. } =
            load_datasets(&recipe.eval_dataset, &recipe.dataset_dir, recipe.max_samples, &embedded::open).await?;
        let encoded = encode_records(&recipe.eval_dataset.join(", "), &records, tokenizer, &Encoding::evaluation(recipe))?;
        let question = |content: Content| {
            let mut messages = content.conversation()?.messages.clone();
            messages.pop().map(|answer| Question { messages, expected: answer.content })
        };
        let questions = records.into_iter().filter_map(|record| question(record.content)).collect();
        Ok(Task { questions, samples: encoded.samples, batch: recipe.per_device_eval_batch_size })
    }
}

/// Both tasks.
pub(super) struct Exam {
    /// Answering.
    pub(super) skill: Task,
    /// Answering like a pirate.
    pub(super) style: Task,
}

/// How a model did.
pub(super) struct Marks {
    /// What it answered, by question.
    answers: BTreeMap<String, String>,
    /// Held-out losses.
    pub(super) skill_loss: f64,
    pub(super) style_loss: f64,
}

impl Marks {
    pub(super) fn answer(&self, question: &Question) -> &str {
        self.answers.get(question.text()).map_or("", String::as_str)
    }

    /// Whether each question of a task was answered right.
    pub(super) fn right(&self, task: &Task) -> Vec<bool> {
        task.questions.iter().map(|question| question.is_answered_by(self.answer(question))).collect()
    }
}

impl Exam {
    /// Asks a model, with the adapters that lie on it.
    pub(super) async fn take(&self, gpu: &Rc<Gpu>, model: &Model) -> Result<Marks> {
        let skill_loss = model.score(gpu, &self.skill.samples, self.skill.batch).await?.loss;
        let style_loss = model.score(gpu, &self.style.samples, self.style.batch).await?.loss;
        let mut asked = Asked::open(gpu, model).await?;
        let mut answers = BTreeMap::new();
        for question in self.skill.questions.iter().chain(&self.style.questions) {
            if !answers.contains_key(question.text()) {
                let answer = asked.answer(&question.messages).await?;
                answers.insert(question.text().to_string(), answer);
            }
        }
        Ok(Marks { answers, skill_loss, style_loss })
    }
}

/// A model that is asked, and gives the likeliest answer.
pub(super) struct Asked(Responder);

impl Asked {
    pub(super) async fn open(gpu: &Rc<Gpu>, model: &Model) -> Result<Asked> {
        Ok(Asked(model.responder(gpu.clone(), GeneratorOptions::default()).await?))
    }

    /// What it goes on with after a text.
    pub(super) async fn continuation(&mut self, text: &str) -> Result<String> {
        self.0.complete(text, greedy(), MAX_NEW_TOKENS).await
    }

    async fn answer(&mut self, messages: &[Message]) -> Result<String> {
        self.0.respond(messages, greedy(), MAX_NEW_TOKENS).await
    }
}

fn greedy() -> SamplingOptions {
    SamplingOptions { greedy: true, ..SamplingOptions::default() }
}
