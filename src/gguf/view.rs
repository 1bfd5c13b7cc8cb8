//! A GGUF file as a Hugging Face directory. Small files are made when it is opened; weights are read and decoded piece by piece.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::config::{self, FromTensors};
use super::container::{Container, GgufTensor, path_in};
use super::encoding::Encoding;
use super::{Metadata, tokenizer};
use crate::checkpoint::{Dtype, MadeBlocks, MadeDirectory, MadeTensor, MadeWeights};
use crate::error::{Cause, Error, Result};
use crate::kernels::WeightType;
use crate::model::config::CONFIG_FILE;
use crate::model::gguf::Gguf;
use crate::model::{Architecture, Layout, ModelConfig, ParamDecl, ParamKind, params};
use crate::platform::Directory;
use crate::quant::ggml;

/// How a file's name ends.
const ENDING: &str = ".gguf";
/// Tensors that hold what config.json says.
const ROPE_FACTORS: [&str; 3] = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];
/// The most numbers of one of those: half of the largest head.
const MAX_ROPE_FACTORS: u64 = 4096;

/// Whether a name is that of a GGUF file.
pub fn is_gguf(name: &str) -> bool {
    name.len() > ENDING.len() && name.to_ascii_lowercase().ends_with(ENDING)
}

/// The same directory; if it holds no Hugging Face model but one GGUF file (or the parts of one), the view of that.
///
/// # Errors
/// [`Error::File`] when there are several models; what [`open`] fails with.
pub async fn model_directory(directory: Rc<dyn Directory>) -> Result<Rc<dyn Directory>> {
    let names: Vec<String> = directory.list().await?.into_iter().map(|entry| entry.name).collect();
    // With other weights, the GGUF file is something beside them.
    if names.iter().any(|name| name == CONFIG_FILE || [".safetensors", ".bin", ".pt", ".pth"].iter().any(|ending| name.ends_with(ending))) {
        return Ok(directory);
    }
    let models: Vec<&String> = names.iter().filter(|name| is_gguf(name) && part(name).is_none_or(|part| part.number == 1)).collect();
    match models[..] {
        [] => Ok(directory),
        [only] => open(directory.clone(), only).await,
        _ => {
            let list = models.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Error::file(directory.label(), format!("this folder holds several models ({list}); give one of the files")))
        }
    }
}

/// Opens the file `name` of a directory as a model directory; of a model in several files, any of them.
///
/// # Errors
/// [`Error::File`] and [`Error::Tensor`] for a damaged file, [`Error::Config`] for what is not supported, each in a sentence.
pub async fn open(directory: Rc<dyn Directory>, name: &str) -> Result<Rc<dyn Directory>> {
    let mut files = vec![(name.to_string(), Container::read(&*directory, name).await?)];
    if let Some(part) = part(name) {
        files.clear();
        for number in 1..=part.count {
            let other = part.name(number);
            if directory.size(&other).await?.is_none() {
                let reason = format!("this is one of {} parts, and {other} is not beside it", part.count);
                return Err(Error::file(path_in(&*directory, name), reason).because(Cause::NotFound));
            }
            let container = Container::read(&*directory, &other).await?;
            files.push((other, container));
        }
    }
    check_parts(&*directory, &files)?;
    Ok(Rc::new(view(directory, files).await?))
}

/// The name of one of several files of a model: `model-00001-of-00003.gguf`.
struct Part<'a> {
    prefix: &'a str,
    number: u32,
    count: u32,
    ending: &'a str,
}

impl Part<'_> {
    fn name(&self, number: u32) -> String {
        format!("{}-{number:05}-of-{:05}{}", self.prefix, self.count, self.ending)
    }
}

fn part(name: &str) -> Option<Part<'_>> {
    let (stem, ending) = name.split_at_checked(name.len().checked_sub(ENDING.len())?)?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse().ok()).flatten();
    let (number, count) = (digits(number)?, digits(count)?);
    (is_gguf(name) && (1..=count).contains(&number)).then_some(Part { prefix, number, count, ending })
}

/// Checks that the files are all the parts of one model.
fn check_parts(directory: &dyn Directory, files: &[(String, Container)]) -> Result<()> {
    for (number, (name, container)) in files.iter().enumerate() {
        let metadata = &container.metadata;
        let count = metadata.count("split.count")?.unwrap_or(1).max(1);
        let said = metadata.count("split.no")?.unwrap_or(0);
        if count != files.len() as u64 || said != number as u64 {
            let reason = format!(
                "says that it is part {} of {count}, which its name does not say; keep the names that the parts came with",
                said + 1
            );
            return Err(Error::file(path_in(directory, name), reason));
        }
    }
    Ok(())
}

