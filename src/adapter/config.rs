//! `adapter_config.json`: the fields of PEFT's `LoraConfig` that affect what an adapter computes, read with PEFT's defaults and written so
//! that old and new versions of PEFT accept them without a warning.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::model::Fields;
use crate::model::config::parse_object;

/// The file's name.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The largest accepted rank.
const MAX_RANK: usize = 1 << 16;
/// Unsupported fields that change what an adapter computes, with their descriptions; null, false and empty values are accepted.
const UNSUPPORTED: [(&str, &str); 14] = [
    ("alora_invocation_tokens", "activated LoRA"),
    ("arrow_config", "Arrow routing"),
    ("kasa_config", "KaSA"),
    ("layer_replication", "repeated layers"),
    ("lora_bias", "a bias on lora_B"),
    ("monteclora_config", "MonteCLoRA"),
    ("target_parameters", "adapters on bare parameters"),
    ("trainable_token_indices", "training single tokens of the embedding"),
    ("use_bdlora", "block-diagonal LoRA"),
    ("use_qalora", "QALoRA"),
    ("velora_config", "VeLoRA"),
    ("megatron_config", "Megatron's parallel layers"),
    ("runtime_config.ephemeral_gpu_offload", "offloading"),
    ("ensure_weight_tying", "one adapter for embedding and head"),
];

/// `target_modules` or `exclude_modules`: selects modules by their names in the base model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetModules {
    /// A regular expression that must match a module's whole name.
    Pattern(String),
    /// Whole names, or name suffixes after a dot.
    Names(Vec<String>),
    /// Every linear map of the layers; not the output head.
    AllLinear,
}

/// How A and B of a new adapter are initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdapterInit {
    /// A uniform in ±1/√in, B zero: the adapted model initially computes the same as the base.
    #[default]
    KaimingUniform,
    /// A normal with standard deviation 1/r, B zero.
    Gaussian,
}

/// The content of `adapter_config.json`, with PEFT's field names.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Path or hub name of the base model when the adapter was made; informational only.
    pub base_model_name_or_path: Option<String>,
    /// The rank of modules that no pattern matches.
    pub r: usize,
    /// α of modules that no pattern matches; the low-rank part is multiplied by α/r, or by α/√r with rsLoRA.
    pub lora_alpha: f64,
    /// Dropout on the input of the low-rank part during training.
    pub lora_dropout: f64,
    /// The adapted modules; `None` for PEFT's default of the architecture.
    pub target_modules: Option<TargetModules>,
    /// Targeted modules to leave out.
    pub exclude_modules: Option<TargetModules>,
    /// The layers to adapt; `None` for all. Applies to [`TargetModules::Names`].
    pub layers_to_transform: Option<Vec<usize>>,
    /// The name of the layer list in module names; empty for any name.
    pub layers_pattern: Vec<String>,
    /// Ranks by module name; the first key that matches the end of a name applies.
    pub rank_pattern: Vec<(String, usize)>,
    /// α by module name, with the same matching.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Whether the scale is α/√r instead of α/r.
    pub use_rslora: bool,
    /// Whether to use weight-decomposed LoRA (DoRA): separate direction and magnitude for each output row.
    pub use_dora: bool,
    /// Whether the adapted weights are stored as (in, out), like GPT-2's; PEFT requires this flag to match.
    pub fan_in_fan_out: bool,
    /// Modules that are trained and stored in full.
    pub modules_to_save: Vec<String>,
    /// How a new adapter is initialised.
    pub init: AdapterInit,
}

impl Default for AdapterConfig {
    /// PEFT's defaults: rank 8, α 8.
    fn default() -> Self {
        AdapterConfig {
            base_model_name_or_path: None,
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: None,
            exclude_modules: None,
            layers_to_transform: None,
            layers_pattern: Vec::new(),
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            use_rslora: false,
            use_dora: false,
            fan_in_fan_out: false,
            modules_to_save: Vec::new(),
            init: AdapterInit::default(),
        }
    }
}

