// Attention backward, keys: d_v = p^T d_o and d_k = (p * (d_o v^T - delta))^T q * scale, summed over all query heads that share the key, or for each of them.
// Saves the probabilities (recomputed from the log-sum-exp) and needs no atomics: each key has one owner, which walks over the queries that see it.
// For GPUs: tiles of 32 keys x 64 rows, 8 x 4 or 4 x 4 a thread, through 12 KiB of workgroup memory; sums of up to 64 floats a head stay in registers.
// use: shared/attention.wgsl
// use: shared/attention_rows.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> ends: array<u32>;
@group(0) @binding(7) var<storage, read_write> d_k: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> d_v: array<vec4<f32>>;

/// Query heads that a workgroup walks over: all that share a key (params.group), or 1: then d_k and d_v have the columns of q, and attention_sum.wgsl
/// adds those up that belong together.
override HEADS: u32 = 1u;
/// How many of d_v and d_k a thread keeps in registers: 2, only d_v (1), or none (0), as for heads of more than 64 floats.
override KEPT: u32 = 2u;

// Query tokens below this one see key j (those from j on).
fn last_query(j: u32) -> u32 {
    let length = ends[j] - j;
    return j + min(length, params.window);
}

// Where a row (at most end - 1) of the heads from `head` on begins in a matrix of this stride.
fn row_start(row: u32, head: u32, stride: u32) -> u32 {
    let token = row / HEADS;
    return token * stride + (head + row - token * HEADS) * params.head_dim4;
}

// Four rows as a thread sees them beside its keys: token (none for rows past the end), log-sum-exp and delta of each.
struct Rows {
    token: vec4<u32>,
    lse: vec4<f32>,
    delta: vec4<f32>,
}

fn rows_at(r: u32, end: u32, head: u32) -> Rows {
    let row = r + vec4<u32>(0u, 1u, 2u, 3u);
    let inside = min(row, vec4<u32>(end - 1u));
    let token = inside / HEADS;
    let index = token * params.kv_heads * params.group + head + inside - token * HEADS;
    let sums0 = row_sums[index.x];
    let sums1 = row_sums[index.y];
    let sums2 = row_sums[index.z];
    let sums3 = row_sums[index.w];
    return Rows(
        select(vec4<u32>(0xffffffffu), token, row < vec4<u32>(end)),
        vec4<f32>(sums0.x, sums1.x, sums2.x, sums3.x),
        vec4<f32>(sums0.y, sums1.y, sums2.y, sums3.y));
}

// Probabilities of a key in four rows, 0 where a row does not see it.
fn probabilities4(products: vec4<f32>, rows: Rows, key: u32) -> vec4<f32> {
    let j = min(key, params.tokens - 1u);
    let seen = (rows.token >= vec4<u32>(j)) & (rows.token < vec4<u32>(last_query(j)));
    // Masked before exp: the score of an unseen key may exceed the log-sum-exp by any amount.
    return exp(select(vec4<f32>(MASKED), scores4(products) - rows.lse, seen));
}

fn probabilities(s: Tile, rows: Rows, key: u32) -> Tile {
    let a = mat4x4<f32>(
        probabilities4(s.a[0], rows, key), probabilities4(s.a[1], rows, key + 1u),
        probabilities4(s.a[2], rows, key + 2u), probabilities4(s.a[3], rows, key + 3u));
    if (ROWS == 4u) {
        return Tile(a, a);
    }
    return Tile(a, mat4x4<f32>(
        probabilities4(s.b[0], rows, key + 4u), probabilities4(s.b[1], rows, key + 5u),
        probabilities4(s.b[2], rows, key + 6u), probabilities4(s.b[3], rows, key + 7u)));
}

// d(loss) / d(dot product) for probabilities p.
fn d_products4(p: vec4<f32>, d_p: vec4<f32>, delta: vec4<f32>, products: vec4<f32>) -> vec4<f32> {
    return p * (d_p - delta) * scores_slope4(scores4(products));
}

fn d_products(p: Tile, d_p: Tile, delta: vec4<f32>, s: Tile) -> Tile {
    let a = mat4x4<f32>(
        d_products4(p.a[0], d_p.a[0], delta, s.a[0]), d_products4(p.a[1], d_p.a[1], delta, s.a[1]),
        d_products4(p.a[2], d_p.a[2], delta, s.a[2]), d_products4(p.a[3], d_p.a[3], delta, s.a[3]));
    if (ROWS == 4u) {
        return Tile(a, a);
    }
    return Tile(a, mat4x4<f32>(
        d_products4(p.b[0], d_p.b[0], delta, s.b[0]), d_products4(p.b[1], d_p.b[1], delta, s.b[1]),
        d_products4(p.b[2], d_p.b[2], delta, s.b[2]), d_products4(p.b[3], d_p.b[3], delta, s.b[3])));
}

