//! The open base with adapters on it that need not be as they were trained: in any strength, or cut out of a whole model's change.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::messages::{AdapterPart, BaseSource, EstimateMemory, Settings, ShapeMemory, Truncated, Unit, Which};
use super::{Call, Session, settings};
use crate::adapter::{ADAPTER_CONFIG, Adapter, AdapterFiles, Rank, extract, fingerprint, is_adapter, write_adapter};
use crate::checkpoint::Carry;
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry, MemoryDirectory, read_small};
use crate::train::plan_shape;
use crate::validate::open_checkpoint;

/// The strongest that an adapter may be.
const STRONGEST: f64 = 10.0;
/// The most tokens of a sample that memory is planned for.
const LONGEST: usize = 1 << 20;

/// A base and the adapters on it.
pub(super) struct AdaptedModel {
    pub(super) base: Rc<dyn Directory>,
    pub(super) adapters: Vec<Rc<dyn Directory>>,
    /// What it is made of; `None` for a change that was cut.
    pub(super) origin: Option<Origin>,
}

/// What a base with kept adapters is called, and where the base comes from.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) base_name: String,
    pub(super) source: BaseSource,
}

impl Session {
    /// What `adapt` or `truncate` made.
    pub(super) fn adapted(&self) -> Result<Rc<AdaptedModel>> {
        let adapted = self.adapted.borrow().clone();
        adapted.ok_or_else(|| Error::out_of_turn("no adapter was put on the base yet; put one on it first"))
    }

    fn set_adapted(&self, base: Rc<dyn Directory>, adapters: Vec<Rc<dyn Directory>>, origin: Option<Origin>) {
        self.forget_talkers();
        *self.adapted.borrow_mut() = Some(Rc::new(AdaptedModel { base, adapters, origin }));
    }

    /// Puts kept adapters on the open base. Returns what is odd about that, a sentence each.
    pub(super) async fn adapt(&self, parts: &[AdapterPart]) -> Result<Vec<String>> {
        let base = self.base()?;
        let checkpoint = base.model.clone()?.checkpoint;
        let (mut adapters, mut names): (Vec<Rc<dyn Directory>>, Vec<String>) = Default::default();
        for AdapterPart { id, strength } in parts {
            if !(0.0..=STRONGEST).contains(strength) {
                return Err(Error::recipe("strength", format!("is {strength}; it goes from 0 to {STRONGEST}")));
            }
            let directory = self.kept_model(id).await?;
            if !is_adapter(&*directory).await? {
                return Err(Error::file(self.kept_name(id).await?, "this is a whole model; only adapters have a strength"));
            }
            names.push(self.kept_name(id).await?);
            adapters.push(if *strength == 1.0 { directory } else { Rc::new(Scaled::new(directory, *strength).await?) });
        }
        let opened = Adapter::open_all(adapters.clone(), &checkpoint).await?;
        let name = match names.as_slice() {
            [] => base.name.clone(),
            names => names.join(" and "),
        };
        let origin = Origin { name, base_name: base.name.clone(), source: base.source.clone() };
        self.set_adapted(base.directory.clone(), adapters, Some(origin));
        // The notes name folders of the store; a person knows names.
        let named = |(adapter, name): (Adapter, String)| {
            let words = |note: String| {
                let note = note.replace(adapter.label(), &name).replace(&base.directory.label(), &base.name);
                note.strip_prefix("warning: ").map_or(note.clone(), str::to_string)
            };
            adapter.notes.iter().cloned().map(words).collect::<Vec<String>>()
        };
        Ok(opened.into_iter().zip(names).flat_map(named).collect())
    }

