// Attention backward, keys: d_v = p^T d_o and d_k = (p * (d_o v^T - delta))^T q * scale, summed over all query heads that share the key.
// Saves the probabilities (recomputed from the log-sum-exp) and needs no atomics: each key has one owner, which walks over the queries that see it.
// For GPUs: tiles of 32 keys x 64 rows through 14.1 KiB of workgroup memory; d_k and d_v carry the running sums, so that no head_dim needs more registers.
// use: shared/attention.wgsl
// use: shared/attention_tile.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> ends: array<u32>;
@group(0) @binding(7) var<storage, read_write> d_k: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> d_v: array<vec4<f32>>;

// Query tokens below this one see key j (those from j on).
fn last_query(j: u32) -> u32 {
    let length = ends[j] - j;
    return j + min(length, params.window);
}

// Four rows r + 16 * 0..3 as a thread sees them beside its keys: token (none for rows past the end), log-sum-exp and delta of each.
struct Rows {
    token: vec4<u32>,
    lse: vec4<f32>,
    delta: vec4<f32>,
}

fn rows_at(r: u32, end: u32, kv_head: u32) -> Rows {
    let row = r + vec4<u32>(0u, 16u, 32u, 48u);
    let token = min(row, vec4<u32>(end - 1u)) / params.group;
    let index = token * params.kv_heads * params.group + kv_head * params.group + min(row, vec4<u32>(end - 1u)) % params.group;
    let sums0 = row_sums[index.x];
    let sums1 = row_sums[index.y];
    let sums2 = row_sums[index.z];
    let sums3 = row_sums[index.w];
    return Rows(
        select(vec4<u32>(0xffffffffu), token, row < vec4<u32>(end)),
        vec4<f32>(sums0.x, sums1.x, sums2.x, sums3.x),
        vec4<f32>(sums0.y, sums1.y, sums2.y, sums3.y));
}

// Probabilities of key j in four rows, 0 where a row does not see it: tokens j to to_token - 1 do.
fn probabilities4(products: vec4<f32>, rows: Rows, j: u32, to_token: u32) -> vec4<f32> {
    let seen = (rows.token >= vec4<u32>(j)) & (rows.token < vec4<u32>(to_token));
    // Masked before exp: the score of an unseen key may exceed the log-sum-exp by any amount.
    return exp(select(vec4<f32>(MASKED), scores4(products) - rows.lse, seen));
}

// d(loss) / d(dot product) for probabilities p.
fn d_products4(p: vec4<f32>, d_p: vec4<f32>, rows: Rows, products: vec4<f32>) -> vec4<f32> {
    return p * (d_p - rows.delta) * scores_slope4(scores4(products));
}

// The running sums of a key over the rows before this tile. Selected, not multiplied by 0: before the first tile d_v and d_k hold anything, even NaN.
fn kept_v(index: u32, from_zero: bool) -> vec4<f32> {
    return select(d_v[index], vec4<f32>(0.0), from_zero);
}

fn kept_k(index: u32, from_zero: bool) -> vec4<f32> {
    return select(d_k[index], vec4<f32>(0.0), from_zero);
}

// Where row r (at most end - 1) of this key/value head begins in a matrix of this stride.
fn row_start(r: u32, end: u32, kv_head: u32, stride: u32) -> u32 {
    let row = min(r, end - 1u);
    let token = row / params.group;
    return token * stride + (kv_head * params.group + row - token * params.group) * params.head_dim4;
}

