//! The parameters on the GPU: weights, and for the trainable ones gradients and what the optimiser keeps, in flat buffers.

use std::ops::Range;
use std::rc::Rc;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu};
use crate::graph::{Param, ParamId, ParamLayout, WeightType};
use crate::quant;

/// Most bytes that are copied back in one go.
pub(super) const READBACK_BYTES: u64 = 4 << 20;

/// Which of a parameter's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The weights themselves.
    Weights,
    /// The gradient of the last accumulation group.
    Gradients,
    /// What the optimiser keeps: the state of this index.
    State(u8),
}

/// All parameters of a model on the GPU.
pub struct ParamStore {
    /// Their descriptions.
    pub params: Rc<Vec<Param>>,
    /// Their places.
    pub layout: ParamLayout,
    pub(super) weights: Vec<Rc<Buffer>>,
    /// For trainable arenas when training.
    training: Vec<Option<Training>>,
}

/// What belongs to the weights of an arena that is trained.
struct Training {
    gradients: Rc<Buffer>,
    /// In the order of the arena's group.
    states: Vec<Rc<Buffer>>,
}

impl ParamStore {
    /// Allocates zeros for all parameters; with `training`, also for gradients.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device's memory does not suffice.
    pub async fn allocate(gpu: &Gpu, params: Rc<Vec<Param>>, training: bool) -> Result<ParamStore> {
        let layout = ParamLayout::new(&params, gpu.profile());
        ParamStore::allocate_as(gpu, params, layout, training).await
    }

    /// The same with a layout that is computed already, of these parameters and the device's profile; with `training`, also for the states
    /// that it declares.
    ///
    /// # Errors
    /// As [`ParamStore::allocate`].
    pub async fn allocate_as(gpu: &Gpu, params: Rc<Vec<Param>>, layout: ParamLayout, training: bool) -> Result<ParamStore> {
        let mut weights = Vec::new();
        let mut all = Vec::new();
        for arena in &layout.arenas {
            weights.push(gpu.buffer("weights", arena.bytes).await?);
            if !(training && arena.group.trainable) {
                all.push(None);
                continue;
            }
            let gradients = gpu.buffer("gradients", arena.bytes).await?;
            let mut states = Vec::new();
            for (state, bytes) in arena.group.states.iter().zip(&arena.states) {
                states.push(gpu.buffer(state.name, *bytes).await?);
            }
            all.push(Some(Training { gradients, states }));
        }
        Ok(ParamStore { params, layout, weights, training: all })
    }

    pub(super) fn buffer(&self, part: Part, arena: u32) -> Option<&Rc<Buffer>> {
        let training = || self.training.get(arena as usize)?.as_ref();
        match part {
            Part::Weights => self.weights.get(arena as usize),
            Part::Gradients => training().map(|t| &t.gradients),
            Part::State(index) => training()?.states.get(index as usize),
        }
    }

