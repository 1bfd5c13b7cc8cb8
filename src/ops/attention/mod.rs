//! Causal attention over sequences that lie side by side, with grouped key/value heads, sliding windows and softcapped scores.
//!
//! o = softmax(mask(softcap(scale · q kᵀ))) v, with the softmax in f32. Nothing of size tokens × tokens is stored: the forward keeps
//! the log-sum-exp of each row, and the backward computes the probabilities again from it (Dao, FlashAttention-2, algorithms 1 and 2).
//! The queries' gradient and that of keys and values are two passes, so that every number has one owner and no atomics are needed.

use super::rope;
mod tiled;

use crate::graph::{Emit, Graph, Op, Purpose, Shape, ValueId};
use crate::kernels::{
    self, Bind, Dispatch, Input, Resource, Version, attention_backward_delta, attention_backward_key_tiled, attention_backward_query_tiled,
    attention_forward_tiled, cache_write, cache_write_rotated, rope_forward, workgroups,
};

/// What an attention layer's configuration says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionParams {
    /// Query heads (`num_attention_heads`); a multiple of `kv_heads`.
    pub heads: usize,
    /// Key/value heads (`num_key_value_heads`); query head h uses h / (heads / kv_heads).
    pub kv_heads: usize,
    /// Floats of a head; a multiple of 4.
    pub head_dim: usize,
    /// Factor of the dot products, mostly head_dim^-½.
    pub scale: f32,
    /// A token sees this many tokens, itself included (`sliding_window`); `None`: all before it.
    pub window: Option<u32>,
    /// Scores become cap · tanh(score / cap) (`attn_logit_softcapping`).
    pub softcap: Option<f32>,
    /// Number of the layer: which caches are its own in generation.
    pub layer: usize,
}

#[derive(Debug)]
struct Attention(AttentionParams);

impl Graph {
    /// q (M, heads · head_dim), k and v (M, kv_heads · head_dim) → o like q. In a generating graph k and v are appended to
    /// the layer's caches at the step's position, and the queries see what the caches hold.
    pub fn attention(&mut self, q: ValueId, k: ValueId, v: ValueId, params: AttentionParams) -> ValueId {
        debug_assert_eq!(params.head_dim % 4, 0, "the kernels read four floats of a head at a time");
        debug_assert_eq!(params.heads % params.kv_heads, 0, "each key/value head serves as many query heads");
        let shape = Shape { rows: self.shape(q).rows, cols: params.heads * params.head_dim };
        self.push_one(Attention(params), &[q, k, v], shape)
    }
}

/// The kernels' parameters: all of them declare the same struct (shaders/shared/attention.wgsl).
type Params = attention_backward_delta::Params;

/// One dispatch of a version for processors; they have the same parameters and bindings. `$groups` makes the workgroups of the number of rows
/// (or keys) that a workgroup owns.
macro_rules! dispatch {
    ($version:expr, [$subgroup:ident, $registers:ident], $params:expr, {$($constant:ident: $value:expr),*}, {$($binding:ident: $bind:expr),* $(,)?}, $groups:expr) => {
        match $version {
            Version::Subgroup => dispatch!(@ $subgroup, $params, {$($constant: $value),*}, {$($binding: $bind),*}, $groups),
            _ => dispatch!(@ $registers, $params, {$($constant: $value),*}, {$($binding: $bind),*}, $groups),
        }
    };
    (@ $module:ident, $params:expr, {$($constant:ident: $value:expr),*}, {$($binding:ident: $bind:expr),*}, $groups:expr) => {{
        let constants = kernels::$module::Constants { $($constant: $value,)* };
        let groups = $groups(kernels::$module::OWNED as usize);
        kernels::$module::dispatch(bytemuck::cast($params), constants, kernels::$module::Bindings { $($binding: $bind),* }, groups)
    }};
}

impl Attention {
    /// The parameters that forward and backward share.
    fn params(&self, e: &Emit<'_>, x: &[ValueId], o: ValueId) -> Params {
        let a = &self.0;
        let stride = |v: ValueId| e.shape(v).stride4();
        Params {
            tokens: e.tokens() as u32,
            key_rows: e.tokens() as u32,
            kv_heads: a.kv_heads as u32,
            group: (a.heads / a.kv_heads) as u32,
            head_dim4: (a.head_dim / 4) as u32,
            window: a.window.unwrap_or(u32::MAX),
            scale: a.scale,
            q_stride: stride(x[0]),
            k_stride: stride(x[1]),
            v_stride: stride(x[2]),
            o_stride: stride(o),
            ..Default::default()
        }
    }

    fn softcap(&self) -> f32 {
        self.0.softcap.unwrap_or(0.0)
    }