/// Where a parameter's numbers are, and how they come into transformers' order.
struct Place {
    /// Index of the file.
    file: usize,
    tensor: GgufTensor,
    change: Change,
    /// Shape and type of the numbers in the view.
    shape: Vec<u64>,
    dtype: Dtype,
}

/// What is done to a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// Nothing.
    None,
    /// The rows of each head, of which there are so many, lie interleaved.
    Deinterleave { heads: u64 },
    /// This was added to all.
    Shifted(f32),
    /// Rows and columns are exchanged.
    Transpose,
}

/// The tensors of a GGUF file, or of several that are one model.
struct Tensors {
    directory: Rc<dyn Directory>,
    files: Vec<String>,
    places: Vec<Place>,
}

/// The view of files that are one model.
async fn view(directory: Rc<dyn Directory>, files: Vec<(String, Container)>) -> Result<MadeDirectory<Tensors>> {
    let metadata = &files[0].1.metadata;
    let architecture = config::architecture(metadata)?;
    let mut left = gather(&files)?;
    let config_json = config::build(metadata, architecture, &from_tensors(&*directory, &files, &left).await?)?;
    let config = ModelConfig::from_map(metadata.file(), config_json.clone())?;
    let (mut tensors, mut places) = (Vec::new(), Vec::new());
    for param in params(&config) {
        let place = place(metadata.file(), architecture, &config, &param, &mut left)?;
        let blocks = blocks(&place).map(|weight_type| MadeBlocks { weight_type, rows: param.rows as u64, cols: param.cols });
        tensors.push(MadeTensor { name: param.name.clone(), dtype: place.dtype, shape: place.shape.clone(), blocks });
        places.push(place);
    }
    if let Some((name, _)) = left.iter().find(|(name, _)| !ROPE_FACTORS.contains(&name.as_str())) {
        let reason = format!("is no tensor of the {} model that the metadata describe", architecture.declaration().gguf.architecture);
        return Err(Error::tensor(metadata.file(), name, reason));
    }
    let mut small = tokenizer::files(metadata, config.vocab_size as u64, config.max_position_embeddings as u64)?;
    let config_bytes = serde_json::to_vec_pretty(&config_json);
    small.push((CONFIG_FILE.to_string(), config_bytes.map_err(|e| metadata.error("general.architecture", e))?));
    small.push(("generation_config.json".to_string(), config::generation(&config_json).to_string().into_bytes()));
    let files: Vec<String> = files.into_iter().map(|(name, _)| name).collect();
    let label = path_in(&*directory, &files[0]);
    Ok(MadeDirectory::new(label, directory.clone(), Vec::new(), small, tensors, Tensors { directory, files, places }))
}

/// The blocks in which a matrix can be kept: those of the file, whose rows are those of the map, whole, in one order or another. A matrix that the
/// view shows with rows and columns exchanged is one that the map reads exchanged again.
fn blocks(place: &Place) -> Option<WeightType> {
    let is_matrix = place.tensor.shape.len() == 2 && !matches!(place.change, Change::Shifted(_));
    place.tensor.encoding.blocks().filter(|_| is_matrix).map(WeightType::Ggml)
}

impl Tensors {
    /// Elements of a tensor in the file's order, decoded.
    async fn stored(&self, place: &Place, range: Range<u64>) -> Result<Vec<u8>> {
        let (block, block_bytes) = place.tensor.encoding.block();
        let (block, block_bytes) = (block as u64, block_bytes as u64);
        let blocks = range.start / block..range.end.div_ceil(block);
        let raw = self.raw(place, blocks.start * block_bytes..blocks.end * block_bytes).await?;
        if Some(place.dtype) == plain(place.tensor.encoding) {
            return Ok(raw);
        }
        let numbers = place.tensor.encoding.decode(&raw);
        let skipped = (range.start - blocks.start * block) as usize;
        let wanted = &numbers[skipped..skipped + (range.end - range.start) as usize];
        Ok(bytemuck::cast_slice::<f32, u8>(wanted).to_vec())
    }

    /// Bytes of a tensor.
    async fn raw(&self, place: &Place, bytes: Range<u64>) -> Result<Vec<u8>> {
        let at = place.tensor.offset;
        self.directory.read_range(&self.files[place.file], at + bytes.start..at + bytes.end).await
    }
}