// Dispatch: (ceil(tokens / 32), kv_heads, 1).
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let key0 = workgroup.x * OWNED;
    let x = thread % 16u;
    let y = thread / 16u;
    // Keys past the end compute the last key again and store nothing.
    let key = min(key0 + 4u * y + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.tokens - 1u));
    let stored = key0 + 4u * y + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.tokens);
    let to_token = vec4<u32>(last_query(key.x), last_query(key.y), last_query(key.z), last_query(key.w));
    let kv_head = workgroup.y * params.head_dim4;
    let d_k_row = key * params.d_k_stride + kv_head;
    let d_v_row = key * params.d_v_stride + kv_head;

    // The row of k and v that this thread stages.
    let staged_key = min(key0 + thread / TILE_DEPTH, params.tokens - 1u);
    let k_row = staged_key * params.k_stride + kv_head;
    let v_row = staged_key * params.v_stride + kv_head;
    let depth = thread % TILE_DEPTH;

    // The rows that see any key of the tile: sequences lie one after the other, so the last key is seen longest.
    let first = key0 * params.group;
    let end = last_query(min(key0 + OWNED - 1u, params.tokens - 1u)) * params.group;

    for (var r = first; r < end; r += TILE_OTHERS) {
        var s = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += TILE_DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            owned[thread] = select(vec4<f32>(0.0), k[k_row + c], c0 + depth < params.head_dim4);
            for (var n = thread / TILE_DEPTH; n < TILE_OTHERS; n += TILE_THREADS / TILE_DEPTH) {
                others[depth * OTHERS_PITCH + n] = q[row_start(r + n, end, workgroup.y, params.q_stride) + c];
            }
            workgroupBarrier();
            s = add_products(s, x, y);
            workgroupBarrier();
        }
        let rows = rows_at(r + x, end, workgroup.y);
        let p = Tile(
            probabilities4(s.row0, rows, key.x, to_token.x), probabilities4(s.row1, rows, key.y, to_token.y),
            probabilities4(s.row2, rows, key.z, to_token.z), probabilities4(s.row3, rows, key.w, to_token.w));
        store_weights(p, x, y);
        workgroupBarrier();
        let v_from_zero = starts_from_zero(r == first, 4u);
        for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
            let c = min(c0 + x, params.head_dim4 - 1u);
            var z = Tile(kept_v(d_v_row.x + c, v_from_zero), kept_v(d_v_row.y + c, v_from_zero), kept_v(d_v_row.z + c, v_from_zero), kept_v(d_v_row.w + c, v_from_zero));
            for (var part = 0u; part < 4u; part++) {
                for (var slot = y; slot < 16u; slot += TILE_THREADS / 16u) {
                    others[16u * slot + x] = d_o[row_start(r + summed_other(part, slot), end, workgroup.y, params.d_o_stride) + c];
                }
                workgroupBarrier();
                z = add_weighted(z, part, x, y);
                workgroupBarrier();
            }
            if (c0 + x < params.head_dim4) {
                if (stored.x) {
                    d_v[d_v_row.x + c] = z.row0;
                }
                if (stored.y) {
                    d_v[d_v_row.y + c] = z.row1;
                }
                if (stored.z) {
                    d_v[d_v_row.z + c] = z.row2;
                }
                if (stored.w) {
                    d_v[d_v_row.w + c] = z.row3;
                }
            }
        }

        var d_p = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += TILE_DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            owned[thread] = select(vec4<f32>(0.0), v[v_row + c], c0 + depth < params.head_dim4);
            for (var n = thread / TILE_DEPTH; n < TILE_OTHERS; n += TILE_THREADS / TILE_DEPTH) {
                others[depth * OTHERS_PITCH + n] = d_o[row_start(r + n, end, workgroup.y, params.d_o_stride) + c];
            }
            workgroupBarrier();
            d_p = add_products(d_p, x, y);
            workgroupBarrier();
        }
        store_weights(Tile(
            d_products4(p.row0, d_p.row0, rows, s.row0), d_products4(p.row1, d_p.row1, rows, s.row1),
            d_products4(p.row2, d_p.row2, rows, s.row2), d_products4(p.row3, d_p.row3, rows, s.row3)), x, y);
        workgroupBarrier();
        let k_from_zero = starts_from_zero(r == first, 2u);
        for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
            let c = min(c0 + x, params.head_dim4 - 1u);
            var z = Tile(kept_k(d_k_row.x + c, k_from_zero), kept_k(d_k_row.y + c, k_from_zero), kept_k(d_k_row.z + c, k_from_zero), kept_k(d_k_row.w + c, k_from_zero));
            for (var part = 0u; part < 4u; part++) {
                for (var slot = y; slot < 16u; slot += TILE_THREADS / 16u) {
                    others[16u * slot + x] = q[row_start(r + summed_other(part, slot), end, workgroup.y, params.q_stride) + c];
                }
                workgroupBarrier();
                z = add_weighted(z, part, x, y);
                workgroupBarrier();
            }
            if (c0 + x < params.head_dim4) {
                if (stored.x) {
                    d_k[d_k_row.x + c] = z.row0;
                }
                if (stored.y) {
                    d_k[d_k_row.y + c] = z.row1;
                }
                if (stored.z) {
                    d_k[d_k_row.z + c] = z.row2;
                }
                if (stored.w) {
                    d_k[d_k_row.w + c] = z.row3;
                }
            }
        }
    }
}
