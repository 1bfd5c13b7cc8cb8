//! Attention's kernels for GPUs: tiles in workgroup memory, and for a single token blocks of keys side by side.

use super::{Attention, Params};
use crate::graph::Emit;
use crate::kernels::{
    Bind, Dispatch, attention_backward_key_tiled, attention_backward_query_tiled, attention_forward_split, attention_forward_tiled,
    attention_merge, attention_sum, workgroups,
};

/// The longest head that the kernel for a single token takes.
pub(super) const SPLIT_HEAD: usize = 256;

/// Elements of a tile that each thread of a pair of 32 rows and 64 keys owns in one direction, times its threads.
const TILE_ROWS: u32 = 512;

/// Rows of a thread over keys: the sums of two outputs need the registers.
const KEY_ROWS: u32 = 4;

/// The longest head of which that kernel keeps sums in registers.
const KEY_KEPT: usize = 64;

/// Workgroups for the kernels that own rows: pairs of a token and one of the query heads that share a key/value head.
fn row_groups(a: &Attention, tokens: usize, owned: u32) -> [u32; 3] {
    let (kv_heads, rows) = (a.0.kv_heads, tokens * (a.0.heads / a.0.kv_heads));
    [kv_heads as u32, rows.div_ceil(owned as usize) as u32, 1]
}

/// Rows of a thread, and slices of 64 floats of a head that stay in registers.
fn rows_and_slices(a: &Attention, e: &Emit<'_>) -> (u32, u32) {
    let slices = if a.0.head_dim <= e.tuning.attention_kept { a.0.head_dim.div_ceil(64) as u32 } else { 0 };
    (e.tuning.attention_rows, slices)
}

/// Many tokens.
pub(super) fn forward(a: &Attention, e: &Emit<'_>, params: Params, cached: u32, bindings: attention_forward_tiled::Bindings) -> Dispatch {
    let (rows, slices) = rows_and_slices(a, e);
    let constants =
        attention_forward_tiled::Constants { SOFTCAP: a.softcap(), CACHED: cached, ROWS: rows, THREADS: TILE_ROWS / rows, SLICES: slices };
    let groups = row_groups(a, e.tokens(), attention_forward_tiled::OWNED);
    attention_forward_tiled::dispatch(bytemuck::cast(params), constants, bindings, groups)
}

/// One token over a cache: a pass over blocks of keys, then one that adds the blocks up.
pub(super) fn forward_split(a: &Attention, e: &mut Emit<'_>, params: Params, q: Bind, [k, v]: [Bind; 2], o: Bind) {
    use attention_forward_split::BLOCK;
    let (heads, kv_heads, blocks) = (a.0.heads, a.0.kv_heads, params.key_rows.div_ceil(BLOCK));
    let rows = blocks as usize * heads;
    let (averages, weights) = (e.matrix(rows, a.0.head_dim), e.vector(2 * rows));
    let (averages, weights) = (e.bind(averages), e.bind(weights));
    let constants = attention_forward_split::Constants { SOFTCAP: a.softcap(), LANES: BLOCK };
    let bindings = attention_forward_split::Bindings { q, k, v, averages, weights };
    let split = attention_forward_split::dispatch(bytemuck::cast(params), constants, bindings, [blocks, kv_heads as u32, 1]);
    e.run(split.flops(a.flops(e, 2)));
    let constants = attention_merge::Constants { SOFTCAP: a.softcap(), LANES: 64, ROWS: 1, BLOCK };
    let bindings = attention_merge::Bindings { averages, weights, o };
    e.run(attention_merge::dispatch(bytemuck::cast(params), constants, bindings, [heads as u32, 1, 1]));
}

/// The gradient of the queries.
pub(super) fn backward_query(a: &Attention, e: &Emit<'_>, params: Params, bindings: attention_backward_query_tiled::Bindings) -> Dispatch {
    let (rows, slices) = rows_and_slices(a, e);
    let constants =
        attention_backward_query_tiled::Constants { SOFTCAP: a.softcap(), ROWS: rows, THREADS: TILE_ROWS / rows, SLICES: slices };
    let groups = row_groups(a, e.tokens(), attention_backward_query_tiled::OWNED);
    attention_backward_query_tiled::dispatch(bytemuck::cast(params), constants, bindings, groups)
}

/// The gradients of keys and values. Where that gives too few workgroups each query head makes a part of its own, and a second pass adds up
/// what belongs to one key/value head.
pub(super) fn backward_key(a: &Attention, e: &mut Emit<'_>, mut params: Params, bindings: attention_backward_key_tiled::Bindings) {
    let (tokens, heads, kv_heads, head_dim) = (e.tokens(), a.0.heads, a.0.kv_heads, a.0.head_dim);
    let tiles = tokens.div_ceil(attention_backward_key_tiled::OWNED as usize);
    let group = heads / kv_heads;
    let split = group > 1 && tiles * kv_heads < e.tuning.attention_key_workgroups;
    let parts = split.then(|| [(); 2].map(|()| e.matrix(tokens, heads * head_dim)));
    let whole = attention_sum::Params {
        rows: tokens as u32,
        kv_heads: kv_heads as u32,
        group: group as u32,
        head_dim4: params.head_dim4,
        part_stride: ((heads * head_dim) / 4) as u32,
        d_k_stride: params.d_k_stride,
        d_v_stride: params.d_v_stride,
        accumulate: params.accumulate,
    };
    let [d_k, d_v] = match parts {
        Some([k, v]) => {
            (params.d_k_stride, params.d_v_stride, params.accumulate) = (whole.part_stride, whole.part_stride, 0);
            [e.bind(k), e.bind(v)]
        }
        None => [bindings.d_k, bindings.d_v],
    };
    let constants = attention_backward_key_tiled::Constants {
        SOFTCAP: a.softcap(),
        ROWS: KEY_ROWS,
        THREADS: TILE_ROWS / KEY_ROWS,
        HEADS: if split { 1 } else { group as u32 },
        KEPT: if head_dim <= KEY_KEPT { e.tuning.attention_key_kept } else { 0 },
    };
    let columns = if split { heads } else { kv_heads };
    let groups = [columns as u32, tiles as u32, 1];
    let kernel = attention_backward_key_tiled::Bindings { d_k, d_v, ..bindings };
    let dispatch = attention_backward_key_tiled::dispatch(bytemuck::cast(params), constants, kernel, groups);
    e.run(dispatch.flops(a.flops(e, 4)));
    if split {
        let constants = attention_sum::Constants::default();
        let groups = workgroups((tokens * kv_heads * head_dim / 4).div_ceil(constants.WORKGROUP as usize));
        let sums = attention_sum::Bindings { k_parts: d_k, v_parts: d_v, d_k: bindings.d_k, d_v: bindings.d_v };
        e.run(attention_sum::dispatch(whole, constants, sums, groups));
    }
}
