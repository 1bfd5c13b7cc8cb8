//! The products with the small factors on GPUs: kernels whose threads share the contraction, for up to three maps in one dispatch.

use super::Made;
use crate::graph::{Emit, LowRank, ParamId, Shape, ValueId};
use crate::kernels::{
    Bind, Dispatch, low_rank_backward, low_rank_backward_weight, low_rank_forward, rms_norm_backward_input, rms_norm_backward_input_narrow,
};
use crate::ops::matmul::tiled::{SIDES, union};

/// One map's low-rank part: its parameters and a factor; `None` for a map without one.
pub(super) type Part<'a> = Option<(&'a LowRank, f32)>;

/// (LANES, ROWS) of the two narrow products, those that take the most rows a workgroup first.
const LANES_AND_ROWS: [(u32, u32); 4] = [(16, 4), (16, 1), (32, 1), (64, 1)];

/// Lanes a row and rows a thread, for `groups` columns of workgroups: many rows share what they read of the small factor, but a GPU wants
/// workgroups.
fn lanes_and_rows(e: &Emit<'_>, rows: usize, groups: usize) -> (u32, u32, u32) {
    let count = |(lanes, each): (u32, u32)| rows.div_ceil((64 / lanes * each) as usize);
    let enough = LANES_AND_ROWS.into_iter().find(|choice| count(*choice) * groups >= e.tuning.product_workgroups_least);
    let (lanes, each) = enough.unwrap_or(LANES_AND_ROWS[3]);
    (lanes, each, count((lanes, each)) as u32)
}

/// Elements of four floats from the start of one range to that of another within it.
fn between(whole: Bind, part: Bind) -> u32 {
    ((part.offset - whole.offset) / 16) as u32
}

/// Columns of B: rows of an A beside a matrix, columns of one beside a table.
fn rank(e: &Emit<'_>, l: &LowRank) -> usize {
    e.param(l.b).shape.cols
}

/// Matrices (rows, rank) for the parts that there are, in one value.
fn narrow_matrices(e: &mut Emit<'_>, rows: usize, ranks: &[usize]) -> Vec<Option<ValueId>> {
    let shapes: Vec<Shape> = ranks.iter().filter(|r| **r > 0).map(|&cols| Shape { rows, cols }).collect();
    let mut made = e.matrices(&shapes).into_iter();
    ranks.iter().map(|r| if *r > 0 { made.next() } else { None }).collect()
}

/// What holds the weights of all of them, where one binding does.
fn weights(e: &Emit<'_>, params: impl Iterator<Item = ParamId>) -> Option<Bind> {
    union(params.map(|p| e.piece(p).weight))
}

/// u = factor · x·Aᵀ of each part; `None` where the factors do not lie in one buffer.
pub(super) fn narrow(e: &mut Emit<'_>, parts: &[Part<'_>], x: ValueId) -> Option<(Dispatch, Vec<Option<ValueId>>)> {
    debug_assert!(parts.len() <= SIDES);
    let all = weights(e, parts.iter().flatten().map(|(l, _)| l.a))?;
    let shape = e.shape(x);
    let ranks: Vec<usize> = parts.iter().map(|p| p.map_or(0, |(l, _)| rank(e, l))).collect();
    let us = narrow_matrices(e, shape.rows, &ranks);
    let u = union(us.iter().flatten().map(|u| e.bind(*u)))?;
    let mut each = [(0.0, 0, 0, 0); SIDES];
    for (((to, part), rank), out) in each.iter_mut().zip(parts).zip(&ranks).zip(&us) {
        if let (Some((l, factor)), Some(out)) = (part, out) {
            *to = (*factor, *rank as u32, between(all, e.piece(l.a).weight), between(u, e.bind(*out)));
        }
    }
    let columns = ranks.iter().copied().max().unwrap_or(0).div_ceil(low_rank_forward::COLUMNS as usize);
    let (lanes, rows, groups) = lanes_and_rows(e, shape.rows, columns * parts.len());
    let params = low_rank_forward::Params {
        m: shape.rows as u32,
        k4: shape.stride4(),
        x_stride: shape.stride4(),
        x_column: 0,
        scale: each[0].0,
        rank: each[0].1,
        a_first: each[0].2,
        u_first: each[0].3,
        scale_1: each[1].0,
        rank_1: each[1].1,
        a_first_1: each[1].2,
        u_first_1: each[1].3,
        scale_2: each[2].0,
        rank_2: each[2].1,
        a_first_2: each[2].2,
        u_first_2: each[2].3,
    };
    let constants = low_rank_forward::Constants { LANES: lanes, ROWS: rows, SUMS_MEMORY: 128 * rows };
    let bindings = low_rank_forward::Bindings { x: e.bind(x), a: all, u };
    let dispatch = low_rank_forward::dispatch(params, constants, bindings, [groups, columns as u32, parts.len() as u32]);
    let total: usize = ranks.iter().sum();
    Some((dispatch.flops(2 * (shape.rows * total * shape.cols) as u64), us))
}

