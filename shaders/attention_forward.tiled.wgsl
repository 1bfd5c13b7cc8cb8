// Attention forward: o = softmax(scale * q k^T) v with causal, per-sequence and sliding-window masks, and the log-sum-exp of each row.
// Saves the scores: none of the tokens x tokens numbers ever reaches memory, and keys that no row of a tile sees are not read.
// For GPUs: tiles of 32 rows x 64 keys through 14.1 KiB of workgroup memory; o itself carries the running average, so that no head_dim needs more registers.
// use: shared/step.wgsl
// use: shared/attention.wgsl
// use: shared/attention_tile.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> starts: array<u32>;
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;

// 1 in generation: k and v are caches of one sequence, and starts is not looked at.
override CACHED: u32 = 0u;

// First key that query token i sees.
fn first_key(i: u32) -> u32 {
    var start = 0u;
    if (CACHED == 0u) {
        start = starts[i];
    }
    return max(start, window_start(step.position + i));
}

// Scores of a row with the keys j + 16 * 0..3, those it does not see masked.
fn masked4(products: vec4<f32>, row: u32, j: u32) -> vec4<f32> {
    let token = row / params.group;
    let keys = j + vec4<u32>(0u, 16u, 32u, 48u);
    let seen = (keys >= vec4<u32>(first_key(token))) & (keys <= vec4<u32>(step.position + token));
    return select(vec4<f32>(MASKED), scores4(products), seen);
}

fn largest(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn total(v: vec4<f32>) -> f32 {
    return v.x + v.y + v.z + v.w;
}

// The running average of a row over the keys before this tile, weighted by keep; 0 where there were none (o then holds anything, even NaN).
fn kept(keep: f32, index: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), keep * o[index], keep > 0.0);
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
    let o_row = token * params.o_stride + head * params.head_dim4;

    // The row of q that this thread stages, and the head of k and v.
    let q_row_number = min(row0 + thread / TILE_DEPTH, rows - 1u);
    let q_token = q_row_number / params.group;
    let q_row = q_token * params.q_stride + (workgroup.y * params.group + q_row_number - q_token * params.group) * params.head_dim4;
    let kv_head = workgroup.y * params.head_dim4;
    let depth = thread % TILE_DEPTH;

    // The keys that any row of the tile sees: sequences lie one after the other, so the first row starts first.
    let first = first_key(row0 / params.group);
    let end = min(step.position + min(row0 + OWNED - 1u, rows - 1u) / params.group + 1u, params.key_rows);

    var row_max = vec4<f32>(LOWEST);
    var row_sum = vec4<f32>(0.0);
    for (var j = first; j < end; j += TILE_OTHERS) {
        var s = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += TILE_DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            let inside = c0 + depth < params.head_dim4;
            owned[thread] = select(vec4<f32>(0.0), q[q_row + c], inside);
            for (var n = thread / TILE_DEPTH; n < TILE_OTHERS; n += TILE_THREADS / TILE_DEPTH) {
                others[depth * OTHERS_PITCH + n] = k[min(j + n, end - 1u) * params.k_stride + kv_head + c];
            }
            workgroupBarrier();
            s = add_products(s, x, y);
            workgroupBarrier();
        }
        s = Tile(masked4(s.row0, row.x, j + x), masked4(s.row1, row.y, j + x), masked4(s.row2, row.z, j + x), masked4(s.row3, row.w, j + x));

        // Online softmax: o holds the average over the keys seen so far, so each tile only reweights it and needs no last pass.
        owned[thread] = vec4<f32>(largest(s.row0), largest(s.row1), largest(s.row2), largest(s.row3));
        workgroupBarrier();
        var new_max = row_max;
        for (var n = 0u; n < 16u; n++) {
            new_max = max(new_max, owned[16u * y + n]);
        }
        workgroupBarrier();
        s = Tile(exp(s.row0 - new_max.x), exp(s.row1 - new_max.y), exp(s.row2 - new_max.z), exp(s.row3 - new_max.w));
        owned[thread] = vec4<f32>(total(s.row0), total(s.row1), total(s.row2), total(s.row3));
        workgroupBarrier();
        let old_sum = row_sum * exp(row_max - new_max);
        row_sum = old_sum;
        for (var n = 0u; n < 16u; n++) {
            row_sum += owned[16u * y + n];
        }
        row_max = new_max;
        // A row that has seen no key yet keeps 0 (its first keys lie in a later tile).
        let inverse = select(vec4<f32>(0.0), 1.0 / row_sum, row_sum > vec4<f32>(0.0));
        let keep = old_sum * inverse;
        store_weights(Tile(s.row0 * inverse.x, s.row1 * inverse.y, s.row2 * inverse.z, s.row3 * inverse.w), x, y);
        workgroupBarrier();

        for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
            let c = min(c0 + x, params.head_dim4 - 1u);
            var z = Tile(kept(keep.x, o_row.x + c), kept(keep.y, o_row.y + c), kept(keep.z, o_row.z + c), kept(keep.w, o_row.w + c));
            for (var part = 0u; part < 4u; part++) {
                for (var slot = y; slot < 16u; slot += TILE_THREADS / 16u) {
                    others[16u * slot + x] = v[min(j + summed_other(part, slot), end - 1u) * params.v_stride + kv_head + c];
                }
                workgroupBarrier();
                z = add_weighted(z, part, x, y);
                workgroupBarrier();
            }
            if (c0 + x < params.head_dim4) {
                if (stored.x) {
                    o[o_row.x + c] = z.row0;
                }
                if (stored.y) {
                    o[o_row.y + c] = z.row1;
                }
                if (stored.z) {
                    o[o_row.z + c] = z.row2;
                }
                if (stored.w) {
                    o[o_row.w + c] = z.row3;
                }
            }
        }
    }
    if (x == 0u) {
        let sums = row_max + log(row_sum);
        let index = token * params.kv_heads * params.group + head;
        if (stored.x) {
            lse[index.x] = sums.x;
        }
        if (stored.y) {
            lse[index.y] = sums.y;
        }
        if (stored.z) {
            lse[index.z] = sums.z;
        }
        if (stored.w) {
            lse[index.w] = sums.w;
        }
    }
}