    /// Cuts the tuned model's change to a rank and puts that on its base.
    pub(super) async fn truncate(&self, rank: usize, call: &Call) -> Result<Truncated> {
        if rank == 0 {
            return Err(Error::recipe("rank", "is 0; the lowest rank is 1"));
        }
        let directory = self.directory_of(Which::Base, call).await?;
        let tuned = self.directory_of(Which::Tuned, call).await?;
        if is_adapter(&*tuned).await? {
            return Err(Error::file(
                tuned.label(),
                "this is an adapter, which has a rank already; choose a model with all parameters trained",
            ));
        }
        let (base, tuned) = (open_checkpoint(directory.clone()).await?, open_checkpoint(tuned).await?);
        let (mut done, total) = (0, Some(tuned.params().len() as u64));
        let mut progress = |_: &str| {
            call.progress("Cutting the change", done, total, Unit::Tensors);
            done += 1;
        };
        let found = call.unless_cancelled("the cut", extract(&base, &tuned, Rank::Fixed(rank), &mut progress)).await?;
        let out = MemoryDirectory::new(format!("the change at rank {rank}"));
        let carry = Carry::load(&**tuned.directory()).await?;
        let print = fingerprint(&base).await?;
        let files =
            AdapterFiles { config: &found.config, resolved: &found.resolved, base: base.params(), fingerprint: &print, carry: &carry };
        write_adapter(&out, &files, &found).await?;
        let out: Rc<dyn Directory> = Rc::new(out);
        let adapter = Adapter::open(out.clone(), &base).await?;
        let reply = Truncated {
            energy: found.energy,
            parameters: adapter.params.iter().map(|p| p.decl.elements()).sum(),
            bytes: adapter.bytes(),
            whole: found.modules.iter().filter(|m| m.rank == 0).map(|m| m.module.clone()).collect(),
        };
        self.set_adapted(directory, vec![out], None);
        Ok(reply)
    }

    /// The memory of a run on a model of which only the configuration is known.
    pub(super) async fn shape_memory(&self, config: &str, settings: &Settings, tokens: usize) -> Result<ShapeMemory> {
        if !(1..=LONGEST).contains(&tokens) {
            return Err(Error::recipe("tokens", format!("is {tokens}; a sample has from 1 to {LONGEST}")));
        }
        let recipe = settings::resolve(settings, &settings::nowhere())?;
        let planned = plan_shape(config, &recipe, tokens, self.gpu().await?.profile())?;
        let (parameters, trainable) = (planned.parameters, planned.trainable);
        Ok(ShapeMemory { parameters, trainable, memory: EstimateMemory::from(&planned.memory) })
    }
}

/// An adapter's directory in which the adapter is stronger or weaker.
struct Scaled {
    inner: Rc<dyn Directory>,
    config: Vec<u8>,
}

impl Scaled {
    async fn new(inner: Rc<dyn Directory>, strength: f64) -> Result<Scaled> {
        let mut config: Json = serde_json::from_slice(&read_small(&*inner, ADAPTER_CONFIG).await?)
            .map_err(|e| Error::line(format!("{}/{ADAPTER_CONFIG}", inner.label()), e.line(), e.to_string()))?;
        // PEFT takes 8 where there is none.
        let alpha = config["lora_alpha"].as_f64().unwrap_or(8.0);
        config["lora_alpha"] = json!(alpha * strength);
        let patterns = config.get_mut("alpha_pattern").and_then(Json::as_object_mut);
        for value in patterns.into_iter().flat_map(|map| map.values_mut()) {
            *value = json!(value.as_f64().unwrap_or(8.0) * strength);
        }
        Ok(Scaled { inner, config: config.to_string().into_bytes() })
    }
}

#[async_trait(?Send)]
impl Directory for Scaled {
    fn label(&self) -> String {
        self.inner.label()
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let own = |entry: Entry| if entry.name == ADAPTER_CONFIG { Entry { size: self.config.len() as u64, ..entry } } else { entry };
        Ok(self.inner.list().await?.into_iter().map(own).collect())
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        if name == ADAPTER_CONFIG { Ok(Some(self.config.len() as u64)) } else { self.inner.size(name).await }
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        if name != ADAPTER_CONFIG {
            return self.inner.read_range(name, range).await;
        }
        let part = self.config.get(range.start as usize..range.end as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| Error::file(format!("{}/{name}", self.label()), "it is shorter than was asked for"))
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        if name == ADAPTER_CONFIG { Ok(self.config.clone()) } else { self.inner.read(name).await }
    }
}