/// t = factor · dy·B of each part; `None` where the factors do not lie in one buffer.
pub(super) fn narrow_back(e: &mut Emit<'_>, parts: &[Part<'_>], dys: &[ValueId]) -> Option<(Dispatch, Vec<Option<ValueId>>)> {
    debug_assert!(parts.len() <= SIDES && parts.len() == dys.len());
    let all = weights(e, parts.iter().flatten().map(|(l, _)| l.b))?;
    let m = e.shape(dys[0]).rows;
    let ranks: Vec<usize> = parts.iter().map(|p| p.map_or(0, |(l, _)| rank(e, l))).collect();
    let dy = union(dys.iter().map(|dy| e.bind(*dy)))?;
    let ts = narrow_matrices(e, m, &ranks);
    let t = union(ts.iter().flatten().map(|t| e.bind(*t)))?;
    let mut each = [low_rank_backward::Params::default(); SIDES];
    let mut flops = 0;
    for ((((to, part), rank), from), out) in each.iter_mut().zip(parts).zip(&ranks).zip(dys).zip(&ts) {
        if let (Some((l, factor)), Some(out)) = (part, out) {
            let shape = e.shape(*from);
            to.scale = *factor;
            to.rank = *rank as u32;
            to.n = shape.cols as u32;
            to.dy_first = between(dy, e.bind(*from));
            to.dy_stride = shape.stride4();
            to.b_first = between(all, e.piece(l.b).weight);
            to.t_first = between(t, e.bind(*out));
            flops += 2 * (m * rank * shape.cols) as u64;
        }
    }
    let [first, second, third] = each;
    let params = low_rank_backward::Params {
        m: m as u32,
        scale_1: second.scale,
        rank_1: second.rank,
        n_1: second.n,
        dy_first_1: second.dy_first,
        dy_stride_1: second.dy_stride,
        b_first_1: second.b_first,
        t_first_1: second.t_first,
        scale_2: third.scale,
        rank_2: third.rank,
        n_2: third.n,
        dy_first_2: third.dy_first,
        dy_stride_2: third.dy_stride,
        b_first_2: third.b_first,
        t_first_2: third.t_first,
        ..first
    };
    let columns = ranks.iter().copied().max().unwrap_or(0).div_ceil(low_rank_backward::COLUMNS as usize);
    let (lanes, rows, groups) = lanes_and_rows(e, m, columns * parts.len());
    let constants = low_rank_backward::Constants { LANES: lanes, ROWS: rows, SUMS_MEMORY: 128 * rows };
    let bindings = low_rank_backward::Bindings { dy, b: all, t };
    let dispatch = low_rank_backward::dispatch(params, constants, bindings, [groups, columns as u32, parts.len() as u32]);
    Some((dispatch.flops(flops), ts))
}

/// t = factor · dy·B along with the norm's gradient that made dy, if that was emitted last and B has at most eight columns.
pub(super) fn narrow_back_in_norm(e: &mut Emit<'_>, l: &LowRank, factor: f32, dy: ValueId) -> Option<ValueId> {
    let (shape, rank) = (e.shape(dy), rank(e, l));
    let norm = e.last(&rms_norm_backward_input::SHADER, dy)?;
    let params: rms_norm_backward_input::Params = bytemuck::pod_read_unaligned(&norm.params);
    if rank > 8 || params.groups != 1 || params.dx_stride != shape.stride4() {
        return None;
    }
    let norm = e.take_last(&rms_norm_backward_input::SHADER, dy)?;
    let t = e.matrix(shape.rows, rank);
    let own = [("SCALE", f64::from(factor)), ("RANK4", rank.div_ceil(4) as f64)];
    let constants = norm.constants.iter().copied().chain(own).collect();
    let binds = norm.binds.iter().copied().chain([e.piece(l.b).weight, e.bind(t)]).collect();
    let flops = norm.flops + 2 * (shape.rows * rank * shape.cols) as u64;
    e.run(Dispatch { shader: &rms_norm_backward_input_narrow::SHADER, constants, binds, flops, ..norm });
    Some(t)
}

