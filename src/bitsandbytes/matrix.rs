//! The numbers of a tensor that is shown decoded, and its blocks as products read them.

use std::ops::Range;

use async_trait::async_trait;
use safetensors::Dtype;

use super::state::{State, Tensors};
use crate::checkpoint::{MadeBlocks, MadeWeights, TensorEntry, TensorFile};
use crate::error::{Error, Result};
use crate::kernels::WeightType;
use crate::quant::{self, BLOCK};

/// A tensor of the view.
pub(super) enum Matrix {
    /// One that is not quantised.
    Plain { file: TensorFile, name: String },
    /// 4 bits.
    Four { file: TensorFile, name: String, state: Box<State>, transposed: bool },
    /// 8 bits: the codes, and the scale of each row.
    Eight { file: TensorFile, name: String, scales: Vec<f32>, cols: u64, transposed: bool },
}

impl Matrix {
    /// What a tensor is. `transposed`: the architecture stores it as (in, out), while quantised maps are (out, in).
    ///
    /// # Errors
    /// [`Error::Tensor`] for what bitsandbytes does not write.
    pub(super) async fn read(file: &TensorFile, tensor: &TensorEntry, all: &Tensors, transposed: bool) -> Result<Matrix> {
        let (name, fail) = (tensor.name.clone(), |reason: String| Error::tensor(file.name(), &tensor.name, reason));
        if let Some(state) = State::read(&name, all).await? {
            let [rows, cols] = state.shape;
            if tensor.bytes * 2 != rows * cols {
                return Err(fail(format!("has {} bytes, and {rows} x {cols} numbers of 4 bits take {}", tensor.bytes, rows * cols / 2)));
            }
            return Ok(Matrix::Four { file: file.clone(), name, state: Box::new(state), transposed });
        }
        let scales = name.strip_suffix(".weight").map(|module| format!("{module}.SCB")).filter(|_| tensor.dtype == Dtype::I8);
        if let Some((scales, of)) = scales.and_then(|scales| all.get(&scales).map(|of| (scales, of))) {
            let found = of.get(&scales).map_or(0, TensorEntry::elements);
            let [rows, cols] = tensor.shape[..] else {
                return Err(fail(format!("has the shape {:?}; a matrix has two sizes", tensor.shape)));
            };
            if found != rows {
                return Err(Error::tensor(of.name(), &scales, format!("holds {found} scales, and the matrix has {rows} rows")));
            }
            let scales = of.read_f32(&scales, 0..found).await?;
            return Ok(Matrix::Eight { file: file.clone(), name, scales, cols, transposed });
        }
        Ok(Matrix::Plain { file: file.clone(), name })
    }

    pub(super) fn file(&self) -> &TensorFile {
        match self {
            Matrix::Plain { file, .. } | Matrix::Four { file, .. } | Matrix::Eight { file, .. } => file,
        }
    }

    /// The type of its numbers in the view.
    pub(super) fn dtype(&self, tensor: &TensorEntry) -> Dtype {
        if matches!(self, Matrix::Plain { .. }) { tensor.dtype } else { Dtype::F32 }
    }

    /// Rows and columns, if it is quantised.
    fn size(&self) -> Option<[u64; 2]> {
        match self {
            Matrix::Plain { .. } => None,
            Matrix::Four { state, .. } => Some(state.shape),
            Matrix::Eight { scales, cols, .. } => Some([scales.len() as u64, *cols]),
        }
    }

    fn is_transposed(&self) -> bool {
        matches!(self, Matrix::Four { transposed: true, .. } | Matrix::Eight { transposed: true, .. })
    }

    /// Its shape in the view.
    pub(super) fn shape(&self, tensor: &TensorEntry) -> Vec<u64> {
        let Some([rows, cols]) = self.size() else { return tensor.shape.clone() };
        if self.is_transposed() { vec![cols, rows] } else { vec![rows, cols] }
    }

    /// How it can be kept as it is.
    pub(super) fn blocks(&self) -> Option<MadeBlocks> {
        let [rows, cols] = self.size()?;
        let weight_type = match self {
            Matrix::Plain { .. } => return None,
            Matrix::Four { state, .. } => {
                if state.block != BLOCK as u64 || !cols.is_multiple_of(BLOCK as u64) {
                    return None; // its rows are no whole blocks
                }
                let double = state.scales.double().is_some();
                if state.is_nf4()? { WeightType::Nf4 { double } } else { WeightType::Fp4 { double } }
            }
            Matrix::Eight { .. } => WeightType::Int8,
        };
        Some(MadeBlocks { weight_type, rows, cols: cols as usize })
    }

