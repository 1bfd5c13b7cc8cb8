//! The validator's report: findings, and the verdict derived from them.

use serde::{Serialize, Serializer};

use super::code::{Code, Severity};
use super::repair::Repair;
use super::said::Said;
use crate::error::on_one_line;

/// The verdict on a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Verdict {
    /// It loads and computes what its configuration says, here and in transformers.
    Ready,
    /// `--fix OUT` writes a directory that is ready.
    Repairable,
    /// Neither; the findings say what the user must do.
    Unusable,
}

/// What a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Kind {
    /// A model: configuration or weights.
    Model,
    /// A LoRA adapter.
    Adapter,
    /// Both, side by side.
    ModelAndAdapter,
    /// The output folder of a run, with checkpoint-N in it.
    Run,
    /// DeepSpeed ZeRO shards.
    Zero,
    /// Sharded FSDP state.
    Fsdp,
    /// Meta's own format.
    Meta,
    /// llama.cpp's format.
    Gguf,
    /// None of these.
    Unknown,
}

/// One finding about a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Which fault of the table.
    pub code: Code,
    /// The severity from the table of faults, unless the rule overrides it.
    pub severity: Severity,
    /// A plain message with file, tensor and numbers, the effect in other tools, and what to do.
    pub message: Said,
    /// The file it is about, relative to the directory.
    pub file: Option<String>,
    /// The tensor it is about, as the file names it.
    pub tensor: Option<String>,
    /// How `--fix` repairs it; for an error, `None` means that it cannot.
    pub repair: Option<Repair>,
}

impl Finding {
    /// Creates a finding with the severity from the table of faults.
    pub fn new(code: Code, message: impl Into<Said>) -> Self {
        Finding { code, severity: code.fault().severity, message: message.into(), file: None, tensor: None, repair: None }
    }

    /// Sets the file.
    pub fn file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Sets the tensor.
    pub fn tensor(mut self, tensor: impl Into<String>) -> Self {
        self.tensor = Some(tensor.into());
        self
    }

    /// Sets the repair.
    pub fn repair(mut self, repair: Repair) -> Self {
        self.repair = Some(repair);
        self
    }

    /// Overrides the severity.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Whether it prevents the directory from being ready.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `file: tensor: message`.
impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for place in [&self.file, &self.tensor].into_iter().flatten() {
            write!(f, "{}: ", on_one_line(place))?;
        }
        f.write_str(&on_one_line(&self.message))
    }
}

/// The format of `validate --json` (docs/cli.md), where `repair` is a sentence.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            code: Code,
            severity: Severity,
            message: &'a str,
            /// The message before its values were put in, where it is known.
            pattern: Option<&'static str>,
            values: &'a [String],
            file: Option<&'a str>,
            tensor: Option<&'a str>,
            repair: Option<String>,
        }
        Flat {
            code: self.code,
            severity: self.severity,
            message: self.message.as_str(),
            pattern: self.message.pattern(),
            values: self.message.values(),
            file: self.file.as_deref(),
            tensor: self.tensor.as_deref(),
            repair: self.repair.as_ref().map(|repair| on_one_line(&repair.to_string()).into_owned()),
        }
        .serialize(serializer)
    }
}

/// The whole judgement of a directory.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Report {
    /// What follows from the findings.
    pub verdict: Verdict,
    /// What the directory holds.
    pub kind: Kind,
    /// The architecture, where it is known.
    pub model_type: Option<String>,
    /// Number of parameters, a tied head counted once; of what the weight files hold, where the architecture is not known.
    pub parameters: Option<u64>,
    /// The names that `lora_target` may have, in the order of a layer; empty where the directory is no base for LoRA.
    pub lora_targets: Vec<String>,
    /// Loss of the self-test in nats a token, where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub loss: Option<f64>,
    /// What blocks most comes first.
    #[cfg_attr(test, ts(as = "Vec<crate::web::messages::Finding>"))]
    pub findings: Vec<Finding>,
}

impl Report {
    /// The findings that prevent the directory from being ready.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_error())
    }

    /// Whether there is a finding with this code.
    pub fn has(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }

    /// Sorts the findings, derives the verdict, and escapes text that the messages quote from the directory's files.
    pub(super) fn conclude(&mut self) {
        for finding in &mut self.findings {
            finding.message.escape();
        }
        // A stable sort: within a severity, findings stay in the order of the rules, in which one fault hides the next. Errors without a
        // repair come first.
        self.findings.sort_by_key(|finding| (finding.severity, finding.is_error() && finding.repair.is_some()));
        let (any, mendable) = (self.errors().count() > 0, self.errors().all(|finding| finding.repair.is_some()));
        self.verdict = match (any, mendable) {
            (false, _) => Verdict::Ready,
            (true, true) => Verdict::Repairable,
            (true, false) => Verdict::Unusable,
        };
        if self.verdict == Verdict::Unusable {
            self.lora_targets.clear();
        }
    }
}