/// Whole heads of rows, so many a head, that contain these rows.
fn whole_heads(rows: &Range<u64>, head: u64) -> Range<u64> {
    rows.start / head * head..rows.end.div_ceil(head) * head
}

/// The rows that are wanted, in transformers' order, of the rows `there` of a file: whole heads, whose two halves lie interleaved.
fn deinterleaved(stored: &[u8], there: &Range<u64>, wanted: &Range<u64>, head: u64) -> Vec<u8> {
    let row_bytes = stored.len() / (there.end - there.start).max(1) as usize;
    let mut out = Vec::with_capacity((wanted.end - wanted.start) as usize * row_bytes);
    for row in wanted.clone() {
        let within = row % head;
        let (half, pair) = (within / (head / 2), within % (head / 2));
        let from = (row - within + 2 * pair + half - there.start) as usize;
        out.extend_from_slice(&stored[from * row_bytes..][..row_bytes]);
    }
    out
}

#[async_trait(?Send)]
impl MadeWeights for Tensors {
    async fn elements(&self, tensor: usize, range: Range<u64>) -> Result<Vec<u8>> {
        let place = &self.places[tensor];
        let width = place.dtype.bitsize() / 8;
        match place.change {
            Change::None => self.stored(place, range).await,
            Change::Shifted(by) => {
                let mut bytes = self.stored(place, range).await?;
                for chunk in bytes.as_chunks_mut::<4>().0 {
                    *chunk = (f32::from_le_bytes(*chunk) - by).to_le_bytes();
                }
                Ok(bytes)
            }
            Change::Deinterleave { heads } => {
                // A vector is a matrix of one column.
                let rows = place.shape[0];
                let (cols, head) = (place.shape.iter().product::<u64>() / rows, rows / heads);
                let wanted = range.start / cols..range.end.div_ceil(cols);
                let there = whole_heads(&wanted, head);
                let stored = self.stored(place, there.start * cols..there.end * cols).await?;
                let mut out = deinterleaved(&stored, &there, &wanted, head);
                let skipped = (range.start - wanted.start * cols) as usize * width;
                out.truncate(skipped + (range.end - range.start) as usize * width);
                Ok(out.split_off(skipped))
            }
            Change::Transpose => {
                let (rows, cols) = (place.shape[0] as usize, place.shape[1] as usize);
                let stored = self.stored(place, 0..(rows * cols) as u64).await?;
                let mut out = Vec::with_capacity((range.end - range.start) as usize * width);
                for at in range.start as usize..range.end as usize {
                    let (row, col) = (at / cols, at % cols);
                    out.extend_from_slice(&stored[(col * rows + row) * width..][..width]);
                }
                Ok(out)
            }
        }
    }

    async fn blocks(&self, tensor: usize, rows: Range<u64>) -> Result<Vec<u8>> {
        let place = &self.places[tensor];
        let Some(blocks) = place.tensor.encoding.blocks() else { return Ok(Vec::new()) };
        let (block, block_bytes) = place.tensor.encoding.block();
        // The file's rows are those of the map, also where the view shows them as columns.
        let row_bytes = place.tensor.shape[1] / block as u64 * block_bytes as u64;
        let raw = match place.change {
            Change::Deinterleave { heads } => {
                let head = place.tensor.shape[0] / heads;
                let there = whole_heads(&rows, head);
                deinterleaved(&self.raw(place, there.start * row_bytes..there.end * row_bytes).await?, &there, &rows, head)
            }
            _ => self.raw(place, rows.start * row_bytes..rows.end * row_bytes).await?,
        };
        let mut out = Vec::new();
        raw.chunks_exact(row_bytes as usize).for_each(|row| ggml::pack_row(blocks, row, &mut out));
        Ok(out)
    }
}

/// The type of numbers that are stored without blocks.
fn plain(encoding: Encoding) -> Option<Dtype> {
    match encoding {
        Encoding::F32 => Some(Dtype::F32),
        Encoding::F16 => Some(Dtype::F16),
        Encoding::Bf16 => Some(Dtype::BF16),
        _ => None,
    }
}

/// All tensors of the files by name, each with its file's index.
type ByName = std::collections::BTreeMap<String, (usize, GgufTensor)>;

fn gather(files: &[(String, Container)]) -> Result<ByName> {
    let mut all = ByName::new();
    for (file, (_, container)) in files.iter().enumerate() {
        for tensor in &container.tensors {
            if let Some((other, _)) = all.insert(tensor.name.clone(), (file, tensor.clone())) {
                return Err(Error::tensor(container.metadata.file(), &tensor.name, format!("is also in {}", files[other].0)));
            }
        }
    }
    Ok(all)
}