    /// Workgroups for the kernels that own rows: pairs of a token and one of the query heads that share a key/value head.
    fn row_groups(&self, tokens: usize) -> impl Fn(usize) -> [u32; 3] {
        let (rows, kv_heads) = (tokens * (self.0.heads / self.0.kv_heads), self.0.kv_heads as u32);
        move |owned| [rows.div_ceil(owned) as u32, kv_heads, 1]
    }

    /// Pairs of a query and a key it sees, over all heads, when the tokens are one sequence (shorter ones have fewer).
    fn pairs(&self, e: &Emit<'_>) -> u64 {
        let tokens = e.tokens() as u64;
        let keys = match e.graph.purpose {
            Purpose::Generate { cache_rows, .. } => cache_rows as u64,
            Purpose::Train | Purpose::Evaluate => tokens.div_ceil(2),
        };
        tokens * keys.min(u64::from(self.0.window.unwrap_or(u32::MAX))) * self.0.heads as u64
    }

    /// Floating-point operations of this many multiply-adds for each pair and float of a head.
    fn flops(&self, e: &Emit<'_>, products: u64) -> u64 {
        2 * products * self.0.head_dim as u64 * self.pairs(e)
    }

    /// Appends a step's keys and values to the layer's caches and returns the queries and the caches. If what was emitted last rotates queries
    /// and keys, it is done along with that.
    fn append(&self, e: &mut Emit<'_>, [q, k, v]: [ValueId; 3], capacity: usize) -> [Bind; 3] {
        let shape = e.shape(k);
        let size = Shape { rows: capacity, cols: shape.cols }.floats() as u64 * 4;
        let first = 2 * self.0.layer as u32;
        let [key_cache, value_cache] = [first, first + 1].map(|cache| Bind { resource: Resource::Cache(cache), offset: 0, size });
        let rotation = e.take_last(&rope_forward::SHADER, k);
        let queries = match rotation.map(|r| (bytemuck::pod_read_unaligned::<rope_forward::Params>(&r.params), r)) {
            Some((rope, r)) if rope::by_vectors(rope.head_dim as usize, rope.rotary_dim as usize) => {
                let params = cache_write_rotated::Params {
                    rows: shape.rows as u32,
                    heads: self.0.heads as u32,
                    kv_heads: self.0.kv_heads as u32,
                    head_dim4: (self.0.head_dim / 4) as u32,
                    half4: rope.rotary_dim / 8,
                    q_stride: e.shape(q).stride4(),
                    rotated_stride: e.shape(q).stride4(),
                    k_stride: shape.stride4(),
                    v_stride: e.shape(v).stride4(),
                    cache_stride: shape.stride4(),
                    capacity: capacity as u32,
                };
                let rest = params.head_dim4 - 2 * params.half4;
                let units = (params.heads + params.kv_heads) * (params.half4 + rest) + params.kv_heads * params.head_dim4;
                // Queries, keys and values may lie in one buffer, which a dispatch cannot both read and write.
                let q_shape = e.shape(q);
                let rotated = e.matrix(q_shape.rows, q_shape.cols);
                let rotated = e.bind(rotated);
                let constants = cache_write_rotated::Constants::default();
                let groups = workgroups((shape.rows * units as usize).div_ceil(constants.WORKGROUP as usize));
                let (positions, table) = (r.binds[0], r.binds[1]);
                let (q, k, v) = (e.bind(q), e.bind(k), e.bind(v));
                let bindings = cache_write_rotated::Bindings { positions, table, k, v, q, rotated, key_cache, value_cache };
                e.run(cache_write_rotated::dispatch(params, constants, bindings, groups));
                rotated
            }
            other => {
                if let Some((_, rotation)) = other {
                    e.run(rotation);
                }
                let params = cache_write::Params {
                    rows: shape.rows as u32,
                    width: shape.stride4(),
                    k_stride: shape.stride4(),
                    v_stride: e.shape(v).stride4(),
                    cache_stride: shape.stride4(),
                    capacity: capacity as u32,
                };
                let constants = cache_write::Constants::default();
                let groups = workgroups(shape.rows.div_ceil(constants.ROWS as usize));
                let (k, v) = (e.bind(k), e.bind(v));
                e.run(cache_write::dispatch(params, constants, cache_write::Bindings { k, v, key_cache, value_cache }, groups));
                e.bind(q)
            }
        };
        [queries, key_cache, value_cache]
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let mut params = self.params(e, x, y[0]);
        let ([q, k, v], cached) = match e.graph.purpose {
            Purpose::Generate { cache_rows, .. } => {
                params.key_rows = cache_rows as u32;
                (self.append(e, [x[0], x[1], x[2]], cache_rows), 1)
            }
            Purpose::Train | Purpose::Evaluate => ([x[0], x[1], x[2]].map(|x| e.bind(x)), 0),
        };
        let o = e.bind(y[0]);
        let version = e.tuning.attention;
        if version == Version::Tiled && cached == 1 && e.tokens() == 1 && self.0.head_dim <= tiled::SPLIT_HEAD {
            tiled::forward_split(self, e, params, q, [k, v], o);
            return Vec::new();
        }
        // The log-sum-exp of each row, and room for its delta.
        let sums = e.vector(2 * e.tokens() * self.0.heads);
        let (starts, row_sums) = (e.input(Input::Starts), e.bind(sums));
        let dispatch: Dispatch = if version == Version::Tiled {
            let bindings = attention_forward_tiled::Bindings { q, k, v, starts, o, row_sums };
            tiled::forward(self, e, params, cached, bindings)
        } else {
            dispatch!(
                version,
                [attention_forward_subgroup, attention_forward_registers],
                params,
                { SOFTCAP: self.softcap(), CACHED: cached },
                { q: q, k: k, v: v, starts: starts, o: o, row_sums: row_sums },
                self.row_groups(e.tokens())
            )
        };
        e.run(dispatch.flops(self.flops(e, 2)));
        vec![sums]
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], saved: &[ValueId]) {
        let Some(dy) = e.grad(y[0]) else { return };
        let (dq, dk, dv) = (e.grad_target(x[0]), e.grad_target(x[1]), e.grad_target(x[2]));
        if dq.is_none() && dk.is_none() && dv.is_none() {
            return;
        }
        let version = e.tuning.attention;
        let (tokens, heads) = (e.tokens(), self.0.heads);
        let mut params = self.params(e, x, y[0]);
        params.d_o_stride = e.shape(dy).stride4();
        let (q, k, v, d_o) = (e.bind(x[0]), e.bind(x[1]), e.bind(x[2]), e.bind(dy));

        let (o, row_sums) = (e.bind(y[0]), e.bind(saved[0]));
        // On GPUs the pass over queries makes delta along with its own work.
        if version != Version::Tiled || dq.is_none() {
            let constants = attention_backward_delta::Constants::default();
            let groups = [tokens.div_ceil(constants.WORKGROUP_SIZE as usize) as u32, heads as u32, 1];
            let bindings = attention_backward_delta::Bindings { o, d_o, row_sums };
            e.run(attention_backward_delta::dispatch(params, constants, bindings, groups));
        }

        if let Some(dq) = dq {
            params.d_q_stride = e.shape(dq.value).stride4();
            params.accumulate = u32::from(dq.accumulate);
            let (starts, d_q) = (e.input(Input::Starts), e.bind(dq.value));
            let dispatch: Dispatch = if version == Version::Tiled {
                tiled::backward_query(self, e, params, attention_backward_query_tiled::Bindings { q, k, v, d_o, o, starts, row_sums, d_q })
            } else {
                dispatch!(
                    version,
                    [attention_backward_query_subgroup, attention_backward_query_registers],
                    params,
                    { SOFTCAP: self.softcap() },
                    { q: q, k: k, v: v, d_o: d_o, row_sums: row_sums, starts: starts, d_q: d_q },
                    self.row_groups(e.tokens())
                )
            };
            e.run(dispatch.flops(self.flops(e, 3)));
        }
        if dk.is_some() || dv.is_some() {
            // One pass makes both; where only one is wanted (LoRA on some projections of the first layer), the other goes nowhere.
            let shape = e.shape(x[1]);
            let dk_value = dk.map_or_else(|| e.matrix(shape.rows, shape.cols), |t| t.value);
            let dv_value = dv.map_or_else(|| e.matrix(shape.rows, shape.cols), |t| t.value);
            params.d_k_stride = e.shape(dk_value).stride4();
            params.d_v_stride = e.shape(dv_value).stride4();
            params.accumulate = u32::from(dk.is_some_and(|t| t.accumulate)) << 1 | u32::from(dv.is_some_and(|t| t.accumulate)) << 2;
            let (ends, d_k, d_v) = (e.input(Input::Ends), e.bind(dk_value), e.bind(dv_value));
            if version == Version::Tiled {
                let bindings = attention_backward_key_tiled::Bindings { q, k, v, d_o, row_sums, ends, d_k, d_v };
                return tiled::backward_key(self, e, params, bindings);
            }
            let dispatch: Dispatch = dispatch!(
                version,
                [attention_backward_key_subgroup, attention_backward_key_registers],
                params,
                { SOFTCAP: self.softcap() },
                { q: q, k: k, v: v, d_o: d_o, row_sums: row_sums, ends: ends, d_k: d_k, d_v: d_v },
                |owned| [tokens.div_ceil(owned) as u32, self.0.kv_heads as u32, 1]
            );
            e.run(dispatch.flops(self.flops(e, 4)));
        }
    }
}
