//! The base model: opening it from files, an address or the store, and validating it.

use std::rc::Rc;

use serde_json::Value as Json;

use super::super::messages::{Base, BaseSource, Event, FileSize, Progress, SettingValue, Unit};
use super::begun::began_with;
use super::kept::folder_name;
use super::{Boxed, Call, Session};
use crate::error::{Error, Result};
use crate::platform::{Directory, MemoryDirectory, as_directory, read_small};
use crate::validate::{Options, Report, validate};
use crate::workflow::{Model, OWN_BASE, model_directory};

/// Folder of the model embedded in the page.
const EMBEDDED: &str = "embedded-model";
/// Display name of the embedded model.
const EMBEDDED_NAME: &str = "village model";

/// Fields of config.json that the page shows for comparison.
const COMPARED: [&str; 12] = [
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "tie_word_embeddings",
    "torch_dtype",
    "dtype",
];

/// An opened base model.
pub(super) struct OpenBase {
    pub(super) name: String,
    pub(super) source: BaseSource,
    pub(super) directory: Rc<dyn Directory>,
    /// Checkpoint and tokenizer, or the error that prevented loading them.
    pub(super) model: Result<Model>,
}

impl OpenBase {
    /// The name used in recipes and adapters: a hub id as it is; for a stored model, the name of its folder when downloaded.
    pub(super) fn reference(&self) -> String {
        match self.source {
            BaseSource::Embedded | BaseSource::Run { .. } | BaseSource::Grown { .. } => folder_name(&self.name),
            BaseSource::Files { .. } | BaseSource::Url { .. } => self.name.clone(),
        }
    }
}

impl Session {
    /// Opens a base and makes it the current base of the session.
    pub(super) async fn open_base(&self, source: BaseSource, call: &Call) -> Result<Base> {
        let directory = self.base_directory(&source, call).await?;
        let name = match &source {
            BaseSource::Embedded => EMBEDDED_NAME.to_string(),
            BaseSource::Files { name } => name.clone(),
            BaseSource::Url { url } => url.clone(),
            BaseSource::Run { id } => self.kept_name(id).await?,
            BaseSource::Grown { id } => {
                let about = self.about(id).await?;
                format!("{} with the tokens of {}", about.base_name, about.name)
            }
        };
        let (base, shown) = call.unless_cancelled("opening the base", judge(name, source, directory, call)).await?;
        let shown = Base { village: self.is_village(&base).await, ..shown };
        *self.base.borrow_mut() = Some(Rc::new(base));
        self.forget_data();
        self.forget_talkers();
        Ok(shown)
    }

    /// Whether a base is the embedded model or was made from it. Its tokenizer tells: nothing else has one of that size.
    async fn is_village(&self, base: &OpenBase) -> bool {
        if base.source == BaseSource::Embedded {
            return true;
        }
        const TOKENIZER: &str = "tokenizer.json";
        let own = base.directory.size(TOKENIZER).await.ok().flatten();
        own.is_some() && own == self.assets.size(&format!("{EMBEDDED}/{TOKENIZER}")).await.ok().flatten()
    }

    /// The directory of a base.
    pub(super) async fn base_directory(&self, source: &BaseSource, call: &Call) -> Result<Rc<dyn Directory>> {
        match source {
            BaseSource::Embedded => self.embedded(call).await,
            BaseSource::Files { name } => match &call.files {
                Some(files) => model_directory(files.clone()).await,
                None => Err(Error::file(name, "this folder was given to the page earlier and is not kept: choose it again as the base")),
            },
            BaseSource::Url { url } => model_directory(crate::platform::open_address(url).await?).await,
            BaseSource::Run { id } => self.kept_model(id).await,
            BaseSource::Grown { id } => self.grown_base(id, call).await,
        }
    }