async fn from_tensors(directory: &dyn Directory, files: &[(String, Container)], tensors: &ByName) -> Result<FromTensors> {
    let metadata: &Metadata = &files[0].1.metadata;
    let embedding = tensors.get("token_embd.weight");
    let embedding =
        embedding.ok_or_else(|| Error::tensor(metadata.file(), "token_embd.weight", "is missing: the file holds no language model"))?;
    let mut factors = Vec::new();
    for name in ROPE_FACTORS {
        let Some((file, tensor)) = tensors.get(name) else {
            factors.push(None);
            continue;
        };
        if tensor.encoding != Encoding::F32 || tensor.elements() > MAX_ROPE_FACTORS || tensor.elements() == 0 {
            let reason = format!("has {} numbers of the type {}; a few of F32 were expected", tensor.elements(), tensor.encoding);
            return Err(Error::tensor(metadata.file(), name, reason));
        }
        let bytes = directory.read_range(&files[*file].0, tensor.offset..tensor.offset + tensor.bytes).await?;
        factors.push(Some(Encoding::F32.decode(&bytes)));
    }
    let (short, long) = (factors.pop().flatten(), factors.pop().flatten());
    Ok(FromTensors {
        vocabulary: embedding.1.shape.first().copied().unwrap_or(0),
        has_head: tensors.contains_key("output.weight"),
        attention_bias: tensors.contains_key("blk.0.attn_q.bias"),
        mlp_bias: tensors.contains_key("blk.0.ffn_up.bias"),
        rope_factors: factors.pop().flatten(),
        long_rope: long.zip(short),
    })
}

/// The name of a parameter in a GGUF file.
pub(super) fn gguf_name(gguf: &Gguf, layers: &str, param: &ParamDecl) -> Option<(String, &'static str)> {
    let (module, kind) = param.name.rsplit_once('.')?;
    match param.layer {
        None => {
            let (module, name) = gguf.outside.iter().find(|(name, _)| *name == module)?;
            Some((format!("{name}.{kind}"), module))
        }
        Some(layer) => {
            let module = module.strip_prefix(layers)?.split_once('.')?.1;
            let (module, name) = gguf.in_layer.iter().copied().flatten().find(|(name, _)| *name == module)?;
            Some((format!("blk.{layer}.{name}.{kind}"), module))
        }
    }
}

/// Finds a parameter's tensor and takes it out of `left`.
fn place(file: &str, architecture: Architecture, config: &ModelConfig, param: &ParamDecl, left: &mut ByName) -> Result<Place> {
    let declaration = architecture.declaration();
    let named = gguf_name(declaration.gguf, declaration.tensors.layers, param);
    let (name, module) = named.ok_or_else(|| Error::tensor(file, &param.name, "has no name in GGUF files of this architecture"))?;
    let Some((index, tensor)) = left.remove(&name) else {
        return Err(Error::tensor(file, name, "is missing, and the metadata describe a model that has it; the file is not complete"));
    };
    let shape: Vec<u64> = param.stored_shape().iter().map(|&n| n as u64).collect();
    let mut stored = shape.clone();
    let mut change = Change::None;
    if param.layout == Layout::Transposed {
        stored.reverse();
        change = Change::Transpose;
    } else if param.kind == ParamKind::Norm && config.norm_weight_offset != 0.0 {
        change = Change::Shifted(config.norm_weight_offset);
    } else if declaration.gguf.interleaved.contains(&module) {
        let heads = if module.ends_with("q_proj") { config.num_attention_heads } else { config.num_key_value_heads };
        change = Change::Deinterleave { heads: heads as u64 };
    }
    if tensor.shape != stored {
        return Err(Error::tensor(file, name, format!("has the shape {:?}, the metadata ask for {stored:?}", tensor.shape)));
    }
    let dtype = match (plain(tensor.encoding), change) {
        (Some(dtype), Change::None | Change::Deinterleave { .. } | Change::Transpose) => dtype,
        _ => Dtype::F32,
    };
    Ok(Place { file: index, tensor, change, shape, dtype })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_names() {
        let name = |name: &str| part(name).map(|part| (part.number, part.count, part.name(2)));
        assert_eq!(name("m-00001-of-00003.gguf"), Some((1, 3, "m-00002-of-00003.gguf".to_string())));
        assert_eq!(name("m-00004-of-00003.gguf"), None);
        assert_eq!(name("m-1-of-3.gguf"), None);
        assert_eq!(name("m.gguf"), None);
    }
}
