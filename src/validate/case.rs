//! Validates a directory: runs the families of rules in order, since faults of one family hide those of the next.

use std::rc::Rc;

use super::base::Base;
use super::behaviour::{self, SelfTest};
use super::code::Code;
use super::options::{Options, Progress};
use super::report::{Finding, Kind, Report, Verdict};
use super::subdirectory::Subdirectory;
use super::view::{Tensor, View};
use super::{
    adapter, architecture, compare, config, directory, files, fresh, fsdp, json, layout, names, numbers, quantised, rope, tensors,
    tokenizer, value_head, zero,
};
use crate::adapter::ADAPTER_CONFIG;
use crate::data::Tokenizer;
use crate::error::Result;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::{ModelConfig, params};
use crate::platform::{Directory, Entry};

/// A report, with the view that it is based on.
pub struct Validation {
    /// The report.
    pub report: Report,
    /// Configuration and tensors with all repairs applied.
    pub view: View,
    /// The parsed configuration, if it is readable after all repairs.
    pub config: Option<ModelConfig>,
    /// The directory of the model: the given one, or the checkpoint in it.
    pub dir: Rc<dyn Directory>,
}

/// Validates a directory. Any damage to it is reported, not returned as an error.
///
/// # Errors
/// Only for problems outside the directory's content: it cannot be listed, the base is not a model, the GPU is lost.
pub async fn validate(dir: Rc<dyn Directory>, options: &Options, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Report> {
    Ok(examine(dir, options, progress).await?.report)
}

/// As [`validate`], and also returns the repaired view, which `--fix` writes.
///
/// # Errors
/// As [`validate`].
pub async fn examine(dir: Rc<dyn Directory>, options: &Options, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Validation> {
    let entries = dir.list().await?;
    let base = match &options.base {
        Some(base) => Some(Base::open(base.clone()).await?),
        None => None,
    };
    // The output folder of a run: validate its latest checkpoint, and report where that is.
    if directory::kind(&entries) == Kind::Run
        && let Some(child) = directory::newest_checkpoint(&entries)
    {
        let inner: Rc<dyn Directory> = Rc::new(Subdirectory { parent: dir.clone(), name: child.clone() });
        let entries = inner.list().await?;
        let mut case = Case::new(inner, entries, directory::kind(&[]));
        case.judge(base.as_ref(), options, progress).await?;
        for finding in &mut case.findings {
            finding.file = finding.file.take().map(|file| format!("{child}/{file}"));
        }
        case.findings.insert(0, directory::parent(&dir.label(), &child));
        case.kind = Kind::Run;
        return Ok(case.conclude());
    }
    let kind = directory::kind(&entries);
    let mut case = Case::new(dir, entries, kind);
    case.judge(base.as_ref(), options, progress).await?;
    Ok(case.conclude())
}

/// The state of a validation.
pub(super) struct Case {
    dir: Rc<dyn Directory>,
    pub(super) entries: Vec<Entry>,
    pub(super) kind: Kind,
    pub(super) view: View,
    pub(super) config: Option<ModelConfig>,
    pub(super) findings: Vec<Finding>,
    /// Whether the tensors contain readable numbers (quantised and empty ones do not).
    readable: bool,
    loss: Option<f64>,
}

impl Case {
    pub(super) fn new(dir: Rc<dyn Directory>, entries: Vec<Entry>, kind: Kind) -> Case {
        Case { dir, entries, kind, view: View::default(), config: None, findings: Vec::new(), readable: false, loss: None }
    }

    async fn judge(&mut self, base: Option<&Base>, options: &Options, progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
        self.structure(base, !options.quick).await?;
        if options.as_adapter && matches!(self.kind, Kind::Model | Kind::Run) && !self.has(Code::ParentDirectory) {
            self.findings = vec![adapter::whole_model(&self.dir.label())];
            return Ok(());
        }
        if self.kind == Kind::Adapter {
            adapter::check(&self.dir, &self.entries, base, options.as_adapter, &mut self.findings).await;
        }
        let known = self.config.as_ref().or(base.and_then(|base| base.config.as_ref()));
        value_head::check(&self.dir, &self.entries, self.kind, known.map(|config| config.hidden_size), &mut self.findings).await;
        if !self.holds_a_model() {
            return Ok(());
        }
        let tokenizer = tokenizer::check(&*self.dir, &self.entries, &self.view, self.config.as_ref(), base, &mut self.findings).await;
        if let (Some(config), Some(base)) = (&self.config, base) {
            self.config = compare::settings(&mut self.view, config, base, &mut self.findings).or(self.config.take());
        }
        if options.quick || !self.readable {
            return Ok(());
        }
        if let Some(config) = &self.config {
            numbers::scan(&self.view, config, &mut self.findings, progress).await?;
            fresh::scan(&self.view, config, &mut self.findings).await?;
        }
        let comparable = !self.view.tensors.is_empty() && !self.has(Code::OtherBase);
        if let (Some(_), Some(base), true) = (&self.config, base, comparable) {
            compare::numbers(&self.view, base, &mut self.findings, progress).await?;
        }
        self.run(options, tokenizer.as_ref(), progress).await;
        Ok(())
    }

    /// Whether there is a model to judge, also one that had to be gathered.
    fn holds_a_model(&self) -> bool {
        matches!(self.kind, Kind::Model | Kind::ModelAndAdapter)
            || matches!(self.kind, Kind::Zero | Kind::Fsdp) && !self.view.tensors.is_empty()
    }

    fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }

    /// Runs the self-test, if the model can be run after all repairs.
    async fn run(&mut self, options: &Options, tokenizer: Option<&Tokenizer>, progress: &mut dyn FnMut(Progress<'_>)) {
        let hopeless = self.findings.iter().any(|finding| finding.is_error() && finding.repair.is_none());
        let whole = !self.view.tensors.is_empty() && !hopeless;
        let (Some(config), Some(tokenizer), true) = (&self.config, tokenizer, whole) else { return };
        let Some(gpu) = &options.gpu else {
            self.findings.push(behaviour::not_run("no graphics device was given"));
            return;
        };
        let test = match SelfTest::new(gpu, tokenizer, config) {
            Ok(test) => test,
            Err(reason) => {
                self.findings.push(behaviour::not_run(&reason));
                return;
            }
        };
        progress(Progress { what: "running the model", done: 0, total: 1 });
        let outcome: Result<()> = async {
            test.resolve(&mut self.view, &mut self.findings, progress).await?;
            let Ok(config) = ModelConfig::from_map(CONFIG, self.view.config.clone()) else { return Ok(()) };
            let behaviour = test.run(&self.view, &config).await?;
            self.loss = Some(behaviour.outcome.loss()).filter(|loss| loss.is_finite());
            test.judge(&behaviour, &mut self.view, &config, &mut self.findings, progress).await?;
            self.config = ModelConfig::from_map(CONFIG, self.view.config.clone()).ok();
            Ok(())
        }
        .await;
        if let Err(error) = outcome {
            self.findings.push(behaviour::not_run(&error.to_string()));
        }
    }

    /// Runs the rules that need only headers and small files. `read_numbers` allows reading weights where only they can decide.
    pub(super) async fn structure(&mut self, base: Option<&Base>, read_numbers: bool) -> Result<()> {
        self.kind = directory::kind(&self.entries);
        if let Some(finding) = directory::refuse(&*self.dir, &self.entries, self.kind).await {
            self.findings.push(finding);
            return Ok(());
        }
        if let (Kind::Run, Some(child)) = (self.kind, directory::newest_checkpoint(&self.entries)) {
            self.findings.push(directory::parent(&self.dir.label(), &child));
            return Ok(());
        }
        self.read_config().await;
        let before = self.findings.len();
        match self.kind {
            Kind::Zero => zero::gather(&self.dir, &self.entries, &mut self.view, &mut self.findings).await,
            Kind::Fsdp => fsdp::gather(&self.dir, &self.entries, &mut self.view, &mut self.findings).await,
            _ => files::open(&self.dir, &self.entries, &mut self.view, &mut self.findings).await,
        }
        if matches!(self.kind, Kind::Zero | Kind::Fsdp) && self.view.tensors.is_empty() {
            return Ok(());
        }
        let complete = self.findings[before..].iter().all(|finding| finding.repair.is_some() || finding.code == Code::TwoWeightSets)
            && !self.view.tensors.is_empty();
        self.adapter_beside(read_numbers).await;
        names::unwrap(&mut self.view, &mut self.findings);
        let usable = layout::usable(&mut self.view, &mut self.findings);
        self.readable = usable;
        let view = &mut self.view;
        let has_config = !view.config.is_empty();
        // An unreadable config.json is treated as missing if the base's configuration fits.
        let base_fits = base.is_some_and(|base| architecture::fits_base(view, base));
        let architecture = match (has_config, self.entries.iter().any(|entry| entry.name == CONFIG)) {
            (true, _) => architecture::decide(view, base, &mut self.findings),
            (false, false) => architecture::without_config(view, base, &mut self.findings),
            (false, true) if base_fits && self.findings.iter().any(|finding| finding.code == Code::InvalidJson) => {
                architecture::config_of_base(view, base, &mut self.findings)
            }
            (false, true) if self.findings.iter().any(|finding| finding.file.as_deref() == Some(CONFIG)) => None,
            (false, true) => architecture::decide(view, base, &mut self.findings),
        };
        let Some(architecture) = architecture else { return Ok(()) };
        if usable {
            layout::normalise(view, architecture, &mut self.findings);
        }
        let Some(mut config) = config::read(view, architecture, base, complete && usable, &mut self.findings) else { return Ok(()) };
        rope::open(architecture, view, &mut self.findings);
        config::check_spelling(&config, view, &mut self.findings);
        if complete && usable {
            tensors::check_head(view, &mut config, base, read_numbers, &mut self.findings).await?;
            tensors::check(&config, view, &mut self.findings);
        }
        self.config = Some(config);
        self.findings.extend(quantised::kept(&self.dir).await?);
        Ok(())
    }

    async fn read_config(&mut self) {
        match json::read(&*self.dir, &self.entries, CONFIG).await {
            Ok(Some(json)) => {
                self.view.config = json.map;
                self.findings.extend(json.finding);
            }
            Ok(None) => {}
            Err(finding) => self.findings.push(*finding),
        }
    }

    /// Checks for an adapter_config.json beside a whole model; it may give the scale of LoRA factors among the tensors.
    async fn adapter_beside(&mut self, read_numbers: bool) {
        if self.view.tensors.iter().any(|tensor| tensor.name.contains(".lora_")) {
            self.kind = Kind::Model;
            let config = json::read(&*self.dir, &self.entries, ADAPTER_CONFIG).await;
            self.view.lora_scale = config.ok().flatten().and_then(|json| layout::lora_scale(&json.map));
            // Factors that are still zero have no effect, whatever their scale.
            if self.view.lora_scale.is_none() && read_numbers && layout::factors_are_zero(&self.view).await {
                self.view.lora_scale = Some(0.0);
            }
            return;
        }
        if self.kind != Kind::ModelAndAdapter {
            return;
        }
        let message = "stands beside a whole model: transformers would apply this adapter to it without a word. Move the adapter \
                       (adapter_config.json and adapter_model.safetensors) into a directory of its own, or remove it";
        self.findings.push(Finding::new(Code::ModelAndAdapter, message).file(ADAPTER_CONFIG));
    }

    fn conclude(self) -> Validation {
        let Case { dir, kind, view, config, findings, loss, .. } = self;
        let parameters = match &config {
            Some(config) => Some(config.parameter_count()),
            None if view.tensors.is_empty() => None,
            None => Some(view.tensors.iter().map(Tensor::elements).sum()),
        };
        let lora_targets = config.as_ref().map(|config| tensors::lora_targets(&params(config))).unwrap_or_default();
        let model_type = match &config {
            Some(config) => Some(config.architecture.model_type().to_string()),
            None => view.config.get("model_type").and_then(serde_json::Value::as_str).map(str::to_string),
        };
        let mut report = Report { verdict: Verdict::Unusable, kind, model_type, parameters, lora_targets, loss, findings };
        report.conclude();
        Validation { report, view, config, dir }
    }
}
