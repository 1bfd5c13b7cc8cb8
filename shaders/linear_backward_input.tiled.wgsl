// dx = dy·W + x2·W2 for GPUs: a workgroup makes a tile of dx, STEPS steps of n at a time. W may be up to three matrices one below the other, of as many dy.
// Saves memory traffic: what a tile needs is read once into workgroup memory, and each value from there feeds up to eight multiply-adds.
// Where tiles are few, n is split: workgroups of several z make partial sums, which sum_parts adds up. Blocks of 4 x 4 of dy are transposed in registers on the
// way in; the rows of W lie as the inner loop wants them.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// option TILE: f32 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/backward_tiles.wgsl
// unchecked: every index into a tile is made of the thread's number and the step, both below what its memory is sized by; a table of codes has one for each

/// (m, k) gradient of the input, or the partial sums.
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>;

fn write(row: u32, column: u32, first: u32, sums: vec4<f32>) {
    if (row >= params.m || column >= params.k4) {
        return;
    }
    let at = first + row * params.dx_stride + column;
    var value = sums * (SCALE * gradient_unscale(step.loss_scale));
    if (params.accumulate != 0u) {
        value += dx[at];
    }
    dx[at] = value;
}

fn write_block(row: u32, column: u32, first: u32, sums: mat4x4<f32>) {
    let rows = transpose(sums);
    write(row, column, first, rows[0]);
    write(row + 1u, column, first, rows[1]);
    write(row + 2u, column, first, rows[2]);
    write(row + 3u, column, first, rows[3]);
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    begin(index);
    let row = tile.x * tile_rows();
    let column = tile.y * tile_columns() / 4u;
    let s = products(tile.z, tiles.z, row, column, thread, index);
    let first = params.dx_first + tile.z * params.part_stride;
    let r = row + thread.y * 4u;
    let c = column + thread.x;
    write_block(r, c, first, s.c00);
    if (COLUMN_BLOCKS > 1u) {
        write_block(r, c + THREADS_X, first, s.c01);
    }
    if (ROW_BLOCKS > 1u) {
        write_block(r + 4u * THREADS_Y, c, first, s.c10);
        if (COLUMN_BLOCKS > 1u) {
            write_block(r + 4u * THREADS_Y, c + THREADS_X, first, s.c11);
        }
    }
}
