// Rotary embedding of queries and keys, in place: (a, b) -> (a cos - b sin, b cos + a sin) for a in the first half of the rotated columns of a head
// and b as far into the second half. In place, so neither a copy nor a saved input: the backward pass is direction = -1.
// A thread owns four pairs; where halves do not fall on vec4 borders, a thread owns a whole row instead (rare, so slow is fine).
// use: shared/step.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Rows (tokens) of q and k.
    rows: u32,
    /// Heads in a row of q.
    heads: u32,
    /// Heads in a row of k.
    kv_heads: u32,
    /// Columns of a head.
    head_dim: u32,
    /// Leading columns of a head that are rotated: even, at most head_dim.
    rotary_dim: u32,
    /// Row stride of q in vec4.
    q_stride: u32,
    /// Row stride of k in vec4.
    k_stride: u32,
    /// 1 rotates forward, -1 back.
    direction: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Position of each token, (rows)
@group(0) @binding(2) var<storage, read> positions: array<u32>;
/// cos and sin of every angle, (positions, rotary_dim / 2) from row step.rope_row on
@group(0) @binding(3) var<storage, read> table: array<vec2<f32>>;
/// (rows, heads * head_dim)
@group(0) @binding(4) var<storage, read_write> q: array<vec4<f32>>;
/// (rows, kv_heads * head_dim)
@group(0) @binding(5) var<storage, read_write> k: array<vec4<f32>>;

/// Rotates a row pair by pair.
fn rotate_row(row: u32) {
    let half = params.rotary_dim / 2u;
    let entry = (step.rope_row + positions[row]) * half;
    for (var head = 0u; head < params.heads + params.kv_heads; head++) {
        for (var i = 0u; i < half; i++) {
            let angle = table[entry + i];
            let sine = angle.y * params.direction;
            if (head < params.heads) {
                let a = row * params.q_stride * 4u + head * params.head_dim + i;
                let b = a + half;
                let va = q[a / 4u][a % 4u];
                let vb = q[b / 4u][b % 4u];
                q[a / 4u][a % 4u] = va * angle.x - vb * sine;
                q[b / 4u][b % 4u] = vb * angle.x + va * sine;
            } else {
                let a = row * params.k_stride * 4u + (head - params.heads) * params.head_dim + i;
                let b = a + half;
                let va = k[a / 4u][a % 4u];
                let vb = k[b / 4u][b % 4u];
                k[a / 4u][a % 4u] = va * angle.x - vb * sine;
                k[b / 4u][b % 4u] = vb * angle.x + va * sine;
            }
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let thread = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (params.rotary_dim % 8u != 0u || params.head_dim % 4u != 0u) {
        if (thread < params.rows) {
            rotate_row(thread);
        }
        return;
    }
    let width = params.rotary_dim / 8u; // vec4 of half a rotation
    let row_threads = (params.heads + params.kv_heads) * width;
    let row = thread / row_threads;
    if (row >= params.rows) {
        return;
    }
    let head = thread % row_threads / width;
    let i = thread % width;
    let entry = (step.rope_row + positions[row]) * (width * 4u) + i * 4u;
    let t0 = table[entry];
    let t1 = table[entry + 1u];
    let t2 = table[entry + 2u];
    let t3 = table[entry + 3u];
    let cosine = vec4<f32>(t0.x, t1.x, t2.x, t3.x);
    let sine = vec4<f32>(t0.y, t1.y, t2.y, t3.y) * params.direction;
    if (head < params.heads) {
        let at = row * params.q_stride + head * (params.head_dim / 4u) + i;
        let a = q[at];
        let b = q[at + width];
        q[at] = a * cosine - b * sine;
        q[at + width] = b * cosine + a * sine;
    } else {
        let at = row * params.k_stride + (head - params.heads) * (params.head_dim / 4u) + i;
        let a = k[at];
        let b = k[at + width];
        k[at] = a * cosine - b * sine;
        k[at + width] = b * cosine + a * sine;
    }
}