impl AdapterConfig {
    /// Parses the bytes of an `adapter_config.json`; `file` is the name used in messages.
    ///
    /// # Errors
    /// [`Error::Line`] when it is not JSON, [`Error::Config`] when it is not a LoRA adapter, a field is wrong, or it requests something
    /// unsupported.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<AdapterConfig> {
        let map = parse_object(file, bytes)?;
        let fields = Fields::new(file, &map);
        match fields.text("peft_type")? {
            Some("LORA") => {}
            Some(other) => return Err(fields.error("peft_type", format!("is {other}; only LORA adapters are supported"))),
            None => return Err(fields.error("peft_type", "is missing; is this PEFT's file? LORA adapters are supported")),
        }
        for (key, what) in UNSUPPORTED {
            if fields.value(key).is_some_and(is_set) {
                return Err(fields.error(key, format!("is set: {what} is not supported")));
            }
        }
        match fields.text("bias")?.unwrap_or("none") {
            "none" => {}
            other => {
                return Err(
                    fields.error("bias", format!("is \"{other}\"; adapters that train the base's biases are not supported, only \"none\""))
                );
            }
        }
        let r = fields.count_or("r", 8, MAX_RANK)?;
        let target_modules = read_modules(&fields, "target_modules")?;
        Ok(AdapterConfig {
            base_model_name_or_path: fields.text("base_model_name_or_path")?.filter(|name| !name.is_empty()).map(str::to_string),
            r,
            lora_alpha: read_alpha(&fields, "lora_alpha")?.unwrap_or(8.0),
            lora_dropout: read_dropout(&fields)?,
            target_modules,
            exclude_modules: read_modules(&fields, "exclude_modules")?,
            layers_to_transform: read_layers(&fields)?,
            layers_pattern: read_names(&fields, "layers_pattern")?,
            rank_pattern: read_pattern(&fields, "rank_pattern", |inner, key| inner.count(key, MAX_RANK))?,
            alpha_pattern: read_pattern(&fields, "alpha_pattern", |inner, key| Ok(read_alpha(inner, key)?.unwrap_or(8.0)))?,
            use_rslora: fields.flag_or("use_rslora", false)?,
            use_dora: fields.flag_or("use_dora", false)?,
            fan_in_fan_out: fields.flag_or("fan_in_fan_out", false)?,
            modules_to_save: read_names(&fields, "modules_to_save")?,
            init: read_init(&fields)?,
        })
    }

    /// The content of the file: only fields known to both PEFT 0.18 and 0.21, so that neither warns. `init_lora_weights` is always true,
    /// because the stored tensors apply to the unchanged base.
    pub fn to_json(&self) -> Map<String, Value> {
        let optional = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
        let number = |x: f64| if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) };
        let fields = [
            ("alpha_pattern", Value::Object(self.alpha_pattern.iter().map(|(k, v)| (k.clone(), number(*v))).collect())),
            ("auto_mapping", Value::Null),
            ("base_model_name_or_path", json!(self.base_model_name_or_path)),
            ("bias", json!("none")),
            ("exclude_modules", modules_to_json(self.exclude_modules.as_ref())),
            ("fan_in_fan_out", json!(self.fan_in_fan_out)),
            ("inference_mode", json!(true)),
            ("init_lora_weights", json!(true)),
            ("layers_pattern", optional(&self.layers_pattern)),
            ("layers_to_transform", json!(self.layers_to_transform)),
            ("lora_alpha", number(self.lora_alpha)),
            ("lora_dropout", json!(self.lora_dropout)),
            ("modules_to_save", optional(&self.modules_to_save)),
            ("peft_type", json!("LORA")),
            ("r", json!(self.r)),
            ("rank_pattern", Value::Object(self.rank_pattern.iter().map(|(k, v)| (k.clone(), json!(v))).collect())),
            ("revision", Value::Null),
            ("target_modules", modules_to_json(self.target_modules.as_ref())),
            ("task_type", json!("CAUSAL_LM")),
            ("use_dora", json!(self.use_dora)),
            ("use_rslora", json!(self.use_rslora)),
        ];
        fields.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
    }
}

/// Whether a field is set: null, false and empty values are not.
pub(crate) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    }
}

fn modules_to_json(modules: Option<&TargetModules>) -> Value {
    match modules {
        None => Value::Null,
        Some(TargetModules::Pattern(pattern)) => json!(pattern),
        Some(TargetModules::Names(names)) => json!(names),
        Some(TargetModules::AllLinear) => json!("all-linear"),
    }
}

