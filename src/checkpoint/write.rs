//! Writing a complete Hugging Face directory: weights in one file or in shards, configuration, tokenizer files.

use std::ops::Range;

use async_trait::async_trait;
use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::carry::{Carry, to_bytes};
use super::convert;
use super::tensor_file::{TensorFileWriter, TensorInfo};
use super::value_head::write_value_head;
use crate::error::{Error, Result};
use crate::kernels::WeightType;
use crate::model::config::CONFIG_FILE;
use crate::model::{Layout, ModelConfig, ParamDecl};
use crate::platform::{OutputDirectory, write_file};

/// The most elements that are held in memory at once (16 MiB of f32); a browser's worker holds several copies of them.
const PIECE: usize = 4 << 20;

/// Options for writing weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// F32, F16 or BF16.
    pub dtype: Dtype,
    /// The largest size of one file in bytes; larger weights are split over several files. A tensor is never split.
    pub max_shard_size: u64,
}

impl Default for WriteOptions {
    /// BF16 in shards of at most 5 GB, as LLaMA-Factory does.
    fn default() -> Self {
        WriteOptions { dtype: Dtype::BF16, max_shard_size: 5_000_000_000 }
    }
}

/// The source of the parameters while a checkpoint is written, usually the GPU.
#[async_trait(?Send)]
pub trait ParamSource {
    /// Rows of the parameter with index `param` in compute layout, row after row without padding.
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>>;

    /// The same rows as stored half-precision bits; fails if the source does not store them in half precision.
    async fn read_rows_half(&self, param: usize, rows: Range<usize>) -> Result<Vec<u16>> {
        Err(Error::tensor("", format!("parameter {param}"), format!("rows {rows:?} are not there in half precision")))
    }

    /// The same rows in blocks of this type, as `quant` packs them, where they are stored in it; none where they are not.
    async fn read_blocks(&self, param: usize, kept: WeightType, rows: Range<usize>) -> Result<Option<Vec<u8>>> {
        let _ = (param, kept, rows);
        Ok(None)
    }
}

