//! Data: the page's examples and the user's own, tokenised for the open base.

use std::rc::Rc;

use async_trait::async_trait;

use super::super::messages::{Columns, DataSource, Example, Exchange, Preview, PreviewAnswer, PreviewSample, PreviewToken, Settings};
use super::{Session, columns, settings};
use crate::config::Recipe;
use crate::data::{Encoding, Feedback, IGNORE, Prepared, Record, Sample, Tokenizer, read_records};
use crate::error::{Error, Result};
use crate::platform::{Directory, MemoryDirectory};
use crate::workflow::Places;

/// Folder of the example datasets among the page's files.
const DEMO: &str = "demo";
/// The file that says how datasets with columns of their own are read.
const REGISTRY: &str = "dataset_info.json";

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
    pub(super) data: DataSource,
    pub(super) evaluation: Option<DataSource>,
    /// The settings that affect the samples, as a cache key.
    key: String,
    pub(super) prepared: Rc<Prepared>,
    /// Tokens of the longest sample before it is cut.
    needs: usize,
    notices: Vec<String>,
}

/// Dataset files in memory, and their names in a recipe.
pub(super) struct DataFiles {
    files: MemoryDirectory,
    names: Vec<String>,
    eval_names: Vec<String>,
}

impl DataFiles {
    /// The files to learn from.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The recipe entries that refer to these files.
    pub(super) fn places(&self) -> Vec<(&'static str, String)> {
        let mut places = vec![("dataset_dir", ".".to_string()), ("dataset", self.names.join(","))];
        if !self.eval_names.is_empty() {
            places.push(("eval_dataset", self.eval_names.join(",")));
        }
        places
    }
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

