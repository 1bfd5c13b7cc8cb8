/// What all attention kernels are told. A "row" is a pair (query token, query head of one key/value head's group), numbered
/// token * group + head: rows that share keys and values lie next to each other, and a tile of rows is as good for 1 as for 8 heads a group.
struct Params {
    /// Query tokens: rows of q.
    tokens: u32,
    /// Rows of k and v: the same tokens in training, the capacity of the cache in generation.
    key_rows: u32,
    /// Key/value heads.
    kv_heads: u32,
    /// Query heads that share one key/value head.
    group: u32,
    /// Floats of one head / 4.
    head_dim4: u32,
    /// A query sees at most this many keys, itself included; 0xffffffff: all.
    window: u32,
    /// Factor of the dot product, mostly head_dim^-1/2.
    scale: f32,
    /// Row stride of q in vec4.
    q_stride: u32,
    /// Row stride of k in vec4.
    k_stride: u32,
    /// Row stride of v in vec4.
    v_stride: u32,
    /// Row stride of o in vec4.
    o_stride: u32,
    /// Row stride of d_o in vec4.
    d_o_stride: u32,
    /// Row stride of d_q in vec4.
    d_q_stride: u32,
    /// Row stride of d_k in vec4.
    d_k_stride: u32,
    /// Row stride of d_v in vec4.
    d_v_stride: u32,
    /// Bit 0: d_q is added to instead of written; bit 1: d_k; bit 2: d_v.
    accumulate: u32,
}

/// Scores are squashed to SOFTCAP * tanh(score / SOFTCAP); 0 means that they are not.
override SOFTCAP: f32 = 0.0;

/// The score of a key that may not be seen, and the running maximum before the first key: exp(MASKED - LOWEST) is 0, exp(LOWEST - LOWEST) is 1.
const MASKED: f32 = -1e38;
const LOWEST: f32 = -1e30;

/// Scores of four dot products.
fn scores4(products: vec4<f32>) -> vec4<f32> {
    let scores = products * params.scale;
    if (SOFTCAP > 0.0) {
        // The clamp keeps compilers that write tanh with exp from dividing infinities.
        return SOFTCAP * tanh(clamp(scores / SOFTCAP, vec4<f32>(-15.0), vec4<f32>(15.0)));
    }
    return scores;
}

/// d(score) / d(dot product), from the score itself.
fn scores_slope4(scores: vec4<f32>) -> vec4<f32> {
    if (SOFTCAP > 0.0) {
        let t = scores / SOFTCAP;
        return params.scale * (1.0 - t * t);
    }
    return vec4<f32>(params.scale);
}

/// Whether a gradient (its bit of params.accumulate) starts from 0 at the first tile; if not, from what is there.
fn starts_from_zero(is_first_tile: bool, bit: u32) -> bool {
    return is_first_tile && (params.accumulate & bit) == 0u;
}

/// First key inside the window of the query at this index among the keys.
fn window_start(index: u32) -> u32 {
    return select(index - params.window + 1u, 0u, index < params.window);
}

/// a x + y in four fused steps (a matrix product would leave the sum with y apart): y plus the columns of a weighted by x.
fn madd(a: mat4x4<f32>, x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return fma(a[3], vec4<f32>(x.w), fma(a[2], vec4<f32>(x.z), fma(a[1], vec4<f32>(x.y), fma(a[0], vec4<f32>(x.x), y))));
}