/// Which of the two gradients a dispatch makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Both,
    A,
    B,
}

/// dA = tᵀ·x and dB = dyᵀ·u of each part, all in one dispatch where all gradients lie in one buffer, else in two; `None` where operands or
/// gradients of one kind do not.
pub(super) fn gradients(e: &mut Emit<'_>, parts: &[Option<(&LowRank, Made)>], x: ValueId) -> Option<Vec<Dispatch>> {
    let known = || parts.iter().flatten();
    let rooms = |which: fn(&LowRank) -> ParamId| {
        let rooms: Option<Vec<Bind>> = known().map(|(l, _)| e.piece(which(l)).gradient).collect();
        union(rooms?.into_iter())
    };
    let (a, b) = (rooms(|l| l.a)?, rooms(|l| l.b)?);
    let values = |which: fn(&Made) -> ValueId| union(known().map(|(_, made)| e.bind(which(made))));
    let operands = [values(|made| made.dy)?, values(|made| made.t)?, values(|made| made.u)?];
    let modes: Vec<u32> = known().flat_map(|(l, _)| [l.a, l.b]).map(|p| e.gradient_mode(p)).collect();
    debug_assert!(modes.iter().all(|mode| *mode == modes[0]), "the factors of one map are used equally often");
    let made = |which, to| gradient(e, parts, x, operands, which, to, modes[0]);
    Some(match union([a, b].into_iter()) {
        Some(both) => vec![made(Which::Both, both)],
        None => vec![made(Which::A, a), made(Which::B, b)],
    })
}

fn gradient(
    e: &Emit<'_>,
    parts: &[Option<(&LowRank, Made)>],
    x: ValueId,
    [dy, t, u]: [Bind; 3],
    which: Which,
    to: Bind,
    mode: u32,
) -> Dispatch {
    let shape = e.shape(x);
    let mut each = [low_rank_backward_weight::Params::default(); SIDES];
    let (mut widest, mut columns, mut flops) = (0, 0, 0);
    for (part, (l, made)) in each.iter_mut().zip(parts).filter_map(|(part, known)| Some((part, known.as_ref()?))) {
        let gradient = e.shape(made.dy);
        let rank = rank(e, l);
        part.rank = rank as u32;
        part.n = gradient.cols as u32;
        part.dy_first = between(dy, e.bind(made.dy));
        part.dy_stride = gradient.stride4();
        part.t_first = between(t, e.bind(made.t));
        part.u_first = between(u, e.bind(made.u));
        let place = |param: ParamId| e.piece(param).gradient.map_or(0, |gradient| between(to, gradient));
        if which != Which::B {
            part.a_first = place(l.a);
            widest = widest.max(shape.cols);
            flops += 2 * (shape.rows * rank * shape.cols) as u64;
        }
        if which != Which::A {
            part.b_first = place(l.b);
            widest = widest.max(gradient.cols);
            flops += 2 * (shape.rows * rank * gradient.cols) as u64;
        }
        columns = columns.max(rank.div_ceil(low_rank_backward_weight::COLUMNS as usize));
    }
    let [first, second, third] = each;
    let params = low_rank_backward_weight::Params {
        m: shape.rows as u32,
        k: shape.cols as u32,
        x_stride: shape.stride4(),
        x_column: 0,
        accumulate: mode,
        first: if which == Which::B { SIDES as u32 } else { 0 },
        rank_1: second.rank,
        n_1: second.n,
        dy_first_1: second.dy_first,
        dy_stride_1: second.dy_stride,
        t_first_1: second.t_first,
        u_first_1: second.u_first,
        a_first_1: second.a_first,
        b_first_1: second.b_first,
        rank_2: third.rank,
        n_2: third.n,
        dy_first_2: third.dy_first,
        dy_stride_2: third.dy_stride,
        t_first_2: third.t_first,
        u_first_2: third.u_first,
        a_first_2: third.a_first,
        b_first_2: third.b_first,
        ..first
    };
    let bindings = low_rank_backward_weight::Bindings { x: e.bind(x), dy, t, u, gradient: to };
    let results = if which == Which::Both { 2 * SIDES } else { SIDES };
    let groups = [widest.div_ceil(low_rank_backward_weight::WIDTH as usize) as u32, columns as u32, results as u32];
    low_rank_backward_weight::dispatch(params, low_rank_backward_weight::Constants {}, bindings, groups).flops(flops)
}
