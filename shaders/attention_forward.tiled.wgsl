// Attention forward: o = softmax(scale * q k^T) v with causal, per-sequence and sliding-window masks, and the log-sum-exp of each row.
// Saves the scores: none of the tokens x tokens numbers ever reaches memory, and keys that no row of a tile sees are not read.
// For GPUs: tiles of 32 rows x 64 keys, 8 x 4 or 4 x 4 a thread, through 12 KiB of workgroup memory; sums of up to 128 floats a head stay in registers.
// use: shared/step.wgsl
// use: shared/attention.wgsl
// use: shared/attention_rows.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> starts: array<u32>;
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
/// (tokens, heads): the log-sum-exp, and room for what the backward pass adds.
@group(0) @binding(7) var<storage, read_write> row_sums: array<vec2<f32>>;

/// Slices of 64 floats of a head whose sums a thread keeps in registers: 1 or 2; 0 for longer heads, whose sums lie in the output.
override SLICES: u32 = 1u;
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

// Scores of a row with the keys j + 0..3, those it does not see masked.
fn masked4(products: vec4<f32>, row: u32, j: u32) -> vec4<f32> {
    let token = row / params.group;
    let keys = j + vec4<u32>(0u, 1u, 2u, 3u);
    let seen = (keys >= vec4<u32>(first_key(token))) & (keys <= vec4<u32>(step.position + token));
    return select(vec4<f32>(MASKED), scores4(products), seen);
}

// Masked scores of a tile; rows past the last one repeat it.
fn masked_tile(t: Tile, row: u32, last: u32, j: u32) -> Tile {
    let a = mat4x4<f32>(
        masked4(t.a[0], min(row, last), j), masked4(t.a[1], min(row + 1u, last), j),
        masked4(t.a[2], min(row + 2u, last), j), masked4(t.a[3], min(row + 3u, last), j));
    if (ROWS == 4u) {
        return Tile(a, a);
    }
    return Tile(a, mat4x4<f32>(
        masked4(t.b[0], min(row + 4u, last), j), masked4(t.b[1], min(row + 5u, last), j),
        masked4(t.b[2], min(row + 6u, last), j), masked4(t.b[3], min(row + 7u, last), j)));
}

fn largest(v: vec4<f32>) -> f32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn total(v: vec4<f32>) -> f32 {
    return v.x + v.y + v.z + v.w;
}

// Where a row's head begins in a matrix of this stride.
fn row_start(row: u32, kv_head: u32, stride: u32) -> u32 {
    let token = row / params.group;
    return token * stride + (kv_head * params.group + row - token * params.group) * params.head_dim4;
}

// Stages 16 keys' values: a slice from c0 on.
fn stage_values(j: u32, end: u32, kv_head: u32, c0: u32, thread: u32) {
    let c = kv_head * params.head_dim4 + min(c0 + thread % 16u, params.head_dim4 - 1u);
    for (var n = thread / 16u; n < PART; n += THREADS / 16u) {
        staged[SECOND + 16u * n + thread % 16u] = v[min(j + n, end - 1u) * params.v_stride + c];
    }
}

// Adds the tile's values, weighted: a slice from c0 on.
fn add_values(tile: Tile, j: u32, end: u32, kv_head: u32, c0: u32, thread: u32) -> Tile {
    var t = tile;
    for (var part = 0u; part < KEYS / PART && j + part * PART < end; part++) {
        stage_values(j + part * PART, end, kv_head, c0, thread);
        workgroupBarrier();
        t = add_weighted(t, part, thread % 16u, thread / 16u);
        workgroupBarrier();
    }
    return t;
}

// The sums of a row over the tiles before this one; they lie in o, which holds anything before the first tile, even NaN.
fn kept(factor: f32, index: u32, first: bool) -> vec4<f32> {
    return select(factor * o[index], vec4<f32>(0.0), first);
}

// Stores a slice of a row.
fn store(sums: vec4<f32>, row: u32, rows: u32, kv_head: u32, c: u32) {
    if (row < rows && c < params.head_dim4) {
        o[row_start(row, kv_head, params.o_stride) + c] = sums;
    }
}

fn store_tile(t: Tile, row: u32, rows: u32, kv_head: u32, c: u32) {
    store(t.a[0], row, rows, kv_head, c);
    store(t.a[1], row + 1u, rows, kv_head, c);
    store(t.a[2], row + 2u, rows, kv_head, c);
    store(t.a[3], row + 3u, rows, kv_head, c);
    if (ROWS == 8u) {
        store(t.b[0], row + 4u, rows, kv_head, c);
        store(t.b[1], row + 5u, rows, kv_head, c);
        store(t.b[2], row + 6u, rows, kv_head, c);
        store(t.b[3], row + 7u, rows, kv_head, c);
    }
}

fn load(factor: f32, row: u32, rows: u32, kv_head: u32, c: u32, first: bool) -> vec4<f32> {
    return kept(factor, row_start(min(row, rows - 1u), kv_head, params.o_stride) + min(c, params.head_dim4 - 1u), first);
}

fn load_tile(a: vec4<f32>, b: vec4<f32>, row: u32, rows: u32, kv_head: u32, c: u32, first: bool) -> Tile {
    return Tile(
        mat4x4<f32>(
            load(a.x, row, rows, kv_head, c, first), load(a.y, row + 1u, rows, kv_head, c, first),
            load(a.z, row + 2u, rows, kv_head, c, first), load(a.w, row + 3u, rows, kv_head, c, first)),
        mat4x4<f32>(
            load(b.x, row + 4u, rows, kv_head, c, first), load(b.y, row + 5u, rows, kv_head, c, first),
            load(b.z, row + 6u, rows, kv_head, c, first), load(b.w, row + 7u, rows, kv_head, c, first)));
}