// Adds a slice from c0 on of the tile's rows of d_o, weighted.
fn add_gradients(tile: Tile, r: u32, end: u32, head: u32, c0: u32, thread: u32) -> Tile {
    var t = tile;
    let c = min(c0 + thread % 16u, params.head_dim4 - 1u);
    for (var part = 0u; part < KEYS / PART && r + part * PART < end; part++) {
        for (var n = thread / 16u; n < PART; n += THREADS / 16u) {
            staged[SECOND + 16u * n + thread % 16u] = d_o[row_start(min(r + part * PART + n, end - 1u), head, params.d_o_stride) + c];
        }
        workgroupBarrier();
        t = add_weighted(t, part, thread % 16u, thread / 16u);
        workgroupBarrier();
    }
    return t;
}

// Adds a slice from c0 on of the tile's rows of q, weighted.
fn add_queries(tile: Tile, r: u32, end: u32, head: u32, c0: u32, thread: u32) -> Tile {
    var t = tile;
    let c = min(c0 + thread % 16u, params.head_dim4 - 1u);
    for (var part = 0u; part < KEYS / PART && r + part * PART < end; part++) {
        for (var n = thread / 16u; n < PART; n += THREADS / 16u) {
            staged[SECOND + 16u * n + thread % 16u] = q[row_start(min(r + part * PART + n, end - 1u), head, params.q_stride) + c];
        }
        workgroupBarrier();
        t = add_weighted(t, part, thread % 16u, thread / 16u);
        workgroupBarrier();
    }
    return t;
}

// Where a slice of a key's gradient lies.
fn place(key: u32, column: u32, c: u32, stride: u32) -> u32 {
    return min(key, params.tokens - 1u) * stride + column + min(c, params.head_dim4 - 1u);
}

// The sum so far. Selected, not multiplied by 0: before the first tile d_v and d_k hold anything, even NaN.
fn load_v(key: u32, column: u32, c: u32, from_zero: bool) -> vec4<f32> {
    return select(d_v[place(key, column, c, params.d_v_stride)], vec4<f32>(0.0), from_zero);
}

fn load_k(key: u32, column: u32, c: u32, from_zero: bool) -> vec4<f32> {
    return select(d_k[place(key, column, c, params.d_k_stride)], vec4<f32>(0.0), from_zero);
}

fn load_tile_v(key: u32, column: u32, c: u32, zero: bool) -> Tile {
    let a = mat4x4<f32>(load_v(key, column, c, zero), load_v(key + 1u, column, c, zero), load_v(key + 2u, column, c, zero), load_v(key + 3u, column, c, zero));
    if (ROWS == 4u) {
        return Tile(a, a);
    }
    return Tile(a, mat4x4<f32>(load_v(key + 4u, column, c, zero), load_v(key + 5u, column, c, zero), load_v(key + 6u, column, c, zero), load_v(key + 7u, column, c, zero)));
}

fn load_tile_k(key: u32, column: u32, c: u32, zero: bool) -> Tile {
    let a = mat4x4<f32>(load_k(key, column, c, zero), load_k(key + 1u, column, c, zero), load_k(key + 2u, column, c, zero), load_k(key + 3u, column, c, zero));
    if (ROWS == 4u) {
        return Tile(a, a);
    }
    return Tile(a, mat4x4<f32>(load_k(key + 4u, column, c, zero), load_k(key + 5u, column, c, zero), load_k(key + 6u, column, c, zero), load_k(key + 7u, column, c, zero)));
}

fn store_v(sums: vec4<f32>, key: u32, column: u32, c: u32) {
    if (key < params.tokens && c < params.head_dim4) {
        d_v[key * params.d_v_stride + column + c] = sums;
    }
}

fn store_k(sums: vec4<f32>, key: u32, column: u32, c: u32) {
    if (key < params.tokens && c < params.head_dim4) {
        d_k[key * params.d_k_stride + column + c] = sums;
    }
}

