//! Data: the page's examples and the user's own, tokenised for the open base.

use std::rc::Rc;

use super::super::messages::{Example, Exchange, Preview, PreviewAnswer, PreviewSample, PreviewToken, SettingValue, Settings, Unit};
use super::given::{DEMO, DataFiles, GivenData};
use super::{Boxed, Call, Session, begun, settings, tokens};
use crate::config::Recipe;
use crate::data::{Encoding, Feedback, IGNORE, PrepareProgress, Prepared, Record, Sample, Tokenizer, read_records};
use crate::error::{Error, Result};
use crate::workflow::Model;

/// What is told while data is read.
pub(super) const READING: &str = "Reading the data";

/// (name, description, evaluation dataset).
const EXAMPLES: [(&str, &str, Option<&str>); 3] = [
    ("village", "A skill for the embedded model: answering questions about its village", Some("village_held_out")),
    ("pirate", "A voice: the village's answers as a pirate would give them", Some("pirate_held_out")),
    ("newcomers", "New facts: people who have just moved to the village", Some("newcomers_held_out")),
];

/// Number of questions shown from an example's evaluation dataset.
const ASKED: usize = 3;

/// Prepared samples and their source.
pub(super) struct PreparedData {
    pub(super) given: GivenData,
    /// The settings that affect the samples, as a cache key.
    key: String,
    /// The model that a run with these settings begins with.
    pub(super) model: Model,
    pub(super) prepared: Rc<Prepared>,
    /// Tokens of the longest sample before it is cut.
    needs: usize,
    notices: Vec<String>,
}

impl Session {
    /// The example datasets of the page.
    pub(super) async fn examples(&self) -> Result<Vec<Example>> {
        let mut list = Vec::new();
        for (name, about, held_out) in EXAMPLES {
            let file = format!("{DEMO}/{name}.jsonl");
            if self.assets.size(&file).await?.is_none() {
                continue;
            }
            let records = read_records(&format!("{name}.jsonl"), &self.assets.read(&file).await?, None)?.len();
            let asked = match held_out {
                Some(name) => {
                    let bytes = self.assets.read(&format!("{DEMO}/{name}.jsonl")).await?;
                    read_records(&format!("{name}.jsonl"), &bytes, None)?.iter().filter_map(exchange).take(ASKED).collect()
                }
                None => Vec::new(),
            };
            list.push(Example { name: name.into(), about: about.into(), records, held_out: held_out.map(str::to_string), asked });
        }
        Ok(list)
    }

    /// Tokenises data for the base, or returns the cached result if data and settings are the same. These are the session's data from then on; without
    /// data, those that are. One preparation goes on at a time: who wants the same waits for it.
    fn tokenised<'a>(&'a self, given: Option<&'a GivenData>, settings: &'a Settings, call: &'a Call) -> Boxed<'a, Rc<PreparedData>> {
        Box::pin(async move {
            let _inside = self.preparing.enter().await;
            // Looked up only now: what was chosen while this waited counts.
            let present = self.given.borrow().clone();
            let given = given.or(present.as_ref()).ok_or_else(|| Error::out_of_turn("no data is chosen yet; prepare some first"))?;
            let base = self.base()?;
            let files = self.data_files(given).await?;
            let recipe = recipe_for(settings, &base.reference(), &files)?;
            let key = key(&recipe);
            if let Some(known) = self.prepared.borrow().as_ref()
                && known.key == key
                && known.given.is(given)
            {
                return Ok(known.clone());
            }
            // The tokens of two large data sets at once are too many.
            self.prepared.borrow_mut().take();
            let model = self.begun(&base, &recipe).await?;
            call.reading(&files, PrepareProgress { share: 0.0, records: 0, tokens: 0 })?;
            let prepared = Rc::new(model.prepare_watched(&recipe, &files, &mut |at| call.reading(&files, at)).await?);
            if recipe.tokenized_path.is_some() {
                self.forget_oldest_tokens().await?;
            }
            let notices = [model.remarks.clone(), prepared.train.notices.clone(), recipe.notices.clone()].concat();
            let needs = match prepared.train.truncated {
                0 => longest(&prepared),
                _ => prepared.train.needs.min(model.config().max_position_embeddings),
            };
            if !self.base.borrow().as_ref().is_some_and(|open| Rc::ptr_eq(open, &base)) {
                return Err(Error::Interrupted { reason: "another base was opened while the data was read".into() });
            }
            let prepared = Rc::new(PreparedData { given: given.clone(), key, model, prepared, needs, notices });
            *self.prepared.borrow_mut() = Some(prepared.clone());
            *self.given.borrow_mut() = Some(given.clone());
            Ok(prepared)
        })
    }

    /// Tokenises data for the base: they are the session's from then on.
    pub(super) fn prepare_data<'a>(&'a self, given: &'a GivenData, settings: &'a Settings, call: &'a Call) -> Boxed<'a, Rc<PreparedData>> {
        self.tokenised(Some(given), settings, call)
    }