    /// Copies a state of a parameter back as it is kept, its padding included.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device is lost.
    pub async fn download_state(&self, gpu: &Gpu, index: u8, param: ParamId) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for piece in self.layout.pieces(param) {
            let Some(buffer) = self.buffer(Part::State(index), piece.arena) else { continue };
            let place = &piece.states[index as usize];
            for start in place.clone().step_by(READBACK_BYTES as usize) {
                out.extend(gpu.read(buffer, start, (place.end - start).min(READBACK_BYTES)).await?);
            }
        }
        Ok(out)
    }

    /// Uploads what [`ParamStore::download_state`] returned. `bytes` has [`ParamStore::state_bytes`] bytes.
    pub fn upload_state(&self, gpu: &Gpu, index: u8, param: ParamId, bytes: &[u8]) {
        let mut rest = bytes;
        for piece in self.layout.pieces(param) {
            let Some(buffer) = self.buffer(Part::State(index), piece.arena) else { continue };
            let place = &piece.states[index as usize];
            let (part, after) = rest.split_at(((place.end - place.start) as usize).min(rest.len()));
            gpu.write(buffer, place.start, part);
            rest = after;
        }
    }

    /// Bytes of a state of a parameter, its padding included.
    pub fn state_bytes(&self, index: u8, param: ParamId) -> u64 {
        let of = |place: &Range<u64>| place.end - place.start;
        self.layout.pieces(param).iter().map(|piece| of(&piece.states[index as usize])).sum()
    }

    /// Uploads whole rows of an f32 parameter; `data` is rows × cols without padding.
    pub fn upload(&self, gpu: &Gpu, part: Part, param: ParamId, first_row: usize, data: &[f32]) {
        self.upload_rows(gpu, part, param, first_row, data);
    }

    /// Uploads whole rows of a half-precision parameter, bits as stored.
    pub fn upload_half(&self, gpu: &Gpu, param: ParamId, first_row: usize, data: &[u16]) {
        self.upload_rows(gpu, Part::Weights, param, first_row, data);
    }

    /// Uploads whole rows of a parameter in blocks, as [`quant`] packs them.
    ///
    /// [`quant`]: crate::quant
    pub fn upload_packed(&self, gpu: &Gpu, param: ParamId, first_row: usize, data: &[u8]) {
        let p = &self.params[param.0 as usize];
        let row_bytes = p.weight_type.row_bytes(p.shape.cols);
        let rows = first_row..first_row + data.len() / row_bytes.max(1);
        for piece in self.layout.pieces(param) {
            let common = rows.start.max(piece.rows.start)..rows.end.min(piece.rows.end);
            if let (Some(buffer), false) = (self.buffer(Part::Weights, piece.arena), common.is_empty()) {
                let offset = piece.offset + ((common.start - piece.rows.start) * row_bytes) as u64;
                gpu.write(buffer, offset, &data[(common.start - rows.start) * row_bytes..(common.end - rows.start) * row_bytes]);
            }
        }
    }

    fn upload_rows<T: bytemuck::Pod>(&self, gpu: &Gpu, part: Part, param: ParamId, first_row: usize, data: &[T]) {
        let shape = self.params[param.0 as usize].shape;
        let padded = shape.cols.next_multiple_of(4);
        let rows = first_row..first_row + data.len() / shape.cols.max(1);
        for piece in self.layout.pieces(param) {
            let common = rows.start.max(piece.rows.start)..rows.end.min(piece.rows.end);
            let Some(buffer) = self.buffer(part, piece.arena) else { continue };
            if common.is_empty() {
                continue;
            }
            let source = &data[(common.start - rows.start) * shape.cols..(common.end - rows.start) * shape.cols];
            let offset = piece.offset + ((common.start - piece.rows.start) * padded * size_of::<T>()) as u64;
            if padded == shape.cols {
                gpu.write(buffer, offset, bytemuck::cast_slice(source));
            } else {
                let mut wide = vec![T::zeroed(); common.len() * padded];
                for (to, from) in wide.chunks_exact_mut(padded).zip(source.chunks_exact(shape.cols)) {
                    to[..shape.cols].copy_from_slice(from);
                }
                gpu.write(buffer, offset, bytemuck::cast_slice(&wide));
            }
        }
    }

    /// Copies whole rows back as f32, rows × cols without padding.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device is lost.
    pub async fn download(&self, gpu: &Gpu, part: Part, param: ParamId, rows: Range<usize>) -> Result<Vec<f32>> {
        let p = &self.params[param.0 as usize];
        let cols = p.shape.cols;
        let row_bytes = p.weight_type.row_bytes(cols) as u64;
        let most = ((READBACK_BYTES / row_bytes.max(1)) as usize).max(1);
        let mut out = Vec::with_capacity(rows.len() * cols);
        for piece in self.layout.pieces(param) {
            let mut start = rows.start.max(piece.rows.start);
            let end = rows.end.min(piece.rows.end);
            while start < end {
                let count = most.min(end - start);
                let Some(buffer) = self.buffer(part, piece.arena) else { break };
                let offset = piece.offset + (start - piece.rows.start) as u64 * row_bytes;
                let bytes = gpu.read(buffer, offset, count as u64 * row_bytes).await?;
                for row in bytes.chunks_exact(row_bytes as usize) {
                    decode(row, p.weight_type, cols, &mut out);
                }
                start += count;
            }
        }
        Ok(out)
    }
}

fn decode(row: &[u8], weight_type: WeightType, cols: usize, out: &mut Vec<f32>) {
    let halves = || row.chunks_exact(2).take(cols).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match weight_type {
        WeightType::F32 => out.extend(row.chunks_exact(4).take(cols).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        WeightType::Bf16 => out.extend(halves().map(|h| half::bf16::from_bits(h).to_f32())),
        WeightType::F16 => out.extend(halves().map(|h| half::f16::from_bits(h).to_f32())),
        packed => quant::unpack_row(packed, row, cols, out),
    }
}
