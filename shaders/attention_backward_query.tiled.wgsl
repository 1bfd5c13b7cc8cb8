// Attention backward, queries: d_q = (p * (d_o v^T - delta)) k * scale, with p recomputed from the log-sum-exp.
// Saves the probabilities (nothing of size tokens x tokens is kept from the forward) and needs no atomics: each row of d_q has one owner.
// Makes delta = sum of d_o * o of its rows itself and leaves it for the pass over keys.
// For GPUs: tiles of 32 rows x 64 keys, 8 x 4 or 4 x 4 a thread, through 12 KiB of workgroup memory; sums of up to 128 floats a head stay in registers.
// use: shared/attention.wgsl
// use: shared/attention_rows.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> o: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> starts: array<u32>;
/// (tokens, heads): the log-sum-exp, and delta.
@group(0) @binding(7) var<storage, read_write> row_sums: array<vec2<f32>>;
@group(0) @binding(8) var<storage, read_write> d_q: array<vec4<f32>>;

/// Slices of 64 floats of a head whose sums a thread keeps in registers: 1 or 2; 0 for longer heads, whose sums lie in the output.
override SLICES: u32 = 1u;

// First key that query token i sees.
fn first_key(i: u32) -> u32 {
    return max(starts[i], window_start(i));
}

// Where a row's head begins in a matrix of this stride.
fn row_start(row: u32, kv_head: u32, stride: u32) -> u32 {
    let token = row / params.group;
    return token * stride + (kv_head * params.group + row - token * params.group) * params.head_dim4;
}

// A row's place among row_sums.
fn place_of(row: u32, kv_head: u32) -> u32 {
    let token = row / params.group;
    return token * params.kv_heads * params.group + kv_head * params.group + row - token * params.group;
}

// d(loss) / d(dot product) of a row with the keys j + 0..3.
fn d_products4(products: vec4<f32>, d_p: vec4<f32>, row: u32, kv_head: u32, j: u32) -> vec4<f32> {
    let token = row / params.group;
    let sums = row_sums[place_of(row, kv_head)];
    let keys = j + vec4<u32>(0u, 1u, 2u, 3u);
    let seen = (keys >= vec4<u32>(first_key(token))) & (keys <= vec4<u32>(token));
    let scores = scores4(products);
    // Masked before exp: the score of an unseen key may exceed the log-sum-exp by any amount.
    let p = exp(select(vec4<f32>(MASKED), scores - sums.x, seen));
    return p * (d_p - sums.y) * scores_slope4(scores);
}

// The same for a tile; rows past the last one repeat it.
fn d_products(s: Tile, d_p: Tile, row: u32, last: u32, kv_head: u32, j: u32) -> Tile {
    let a = mat4x4<f32>(
        d_products4(s.a[0], d_p.a[0], min(row, last), kv_head, j), d_products4(s.a[1], d_p.a[1], min(row + 1u, last), kv_head, j),
        d_products4(s.a[2], d_p.a[2], min(row + 2u, last), kv_head, j), d_products4(s.a[3], d_p.a[3], min(row + 3u, last), kv_head, j));
    if (ROWS == 4u) {
        return Tile(a, a);
    }
    return Tile(a, mat4x4<f32>(
        d_products4(s.b[0], d_p.b[0], min(row + 4u, last), kv_head, j), d_products4(s.b[1], d_p.b[1], min(row + 5u, last), kv_head, j),
        d_products4(s.b[2], d_p.b[2], min(row + 6u, last), kv_head, j), d_products4(s.b[3], d_p.b[3], min(row + 7u, last), kv_head, j)));
}

// A sixteenth of a row's delta: every sixteenth vec4 of its head from x on.
fn part_of_delta(row: u32, last: u32, kv_head: u32, x: u32) -> f32 {
    let o_row = row_start(min(row, last), kv_head, params.o_stride);
    let d_o_row = row_start(min(row, last), kv_head, params.d_o_stride);
    var sum = vec4<f32>(0.0);
    for (var c = x; c < params.head_dim4; c += 16u) {
        sum = fma(o[o_row + c], d_o[d_o_row + c], sum);
    }
    return sum.x + sum.y + sum.z + sum.w;
}

// Leaves delta of the workgroup's rows for all its threads and for the pass over keys. To be called by all of them.
fn make_delta(row0: u32, last: u32, kv_head: u32, thread: u32) {
    let x = thread % 16u;
    let row = row0 + ROWS * (thread / 16u);
    for (var i = 0u; i < ROWS; i++) {
        staged[2u * thread + i / 4u][i % 4u] = part_of_delta(row + i, last, kv_head, x);
    }
    workgroupBarrier();
    if (thread < OWNED) {
        let lane = thread % ROWS;
        var delta = 0.0;
        for (var n = 0u; n < 16u; n++) {
            delta += staged[2u * (16u * (thread / ROWS) + n) + lane / 4u][lane % 4u];
        }
        if (row0 + thread <= last) {
            row_sums[place_of(row0 + thread, kv_head)].y = delta;
        }
    }
    storageBarrier();
    workgroupBarrier();
}

// Adds the tile's keys, weighted: a slice from c0 on.
fn add_keys(tile: Tile, j: u32, end: u32, kv_head: u32, c0: u32, thread: u32) -> Tile {
    var t = tile;
    let c = kv_head * params.head_dim4 + min(c0 + thread % 16u, params.head_dim4 - 1u);
    for (var part = 0u; part < KEYS / PART && j + part * PART < end; part++) {
        for (var n = thread / 16u; n < PART; n += THREADS / 16u) {
            staged[SECOND + 16u * n + thread % 16u] = k[min(j + part * PART + n, end - 1u) * params.k_stride + c];
        }
        workgroupBarrier();
        t = add_weighted(t, part, thread % 16u, thread / 16u);
        workgroupBarrier();
    }
    return t;
}