fn read_modules(fields: &Fields<'_>, key: &str) -> Result<Option<TargetModules>> {
    Ok(match fields.value(key) {
        Some(Value::String(text)) if text.eq_ignore_ascii_case("all-linear") && key == "target_modules" => Some(TargetModules::AllLinear),
        Some(Value::String(text)) => Some(TargetModules::Pattern(text.clone())),
        _ => Some(read_names(fields, key)?).filter(|names| !names.is_empty()).map(TargetModules::Names),
    })
}

/// Reads a list of strings, or a single string; `null` gives an empty list.
fn read_names(fields: &Fields<'_>, key: &str) -> Result<Vec<String>> {
    let wrong = || fields.error(key, "must be a list of module names");
    match fields.value(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(list)) => list.iter().map(|v| v.as_str().map(str::to_string).ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

fn read_layers(fields: &Fields<'_>) -> Result<Option<Vec<usize>>> {
    const KEY: &str = "layers_to_transform";
    let index = |value: &Value| {
        let index = value.as_u64().and_then(|n| usize::try_from(n).ok());
        index.ok_or_else(|| fields.error(KEY, "must be the number of a layer, counted from 0, or a list of those"))
    };
    match fields.value(KEY) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(Value::Array(list)) => list.iter().map(index).collect::<Result<_>>().map(Some),
        Some(value) => Ok(Some(vec![index(value)?])),
    }
}

/// Reads α, which may be negative or zero in PEFT; it must be representable in f32.
fn read_alpha(fields: &Fields<'_>, key: &str) -> Result<Option<f64>> {
    match fields.value(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(alpha) if (alpha as f32).is_finite() => Ok(Some(alpha)),
            _ => Err(fields.error(key, format!("is {value}; it must be a number"))),
        },
    }
}

fn read_dropout(fields: &Fields<'_>) -> Result<f64> {
    match fields.value("lora_dropout") {
        None | Some(Value::Null) => Ok(0.0),
        Some(value) => match value.as_f64() {
            Some(p) if (0.0..1.0).contains(&p) => Ok(p),
            _ => Err(fields.error("lora_dropout", format!("is {value}; it must be a number from 0 to below 1"))),
        },
    }
}

fn read_pattern<T>(fields: &Fields<'_>, key: &str, read: impl Fn(&Fields<'_>, &str) -> Result<T>) -> Result<Vec<(String, T)>> {
    let Some(inner) = fields.object(key)? else { return Ok(Vec::new()) };
    inner.map().keys().map(|name| Ok((name.clone(), read(&inner, name)?))).collect()
}

/// Reads the initialisation. Adapters whose initialisation changed the base give wrong results on the original base, so they are rejected.
fn read_init(fields: &Fields<'_>) -> Result<AdapterInit> {
    const KEY: &str = "init_lora_weights";
    let text = match fields.value(KEY) {
        None | Some(Value::Null | Value::Bool(_)) => return Ok(AdapterInit::KaimingUniform),
        Some(Value::String(text)) => text.to_lowercase(),
        Some(value) => return Err(fields.error(KEY, format!("is {value}; it must be true, false or a name"))),
    };
    let changes_base = ["pissa", "olora", "corda", "loftq", "lora_ga"].iter().any(|name| text.starts_with(name));
    match text.as_str() {
        "gaussian" => Ok(AdapterInit::Gaussian),
        "eva" | "orthogonal" => Ok(AdapterInit::KaimingUniform),
        _ if changes_base => Err(fields.error(
            KEY,
            format!(
                "is \"{text}\": this adapter belongs to a base that its initialisation changed, not to the one it names; \
                 save it with PEFT's path_initial_model_for_weight_conversion, which makes it fit the original base"
            ),
        )),
        _ => Err(fields.error(KEY, format!("is \"{text}\", which is not known here"))),
    }
}

impl TargetModules {
    /// Converts LLaMA-Factory's `lora_target`: `all`, or names and suffixes.
    pub fn from_recipe(names: &[String]) -> TargetModules {
        match names {
            [one] if one == "all" || one == "all-linear" => TargetModules::AllLinear,
            _ => TargetModules::Names(names.to_vec()),
        }
    }
}

/// An error about one of the file's fields, for checks after parsing.
pub(super) fn field_error(field: &str, reason: impl std::fmt::Display) -> Error {
    Error::config(ADAPTER_CONFIG, field, format!("{field} {reason}"))
}
