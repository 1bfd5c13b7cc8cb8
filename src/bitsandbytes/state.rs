//! What bitsandbytes stores beside the packed numbers of a matrix.

use std::collections::HashMap;

use safetensors::Dtype;
use serde::Deserialize;

use crate::checkpoint::TensorFile;
use crate::error::{Error, Result};
use crate::model::config::parse_object;
use crate::quant::{DoubleScales, FP4, GROUP, NF4, dynamic_map};

/// The endings of the names of a map's parts, after its weight's name.
const PARTS: [&str; 6] =
    [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"];

/// The same in 8 bits, after the module's name.
const PARTS_8BIT: [&str; 2] = [".SCB", ".weight_format"];

/// Most bytes of a quantisation's state.
const MOST_STATE: u64 = 1 << 16;

/// All tensors of a directory with the files that they lie in.
pub(super) type Tensors = HashMap<String, TensorFile>;

/// Whether a tensor is a part of a quantised one.
pub(super) fn is_part(name: &str, all: &Tensors) -> bool {
    let of_weight = PARTS.iter().any(|ending| name.strip_suffix(ending).is_some_and(|weight| all.contains_key(weight)));
    of_weight
        || PARTS_8BIT.iter().any(|ending| name.strip_suffix(ending).is_some_and(|module| all.contains_key(&format!("{module}.weight"))))
}

/// The scales of the blocks of a matrix.
#[derive(Clone)]
pub(super) struct Scales {
    file: TensorFile,
    name: String,
    /// Those of double quantisation.
    nested: Option<Nested>,
}

/// Scales that are quantised themselves.
#[derive(Clone)]
struct Nested {
    /// What the 256 codes stand for.
    map: Vec<f32>,
    /// The codes of all scales are not in memory; a scale for each group, and what is added.
    scales: DoubleScales,
    /// Scales of a group.
    group: usize,
}

impl Scales {
    /// The scales of these blocks.
    pub(super) async fn read(&self, blocks: std::ops::Range<u64>) -> Result<Vec<f32>> {
        let Some(nested) = &self.nested else { return self.file.read_f32(&self.name, blocks).await };
        let first = blocks.start as usize;
        let codes = self.file.read_bytes(&self.name, blocks).await?;
        let DoubleScales { groups, offset, .. } = &nested.scales;
        let decode = |(at, code): (usize, &u8)| nested.map[*code as usize] * groups[(first + at) / nested.group] + offset;
        Ok(codes.iter().enumerate().map(decode).collect())
    }

    /// What is common to all of them, where they can be kept in 8 bits.
    pub(super) fn double(&self) -> Option<&DoubleScales> {
        let kept = |nested: &&Nested| nested.group == GROUP && nested.map == dynamic_map(true);
        self.nested.as_ref().filter(kept).map(|nested| &nested.scales)
    }

    /// The codes of the scales of these blocks, where they have 8 bits.
    pub(super) async fn read_codes(&self, blocks: std::ops::Range<u64>) -> Result<Vec<u8>> {
        self.file.read_bytes(&self.name, blocks).await
    }
}

/// The state of a matrix in 4 bits.
#[derive(Clone)]
pub(super) struct State {
    /// What the codes stand for.
    pub(super) values: [f32; 16],
    /// Rows and columns, (out, in).
    pub(super) shape: [u64; 2],
    /// Numbers that share a scale.
    pub(super) block: u64,
    pub(super) scales: Scales,
}

/// What the JSON says.
#[derive(Deserialize)]
struct Written {
    blocksize: u64,
    shape: Vec<u64>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f32>,
}

impl State {
    /// Reads the state of a weight, if it has one.
    ///
    /// # Errors
    /// [`Error::Tensor`] for what bitsandbytes does not write.
    pub(super) async fn read(weight: &str, all: &Tensors) -> Result<Option<State>> {
        let states = PARTS[4..].iter().map(|ending| format!("{weight}{ending}"));
        let Some((name, file)) = states.filter_map(|name| all.get(&name).map(|file| (name.clone(), file))).next() else { return Ok(None) };
        let fail = |name: &str, reason: String| Error::tensor(file.name(), name, reason);
        let size = file.get(&name).map_or(0, |entry| entry.bytes);
        if size > MOST_STATE {
            return Err(fail(&name, format!("has {size} bytes; the state of a quantised matrix is a few lines")));
        }
        let bytes = file.read_bytes(&name, 0..file.get(&name).map_or(0, crate::checkpoint::TensorEntry::elements)).await?;
        let written = parse_object(&name, &bytes).ok().and_then(|map| serde_json::from_value(serde_json::Value::Object(map)).ok());
        let Some(Written { blocksize, shape, nested_blocksize, nested_offset }) = written else {
            return Err(fail(&name, "is not the JSON that bitsandbytes writes about a matrix (blocksize, shape)".into()));
        };
        let [rows, cols] = shape[..] else { return Err(fail(&name, format!("says the shape {shape:?}; a matrix has two sizes"))) };
        let elements = rows.checked_mul(cols).filter(|count| *count > 0 && count.is_multiple_of(2));
        let (Some(elements), true) = (elements, blocksize >= 2 && blocksize.is_multiple_of(2)) else {
            return Err(fail(&name, format!("says the shape {shape:?} and blocks of {blocksize}, which cannot be")));
        };
        let map = floats(all, file, &format!("{weight}.quant_map")).await?;
        let Ok(values) = <[f32; 16]>::try_from(map.as_slice()) else {
            return Err(fail(&format!("{weight}.quant_map"), format!("has {} numbers, 4 bits stand for 16", map.len())));
        };
        let count = elements.div_ceil(blocksize);
        let absmax = format!("{weight}.absmax");
        let Some(file_of) = all.get(&absmax) else {
            return Err(fail(&absmax, "is missing, and holds the scales of a quantised matrix".into()));
        };
        let entry = file_of.get(&absmax).map(|entry| (entry.elements(), entry.dtype));
        let nested = match (entry, nested_blocksize.filter(|size| *size > 0), nested_offset) {
            (Some((found, Dtype::F32)), None, None) if found == count => None,
            (Some((found, Dtype::U8)), Some(group), Some(offset)) if found == count => {
                let map = floats(all, file, &format!("{weight}.nested_quant_map")).await?;
                let groups = floats(all, file, &format!("{weight}.nested_absmax")).await?;
                if map.len() != 256 || groups.len() < (count as usize).div_ceil(group) {
                    let reason = format!("{} scales in groups of {group} need 256 values and a scale for each group", count);
                    return Err(fail(&format!("{weight}.nested_absmax"), reason));
                }
                Some(Nested { map, scales: DoubleScales { codes: Vec::new(), groups, offset }, group })
            }
            (found, ..) => {
                let found = found.map_or(0, |(found, _)| found);
                let reason = format!("holds {found} scales, and a matrix of {rows} x {cols} in blocks of {blocksize} has {count}");
                return Err(fail(&absmax, reason));
            }
        };
        let scales = Scales { file: file_of.clone(), name: absmax, nested };
        Ok(Some(State { values, shape: [rows, cols], block: blocksize, scales }))
    }

    /// Whether the codes stand for NF4, or for FP4.
    pub(super) fn is_nf4(&self) -> Option<bool> {
        match self.values {
            NF4 => Some(true),
            FP4 => Some(false),
            _ => None,
        }
    }
}

/// All numbers of a small f32 tensor.
async fn floats(all: &Tensors, file: &TensorFile, name: &str) -> Result<Vec<f32>> {
    let missing = || Error::tensor(file.name(), name, "is missing, and belongs to a matrix that bitsandbytes quantised");
    let file = all.get(name).ok_or_else(missing)?;
    let elements = file.get(name).map_or(0, crate::checkpoint::TensorEntry::elements);
    file.read_f32(name, 0..elements).await
}
