//! A GGUF file as a Hugging Face directory. Small files are made when it is opened; weights are read and decoded piece by piece.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::config::{self, FromTensors};
use super::container::{Container, GgufTensor, path_in};
use super::encoding::Encoding;
use super::{Metadata, tokenizer};
use crate::checkpoint::{Dtype, TensorEntry, write_header};
use crate::error::{Cause, Error, Result};
use crate::model::config::CONFIG_FILE;
use crate::model::gguf::Gguf;
use crate::model::{Architecture, Layout, ModelConfig, ParamDecl, ParamKind, params};
use crate::platform::{Directory, Entry};

/// The weights' file in the view.
const WEIGHTS: &str = "model.safetensors";
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
    Ok(Rc::new(View::new(directory, files).await?))
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
    /// Type of the numbers in the view.
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

/// A GGUF file, or several that are one model, as a directory.
struct View {
    directory: Rc<dyn Directory>,
    files: Vec<String>,
    /// The files in memory, sorted by name.
    small: Vec<(String, Vec<u8>)>,
    /// What stands in front of the tensors' bytes in the weights' file.
    header: Vec<u8>,
    /// Bytes of the weights' file.
    size: u64,
    /// The tensors in the view, in the order of their bytes, each with where its numbers come from.
    tensors: Vec<(TensorEntry, Place)>,
}

impl View {
    async fn new(directory: Rc<dyn Directory>, files: Vec<(String, Container)>) -> Result<View> {
        let metadata = &files[0].1.metadata;
        let architecture = config::architecture(metadata)?;
        let mut left = gather(&files)?;
        let config_json = config::build(metadata, architecture, &from_tensors(&*directory, &files, &left).await?)?;
        let config = ModelConfig::from_map(metadata.file(), config_json.clone())?;
        let mut tensors = Vec::new();
        for param in params(&config) {
            tensors.push(place(metadata.file(), architecture, &config, &param, &mut left)?);
        }
        if let Some((name, _)) = left.iter().find(|(name, _)| !ROPE_FACTORS.contains(&name.as_str())) {
            let reason = format!("is no tensor of the {} model that the metadata describe", architecture.declaration().gguf.architecture);
            return Err(Error::tensor(metadata.file(), name, reason));
        }
        // Wider types first, so that every tensor is aligned.
        tensors.sort_by_key(|(entry, _): &(TensorEntry, Place)| std::cmp::Reverse(entry.dtype.bitsize()));
        let mut entries: Vec<TensorEntry> = tensors.iter().map(|(entry, _)| entry.clone()).collect();
        let header = write_header(&mut entries, &[("format".to_string(), "pt".to_string())]);
        for (tensor, entry) in tensors.iter_mut().zip(entries) {
            tensor.0 = entry;
        }
        let size = tensors.last().map_or(header.len() as u64, |(last, _)| last.offset + last.bytes);
        let mut small = tokenizer::files(metadata, config.vocab_size as u64, config.max_position_embeddings as u64)?;
        let config_bytes = serde_json::to_vec_pretty(&config_json);
        small.push((CONFIG_FILE.to_string(), config_bytes.map_err(|e| metadata.error("general.architecture", e))?));
        small.push(("generation_config.json".to_string(), config::generation(&config_json).to_string().into_bytes()));
        small.sort();
        Ok(View { directory, files: files.into_iter().map(|(name, _)| name).collect(), small, header, size, tensors })
    }