fn store_tile_v(t: Tile, key: u32, column: u32, c: u32) {
    store_v(t.a[0], key, column, c);
    store_v(t.a[1], key + 1u, column, c);
    store_v(t.a[2], key + 2u, column, c);
    store_v(t.a[3], key + 3u, column, c);
    if (ROWS == 8u) {
        store_v(t.b[0], key + 4u, column, c);
        store_v(t.b[1], key + 5u, column, c);
        store_v(t.b[2], key + 6u, column, c);
        store_v(t.b[3], key + 7u, column, c);
    }
}

fn store_tile_k(t: Tile, key: u32, column: u32, c: u32) {
    store_k(t.a[0], key, column, c);
    store_k(t.a[1], key + 1u, column, c);
    store_k(t.a[2], key + 2u, column, c);
    store_k(t.a[3], key + 3u, column, c);
    if (ROWS == 8u) {
        store_k(t.b[0], key + 4u, column, c);
        store_k(t.b[1], key + 5u, column, c);
        store_k(t.b[2], key + 6u, column, c);
        store_k(t.b[3], key + 7u, column, c);
    }
}

// Dispatch: (kv_heads * group / HEADS, ceil(tokens / 32), 1): the longest tiles, which are those of the first keys, come first.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let key0 = workgroup.y * OWNED;
    let head = workgroup.x * HEADS;
    let kv_column = head / params.group * params.head_dim4;
    let column = workgroup.x * params.head_dim4;
    let x = thread % 16u;
    let y = thread / 16u;
    // Keys past the end compute the last key again and store nothing.
    let key = key0 + ROWS * y;
    let depth = thread % DEPTH;

    // The rows that see any key of the tile: sequences lie one after the other, so the last key is seen longest.
    let first = key0 * HEADS;
    let end = last_query(min(key0 + OWNED - 1u, params.tokens - 1u)) * HEADS;

    let v_from_zero = starts_from_zero(true, 4u);
    let k_from_zero = starts_from_zero(true, 2u);
    var z_v = zero_tile();
    var z_k = zero_tile();
    if (KEPT > 0u) {
        z_v = load_tile_v(key, column, x, v_from_zero);
    }
    if (KEPT > 1u) {
        z_k = load_tile_k(key, column, x, k_from_zero);
    }
    for (var r = first; r < end; r += KEYS) {
        var s = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            let inside = c0 + depth < params.head_dim4;
            for (var n = thread / DEPTH; n < OWNED; n += THREADS / DEPTH) {
                staged[row_place(n, depth)] = select(vec4<f32>(0.0), k[min(key0 + n, params.tokens - 1u) * params.k_stride + kv_column + c], inside);
            }
            for (var n = thread / DEPTH; n < KEYS; n += THREADS / DEPTH) {
                staged[key_place(n, depth)] = q[row_start(min(r + n, end - 1u), head, params.q_stride) + c];
            }
            workgroupBarrier();
            s = add_products(s, x, y);
            workgroupBarrier();
        }
        let rows = rows_at(r + 4u * x, end, head);
        let p = probabilities(s, rows, key);
        store_weights(p, x, y);
        if (KEPT > 0u) {
            z_v = add_gradients(z_v, r, end, head, 0u, thread);
        } else {
            for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
                let z = load_tile_v(key, column, c0 + x, v_from_zero && r == first);
                store_tile_v(add_gradients(z, r, end, head, c0, thread), key, column, c0 + x);
            }
        }

        var d_p = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            let inside = c0 + depth < params.head_dim4;
            for (var n = thread / DEPTH; n < OWNED; n += THREADS / DEPTH) {
                staged[row_place(n, depth)] = select(vec4<f32>(0.0), v[min(key0 + n, params.tokens - 1u) * params.v_stride + kv_column + c], inside);
            }
            for (var n = thread / DEPTH; n < KEYS; n += THREADS / DEPTH) {
                staged[key_place(n, depth)] = d_o[row_start(min(r + n, end - 1u), head, params.d_o_stride) + c];
            }
            workgroupBarrier();
            d_p = add_products(d_p, x, y);
            workgroupBarrier();
        }
        store_weights(d_products(p, d_p, rows.delta, s), x, y);
        if (KEPT > 1u) {
            z_k = add_queries(z_k, r, end, head, 0u, thread);
        } else {
            for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
                let z = load_tile_k(key, column, c0 + x, k_from_zero && r == first);
                store_tile_k(add_queries(z, r, end, head, c0, thread), key, column, c0 + x);
            }
        }
    }
    if (KEPT > 0u) {
        store_tile_v(z_v, key, column, x);
    }
    if (KEPT > 1u) {
        store_tile_k(z_k, key, column, x);
    }
}
