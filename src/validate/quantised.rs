//! Detects quantised weights: the scheme, and how to get unquantised ones. Either config.json names the scheme, or the tensors do that
//! a quantiser stores beside or instead of a weight.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::code::Code;
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::{Tensor, View};
use crate::checkpoint::{block_types, dtype_name};
use crate::error::Result;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::platform::Directory;

/// Suffixes of a quantiser's tensor names, and the schemes that use them. The first match decides, so suffixes unique to one scheme
/// come first.
const MARKS: [(&str, &str); 17] = [
    (".quant_state.bitsandbytes__nf4", "bitsandbytes 4-bit (nf4)"),
    (".quant_state.bitsandbytes__fp4", "bitsandbytes 4-bit (fp4)"),
    (".quant_map", "bitsandbytes 4-bit"),
    (".absmax", "bitsandbytes 4-bit"),
    (".nested_absmax", "bitsandbytes 4-bit"),
    (".SCB", "bitsandbytes 8-bit"),
    (".weight_format", "bitsandbytes 8-bit"),
    (".g_idx", "GPTQ"),
    (".qzeros", "AWQ or GPTQ"),
    (".qweight", "AWQ or GPTQ"),
    (".weight_scale_inv", "FP8 in blocks"),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale_2", "NVFP4"),
    ("_proj_blocks", "MXFP4"),
    ("_proj_scales", "MXFP4"),
    (".weight_scale", "FP8, or compressed-tensors"),
    (".scales", "packed integers with scales (MLX, perhaps)"),
];

/// The object in config.json that describes the quantisation: transformers' key, then MLX's.
fn settings(config: &Map<String, Value>) -> Option<(&'static str, &Map<String, Value>)> {
    ["quantization_config", "quantization"].into_iter().find_map(|key| Some((key, config.get(key)?.as_object()?)))
}

/// The scheme as config.json names it.
fn by_config(key: &str, settings: &Map<String, Value>) -> String {
    let text = |key: &str| settings.get(key).and_then(Value::as_str);
    let is = |key: &str| settings.get(key).and_then(Value::as_bool) == Some(true);
    let bits = settings.get("bits").and_then(Value::as_u64).map_or(String::new(), |bits| format!(" {bits}-bit"));
    let with = |name: &str, detail: Option<&str>| detail.map_or(name.to_string(), |detail| format!("{name} ({detail})"));
    match text("quant_method") {
        Some("bitsandbytes") if is("load_in_8bit") => "bitsandbytes 8-bit".to_string(),
        Some("bitsandbytes") => with("bitsandbytes 4-bit", text("bnb_4bit_quant_type")),
        Some("gptq") => format!("GPTQ{bits}"),
        Some("awq") => format!("AWQ{bits}"),
        Some("fp8" | "fbgemm_fp8") => "FP8".to_string(),
        Some("mxfp4") => "MXFP4".to_string(),
        Some("compressed-tensors") => with("compressed-tensors", text("format")),
        Some("modelopt") => with("ModelOpt", text("quant_algo")),
        Some(other) => other.to_string(),
        None if key == "quantization" => format!("MLX{bits}"),
        None => "a method that config.json does not name".to_string(),
    }
}

/// How to get a model that can be trained.
fn way_out(scheme: &str) -> &'static str {
    if scheme.starts_with("bitsandbytes") {
        "get the unquantised model; or, where bitsandbytes runs, write this one out with what it has lost: \
         AutoModelForCausalLM.from_pretrained(DIR).dequantize().save_pretrained(OUT)"
    } else if scheme == "MXFP4" {
        "get the unquantised model; or write this one out with what it has lost: AutoModelForCausalLM.from_pretrained(DIR, \
         quantization_config=Mxfp4Config(dequantize=True)).save_pretrained(OUT)"
    } else {
        "get the model that it was made from (its page on the hub names it as the base model)"
    }
}

/// Reports quantised weights in one finding; a setting that no tensor confirms is removed from the view.
pub(super) fn find(view: &mut View) -> Option<Finding> {
    let mark = |tensor: &Tensor| MARKS.iter().position(|(ending, _)| tensor.name.ends_with(ending));
    let mut marked: Vec<(usize, &Tensor)> = view.tensors.iter().filter_map(|tensor| Some((mark(tensor)?, tensor))).collect();
    marked.sort_by_key(|(mark, _)| *mark);
    let packed: Vec<&Tensor> = view.tensors.iter().filter(|tensor| !is_number(tensor)).collect();
    let said = settings(&view.config).map(|(key, settings)| (key, by_config(key, settings)));
    let (scheme, tensor, count) = match (&said, marked.first(), packed.first()) {
        (Some((_, scheme)), Some((_, tensor)), _) => (scheme.clone(), Some(*tensor), marked.len()),
        (None, Some((mark, tensor)), _) => (MARKS[*mark].1.to_string(), Some(*tensor), marked.len()),
        (Some((_, scheme)), None, Some(tensor)) => (scheme.clone(), Some(*tensor), packed.len()),
        (Some((_, scheme)), None, None) if view.tensors.is_empty() => (scheme.clone(), None, 0),
        (Some((key, scheme)), None, None) => return Some(unfounded(key.to_string(), &scheme.clone(), view)),
        // Unexplained integers are reported by another finding.
        (None, None, _) => return None,
    };
    let way_out = way_out(&scheme);
    Some(match tensor {
        Some(tensor) => {
            let message = said!(
                "the weights are quantised ({scheme}): {count} tensors are packed numbers or their scales. Training needs the numbers that \
                 they stand for; {way_out}"
            );
            Finding::new(Code::Quantised, message).file(view.file_of(tensor)).tensor(&tensor.name)
        }
        None => {
            let message = said!("the weights are quantised ({scheme}), and training needs the numbers that they stand for; {way_out}");
            Finding::new(Code::Quantised, message).file(CONFIG)
        }
    })
}

/// What to know about a directory whose weights are stored in few bits and can be read.
pub(super) async fn kept(directory: &Rc<dyn Directory>) -> Result<Option<Finding>> {
    let types = block_types(directory).await?;
    let count: usize = types.values().sum();
    let list: Vec<String> = types.iter().map(|(name, count)| format!("{count} in {name}")).collect();
    let message = said!(
        "{count} matrices are stored in few bits ({}): LoRA trains beside them as they are, full fine-tuning starts from what they decode to",
        list.join(", ")
    );
    Ok((count > 0).then(|| Finding::new(Code::StoredInBlocks, message)))
}

fn is_number(tensor: &Tensor) -> bool {
    dtype_name(tensor.dtype).is_some() || tensor.dtype == safetensors::Dtype::F64
}

/// The finding for a quantisation setting beside weights that are not quantised.
fn unfounded(key: String, scheme: &str, view: &mut View) -> Finding {
    let message = said!(
        "{key} says that the weights are quantised ({scheme}), but all tensors hold plain numbers; transformers would look for scales that are \
         not there, or quantise the weights when it loads them. The setting must go"
    );
    let repair = Repair::SetConfig(vec![(key, Value::Null)]);
    view.apply(&repair);
    Finding::new(Code::Quantised, message).file(CONFIG).repair(repair)
}
