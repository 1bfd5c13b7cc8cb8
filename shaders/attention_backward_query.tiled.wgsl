// Attention backward, queries: d_q = (p * (d_o v^T - delta)) k * scale, with p recomputed from the log-sum-exp.
// Saves the probabilities (nothing of size tokens x tokens is kept from the forward) and needs no atomics: each row of d_q has one owner.
// For GPUs: tiles of 32 rows x 64 keys through 14.1 KiB of workgroup memory; d_q itself carries the running sum, so that no head_dim needs more registers.
// use: shared/attention.wgsl
// use: shared/attention_tile.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> starts: array<u32>;
@group(0) @binding(7) var<storage, read_write> d_q: array<vec4<f32>>;

// First key that query token i sees.
fn first_key(i: u32) -> u32 {
    return max(starts[i], window_start(i));
}

// d(loss) / d(dot product) of a row with the keys j + 16 * 0..3.
fn d_products4(products: vec4<f32>, d_p: vec4<f32>, token: u32, head: u32, j: u32) -> vec4<f32> {
    let sums = row_sums[token * params.kv_heads * params.group + head];
    let keys = j + vec4<u32>(0u, 16u, 32u, 48u);
    let seen = (keys >= vec4<u32>(first_key(token))) & (keys <= vec4<u32>(token));
    let scores = scores4(products);
    // Masked before exp: the score of an unseen key may exceed the log-sum-exp by any amount.
    let p = exp(select(vec4<f32>(MASKED), scores - sums.x, seen));
    return p * (d_p - sums.y) * scores_slope4(scores);
}

// The running sum of a row over the keys before this tile. Selected, not multiplied by 0: before the first tile d_q holds anything, even NaN.
fn kept(index: u32, from_zero: bool) -> vec4<f32> {
    return select(d_q[index], vec4<f32>(0.0), from_zero);
}

// Dispatch: (ceil(tokens * group / 32), kv_heads, 1).
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let rows = params.tokens * params.group;
    let row0 = workgroup.x * OWNED;
    let x = thread % 16u;
    let y = thread / 16u;
    // Rows past the end compute the last row again and store nothing.
    let row = min(row0 + 4u * y + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows - 1u));
    let stored = row0 + 4u * y + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(rows);
    let token = row / params.group;
    let head = workgroup.y * params.group + row % params.group;
    let d_q_row = token * params.d_q_stride + head * params.head_dim4;

    // The rows of q and d_o that this thread stages, and the head of k and v.
    let staged_row = min(row0 + thread / TILE_DEPTH, rows - 1u);
    let staged_token = staged_row / params.group;
    let staged_head = (workgroup.y * params.group + staged_row - staged_token * params.group) * params.head_dim4;
    let q_row = staged_token * params.q_stride + staged_head;
    let d_o_row = staged_token * params.d_o_stride + staged_head;
    let kv_head = workgroup.y * params.head_dim4;
    let depth = thread % TILE_DEPTH;

    // The keys that any row of the tile sees: sequences lie one after the other, so the first row starts first.
    let first = first_key(row0 / params.group);
    let end = min(row0 + OWNED - 1u, rows - 1u) / params.group + 1u;

    for (var j = first; j < end; j += TILE_OTHERS) {
        var s = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += TILE_DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            owned[thread] = select(vec4<f32>(0.0), q[q_row + c], c0 + depth < params.head_dim4);
            for (var n = thread / TILE_DEPTH; n < TILE_OTHERS; n += TILE_THREADS / TILE_DEPTH) {
                others[depth * OTHERS_PITCH + n] = k[min(j + n, end - 1u) * params.k_stride + kv_head + c];
            }
            workgroupBarrier();
            s = add_products(s, x, y);
            workgroupBarrier();
        }
        var d_p = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += TILE_DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            owned[thread] = select(vec4<f32>(0.0), d_o[d_o_row + c], c0 + depth < params.head_dim4);
            for (var n = thread / TILE_DEPTH; n < TILE_OTHERS; n += TILE_THREADS / TILE_DEPTH) {
                others[depth * OTHERS_PITCH + n] = v[min(j + n, end - 1u) * params.v_stride + kv_head + c];
            }
            workgroupBarrier();
            d_p = add_products(d_p, x, y);
            workgroupBarrier();
        }
        store_weights(Tile(
            d_products4(s.row0, d_p.row0, token.x, head.x, j + x),
            d_products4(s.row1, d_p.row1, token.y, head.y, j + x),
            d_products4(s.row2, d_p.row2, token.z, head.z, j + x),
            d_products4(s.row3, d_p.row3, token.w, head.w, j + x)), x, y);
        workgroupBarrier();

        let from_zero = starts_from_zero(j == first, 1u);
        for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
            let c = min(c0 + x, params.head_dim4 - 1u);
            var z = Tile(kept(d_q_row.x + c, from_zero), kept(d_q_row.y + c, from_zero), kept(d_q_row.z + c, from_zero), kept(d_q_row.w + c, from_zero));
            for (var part = 0u; part < 4u; part++) {
                for (var slot = y; slot < 16u; slot += TILE_THREADS / 16u) {
                    others[16u * slot + x] = k[min(j + summed_other(part, slot), end - 1u) * params.k_stride + kv_head + c];
                }
                workgroupBarrier();
                z = add_weighted(z, part, x, y);
                workgroupBarrier();
            }
            if (c0 + x < params.head_dim4) {
                if (stored.x) {
                    d_q[d_q_row.x + c] = z.row0;
                }
                if (stored.y) {
                    d_q[d_q_row.y + c] = z.row1;
                }
                if (stored.z) {
                    d_q[d_q_row.z + c] = z.row2;
                }
                if (stored.w) {
                    d_q[d_q_row.w + c] = z.row3;
                }
            }
        }
    }
}