/// Writes a complete directory into `out`, in pieces; a value head goes into a file of its own. To publish it atomically, the caller passes a temporary sub-directory and renames it
/// afterwards.
///
/// # Errors
/// [`Error::NoSpace`] and [`Error::File`] from writing, [`Error::Tensor`] when a number does not fit into the dtype, and any error from
/// `source`.
pub async fn write_checkpoint(
    out: &dyn OutputDirectory,
    options: &WriteOptions,
    config: &ModelConfig,
    params: &[ParamDecl],
    source: &dyn ParamSource,
    carry: &Carry,
) -> Result<()> {
    let Some(dtype_name) = convert::dtype_name(options.dtype) else {
        let dtype = options.dtype;
        return Err(Error::file(out.label(), format!("weights are written as F32, F16 or BF16, not as {dtype}")));
    };
    write_value_head(out, params, source).await?;
    // A value head's parameters are the last ones.
    let params = &params[..params.iter().position(ParamDecl::in_value_head).unwrap_or(params.len())];
    let shards = split(params, options);
    let mut weight_map = Map::new();
    let mut total_size = 0;
    for (number, shard) in shards.iter().enumerate() {
        let name = match shards.len() {
            1 => "model.safetensors".to_string(),
            count => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        write_params(out, &name, options.dtype, params, shard, source, &[("format".to_string(), "pt".to_string())]).await?;
        for &param in shard {
            weight_map.insert(params[param].name.clone(), json!(name));
            total_size += size(&params[param], options.dtype);
        }
    }
    if shards.len() > 1 {
        let parameters: u64 = params.iter().map(ParamDecl::elements).sum();
        let mut index = Map::new();
        index.insert("metadata".into(), json!({"total_parameters": parameters, "total_size": total_size}));
        index.insert("weight_map".into(), Value::Object(weight_map));
        write_file(out, "model.safetensors.index.json", &to_bytes(index)).await?;
    }
    for (name, bytes) in carry.files(config) {
        write_file(out, name, &bytes).await?;
    }
    write_file(out, CONFIG_FILE, &to_bytes(config.to_json(dtype_name))).await
}

fn size(param: &ParamDecl, dtype: Dtype) -> u64 {
    param.elements() * dtype.bitsize() as u64 / 8
}

/// Assigns parameters to files: in order, with a new file when the next parameter does not fit; a parameter larger than the limit gets a
/// file of its own immediately (huggingface_hub, `split_state_dict_into_shards_factory`). There is always at least one file.
fn split(params: &[ParamDecl], options: &WriteOptions) -> Vec<Vec<usize>> {
    let mut shards = Vec::new();
    let (mut current, mut current_size) = (Vec::new(), 0);
    for (index, param) in params.iter().enumerate() {
        let size = size(param, options.dtype);
        if size > options.max_shard_size {
            shards.push(vec![index]);
            continue;
        }
        if current_size + size > options.max_shard_size {
            shards.push(std::mem::take(&mut current));
            current_size = 0;
        }
        current.push(index);
        current_size += size;
    }
    if !current.is_empty() || shards.is_empty() {
        shards.push(current);
    }
    shards
}

/// Writes one file with the parameters whose indices are in `shard`.
pub(crate) async fn write_params(
    out: &dyn OutputDirectory,
    name: &str,
    dtype: Dtype,
    params: &[ParamDecl],
    shard: &[usize],
    source: &dyn ParamSource,
    metadata: &[(String, String)],
) -> Result<()> {
    // The `safetensors` crate sorts by name.
    let mut shard = shard.to_vec();
    shard.sort_by(|&a, &b| params[a].name.cmp(&params[b].name));
    let infos: Vec<_> = shard
        .iter()
        .map(|&index| {
            let shape: Vec<u64> = params[index].stored_shape().iter().map(|&n| n as u64).collect();
            TensorInfo::new(&params[index].name, dtype, shape)
        })
        .collect();
    let mut file = TensorFileWriter::create(out, name, &infos, metadata).await?;
    for index in shard {
        write_param(&mut file, &params[index], index, source, PIECE).await?;
    }
    file.finish().await
}

async fn write_param(file: &mut TensorFileWriter, param: &ParamDecl, index: usize, source: &dyn ParamSource, piece: usize) -> Result<()> {
    let (rows, cols) = (param.rows, param.cols);
    let file_name = file.name().to_string();
    let read = async |range: Range<usize>| {
        let wanted = range.len() * cols;
        let values = source.read_rows(index, range).await?;
        if values.len() != wanted {
            let found = values.len();
            return Err(Error::tensor(&file_name, &param.name, format!("{found} numbers were given, {wanted} are needed")));
        }
        Ok(values)
    };
    let step = (piece / cols).max(1);
    match param.layout {
        Layout::AsStored => {
            for first in (0..rows).step_by(step) {
                let values = read(first..(first + step).min(rows)).await?;
                file.write_f32(&param.name, &values).await?;
            }
        }
        // The file's rows are our columns. Each pass over all rows collects as many columns as fit, so a matrix that does not fit is read
        // several times.
        Layout::Transposed => {
            let columns = (piece / rows).max(1);
            for left in (0..cols).step_by(columns) {
                let right = (left + columns).min(cols);
                let mut stored = vec![0.0; (right - left) * rows];
                for first in (0..rows).step_by(step) {
                    let values = read(first..(first + step).min(rows)).await?;
                    for (row, values) in (first..).zip(values.chunks_exact(cols)) {
                        for (column, value) in values[left..right].iter().enumerate() {
                            stored[column * rows + row] = *value;
                        }
                    }
                }
                file.write_f32(&param.name, &stored).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ParamKind;

    fn vectors(sizes: &[usize]) -> Vec<ParamDecl> {
        let decl = |(i, &cols): (usize, &usize)| ParamDecl {
            name: format!("p{i}"),
            rows: 1,
            cols,
            kind: ParamKind::Bias,
            layer: None,
            layout: Layout::AsStored,
        };
        sizes.iter().enumerate().map(decl).collect()
    }

    /// F32, at most 40 bytes: ten numbers a shard.
    #[test]
    fn shards_fill_in_order_and_large_tensors_stand_alone() {
        let options = WriteOptions { dtype: Dtype::F32, max_shard_size: 40 };
        assert_eq!(split(&vectors(&[4, 6, 1, 11, 9, 1]), &options), [vec![0, 1], vec![3], vec![2, 4], vec![5]]);
        assert_eq!(split(&vectors(&[4, 6]), &options), [vec![0, 1]]);
        assert_eq!(split(&[], &options), [Vec::<usize>::new()]);
    }

    /// Element (row, column) of a 5 × 7 matrix is 10 · row + column.
    struct Counting;

    #[async_trait(?Send)]
    impl ParamSource for Counting {
        async fn read_rows(&self, _: usize, rows: Range<usize>) -> Result<Vec<f32>> {
            Ok(rows.flat_map(|row| (0..7).map(move |column| (10 * row + column) as f32)).collect())
        }
    }

    /// Pieces that hold a part of a row, one row, two rows, everything.
    #[test]
    fn pieces_of_any_size_give_the_same_file() {
        for layout in [Layout::AsStored, Layout::Transposed] {
            let param = ParamDecl { rows: 5, cols: 7, kind: ParamKind::Linear, layout, ..vectors(&[1])[0].clone() };
            for piece in [1, 7, 10, 14, 100] {
                let found = crate::platform::block_on(async {
                    let out = crate::platform::MemoryDirectory::new("out");
                    let shape: Vec<u64> = param.stored_shape().iter().map(|&n| n as u64).collect();
                    let infos = [TensorInfo::new("p0", Dtype::F32, shape)];
                    let mut file = TensorFileWriter::create(&out, "f", &infos, &[]).await?;
                    write_param(&mut file, &param, 0, &Counting, piece).await?;
                    file.finish().await?;
                    let file = super::super::TensorFile::open(std::rc::Rc::new(out), "f").await?;
                    file.read_f32("p0", 0..35).await
                });
                let expected = (0..35).map(|at| match layout {
                    Layout::AsStored => (10 * (at / 7) + at % 7) as f32,
                    Layout::Transposed => (10 * (at % 5) + at / 5) as f32,
                });
                assert_eq!(found, Ok(expected.collect()), "{layout:?} {piece}");
            }
        }
    }
}
