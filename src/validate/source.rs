//! Provides the numbers of a repaired view to the writer and the engine; nothing is copied before it is requested.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use async_trait::async_trait;

use super::view::{Source, Tensor, View};
use crate::checkpoint::{Dtype, ParamSource, StoredBlocks};
use crate::error::{Error, Result};
use crate::graph::WeightType;
use crate::model::{Layout, ModelConfig, ParamDecl, params};

/// Elements read per chunk when a matrix must be transposed.
const PIECE: u64 = 4 << 20;

impl View {
    /// Reads rows of a tensor as f32, in row-major order; a vector has one row.
    ///
    /// # Errors
    /// [`Error::Tensor`] for rows out of range or a type that is not floating-point, [`Error::File`] when reading fails.
    pub fn rows<'a>(&'a self, tensor: &'a Tensor, rows: Range<u64>) -> Pin<Box<dyn Future<Output = Result<Vec<f32>>> + 'a>> {
        Box::pin(async move {
            let (count, width) = matrix(tensor);
            if rows.start > rows.end || rows.end > count {
                return Err(Error::tensor(self.file_of(tensor), &tensor.name, format!("has {count} rows, {rows:?} were requested")));
            }
            match &tensor.source {
                Source::Stored { file, tensor: name } => self.files[*file].read_f32(name, rows.start * width..rows.end * width).await,
                Source::Pieces(pieces) => {
                    let wanted = rows.start * width..rows.end * width;
                    let mut out = Vec::with_capacity((wanted.end - wanted.start) as usize);
                    let mut first = 0;
                    for piece in pieces {
                        let end = first + (piece.elements.end - piece.elements.start);
                        let (from, to) = (wanted.start.clamp(first, end), wanted.end.clamp(first, end));
                        if from < to {
                            let at = piece.elements.start + (from - first)..piece.elements.start + (to - first);
                            out.extend(self.files[piece.file].read_f32(&piece.tensor, at).await?);
                        }
                        first = end;
                    }
                    Ok(out)
                }
                Source::Rows(inner, part) => self.rows(inner, part.start + rows.start..part.start + rows.end).await,
                Source::Joined(parts) => {
                    let mut out = Vec::new();
                    let mut first = 0;
                    for part in parts {
                        let (count, _) = matrix(part);
                        let (from, to) = (rows.start.clamp(first, first + count), rows.end.clamp(first, first + count));
                        if from < to {
                            out.extend(self.rows(part, from - first..to - first).await?);
                        }
                        first += count;
                    }
                    Ok(out)
                }
                Source::Merged { base, a, b, scale } => {
                    let mut out = self.rows(base, rows.clone()).await?;
                    let (rank, width) = matrix(a);
                    let a = self.rows(a, 0..rank).await?;
                    let b = self.rows(b, rows).await?;
                    let (width, rank) = (width as usize, rank as usize);
                    for (out, b) in out.chunks_exact_mut(width.max(1)).zip(b.chunks_exact(rank.max(1))) {
                        let mut delta = vec![0f32; width];
                        for (b, a) in b.iter().zip(a.chunks_exact(width.max(1))) {
                            delta.iter_mut().zip(a).for_each(|(delta, a)| *delta += b * a);
                        }
                        out.iter_mut().zip(delta).for_each(|(out, delta)| *out += *scale as f32 * delta);
                    }
                    Ok(out)
                }
                Source::Extended(inner) => {
                    let (there, width) = matrix(inner);
                    let mut out = self.rows(inner, rows.start.min(there)..rows.end.min(there)).await?;
                    let added = rows.end.max(there) - rows.start.max(there);
                    if added > 0 {
                        let mean = self.mean_row(inner).await?;
                        out.extend(mean.iter().copied().cycle().take((added * width) as usize));
                    }
                    Ok(out)
                }
                Source::Transposed(inner) => {
                    // The inner rows are the columns here; they are read whole, since usually most of each is needed.
                    let (inner_rows, inner_cols) = matrix(inner);
                    let wanted = (rows.end - rows.start) as usize;
                    let mut out = vec![0.0; wanted * inner_rows as usize];
                    let step = (PIECE / inner_cols.max(1)).max(1);
                    let mut at = 0;
                    while at < inner_rows {
                        let end = (at + step).min(inner_rows);
                        let piece = self.rows(inner, at..end).await?;
                        for (col, stored) in (at..end).zip(piece.chunks_exact(inner_cols as usize)) {
                            for (row, value) in stored[rows.start as usize..rows.end as usize].iter().enumerate() {
                                out[row * inner_rows as usize + col as usize] = *value;
                            }
                        }
                        at = end;
                    }
                    Ok(out)
                }
            }
        })
    }
}

impl View {
    /// The mean of a matrix's rows.
    async fn mean_row(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        let (rows, width) = matrix(tensor);
        let mut sum = vec![0f64; width as usize];
        let step = (PIECE / width.max(1)).max(1);
        let mut at = 0;
        while at < rows {
            let end = (at + step).min(rows);
            for row in self.rows(tensor, at..end).await?.chunks_exact(width as usize) {
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += f64::from(*value);
                }
            }
            at = end;
        }
        Ok(sum.iter().map(|sum| (sum / rows.max(1) as f64) as f32).collect())
    }
}