    /// The data that was prepared last, prepared with these settings.
    pub(super) fn prepared_again<'a>(&'a self, settings: &'a Settings, call: &'a Call) -> Boxed<'a, Rc<PreparedData>> {
        self.tokenised(None, settings, call)
    }

    /// Builds the preview of prepared data.
    pub(super) fn preview(&self, data: &PreparedData, settings: &Settings, first: usize, count: usize) -> Result<Preview> {
        let train = &data.prepared.train;
        let cutoff = settings::resolve(settings, &settings::nowhere()).map_or(usize::MAX, |recipe| recipe.cutoff_len);
        let shown = train.samples.iter().skip(first).take(count).map(|sample| show(sample, &data.model.tokenizer, cutoff));
        Ok(Preview {
            records: train.records,
            samples: train.samples.len(),
            evaluation_samples: data.prepared.eval.samples.len(),
            tokens: train.tokens(),
            trained: train.targets(),
            truncated: train.truncated,
            dropped: train.dropped,
            longest: longest(&data.prepared),
            needs: data.needs,
            notices: data.notices.clone(),
            shown: shown.collect::<Result<_>>()?,
        })
    }
}

/// The recipe for data of the page. Evaluation without evaluation data is switched off instead of being an error, since the page has
/// settings before it has data.
pub(super) fn recipe_for(settings: &Settings, base: &str, files: &DataFiles) -> Result<Recipe> {
    let mut places = vec![("model_name_or_path", base.to_string()), ("output_dir", "run".into()), ("overwrite_output_dir", "true".into())];
    places.extend(files.places());
    let held_out = settings.get("val_size").is_some_and(|v| *v != SettingValue::Number(0.0));
    // Tokens are found by the content of whole files, of which `max_samples` wants to read no more than it must.
    if files.bytes() >= tokens::LARGE && !settings.contains_key("max_samples") {
        places.push(("tokenized_path", tokens::TOKENS.into()));
    }
    if files.eval_names().is_empty() && !held_out {
        places.extend([("eval_strategy", "no".to_string()), ("do_eval", "false".into())]);
    }
    settings::resolve(settings, &places)
}

impl Call {
    /// Reports how much of the data was read; an error once the request is cancelled.
    pub(super) fn reading(&self, files: &DataFiles, at: PrepareProgress) -> Result<()> {
        let total = files.bytes();
        self.progress(READING, (at.share * total as f64) as u64, Some(total), Unit::Bytes);
        if self.is_cancelled() { Err(Error::Interrupted { reason: "reading the data was cancelled".into() }) } else { Ok(()) }
    }
}

/// Tokens of the longest training sample.
fn longest(prepared: &Prepared) -> usize {
    prepared.train.samples.iter().map(|s| s.ids.len()).max().unwrap_or(0)
}

/// The first question of a record and its answer.
fn exchange(record: &Record) -> Option<Exchange> {
    let conversation = record.content.conversation()?;
    let [question, answer] = conversation.messages.get(..2)? else { return None };
    (question.role == "user").then(|| Exchange { question: question.content.clone(), answer: answer.content.clone() })
}

/// A cache key of everything in a recipe that affects the samples.
fn key(recipe: &Recipe) -> String {
    let encoding = Encoding::training(recipe);
    let template = (&recipe.template, &recipe.tool_format, &recipe.default_system, recipe.enable_thinking, recipe.preserve_thinking);
    let eval = (&recipe.eval_dataset, recipe.val_size, recipe.do_train, recipe.do_eval, recipe.eval_on_each_dataset, recipe.seed);
    let read = (&recipe.dataset, recipe.max_samples, recipe.on_bad_record, recipe.mix_strategy, &recipe.interleave_probs);
    format!("{encoding:?} {template:?} {eval:?} {read:?} {:?}", begun::key(recipe))
}

fn show(sample: &Sample, tokenizer: &Tokenizer, cutoff: usize) -> Result<PreviewSample> {
    let texts = tokenizer.token_texts(&sample.ids)?;
    let tokens = texts.into_iter().zip(&sample.labels).map(|(text, label)| PreviewToken { text, trained: *label != IGNORE });
    let roles = match sample.feedback {
        None => [""; 2],
        Some(Feedback::Pair | Feedback::Judged) => ["preferred", "rejected"],
        Some(Feedback::Good) => ["good", "other"],
        Some(Feedback::Bad) => ["bad", "other"],
    };
    let answers = roles.into_iter().zip(&sample.ends).filter(|_| sample.feedback.is_some());
    Ok(PreviewSample {
        tokens: tokens.collect(),
        trained: sample.targets(),
        truncated: sample.sequences().any(|(ids, _)| ids.len() >= cutoff),
        line: sample.line,
        answers: answers.map(|(role, end)| PreviewAnswer { role: role.into(), end: *end }).collect(),
    })
}
