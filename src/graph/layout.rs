//! Where each parameter lies: packed into flat buffers ("arenas"), so that the norm and the optimiser are one dispatch per arena,
//! and cut by rows where a matrix is larger than one binding. What the optimiser keeps for each number lies alike.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Param, ParamId};
use crate::gpu::{BINDING_ALIGNMENT, Profile};
use crate::kernels::WeightType;

/// Rows of one parameter that lie together in one arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceLayout {
    /// Which rows of the parameter.
    pub rows: Range<usize>,
    /// Which arena.
    pub arena: u32,
    /// First byte in the arena; a multiple of 256.
    pub offset: u64,
    /// Bytes in the weights' arena.
    pub bytes: u64,
    /// Its bytes in the buffer of each of the optimiser's states; what a state keeps of columns is with the first piece.
    pub states: Vec<Range<u64>>,
}

/// Numbers that share one scale in a state of 8 bits.
pub const STATE_BLOCK: u64 = 256;

/// How an optimiser's state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateEncoding {
    /// An f32 for each number.
    F32,
    /// A byte for each number, to be multiplied by its block's scale.
    Codes,
    /// An f32 for each block of [`STATE_BLOCK`] numbers.
    Scales,
    /// An f32 for each row of a matrix.
    Rows,
    /// An f32 for each column of a matrix, padded to a multiple of four.
    Columns,
}

impl StateEncoding {
    /// Where the state of some f32 weights lies that begin with a block: they are `rows` rows of `columns` padded columns of a matrix, the first
    /// of it or not. `end` is where the state before it ends.
    fn place(self, weights: &Range<u64>, rows: usize, columns: usize, is_first: bool, end: u64) -> Range<u64> {
        let bytes = weights.end - weights.start;
        let own = |bytes: u64| {
            let start = end.next_multiple_of(BINDING_ALIGNMENT);
            start..start + bytes
        };
        let like_weights = |of: fn(u64) -> u64| of(weights.start)..of(weights.start) + of(bytes);
        match self {
            StateEncoding::F32 => weights.clone(),
            StateEncoding::Codes => like_weights(|bytes| bytes / 4),
            StateEncoding::Scales => like_weights(|bytes| bytes.div_ceil(4 * STATE_BLOCK) * 4),
            StateEncoding::Rows => own(rows as u64 * 4),
            StateEncoding::Columns if is_first => own(columns as u64 * 4),
            StateEncoding::Columns => end..end,
        }
    }
}

/// What an optimiser keeps beside each number that it trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct State {
    /// Its name in a checkpoint, as PyTorch calls it.
    pub name: &'static str,
    /// How it is kept.
    pub encoding: StateEncoding,
}

/// A flat buffer of parameters that are treated alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Arena {
    /// What its parameters share.
    pub group: Group,
    /// Bytes of the weights.
    pub bytes: u64,
    /// Bytes of each of the optimiser's states.
    pub states: Vec<u64>,
}

/// What the parameters of one arena have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Gets gradients, and what the optimiser keeps.
    pub trainable: bool,
    /// How the numbers are kept.
    pub weight_type: WeightType,
    /// Weight decay applies.
    pub decays: bool,
    /// Learning rate relative to the recipe's.
    pub lr_scale: f32,
    /// What the optimiser keeps for each of them, in the order of [`Resource::State`](crate::kernels::Resource::State).
    pub states: &'static [State],
}

/// The places of all parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamLayout {
    /// The flat buffers.
    pub arenas: Vec<Arena>,
    pieces: Vec<Vec<PieceLayout>>,
}

/// Rows of a cut matrix come in multiples of this, so that a piece's columns of the logits start at a 256-byte offset of a row's start.
const ROW_UNIT: usize = 64;

impl ParamLayout {
    /// Lays the parameters out for this device, without an optimiser.
    pub fn new(params: &[Param], profile: &Profile) -> ParamLayout {
        ParamLayout::with_states(params, profile, |_| &[])
    }

    /// Lays the parameters out for this device; `states` says what the optimiser keeps for a trained parameter, by its index.
    pub fn with_states(params: &[Param], profile: &Profile, states: impl Fn(usize) -> &'static [State]) -> ParamLayout {
        let cap = profile.max_binding.min(profile.max_buffer) / 256 * 256;
        let mut arenas: Vec<Arena> = Vec::new();
        let mut open: BTreeMap<(bool, WeightType, bool, u32, &[State]), usize> = BTreeMap::new();
        let mut pieces = vec![Vec::new(); params.len()];
        for (index, p) in params.iter().enumerate() {
            let states = if p.trainable { states(index) } else { &[] };
            let key = (p.trainable, p.weight_type, p.decays, p.lr_scale.to_bits(), states);
            let group = Group { trainable: p.trainable, weight_type: p.weight_type, decays: p.decays, lr_scale: p.lr_scale, states };
            // A block with one scale holds numbers of one parameter only.
            let in_blocks = states.iter().any(|state| state.encoding == StateEncoding::Scales);
            let align = if in_blocks { 4 * STATE_BLOCK } else { 256 };
            let row_bytes = p.weight_type.row_bytes(p.shape.cols) as u64;
            let mut start = 0;
            while start < p.shape.rows {
                let left = (p.shape.rows - start) as u64 * row_bytes;
                let rows = if left <= cap {
                    p.shape.rows - start
                } else {
                    ((cap / row_bytes) as usize / ROW_UNIT * ROW_UNIT).clamp(1, p.shape.rows - start)
                };
                let bytes = rows as u64 * row_bytes;
                let arena = match open.get(&key) {
                    Some(&a) if arenas[a].bytes.next_multiple_of(align) + bytes <= cap => a,
                    _ => {
                        arenas.push(Arena { group, bytes: 0, states: vec![0; states.len()] });
                        open.insert(key, arenas.len() - 1);
                        arenas.len() - 1
                    }
                };
                let offset = arenas[arena].bytes.next_multiple_of(align);
                arenas[arena].bytes = offset + bytes;
                let places = states.iter().zip(&mut arenas[arena].states).map(|(state, end)| {
                    let columns = p.shape.cols.next_multiple_of(4);
                    let place = state.encoding.place(&(offset..offset + bytes), rows, columns, start == 0, *end);
                    *end = place.end;
                    place
                });
                let states = places.collect();
                pieces[index].push(PieceLayout { rows: start..start + rows, arena: arena as u32, offset, bytes, states });
                start += rows;
            }
        }
        ParamLayout { arenas, pieces }
    }

    /// The pieces of a parameter, by rows.
    pub fn pieces(&self, param: ParamId) -> &[PieceLayout] {
        &self.pieces[param.0 as usize]
    }

    /// Bytes of the largest piece: the most that is read back at once.
    pub fn largest_piece_bytes(&self) -> u64 {
        self.pieces.iter().flatten().map(|p| p.bytes).max().unwrap_or(0)
    }

    /// Bytes of all weights.
    pub fn weights_bytes(&self) -> u64 {
        self.arenas.iter().map(|a| a.bytes).sum()
    }

    /// Bytes of all gradients.
    pub fn gradients_bytes(&self) -> u64 {
        self.arenas.iter().filter(|a| a.group.trainable).map(|a| a.bytes).sum()
    }

    /// Bytes of all that the optimiser keeps.
    pub fn states_bytes(&self) -> u64 {
        self.arenas.iter().flat_map(|arena| &arena.states).sum()
    }

    /// What the optimiser keeps for a parameter.
    pub fn states(&self, param: ParamId) -> &'static [State] {
        self.pieces(param).first().map_or(&[], |piece| self.arenas[piece.arena as usize].group.states)
    }
}
