// dgate = dh · up · act'(gate) and dup = dh · act(gate) with dh = dy·W + x2·W2 for GPUs, the product as in linear_backward_input.tiled: back through a gated MLP.
// Saves a pass over dh, which is neither written nor read: it is turned into both gradients in the registers in which it was summed.
// gate and up lie one after the other, and so do their gradients. n is whole.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// option TILE: f32 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/backward_tiles.wgsl
// use: shared/activation.wgsl
// unchecked: every index into a tile is made of the thread's number and the step, both below what its memory is sized by; a table of codes has one for each

/// gate (m, k), then up; k is a multiple of four.
@group(0) @binding(6) var<storage, read> gates: array<vec4<f32>>;
/// Their gradients alike.
@group(0) @binding(7) var<storage, read_write> dgates: array<vec4<f32>>;

fn write(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.m || column >= params.k4) {
        return;
    }
    let gate_at = row * params.k4 + column;
    let up_at = params.m * params.k4 + gate_at;
    let d = sums * (SCALE * gradient_unscale(step.loss_scale));
    let gate = gates[gate_at];
    dgates[gate_at] = d * gates[up_at] * activation_derivative(gate);
    dgates[up_at] = d * activation(gate);
}

fn write_block(row: u32, column: u32, sums: mat4x4<f32>) {
    let rows = transpose(sums);
    write(row, column, rows[0]);
    write(row + 1u, column, rows[1]);
    write(row + 2u, column, rows[2]);
    write(row + 3u, column, rows[3]);
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    begin(index);
    let row = tile.x * tile_rows();
    let column = tile.y * tile_columns() / 4u;
    let s = products(0u, 1u, row, column, thread, index);
    let r = row + thread.y * 4u;
    let c = column + thread.x;
    write_block(r, c, s.c00);
    if (COLUMN_BLOCKS > 1u) {
        write_block(r, c + THREADS_X, s.c01);
    }
    if (ROW_BLOCKS > 1u) {
        write_block(r + 4u * THREADS_Y, c, s.c10);
        if (COLUMN_BLOCKS > 1u) {
            write_block(r + 4u * THREADS_Y, c + THREADS_X, s.c11);
        }
    }
}
