//! GGUF out: a model as a file for llama.cpp, Ollama, LM Studio and wllama, with keys, names and types as llama.cpp's converter writes them.

mod fields;
mod header;
mod lora;
mod vocabulary;

use std::ops::Range;

pub use lora::write_adapter;

use self::header::Head;
use super::encoding::Encoding;
use super::view::gguf_name;
use crate::checkpoint::ModelSource;
use crate::error::{Error, Result};
use crate::model::declaration::Declaration;
use crate::model::{ModelConfig, ParamDecl, ParamKind};
use crate::platform::{Directory, OutputDirectory};

/// The most numbers that are held at once.
const PIECE: usize = 4 << 20;
/// The version of the format that is written.
const VERSION: u32 = 3;

/// The type of the matrices in a file that is written; vectors are always F32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutType {
    /// f32.
    F32,
    /// f16.
    F16,
    /// bfloat16.
    Bf16,
    /// 8 bits and a scale for 32 numbers.
    Q8_0,
    /// 4 bits and a scale for 32 numbers; embedding and head are Q8_0, on which the answers depend most.
    Q4_0,
}

impl OutType {
    /// `general.file_type`.
    fn file_type(self) -> u32 {
        match self {
            OutType::F32 => 0,
            OutType::F16 => 1,
            OutType::Q4_0 => 2,
            OutType::Q8_0 => 7,
            OutType::Bf16 => 32,
        }
    }

    /// The encoding of a parameter. Rows that are no whole number of blocks stay F16, as in llama.cpp's converter.
    fn encoding(self, param: &ParamDecl) -> Encoding {
        let wanted = match (param.kind, self) {
            (ParamKind::Norm | ParamKind::Bias | ParamKind::PositionEmbedding, _) | (_, OutType::F32) => Encoding::F32,
            (_, OutType::F16) => Encoding::F16,
            (_, OutType::Bf16) => Encoding::Bf16,
            (ParamKind::Embedding | ParamKind::Head, OutType::Q4_0) | (_, OutType::Q8_0) => Encoding::Q8_0,
            (_, OutType::Q4_0) => Encoding::Q4_0,
        };
        if param.cols.is_multiple_of(wanted.block().0) { wanted } else { Encoding::F16 }
    }
}

/// Writes a model and the tokenizer of `directory` as the file `name` in `out`; the file appears when it is complete. Returns remarks for the
/// user, a sentence each.
///
/// # Errors
/// [`Error::Config`] for what such a file cannot express or llama.cpp would compute otherwise, [`Error::Tensor`] for a number that the type
/// cannot hold; what reading and writing fail with.
pub async fn write_model(
    source: &dyn ModelSource,
    directory: &dyn Directory,
    outtype: OutType,
    out: &dyn OutputDirectory,
    name: &str,
) -> Result<Vec<String>> {
    let config = source.config();
    let declaration = config.architecture.declaration();
    let mut head = Head::new(declaration.gguf.architecture, "model");
    head.text("general.name", name.strip_suffix(".gguf").unwrap_or(name));
    let computed = fields::write(&mut head, config)?;
    head.u32("general.file_type", outtype.file_type());
    head.u32("general.quantization_version", 2);
    let remarks = vocabulary::write(&mut head, directory, config).await?;
    for (name, numbers) in &computed {
        head.tensor(name, &[numbers.len()], Encoding::F32);
    }
    let mut places = Vec::new();
    for param in source.params() {
        let named = gguf_name(declaration.gguf, declaration.tensors.layers, param);
        let (name, module) = named.ok_or_else(|| Error::tensor(source.label(), &param.name, "has no name in GGUF files"))?;
        let encoding = outtype.encoding(param);
        let vector = param.rows == 1 && matches!(param.kind, ParamKind::Norm | ParamKind::Bias);
        match vector {
            true => head.tensor(&name, &[param.cols], encoding),
            false => head.tensor(&name, &[param.rows, param.cols], encoding),
        }
        places.push((encoding, Order::of(declaration, config, param, module)));
    }
    let mut file = head.begin(out, name).await?;
    for (name, numbers) in &computed {
        file.numbers(name, Encoding::F32, numbers).await?;
    }
    for (index, param) in source.params().iter().enumerate() {
        let (encoding, order) = &places[index];
        let step = order.step(param, (PIECE / param.cols).max(1));
        for first in (0..param.rows).step_by(step) {
            let rows = first..(first + step).min(param.rows);
            let mut numbers = source.read_rows(index, rows.clone()).await?;
            order.apply(&mut numbers, param, rows);
            file.numbers(&param.name, *encoding, &numbers).await?;
        }
    }
    file.finish().await?;
    Ok(remarks)
}

/// How a parameter's numbers come into the order of the file: the reverse of what opening one does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    AsIs,
    /// The rows (of a vector, the elements) of each head of this width, its two halves interleaved.
    Interleaved {
        head: usize,
    },
    Shifted(f32),
}

impl Order {
    fn of(declaration: &Declaration, config: &ModelConfig, param: &ParamDecl, module: &str) -> Order {
        if param.kind == ParamKind::Norm && config.norm_weight_offset != 0.0 {
            Order::Shifted(config.norm_weight_offset)
        } else if declaration.gguf.interleaved.contains(&module) {
            Order::Interleaved { head: config.head_dim }
        } else {
            Order::AsIs
        }
    }

    /// How many rows are read at once, about `step`: whole heads.
    fn step(self, param: &ParamDecl, step: usize) -> usize {
        match self {
            Order::Interleaved { head } if param.rows > 1 => (step / head).max(1) * head,
            _ => step,
        }
    }

    /// Changes the rows `rows` of a parameter.
    fn apply(self, numbers: &mut [f32], param: &ParamDecl, rows: Range<usize>) {
        match self {
            Order::AsIs => {}
            Order::Shifted(by) => numbers.iter_mut().for_each(|number| *number += by),
            Order::Interleaved { head } => {
                debug_assert!(param.rows == 1 || rows.start.is_multiple_of(head));
                let width = if param.rows == 1 { 1 } else { param.cols };
                interleave(numbers, head, width);
            }
        }
    }
}

/// Interleaves the two halves of each head of `head` rows of `width` numbers.
fn interleave(numbers: &mut [f32], head: usize, width: usize) {
    for one in numbers.chunks_exact_mut(head * width) {
        let before = one.to_vec();
        for (at, row) in one.chunks_exact_mut(width).enumerate() {
            let from = at % 2 * (head / 2) + at / 2;
            row.copy_from_slice(&before[from * width..][..width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_interleaved_row_by_row() {
        let mut numbers: Vec<f32> = (0..16).map(|n| n as f32).collect();
        interleave(&mut numbers, 4, 2);
        assert_eq!(numbers, [0., 1., 4., 5., 2., 3., 6., 7., 8., 9., 12., 13., 10., 11., 14., 15.]);
    }
}