/// (rows, columns); a vector or a scalar has one row.
fn matrix(tensor: &Tensor) -> (u64, u64) {
    match tensor.shape[..] {
        [rows, cols] => (rows, cols),
        _ => (1, tensor.elements()),
    }
}

/// A view as the parameters of a model.
pub struct ViewParams<'a> {
    /// The view.
    pub view: &'a View,
    /// The model's parameters.
    pub params: Vec<ParamDecl>,
    /// The tensors that are stored in blocks of few bits, as they are.
    blocks: Option<StoredBlocks>,
}

impl<'a> ViewParams<'a> {
    /// The parameters that this configuration declares.
    pub fn new(view: &'a View, config: &ModelConfig) -> Self {
        ViewParams { view, params: params(config), blocks: None }
    }

    /// The same, matrices that are stored in blocks of few bits in these.
    ///
    /// # Errors
    /// What reading the header of their file fails with.
    pub async fn in_blocks(view: &'a View, config: &ModelConfig) -> Result<Self> {
        let blocks = match view.files.first() {
            Some(file) => StoredBlocks::of(file.directory()).await?,
            None => None,
        };
        Ok(ViewParams { view, params: params(config), blocks })
    }

    /// The blocks that a parameter is stored in, and the tensor's name there, unless the view changes it.
    fn kept(&self, param: &ParamDecl) -> Option<(&StoredBlocks, &str, WeightType)> {
        let tensor = self.view.get(&param.name)?;
        let Source::Stored { tensor: name, .. } = &tensor.source else { return None };
        let stored = match param.layout {
            Layout::AsStored => [param.rows, param.cols],
            Layout::Transposed => [param.cols, param.rows],
        };
        let blocks = self.blocks.as_ref()?;
        let same_shape = tensor.shape == stored.map(|size| size as u64);
        Some((blocks, name.as_str(), blocks.weight_type(name)?)).filter(|_| same_shape)
    }

    /// The type of a parameter on the GPU: the blocks that it is stored in; half precision if all of its numbers are stored in it and none is
    /// computed.
    pub fn stored_type(&self, param: &ParamDecl) -> WeightType {
        if let Some((.., kept)) = self.kept(param) {
            return kept;
        }
        let dtype = self.view.get(&param.name).and_then(|tensor| self.view.dtype(tensor));
        match dtype {
            Some(Dtype::BF16) => WeightType::Bf16,
            Some(Dtype::F16) => WeightType::F16,
            _ => WeightType::F32,
        }
    }
}

impl View {
    /// The type in which all numbers of a tensor are stored; `None` if there are several, or if some are computed.
    fn dtype(&self, tensor: &Tensor) -> Option<Dtype> {
        match &tensor.source {
            Source::Stored { file, tensor } => self.files[*file].get(tensor).map(|entry| entry.dtype),
            Source::Transposed(inner) | Source::Rows(inner, _) => self.dtype(inner),
            Source::Pieces(pieces) => {
                let mut dtypes = pieces.iter().map(|piece| self.files[piece.file].get(&piece.tensor).map(|entry| entry.dtype));
                let first = dtypes.next()??;
                dtypes.all(|dtype| dtype == Some(first)).then_some(first)
            }
            Source::Joined(parts) => {
                let mut dtypes = parts.iter().map(|part| self.dtype(part));
                let first = dtypes.next()??;
                dtypes.all(|dtype| dtype == Some(first)).then_some(first)
            }
            Source::Merged { .. } | Source::Extended(_) => None,
        }
    }
}

/// Rows in compute layout.
#[async_trait(?Send)]
impl ParamSource for ViewParams<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let param = &self.params[param];
        let tensor = self.view.get(&param.name);
        let tensor = tensor.ok_or_else(|| Error::tensor("", &param.name, "is missing"))?;
        let rows = rows.start as u64..rows.end as u64;
        match param.layout {
            Layout::AsStored => self.view.rows(tensor, rows).await,
            Layout::Transposed => {
                let mut turned = tensor.clone();
                turned.transpose();
                self.view.rows(&turned, rows).await
            }
        }
    }

    async fn read_rows_half(&self, param: usize, rows: Range<usize>) -> Result<Vec<u16>> {
        // Every half-precision number is exact in f32, so the round trip changes nothing.
        let numbers = self.read_rows(param, rows).await?;
        Ok(match self.stored_type(&self.params[param]) {
            WeightType::F16 => numbers.into_iter().map(|x| half::f16::from_f32(x).to_bits()).collect(),
            _ => numbers.into_iter().map(|x| half::bf16::from_f32(x).to_bits()).collect(),
        })
    }

    async fn read_blocks(&self, param: usize, kept: WeightType, rows: Range<usize>) -> Result<Option<Vec<u8>>> {
        let param = &self.params[param];
        match self.kept(param) {
            Some((blocks, tensor, stored)) if stored == kept => blocks.read(tensor, [param.rows, param.cols], kept, rows).await.map(Some),
            _ => Ok(None),
        }
    }
}