fn store_sum(sum: f32, row: u32, rows: u32, kv_head: u32) {
    if (row < rows) {
        let token = row / params.group;
        row_sums[token * params.kv_heads * params.group + kv_head * params.group + row - token * params.group].x = sum;
    }
}

// Dispatch: (kv_heads, ceil(tokens * group / 32), 1), the longest tiles, which are the last, first.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let rows = params.tokens * params.group;
    let row0 = (workgroups.y - 1u - workgroup.y) * OWNED;
    let kv_head = workgroup.x;
    let x = thread % 16u;
    let y = thread / 16u;
    // Rows past the end compute the last row again and store nothing.
    let row = row0 + ROWS * y;
    let last = rows - 1u;
    let depth = thread % DEPTH;

    // The keys that any row of the tile sees: sequences lie one after the other, so the first row starts first.
    let first = first_key(row0 / params.group);
    let end = min(step.position + min(row0 + OWNED - 1u, last) / params.group + 1u, params.key_rows);

    var max_a = vec4<f32>(LOWEST);
    var max_b = vec4<f32>(LOWEST);
    // Of this thread's keys; the sums of a row's threads are added up at the end.
    var sum_a = vec4<f32>(0.0);
    var sum_b = vec4<f32>(0.0);
    var o0 = zero_tile();
    var o1 = zero_tile();
    for (var j = first; j < end; j += KEYS) {
        var s = zero_tile();
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
        s = masked_tile(s, row, last, j + 4u * x);
        // Online softmax: the sums are relative to the largest score so far.
        staged[2u * thread] = vec4<f32>(largest(s.a[0]), largest(s.a[1]), largest(s.a[2]), largest(s.a[3]));
        staged[2u * thread + 1u] = vec4<f32>(largest(s.b[0]), largest(s.b[1]), largest(s.b[2]), largest(s.b[3]));
        workgroupBarrier();
        var new_a = max_a;
        var new_b = max_b;
        for (var n = 0u; n < 16u; n++) {
            new_a = max(new_a, staged[2u * (16u * y + n)]);
            new_b = max(new_b, staged[2u * (16u * y + n) + 1u]);
        }
        workgroupBarrier();
        s = Tile(
            mat4x4<f32>(exp(s.a[0] - new_a.x), exp(s.a[1] - new_a.y), exp(s.a[2] - new_a.z), exp(s.a[3] - new_a.w)),
            mat4x4<f32>(exp(s.b[0] - new_b.x), exp(s.b[1] - new_b.y), exp(s.b[2] - new_b.z), exp(s.b[3] - new_b.w)));
        let keep_a = exp(max_a - new_a);
        let keep_b = exp(max_b - new_b);
        sum_a = sum_a * keep_a + vec4<f32>(total(s.a[0]), total(s.a[1]), total(s.a[2]), total(s.a[3]));
        sum_b = sum_b * keep_b + vec4<f32>(total(s.b[0]), total(s.b[1]), total(s.b[2]), total(s.b[3]));
        max_a = new_a;
        max_b = new_b;
        o0 = scaled(o0, keep_a, keep_b);
        if (SLICES == 2u) {
            o1 = scaled(o1, keep_a, keep_b);
        }
        store_weights(s, x, y);
        if (SLICES > 0u) {
            o0 = add_values(o0, j, end, kv_head, 0u, thread);
            if (SLICES == 2u) {
                o1 = add_values(o1, j, end, kv_head, 16u, thread);
            }
        } else {
            for (var c0 = 0u; c0 < params.head_dim4; c0 += 16u) {
                let z = load_tile(keep_a, keep_b, row, rows, kv_head, c0 + x, j == first);
                store_tile(add_values(z, j, end, kv_head, c0, thread), row, rows, kv_head, c0 + x);
            }
        }
    }
    // The sums of the weights, of all threads of a row.
    staged[2u * thread] = sum_a;
    staged[2u * thread + 1u] = sum_b;
    workgroupBarrier();
    sum_a = vec4<f32>(0.0);
    sum_b = vec4<f32>(0.0);
    for (var n = 0u; n < 16u; n++) {
        sum_a += staged[2u * (16u * y + n)];
        sum_b += staged[2u * (16u * y + n) + 1u];
    }
    // Filling rows past a cache's end see no key and get zeros.
    let inverse_a = select(vec4<f32>(0.0), 1.0 / sum_a, sum_a > vec4<f32>(0.0));
    let inverse_b = select(vec4<f32>(0.0), 1.0 / sum_b, sum_b > vec4<f32>(0.0));
    if (SLICES > 0u) {
        store_tile(scaled(o0, inverse_a, inverse_b), row, rows, kv_head, x);
        if (SLICES == 2u) {
            store_tile(scaled(o1, inverse_a, inverse_b), row, rows, kv_head, 16u + x);
        }
    } else {
        for (var c = x; c < params.head_dim4; c += 16u) {
            store_tile(load_tile(inverse_a, inverse_b, row, rows, kv_head, c, false), row, rows, kv_head, c);
        }
    }
    if (x == 0u) {
        let sums_a = max_a + log(sum_a);
        let sums_b = max_b + log(sum_b);
        store_sum(sums_a.x, row, rows, kv_head);
        store_sum(sums_a.y, row + 1u, rows, kv_head);
        store_sum(sums_a.z, row + 2u, rows, kv_head);
        store_sum(sums_a.w, row + 3u, rows, kv_head);
        if (ROWS == 8u) {
            store_sum(sums_b.x, row + 4u, rows, kv_head);
            store_sum(sums_b.y, row + 5u, rows, kv_head);
            store_sum(sums_b.z, row + 6u, rows, kv_head);
            store_sum(sums_b.w, row + 7u, rows, kv_head);
        }
    }
}