// A slice of a row of d_q, which holds the sum so far. Selected, not multiplied by 0: before the first tile d_q holds anything, even NaN.
fn load(row: u32, last: u32, kv_head: u32, c: u32, from_zero: bool) -> vec4<f32> {
    let at = row_start(min(row, last), kv_head, params.d_q_stride) + min(c, params.head_dim4 - 1u);
    return select(d_q[at], vec4<f32>(0.0), from_zero);
}

fn load_tile(row: u32, last: u32, kv_head: u32, c: u32, from_zero: bool) -> Tile {
    let a = mat4x4<f32>(
        load(row, last, kv_head, c, from_zero), load(row + 1u, last, kv_head, c, from_zero),
        load(row + 2u, last, kv_head, c, from_zero), load(row + 3u, last, kv_head, c, from_zero));
    if (ROWS == 4u) {
        return Tile(a, a);
    }
    return Tile(a, mat4x4<f32>(
        load(row + 4u, last, kv_head, c, from_zero), load(row + 5u, last, kv_head, c, from_zero),
        load(row + 6u, last, kv_head, c, from_zero), load(row + 7u, last, kv_head, c, from_zero)));
}

fn store(sums: vec4<f32>, row: u32, last: u32, kv_head: u32, c: u32) {
    if (row <= last && c < params.head_dim4) {
        d_q[row_start(row, kv_head, params.d_q_stride) + c] = sums;
    }
}

fn store_tile(t: Tile, row: u32, last: u32, kv_head: u32, c: u32) {
    store(t.a[0], row, last, kv_head, c);
    store(t.a[1], row + 1u, last, kv_head, c);
    store(t.a[2], row + 2u, last, kv_head, c);
    store(t.a[3], row + 3u, last, kv_head, c);
    if (ROWS == 8u) {
        store(t.b[0], row + 4u, last, kv_head, c);
        store(t.b[1], row + 5u, last, kv_head, c);
        store(t.b[2], row + 6u, last, kv_head, c);
        store(t.b[3], row + 7u, last, kv_head, c);
    }
}

// Dispatch: (kv_heads, ceil(tokens * group / 32), 1), the longest tiles, which are the last, first.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row0 = (workgroups.y - 1u - workgroup.y) * OWNED;
    let kv_head = workgroup.x;
    let x = thread % 16u;
    let y = thread / 16u;
    // Rows past the end compute the last row again and store nothing.
    let row = row0 + ROWS * y;
    let last = params.tokens * params.group - 1u;
    let depth = thread % DEPTH;

    // The keys that any row of the tile sees: sequences lie one after the other, so the first row starts first.
    let first = first_key(row0 / params.group);
    let end = min(row0 + OWNED - 1u, last) / params.group + 1u;

    make_delta(row0, last, kv_head, thread);

    // From zero, or from what is there.
    let from_zero = starts_from_zero(true, 1u);
    var z0 = zero_tile();
    var z1 = zero_tile();
    if (SLICES > 0u) {
        z0 = load_tile(row, last, kv_head, x, from_zero);
    }
    if (SLICES == 2u) {
        z1 = load_tile(row, last, kv_head, 16u + x, from_zero);
    }
    for (var j = first; j < end; j += KEYS) {
        var s = zero_tile();
        var d_p = zero_tile();
        for (var c0 = 0u; c0 < params.head_dim4; c0 += DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            let inside = c0 + depth < params.head_dim4;
            for (var n = thread / DEPTH; n < OWNED; n += THREADS / DEPTH) {
                staged[row_place(n, depth)] = select(vec4<f32>(0.0), q[row_start(min(row0 + n, last), kv_head, params.q_stride) + c], inside);
            }
            for (var n = thread / DEPTH; n < KEYS; n += THREADS / DEPTH) {
                staged[key_place(n, depth)] = k[min(j + n, end - 1u) * params.k_stride + kv_head * params.head_dim4 + c];
            }
            workgroupBarrier();
            s = add_products(s, x, y);
            workgroupBarrier();
        }
        for (var c0 = 0u; c0 < params.head_dim4; c0 += DEPTH) {
            let c = min(c0 + depth, params.head_dim4 - 1u);
            let inside = c0 + depth < params.head_dim4;
            for (var n = thread / DEPTH; n < OWNED; n += THREADS / DEPTH) {
                staged[row_place(n, depth)] = select(vec4<f32>(0.0), d_o[row_start(min(row0 + n, last), kv_head, params.d_o_stride) + c], inside);
            }
            for (var n = thread / DEPTH; n < KEYS; n += THREADS / DEPTH) {
                staged[key_place(n, depth)] = v[min(j + n, end - 1u) * params.v_stride + kv_head * params.head_dim4 + c];
            }
            workgroupBarrier();
            d_p = add_products(d_p, x, y);
            workgroupBarrier();
        }
        store_weights(d_products(s, d_p, row, last, kv_head, j + 4u * x), x, y);
        if (SLICES > 0u) {
            z0 = add_keys(z0, j, end, kv_head, 0u, thread);
            if (SLICES == 2u) {
                z1 = add_keys(z1, j, end, kv_head, 16u, thread);
            }
        } else {
            for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
                let z = load_tile(row, last, kv_head, c0 + x, from_zero && j == first);
                store_tile(add_keys(z, j, end, kv_head, c0, thread), row, last, kv_head, c0 + x);
            }
        }
    }
    if (SLICES > 0u) {
        store_tile(z0, row, last, kv_head, x);
    }
    if (SLICES == 2u) {
        store_tile(z1, row, last, kv_head, 16u + x);
    }
}