    /// Numbers in the order of the file, row after row of (out, in).
    async fn numbers(&self, range: Range<u64>) -> Result<Vec<f32>> {
        match self {
            Matrix::Plain { file, name } => file.read_f32(name, range).await,
            Matrix::Four { state, .. } => {
                let first = range.start / state.block;
                let scales = state.scales.read(first..range.end.div_ceil(state.block)).await?;
                let start = range.start / 2 * 2;
                let bytes = self.codes(start / 2..range.end.div_ceil(2)).await?;
                let decode = |at: u64| {
                    let byte = bytes[((at - start) / 2) as usize];
                    let code = if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
                    state.values[code as usize] * scales[(at / state.block - first) as usize]
                };
                Ok(range.map(decode).collect())
            }
            Matrix::Eight { scales, cols, .. } => {
                let codes = self.codes(range.clone()).await?;
                let decode = |(at, code): (u64, &u8)| f32::from(*code as i8) * scales[(at / cols) as usize] * (1.0 / 127.0);
                Ok(range.zip(&codes).map(decode).collect())
            }
        }
    }

    /// Bytes of the codes. They may be stored as numbers of another width (`bnb_4bit_quant_storage`).
    async fn codes(&self, bytes: Range<u64>) -> Result<Vec<u8>> {
        let (Matrix::Plain { file, name } | Matrix::Four { file, name, .. } | Matrix::Eight { file, name, .. }) = self;
        let width = file.get(name).map_or(1, |entry| entry.dtype.bitsize() as u64 / 8).max(1);
        let elements = bytes.start / width..bytes.end.div_ceil(width);
        let skipped = (bytes.start - elements.start * width) as usize;
        let read = file.read_bytes(name, elements).await?;
        Ok(read[skipped..skipped + (bytes.end - bytes.start) as usize].to_vec())
    }
}

/// The tensors of a directory.
pub(super) struct Matrices(pub(super) Vec<Matrix>);

#[async_trait(?Send)]
impl MadeWeights for Matrices {
    async fn elements(&self, tensor: usize, range: Range<u64>) -> Result<Vec<u8>> {
        let matrix = &self.0[tensor];
        let (rows, cols) = match (matrix, matrix.size()) {
            (Matrix::Plain { file, name }, _) => return file.read_bytes(name, range).await,
            (_, Some([rows, cols])) if matrix.is_transposed() => (rows, cols),
            _ => return Ok(bytemuck::cast_slice(&matrix.numbers(range).await?).to_vec()),
        };
        // The view's rows are the columns here.
        let all = matrix.numbers(0..rows * cols).await?;
        let turned: Vec<f32> = range.map(|at| all[(at % rows * cols + at / rows) as usize]).collect();
        Ok(bytemuck::cast_slice(&turned).to_vec())
    }

    async fn blocks(&self, tensor: usize, rows: Range<u64>) -> Result<Vec<u8>> {
        let matrix = &self.0[tensor];
        let mut out = Vec::new();
        match (matrix, matrix.size()) {
            (Matrix::Four { state, .. }, Some([_, cols])) => {
                let blocks = rows.start * cols / state.block..rows.end * cols / state.block;
                let codes = matrix.codes(rows.start * cols / 2..rows.end * cols / 2).await?;
                if let Some(double) = state.scales.double() {
                    let (first, row_blocks) = (blocks.start as usize, cols as usize / BLOCK);
                    let scales = state.scales.read_codes(blocks).await?;
                    for (row, (scales, codes)) in scales.chunks(row_blocks).zip(codes.chunks(row_blocks * BLOCK / 2)).enumerate() {
                        double.append_row(first + row * row_blocks, scales, codes, &mut out);
                    }
                    return Ok(out);
                }
                let scales = state.scales.read(blocks).await?;
                for (scale, codes) in scales.iter().zip(codes.chunks_exact(BLOCK / 2)) {
                    quant::append_block(*scale, codes, &mut out);
                }
            }
            (Matrix::Eight { scales, .. }, Some([_, cols])) => {
                let codes = matrix.codes(rows.start * cols..rows.end * cols).await?;
                for (scale, codes) in scales[rows.start as usize..rows.end as usize].iter().zip(codes.chunks_exact(cols as usize)) {
                    quant::append_row(*scale, codes, &mut out);
                }
            }
            _ => {}
        }
        Ok(out)
    }
}
