//! Matrices of one shape that lie at equal distances, such as a weight of every layer: an optimiser that treats each matrix by itself makes the step of
//! all of them by one dispatch, which a GPU needs to be busy.

use crate::graph::{Param, ParamId, ParamLayout, PieceLayout, longest_run};
use crate::kernels::{Bind, Resource};

/// One matrix or vector, perhaps in several pieces; or several of one piece each, which lie at equal distances in the arena and in every state.
#[derive(Debug, Clone)]
pub(super) struct Alike<'a> {
    /// Rows and columns of each.
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// The pieces of each.
    each: Vec<&'a [PieceLayout]>,
}

impl<'a> Alike<'a> {
    /// How many they are.
    pub(super) fn count(&self) -> u32 {
        self.each.len() as u32
    }

    /// At most so many at a time, as equally many as possible.
    pub(super) fn at_most(&self, count: usize) -> impl Iterator<Item = Alike<'a>> {
        let times = self.each.len().div_ceil(count.max(1));
        self.each.chunks(self.each.len().div_ceil(times)).map(|each| Alike { each: each.to_vec(), ..*self })
    }

    /// The pieces of the first; with several matrices it is one.
    pub(super) fn pieces(&self) -> &'a [PieceLayout] {
        self.each[0]
    }

    /// Columns in elements of four floats.
    pub(super) fn stride4(&self) -> u32 {
        self.cols.div_ceil(4) as u32
    }

    /// From one matrix to the next in the weights, the gradients and the states that have a number for each of theirs, in elements of four floats.
    pub(super) fn apart(&self) -> u32 {
        self.distance(|piece| piece.offset, 16)
    }

    /// From one matrix to the next in a state, in units of so many bytes.
    pub(super) fn state_apart(&self, index: u8, unit: u64) -> u32 {
        self.distance(|piece| piece.states[index as usize].start, unit)
    }

    fn distance(&self, place: impl Fn(&PieceLayout) -> u64, unit: u64) -> u32 {
        self.each.get(1).map_or(0, |second| ((place(&second[0]) - place(&self.each[0][0])) / unit) as u32)
    }

    /// From a piece of the first matrix to the end of that of the last.
    fn bind(&self, piece: usize, resource: impl Fn(u32) -> Resource) -> Bind {
        let PieceLayout { arena, offset, bytes, .. } = self.pieces()[piece];
        let others = u64::from(self.count() - 1) * u64::from(self.apart()) * 16;
        Bind { resource: resource(arena), offset, size: others + bytes }
    }

    pub(super) fn gradient(&self, piece: usize) -> Bind {
        self.bind(piece, Resource::Gradients)
    }

    pub(super) fn weights(&self, piece: usize) -> Bind {
        self.bind(piece, Resource::Weights)
    }

    pub(super) fn state(&self, piece: usize, index: u8) -> Bind {
        let piece = &self.pieces()[piece];
        let place = &piece.states[index as usize];
        let others = u64::from(self.count() - 1) * u64::from(self.state_apart(index, 4)) * 4;
        let size = others + (place.end - place.start).next_multiple_of(16);
        Bind { resource: Resource::State(piece.arena, index), offset: place.start, size }
    }
}

/// The parameters of an arena. One that is cut may lie in several arenas: it goes with its first piece.
pub(super) fn in_arena<'a>(arena: u32, params: &[Param], layout: &'a ParamLayout) -> Vec<Alike<'a>> {
    let mut left: Vec<(usize, usize, &[PieceLayout])> = (params.iter().enumerate())
        .map(|(index, param)| (param.shape.rows, param.shape.cols, layout.pieces(ParamId(index as u32))))
        .filter(|(.., pieces)| pieces.first().is_some_and(|piece| piece.arena == arena))
        .collect();
    left.sort_by_key(|(.., pieces)| pieces[0].offset);
    let mut all = Vec::new();
    while let Some(&(rows, cols, pieces)) = left.first() {
        let is_like = |other: &(usize, usize, &[PieceLayout])| (other.0, other.1) == (rows, cols) && other.2.len() == 1;
        let like: Vec<usize> = (0..left.len()).filter(|i| *i == 0 || (pieces.len() == 1 && is_like(&left[*i]))).collect();
        let places: Vec<Vec<u64>> = like
            .iter()
            .map(|i| {
                let piece = &left[*i].2[0];
                std::iter::once(piece.offset).chain(piece.states.iter().map(|place| place.start)).collect()
            })
            .collect();
        let run: Vec<usize> = longest_run(&places).into_iter().map(|i| like[i]).collect();
        all.push(Alike { rows, cols, each: run.iter().map(|i| left[*i].2).collect() });
        let mut index = 0;
        left.retain(|_| {
            index += 1;
            !run.contains(&(index - 1))
        });
    }
    all
}