    fn small(&self, name: &str) -> Option<&[u8]> {
        self.small.iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes.as_slice())
    }

    fn missing(&self, name: &str) -> Error {
        Error::file(format!("{}/{name}", self.label()), "there is no such file").because(Cause::NotFound)
    }

    /// Bytes `range` of the weights' file.
    async fn weights(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity((range.end - range.start) as usize);
        let header = self.header.len() as u64;
        if range.start < header {
            out.extend_from_slice(&self.header[range.start as usize..range.end.min(header) as usize]);
        }
        let first = self.tensors.partition_point(|(entry, _)| entry.offset + entry.bytes <= range.start);
        for (entry, place) in &self.tensors[first..] {
            if entry.offset >= range.end {
                break;
            }
            let (start, end) = (range.start.max(entry.offset) - entry.offset, range.end.min(entry.offset + entry.bytes) - entry.offset);
            if start == end {
                continue;
            }
            let width = entry.dtype.bitsize() as u64 / 8;
            let elements = start / width..end.div_ceil(width);
            let skipped = (start - elements.start * width) as usize;
            let bytes = self.elements(entry, place, elements).await?;
            out.extend_from_slice(&bytes[skipped..skipped + (end - start) as usize]);
        }
        Ok(out)
    }

    /// Elements of a tensor of the view, as bytes of its type.
    async fn elements(&self, entry: &TensorEntry, place: &Place, range: Range<u64>) -> Result<Vec<u8>> {
        let width = entry.dtype.bitsize() / 8;
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
                let rows = entry.shape[0];
                let cols = entry.elements() / rows;
                let head = rows / heads;
                let first_row = range.start / cols / head * head;
                let last_row = range.end.div_ceil(cols).div_ceil(head) * head;
                let stored = self.stored(place, first_row * cols..last_row * cols).await?;
                let row_bytes = cols as usize * width;
                let mut out = Vec::with_capacity(stored.len());
                for row in first_row..last_row {
                    let within = row % head;
                    let (half, pair) = (within / (head / 2), within % (head / 2));
                    let from = (row - within + 2 * pair + half - first_row) as usize;
                    out.extend_from_slice(&stored[from * row_bytes..][..row_bytes]);
                }
                let skipped = (range.start - first_row * cols) as usize * width;
                out.truncate(skipped + (range.end - range.start) as usize * width);
                Ok(out.split_off(skipped))
            }
            Change::Transpose => {
                let (rows, cols) = (entry.shape[0] as usize, entry.shape[1] as usize);
                let stored = self.stored(place, 0..entry.elements()).await?;
                let mut out = Vec::with_capacity((range.end - range.start) as usize * width);
                for at in range.start as usize..range.end as usize {
                    let (row, col) = (at / cols, at % cols);
                    out.extend_from_slice(&stored[(col * rows + row) * width..][..width]);
                }
                Ok(out)
            }
        }
    }

    /// Elements of a tensor in the file's order, decoded.
    async fn stored(&self, place: &Place, range: Range<u64>) -> Result<Vec<u8>> {
        let (block, block_bytes) = place.tensor.encoding.block();
        let (block, block_bytes) = (block as u64, block_bytes as u64);
        let blocks = range.start / block..range.end.div_ceil(block);
        let at = place.tensor.offset;
        let raw =
            self.directory.read_range(&self.files[place.file], at + blocks.start * block_bytes..at + blocks.end * block_bytes).await?;
        if Some(place.dtype) == plain(place.tensor.encoding) {
            return Ok(raw);
        }
        let numbers = place.tensor.encoding.decode(&raw);
        let skipped = (range.start - blocks.start * block) as usize;
        let wanted = &numbers[skipped..skipped + (range.end - range.start) as usize];
        Ok(bytemuck::cast_slice::<f32, u8>(wanted).to_vec())
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
type Tensors = std::collections::BTreeMap<String, (usize, GgufTensor)>;

fn gather(files: &[(String, Container)]) -> Result<Tensors> {
    let mut all = Tensors::new();
    for (file, (_, container)) in files.iter().enumerate() {
        for tensor in &container.tensors {
            if let Some((other, _)) = all.insert(tensor.name.clone(), (file, tensor.clone())) {
                return Err(Error::tensor(container.metadata.file(), &tensor.name, format!("is also in {}", files[other].0)));
            }
        }
    }
    Ok(all)
}

async fn from_tensors(directory: &dyn Directory, files: &[(String, Container)], tensors: &Tensors) -> Result<FromTensors> {
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
fn place(
    file: &str,
    architecture: Architecture,
    config: &ModelConfig,
    param: &ParamDecl,
    left: &mut Tensors,
) -> Result<(TensorEntry, Place)> {
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
    let bytes = param.elements() * dtype.bitsize() as u64 / 8;
    let entry = TensorEntry { name: param.name.clone(), dtype, shape, offset: 0, bytes };
    Ok((entry, Place { file: index, tensor, change, dtype }))
}

#[async_trait(?Send)]
impl Directory for View {
    fn label(&self) -> String {
        path_in(&*self.directory, &self.files[0])
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let small = self.small.iter().map(|(name, bytes)| Entry { name: name.clone(), size: bytes.len() as u64 });
        let mut entries: Vec<Entry> = small.chain([Entry { name: WEIGHTS.to_string(), size: self.size }]).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn size(&self, name: &str) -> Result<Option<u64>> {
        Ok(if name == WEIGHTS { Some(self.size) } else { self.small(name).map(|bytes| bytes.len() as u64) })
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let size = self.size(name).await?.ok_or_else(|| self.missing(name))?;
        if range.start > range.end || range.end > size {
            let reason = format!("the file ends at byte {size}, bytes {} to {} were wanted", range.start, range.end);
            return Err(Error::file(format!("{}/{name}", self.label()), reason).because(Cause::Truncated));
        }
        match self.small(name) {
            Some(bytes) => Ok(bytes[range.start as usize..range.end as usize].to_vec()),
            None => self.weights(range).await,
        }
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let size = self.size(name).await?.ok_or_else(|| self.missing(name))?;
        self.read_range(name, 0..size).await
    }

    fn sibling(&self, name: &str) -> Option<Rc<dyn Directory>> {
        self.directory.sibling(name)
    }
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