    /// The model that a stored adapter belongs to, whose run gave it new tokens: as the finished run wrote it, or made anew.
    fn grown_base<'a>(&'a self, id: &'a str, call: &'a Call) -> Boxed<'a, Rc<dyn Directory>> {
        Box::pin(async move {
            let about = self.about(id).await?;
            let written = self.kept_out(id).await?.subdirectory(OWN_BASE);
            if about.finished && written.size("config.json").await?.is_some() {
                return Ok(Rc::from(as_directory(written)));
            }
            began_with(self.base_directory(&about.base, call).await?, &about.recipe).await
        })
    }

    /// The embedded model, read into memory (it is small).
    async fn embedded(&self, call: &Call) -> Result<Rc<dyn Directory>> {
        if let Some(known) = self.embedded.borrow().as_ref() {
            return Ok(known.clone());
        }
        let prefix = format!("{EMBEDDED}/");
        let entries: Vec<_> = self.assets.list().await?.into_iter().filter(|e| e.name.starts_with(&prefix)).collect();
        if entries.is_empty() {
            return Err(Error::file(EMBEDDED, "this page brings no model of its own; give one as files or by its address"));
        }
        let total = entries.iter().map(|e| e.size).sum();
        let (mut memory, mut done) = (MemoryDirectory::new(EMBEDDED_NAME), 0);
        for entry in entries {
            call.progress("Loading the village model", done, Some(total), Unit::Bytes);
            memory = memory.with(&entry.name[prefix.len()..], self.assets.read(&entry.name).await?);
            done += entry.size;
        }
        let memory: Rc<dyn Directory> = Rc::new(memory);
        *self.embedded.borrow_mut() = Some(memory.clone());
        Ok(memory)
    }

    /// The open base.
    pub(super) fn base(&self) -> Result<Rc<OpenBase>> {
        self.base.borrow().clone().ok_or_else(|| Error::out_of_turn("no base is open; choose one first"))
    }

    /// Validates the open base completely: reads every weight, and runs the model where there is a GPU.
    pub(super) async fn validate_base(&self, call: &Call) -> Result<Report> {
        let base = self.base()?;
        let options = Options { gpu: self.gpu().await.ok(), ..Options::default() };
        call.unless_cancelled("the check of the base", examine(base.directory.clone(), &options, call)).await
    }
}

async fn examine(directory: Rc<dyn Directory>, options: &Options, call: &Call) -> Result<Report> {
    let mut told = 0;
    validate(directory, options, &mut |at| {
        // Not for every chunk: each message also costs time on the page.
        if at.done == 0 || at.done >= told + at.total / 200 {
            told = at.done;
            call.progress(at.what, at.done, Some(at.total), Unit::Bytes);
        }
    })
    .await
}

async fn judge(name: String, source: BaseSource, directory: Rc<dyn Directory>, call: &Call) -> Result<(OpenBase, Base)> {
    let report = examine(directory.clone(), &Options { quick: true, ..Options::default() }, call).await?;
    let files = directory.list().await?.into_iter().map(|e| FileSize { name: e.name, bytes: e.size }).collect();
    let model = Model::open(directory.clone()).await;
    let base = Base {
        name: name.clone(),
        files,
        report,
        config: compared(&*directory).await,
        village: false, // the session knows
        chat_template: model.as_ref().is_ok_and(|m| !m.tokenizer.template().is_fallback()),
    };
    Ok((OpenBase { name, source, directory, model }, base))
}

async fn compared(directory: &dyn Directory) -> std::collections::BTreeMap<String, SettingValue> {
    let config: Json = match read_small(directory, "config.json").await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Json::Null,
    };
    let value = |json: &Json| match json {
        Json::Bool(flag) => Some(SettingValue::Flag(*flag)),
        Json::Number(n) => n.as_f64().map(SettingValue::Number),
        Json::String(text) => Some(SettingValue::Text(text.clone())),
        _ => None,
    };
    COMPARED.iter().filter_map(|name| Some(((*name).to_string(), value(config.get(name)?)?))).collect()
}

impl Call {
    /// Reports the progress of the request.
    pub(super) fn progress(&self, what: &str, done: u64, total: Option<u64>, unit: Unit) {
        (self.emit)(Event::Progress { progress: Progress { what: what.into(), done, total, unit } });
    }
}