    /// Reads data into memory under names that are valid in a recipe.
    pub(super) async fn data_files(&self, data: &DataSource, evaluation: Option<&DataSource>) -> Result<DataFiles> {
        let mut all = DataFiles { files: MemoryDirectory::new("data"), names: Vec::new(), eval_names: Vec::new() };
        let mut mapped = serde_json::Map::new();
        for (source, evaluated) in [(Some(data), false), (evaluation, true)] {
            let files: Vec<(String, Vec<u8>, Option<&Columns>)> = match source {
                None => Vec::new(),
                Some(DataSource::Example { name }) => {
                    let file = format!("{name}.jsonl");
                    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                        return Err(Error::dataset(name, "the page has no such example"));
                    }
                    let bytes = self.assets.read(&format!("{DEMO}/{file}")).await?;
                    vec![(file, bytes, None)]
                }
                Some(DataSource::Files { files }) => {
                    files.iter().map(|f| (f.name.clone(), f.text.clone().into_bytes(), f.columns.as_ref())).collect()
                }
            };
            for (name, bytes, columns) in files {
                // In a recipe a comma separates names, and a slash separates folders.
                let mut plain = name.replace([',', '/', '\\'], "_");
                if !plain.contains('.') {
                    plain.push_str(".txt");
                }
                while all.files.size(&plain).await?.is_some() {
                    plain.insert(0, '_');
                }
                all.files = all.files.with(&plain, bytes);
                if let Some(columns) = columns {
                    mapped.insert(plain.clone(), columns::entry(&plain, columns));
                }
                if evaluated { all.eval_names.push(plain) } else { all.names.push(plain) }
            }
        }
        if !mapped.is_empty() {
            all.files = all.files.with(REGISTRY, serde_json::Value::Object(mapped).to_string().into_bytes());
        }
        if all.names.is_empty() {
            return Err(Error::dataset("data", "nothing was given to learn from"));
        }
        Ok(all)
    }

    /// Tokenises data for the base, or returns the cached result if the settings are the same. These are the session's data from then on.
    pub(super) async fn prepare_data(
        &self,
        data: &DataSource,
        evaluation: Option<&DataSource>,
        settings: &Settings,
    ) -> Result<Rc<PreparedData>> {
        let prepared = self.tokenised(data, evaluation, settings).await?;
        *self.prepared.borrow_mut() = Some(prepared.clone());
        Ok(prepared)
    }

    async fn tokenised(&self, data: &DataSource, evaluation: Option<&DataSource>, settings: &Settings) -> Result<Rc<PreparedData>> {
        let base = self.base()?;
        let model = base.model.clone()?;
        let files = self.data_files(data, evaluation).await?;
        let recipe = recipe_for(settings, &base.reference(), &files)?;
        let key = key(&recipe);
        if let Some(known) = self.prepared.borrow().as_ref()
            && known.key == key
            && known.data == *data
            && known.evaluation.as_ref() == evaluation
        {
            return Ok(known.clone());
        }
        let prepared = Rc::new(model.prepare(&recipe, &files).await?);
        let notices = [prepared.train.notices.clone(), recipe.notices.clone()].concat();
        let needs = if prepared.train.truncated > 0 {
            // Only where something is cut: the whole data is tokenised again.
            let recipe = Recipe { cutoff_len: model.config().max_position_embeddings, ..recipe };
            longest(&model.prepare(&recipe, &files).await?)
        } else {
            longest(&prepared)
        };
        Ok(Rc::new(PreparedData { data: data.clone(), evaluation: evaluation.cloned(), key, prepared, needs, notices }))
    }

    /// The data that was previewed last, prepared with these settings.
    pub(super) async fn prepared_again(&self, settings: &Settings) -> Result<Rc<PreparedData>> {
        let known = self.prepared.borrow().clone().ok_or_else(|| Error::out_of_turn("no data is chosen yet; prepare some first"))?;
        let again = self.tokenised(&known.data, known.evaluation.as_ref(), settings).await?;
        // Where other data were chosen meanwhile, that choice stays.
        let mut present = self.prepared.borrow_mut();
        if present.as_ref().is_some_and(|present| Rc::ptr_eq(present, &known)) {
            *present = Some(again.clone());
        }
        Ok(again)
    }

    /// Builds the preview of prepared data.
    pub(super) fn preview(&self, data: &PreparedData, settings: &Settings, first: usize, count: usize) -> Result<Preview> {
        let model = self.base()?.model.clone()?;
        let train = &data.prepared.train;
        let cutoff = settings::resolve(settings, &settings::nowhere()).map_or(usize::MAX, |recipe| recipe.cutoff_len);
        let shown = train.samples.iter().skip(first).take(count).map(|sample| show(sample, &model.tokenizer, cutoff));
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

/// The recipe for data in memory. Evaluation without evaluation data is switched off instead of being an error, since the page has
/// settings before it has data.
pub(super) fn recipe_for(settings: &Settings, base: &str, files: &DataFiles) -> Result<Recipe> {
    let mut places = vec![("model_name_or_path", base.to_string()), ("output_dir", "run".into()), ("overwrite_output_dir", "true".into())];
    places.extend(files.places());
    let held_out = settings.get("val_size").is_some_and(|v| *v != super::super::messages::SettingValue::Number(0.0));
    if files.eval_names.is_empty() && !held_out {
        places.extend([("eval_strategy", "no".to_string()), ("do_eval", "false".into())]);
    }
    settings::resolve(settings, &places)
}

/// What a recipe of the page names: dataset files in memory, and stored adapters by their ids.
pub(super) struct PagePlaces<'a> {
    pub(super) session: &'a Session,
    pub(super) files: &'a DataFiles,
}

#[async_trait(?Send)]
impl Places for PagePlaces<'_> {
    /// The session opens the model and checkpoints itself, so only adapters are asked for here.
    async fn directory(&self, name: &str) -> Result<Rc<dyn Directory>> {
        self.session.kept_model(name).await
    }

    fn dataset(&self, path: &str) -> Result<(Box<dyn Directory>, String)> {
        self.files.dataset(path)
    }
}

#[async_trait(?Send)]
impl Places for DataFiles {
    /// Always fails: data names no directory.
    async fn directory(&self, name: &str) -> Result<Rc<dyn Directory>> {
        Err(Error::file(name, "a browser has no paths; choose the run from the list"))
    }

    fn dataset(&self, path: &str) -> Result<(Box<dyn Directory>, String)> {
        Ok((Box::new(self.files.clone()), path.to_string()))
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
    let eval = (!recipe.eval_dataset.is_empty(), recipe.val_size, recipe.do_eval, recipe.seed);
    format!("{encoding:?} {template:?} {eval:?} {:?} {:?} {:?}", recipe.on_bad_record, recipe.max_samples, recipe.dataset)
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
