//! The resolved `config.json`: fills in every default, reads the field names of transformers 4 and 5, and checks every size.

use serde_json::{Map, Value};

use super::Architecture;
use super::fields::{Fields, limits};
use super::rope::Rope;
use super::value_head::ValueHeadConfig;
use crate::error::{Cause, Error, Result};
use crate::kernels::Activation;
use crate::platform::{is_lfs_pointer, without_byte_order_mark};

/// The file's name, used in messages.
pub const CONFIG_FILE: &str = "config.json";

/// The settings that may differ between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerConfig {
    /// Sliding window: token i attends to tokens j with i − window < j ≤ i. `None`: to all j ≤ i.
    pub window: Option<u32>,
    /// Index into [`ModelConfig::ropes`] of the embedding that rotates queries and keys; `None` without rotary positions.
    pub rope: Option<usize>,
}

/// Everything that the forward pass, the loader and the writer need to know about a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The model's architecture.
    pub architecture: Architecture,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward block.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; the number of query heads is a multiple of it.
    pub num_key_value_heads: usize,
    /// Width of one head, a multiple of four; not always hidden_size / num_attention_heads.
    pub head_dim: usize,
    /// Context length that the model was trained for; a hard limit with learned positions.
    pub max_position_embeddings: usize,
    /// ε of every normalisation.
    pub norm_eps: f32,
    /// The activation function of the feed-forward block.
    pub activation: Activation,
    /// Whether the query, key and value projections have biases.
    pub attention_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub attention_output_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Whether the output head shares the token embedding's weight.
    pub tie_word_embeddings: bool,
    /// The settings of each layer.
    pub layers: Vec<LayerConfig>,
    /// The rotary position embeddings in use: usually one, none for gpt2, two for gemma3.
    pub ropes: Vec<Rope>,
    /// Factor on the attention scores query · key.
    pub attention_scale: f32,
    /// Factor on the token embedding. (transformers rounds gemma's to the weights' dtype; here all activations are f32, so it is not
    /// rounded.)
    pub embedding_scale: f32,
    /// Added to the weight of every normalisation: 1 for gemma, otherwise 0.
    pub norm_weight_offset: f32,
    /// Factor on the outputs of attention and feed-forward block before they are added to the residual stream.
    pub residual_scale: f32,
    /// Factor on the logits, applied to the hidden states before the output head.
    pub logits_scale: f32,
    /// c in c · tanh(logits / c).
    pub final_logit_softcapping: Option<f32>,
    /// A value head beside the output head: in reward models.
    pub value_head: Option<ValueHeadConfig>,
    /// End-of-text tokens.
    pub eos_token_ids: Vec<u32>,
    /// Beginning-of-text token.
    pub bos_token_id: Option<u32>,
    /// Padding token.
    pub pad_token_id: Option<u32>,
    /// All fields of the file, copied to the output.
    pub raw: Map<String, Value>,
}

/// The values of absent fields, where the configuration classes differ.
pub(super) struct Defaults<'a> {
    /// `None`: as many as there are query heads.
    pub(super) num_key_value_heads: Option<usize>,
    /// `None`: hidden_size / num_attention_heads.
    pub(super) head_dim: Option<usize>,
    pub(super) max_position_embeddings: usize,
    pub(super) norm_eps: f64,
    pub(super) activation_key: &'a str,
    pub(super) activation: &'a str,
    pub(super) bos: &'a [u32],
    pub(super) eos: &'a [u32],
    pub(super) pad: &'a [u32],
}

impl Default for Defaults<'_> {
    fn default() -> Self {
        Defaults {
            num_key_value_heads: None,
            head_dim: None,
            max_position_embeddings: 2048,
            norm_eps: 1e-6,
            activation_key: "hidden_act",
            activation: "silu",
            bos: &[],
            eos: &[],
            pad: &[],
        }
    }
}

/// The sizes that every architecture has, independent of their names in config.json.
pub(super) struct Sizes {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: usize,
    /// `None`: hidden_size / num_attention_heads.
    pub(super) head_dim: Option<usize>,
    pub(super) max_position_embeddings: usize,
}

