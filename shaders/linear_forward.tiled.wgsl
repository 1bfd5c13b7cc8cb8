// y = x·Wᵀ + bias + x2·W2ᵀ for GPUs: a workgroup makes a tile of y, STEPS steps of k at a time. W may be up to three matrices one below the other, y then as many.
// Saves memory traffic: what a tile needs is read once into workgroup memory, and each value from there feeds up to eight multiply-adds.
// Where tiles are few, k is split: workgroups of several z make partial sums, which sum_parts adds up. Blocks of 4 x 4 are transposed in registers on the way in.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// option TILE: f32 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/forward_tiles.wgsl
// unchecked: every index into a tile is made of the thread's number and the step, both below what its memory is sized by; a table of codes has one for each

/// (m, n) output, or the partial sums.
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

fn output_at(column: u32) -> Place {
    if (column >= params.cut2) {
        return Place(params.y2_first, params.y2_stride);
    }
    if (column >= params.cut1) {
        return Place(params.y1_first, params.y1_stride);
    }
    return Place(params.y_first, params.y_stride);
}

/// Writes four columns of a row.
fn write(place: Place, row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.m || column * 4u >= params.n) {
        return;
    }
    let left = params.n - column * 4u;
    var value = select(vec4<f32>(0.0), sums * SCALE, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
    if (BIAS) {
        value += bias[column];
    }
    let at = place.first + row * place.stride + column;
    if (params.accumulate != 0u) {
        value += y[at];
    }
    y[at] = value;
}

fn write_block(place: Place, row: u32, column: u32, sums: mat4x4<f32>) {
    let rows = transpose(sums);
    write(place, row, column, rows[0]);
    write(place, row + 1u, column, rows[1]);
    write(place, row + 2u, column, rows[2]);
    write(place, row + 3u, column, rows[3]);
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(
    @builtin(workgroup_id) tile: vec3<u32>,
    @builtin(num_workgroups) tiles: vec3<u32>,
    @builtin(local_invocation_id) thread: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    begin(index);
    let row = tile.y * tile_rows();
    let column = tile.x * tile_columns();
    // What this thread fetches: four rows of x and four of W, at one of the next vec4s of k.
    let own4 = index % (STEPS / 4u);
    let own_row = row + index / (STEPS / 4u) * 4u;
    let own_column = column + index / (STEPS / 4u) * 4u;
    var s = products(tile.z, own_row, own_column, thread, index);
    if (SECOND) {
        let second = second_at(column / 4u);
        // Of several parts the last, mostly the shortest, adds it.
        let width = select(0u, second.width, tile.z + 1u == tiles.z);
        for (var k = 0u; k < width; k += STEPS / 4u) {
            let at = k + own4;
            put_rows(index, mat4x4<f32>(
                input_second(own_row, at, second), input_second(own_row + 1u, at, second),
                input_second(own_row + 2u, at, second), input_second(own_row + 3u, at, second)));
            put_columns(index, mat4x4<f32>(
                weight_second(own_column, at, second), weight_second(own_column + 1u, at, second),
                weight_second(own_column + 2u, at, second), weight_second(own_column + 3u, at, second)));
            workgroupBarrier();
            s = multiply(s, thread, SWIZZLE, SWIZZLE);
            workgroupBarrier();
        }
    }
    var place = output_at(column / 4u);
    place.first += tile.z * params.part_stride;
    let r = row + thread.y * 4u;
    let c = column / 4u + thread.x;
    write_block(place, r, c, s.c00);
    if (COLUMN_BLOCKS > 1u) {
        write_block(place, r, c + THREADS_X, s.c01);
    }
    if (ROW_BLOCKS > 1u) {
        write_block(place, r + 4u * THREADS_Y, c, s.c10);
        if (COLUMN_BLOCKS > 1u) {
            write_block(place, r + 4u * THREADS_Y, c + THREADS_X, s.c11);
        }
    }
}
