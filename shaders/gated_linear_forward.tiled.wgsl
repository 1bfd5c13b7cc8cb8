// gate = x·Wgᵀ, up = x·Wuᵀ and h = act(gate) · up for GPUs, each product with bias and second product as in linear_forward.tiled: the first half of a gated MLP.
// Saves a pass over both products: they are turned into h in the registers in which they were summed, and written once for the backward pass.
// A tile has as many columns of gate as of up, those that belong together in one thread: its second block of columns is up's. k is whole.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// option TILE: f32 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/forward_tiles.wgsl
// use: shared/activation.wgsl
// unchecked: every index into a tile is made of the thread's number and the step, both below what its memory is sized by; a table of codes has one for each

/// gate (m, n / 2), then up: the two y.
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;
/// (m, n / 2); n / 2 is a multiple of the columns of half a tile.
@group(0) @binding(7) var<storage, read_write> h: array<vec4<f32>>;

/// Four columns of row m of both x2, one after the other.
fn input_seconds(m: u32, k: u32) -> vec4<f32> {
    let width = params.second4 + params.second4_1;
    let row = min(m, params.m - 1u);
    var at = params.x2_first + row * params.x2_stride + k;
    if (k >= params.second4) {
        at = params.x2_first_1 + row * params.x2_stride_1 + min(k, width - 1u) - params.second4;
    }
    return select(vec4<f32>(0.0), x2[at], k < width);
}

/// Four columns of row n of both W2, where the other one's are zero.
fn weight_seconds(n: u32, k: u32) -> vec4<f32> {
    let row = min(n, params.n - 1u);
    if (n < 4u * params.cut1) {
        return select(vec4<f32>(0.0), w2[params.w2_first + row * params.w2_stride + k], k < params.second4);
    }
    let column = k - params.second4;
    let inside = k >= params.second4 && column < params.second4_1;
    return select(vec4<f32>(0.0), w2[params.w2_first_1 + row * params.w2_stride_1 + column], inside);
}

fn write(row: u32, column: u32, gate_sums: vec4<f32>, up_sums: vec4<f32>) {
    if (row >= params.m) {
        return;
    }
    var gate = gate_sums * SCALE;
    var up = up_sums * SCALE;
    let up_column = params.cut1 + column;
    if (BIAS) {
        gate += bias[column];
        up += bias[up_column];
    }
    y[params.y_first + row * params.y_stride + column] = gate;
    y[params.y1_first + row * params.y1_stride + up_column] = up;
    h[row * params.cut1 + column] = activation(gate) * up;
}

fn write_block(row: u32, column: u32, gates: mat4x4<f32>, ups: mat4x4<f32>) {
    let g = transpose(gates);
    let u = transpose(ups);
    write(row, column, g[0], u[0]);
    write(row + 1u, column, g[1], u[1]);
    write(row + 2u, column, g[2], u[2]);
    write(row + 3u, column, g[3], u[3]);
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    begin(index);
    let row = tile.y * tile_rows();
    let column = tile.x * 4u * THREADS_X;
    // What this thread fetches: four rows of x and four of W, of gate or of up.
    let own4 = index % (STEPS / 4u);
    let group = index / (STEPS / 4u);
    let own_row = row + group * 4u;
    let own_column = column + group % THREADS_X * 4u + select(0u, 4u * params.cut1, group >= THREADS_X);
    var s = products(0u, own_row, own_column, thread, index);
    if (SECOND) {
        for (var k = 0u; k < params.second4 + params.second4_1; k += STEPS / 4u) {
            let at = k + own4;
            put_rows(index, mat4x4<f32>(
                input_seconds(own_row, at), input_seconds(own_row + 1u, at),
                input_seconds(own_row + 2u, at), input_seconds(own_row + 3u, at)));
            put_columns(index, mat4x4<f32>(
                weight_seconds(own_column, at), weight_seconds(own_column + 1u, at),
                weight_seconds(own_column + 2u, at), weight_seconds(own_column + 3u, at)));
            workgroupBarrier();
            s = multiply(s, thread, SWIZZLE, SWIZZLE);
            workgroupBarrier();
        }
    }
    let r = row + thread.y * 4u;
    let c = column / 4u + thread.x;
    write_block(r, c, s.c00, s.c01);
    if (ROW_BLOCKS > 1u) {
        write_block(r + 4u * THREADS_Y, c, s.c10, s.c11);
    }
}