impl ModelConfig {
    /// Parses the bytes of a `config.json`; `file` is the name used in messages.
    ///
    /// # Errors
    /// [`Error::Line`] when it is not JSON, [`Error::Config`] when a field is missing, wrong, inconsistent or requests something
    /// unsupported.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<ModelConfig> {
        ModelConfig::from_map(file, parse_object(file, bytes)?)
    }

    /// Reads a configuration from the file's parsed content.
    ///
    /// # Errors
    /// [`Error::Config`] for the first field that is missing, wrong, inconsistent or requests something unsupported.
    pub(crate) fn from_map(file: &str, raw: Map<String, Value>) -> Result<ModelConfig> {
        let fields = Fields::new(file, &raw);
        let architecture = read_architecture(&fields)?;
        if fields.has("quantization_config") {
            let method = raw["quantization_config"].get("quant_method").and_then(Value::as_str).unwrap_or("unnamed");
            return Err(fields.error(
                "quantization_config",
                format!("says that the weights are quantised ({method}); training needs the unquantised model"),
            ));
        }
        (architecture.declaration().config)(&fields)
    }

    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key (or value) heads together.
    pub fn key_value_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Reads the configuration of a decoder with llama's field names.
    pub(super) fn decoder(fields: &Fields<'_>, architecture: Architecture, defaults: &Defaults<'_>) -> Result<Self> {
        let num_attention_heads = fields.count("num_attention_heads", limits::HEADS)?;
        let num_key_value_heads =
            fields.optional_count("num_key_value_heads", defaults.num_key_value_heads, limits::HEADS)?.unwrap_or(num_attention_heads);
        let sizes = Sizes {
            vocab_size: fields.count("vocab_size", limits::VOCABULARY)?,
            hidden_size: fields.count("hidden_size", limits::WIDTH)?,
            intermediate_size: fields.count("intermediate_size", limits::WIDTH)?,
            num_hidden_layers: fields.count("num_hidden_layers", limits::LAYERS)?,
            num_attention_heads,
            num_key_value_heads,
            head_dim: fields.optional_count("head_dim", defaults.head_dim, limits::HEAD_DIM)?,
            max_position_embeddings: fields.count_or("max_position_embeddings", defaults.max_position_embeddings, limits::POSITIONS)?,
        };
        let mut config = ModelConfig::new(fields, architecture, sizes, "num_attention_heads")?;
        config.norm_eps = fields.positive_or("rms_norm_eps", defaults.norm_eps)? as f32;
        config.activation = read_activation(fields, defaults.activation_key, defaults.activation)?;
        config.tie_word_embeddings = fields.flag_or("tie_word_embeddings", architecture.declaration().ties_by_default)?;
        config.read_token_ids(fields, defaults.bos, defaults.eos, defaults.pad)?;
        if architecture.declaration().heads_divide_hidden_size {
            config.hidden_size_is_multiple_of_heads(fields)?;
        }
        Ok(config)
    }

    /// Creates a configuration with these sizes, after checking them against each other, and default settings otherwise: no biases, no
    /// windows, every layer on rope 0.
    pub(super) fn new(fields: &Fields<'_>, architecture: Architecture, sizes: Sizes, heads_key: &str) -> Result<ModelConfig> {
        let (hidden, heads) = (sizes.hidden_size, sizes.num_attention_heads);
        if !heads.is_multiple_of(sizes.num_key_value_heads) {
            return Err(fields
                .error("num_key_value_heads", format!("is {}, which does not divide the {heads} query heads", sizes.num_key_value_heads)));
        }
        let head_dim = match sizes.head_dim {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                return Err(fields
                    .error(heads_key, format!("is {heads}, which does not divide the hidden size of {hidden}, and no head_dim is given")));
            }
        };
        if !head_dim.is_multiple_of(4) || head_dim > limits::HEAD_DIM {
            let max = limits::HEAD_DIM;
            return Err(fields.error(
                "head_dim",
                format!("is {head_dim}; only multiples of 4 up to {max} are supported (as all published models have)"),
            ));
        }
        Ok(ModelConfig {
            architecture,
            vocab_size: sizes.vocab_size,
            hidden_size: hidden,
            intermediate_size: sizes.intermediate_size,
            num_hidden_layers: sizes.num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: sizes.num_key_value_heads,
            head_dim,
            max_position_embeddings: sizes.max_position_embeddings,
            norm_eps: 1e-6,
            activation: Activation::Silu,
            attention_bias: false,
            attention_output_bias: false,
            mlp_bias: false,
            tie_word_embeddings: false,
            layers: vec![LayerConfig { window: None, rope: Some(0) }; sizes.num_hidden_layers],
            ropes: Vec::new(),
            attention_scale: (head_dim as f64).powf(-0.5) as f32,
            embedding_scale: 1.0,
            norm_weight_offset: 0.0,
            residual_scale: 1.0,
            logits_scale: 1.0,
            final_logit_softcapping: None,
            value_head: None,
            eos_token_ids: Vec::new(),
            bos_token_id: None,
            pad_token_id: None,
            raw: fields.map().clone(),
        })
    }

    pub(super) fn read_token_ids(&mut self, fields: &Fields<'_>, bos: &[u32], eos: &[u32], pad: &[u32]) -> Result<()> {
        self.bos_token_id = fields.token_ids("bos_token_id", bos)?.first().copied();
        self.eos_token_ids = fields.token_ids("eos_token_id", eos)?;
        self.pad_token_id = fields.token_ids("pad_token_id", pad)?.first().copied();
        Ok(())
    }

    fn hidden_size_is_multiple_of_heads(&self, fields: &Fields<'_>) -> Result<()> {
        if self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Ok(());
        }
        Err(fields.error(
            "hidden_size",
            format!("is {}, which is not a multiple of the {} attention heads", self.hidden_size, self.num_attention_heads),
        ))
    }

    /// Sets the same window in every layer.
    pub(super) fn set_window(&mut self, window: Option<usize>) {
        for layer in &mut self.layers {
            layer.window = window.map(to_window);
        }
    }

    /// Sets the window in the layers that `layer_types` marks as sliding or, without that field, in those that `slides` selects.
    pub(super) fn set_windows(&mut self, fields: &Fields<'_>, window: Option<usize>, slides: impl Fn(usize) -> bool) -> Result<()> {
        let types = match fields.value("layer_types") {
            None | Some(Value::Null) => None,
            Some(Value::Array(types)) if types.len() == self.num_hidden_layers => Some(types),
            Some(Value::Array(types)) => {
                return Err(
                    fields.error("layer_types", format!("has {} entries, num_hidden_layers is {}", types.len(), self.num_hidden_layers))
                );
            }
            Some(_) => {
                return Err(fields.error("layer_types", "must be a list with one entry a layer"));
            }
        };
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let sliding = match types.map(|types| types[index].as_str()) {
                None => window.is_some() && slides(index),
                Some(Some("full_attention")) => false,
                Some(Some("sliding_attention")) => true,
                Some(other) => {
                    return Err(fields.error(
                        "layer_types",
                        format!(
                            "has {} for layer {index}; full_attention and sliding_attention are supported",
                            other.map_or("no text".to_string(), |name| format!("\"{name}\""))
                        ),
                    ));
                }
            };
            if sliding {
                let window = window.ok_or_else(|| {
                    fields
                        .error("layer_types", format!("gives layer {index} sliding attention, but the model has no active sliding_window"))
                })?;
                layer.window = Some(to_window(window));
            }
        }
        Ok(())
    }
}

fn to_window(window: usize) -> u32 {
    u32::try_from(window).expect("windows are read with a limit below u32::MAX")
}

/// Reads the activation under `key`, by the names of transformers' `ACT2FN`.
pub(super) fn read_activation(fields: &Fields<'_>, key: &str, default: &str) -> Result<Activation> {
    match fields.text(key)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "relu" => Ok(Activation::Relu),
        other => Err(fields.error(key, format!("is \"{other}\"; silu, gelu, gelu_new, gelu_pytorch_tanh and relu are supported"))),
    }
}

/// Parses a JSON object. A leading byte order mark is ignored.
///
/// # Errors
/// [`Error::Line`] with the line of the syntax error; [`Error::Config`] when the JSON value is not an object.
pub(crate) fn parse_object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>> {
    let bytes = without_byte_order_mark(bytes);
    if is_lfs_pointer(bytes) {
        return Err(Error::config(file, "", "this is a git-lfs pointer, not the file itself; run git lfs pull").because(Cause::LfsPointer));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::config(file, "", "the file must hold one JSON object, {…}").because(Cause::NotJson)),
        Err(e) => {
            let line = e.line().max(1);
            let what = e.to_string();
            let what = what.split(" at line ").next().unwrap_or("");
            Err(Error::line(file, line, format!("this is not valid JSON: {what} (column {})", e.column()))
                .because(Cause::NotJson)
                .caused_by(e))
        }
    }
}

/// Determines the architecture, or reports why the model is not supported.
fn read_architecture(fields: &Fields<'_>) -> Result<Architecture> {
    let supported = || Architecture::all().map(Architecture::model_type).collect::<Vec<_>>().join(", ");
    let Some(model_type) = fields.text("model_type")? else {
        let class = fields.value("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        let hint = match class.and_then(|class| Architecture::all().find(|a| a.class_name() == class)) {
            Some(a) => format!("architectures says {}, so add \"model_type\": \"{}\"", a.class_name(), a.model_type()),
            None => format!("add it (supported: {})", supported()),
        };
        return Err(fields.error("model_type", format!("is missing; {hint}")));
    };
    if let Some(architecture) = Architecture::from_model_type(model_type) {
        return Ok(architecture);
    }
    if model_type == "gemma3" {
        return Err(fields.error(
            "model_type",
            "is gemma3, the model with a vision part; only the text-only gemma3_text is supported \
             (its weights are the language_model part)",
        ));
    }
    if fields.has("auto_map") {
        return Err(fields.error(
            "auto_map",
            format!("asks to run Python code that comes with the model ({model_type}), which is never done; supported: {}", supported()),
        ));
    }
    let nearest = Architecture::all()
        .map(|a| (strsim::jaro_winkler(model_type, a.model_type()), a.model_type()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.75)
        .map_or(String::new(), |(_, name)| format!("; the nearest is {name}"));
    Err(fields.error("model_type", format!("is \"{model_type}\", which is not supported ({}){nearest}", supported())))
}
