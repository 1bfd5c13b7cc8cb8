/// What kernels of subgroups and of tiles call first.
fn begin(thread: u32) {
    begin_magnitudes(thread);
    begin_values(thread);
}

/// An element of an array of weights: four words. A row is segments of up to 256 blocks of 64 weights. A segment is an element with what its scales
/// are made of, then for each 16 blocks an element with 8 bits for each scale, and two for each block with 4 bits for each weight
/// (src/quant/double.rs packs them).
alias Weight = vec4<u32>;

/// Fours of weights in a word.
const WIDE: u32 = 2u;

/// The element of the scales of the sixteen blocks with weight 4 k, of a segment that begins at this element.
fn scales_at(segment: u32, k: u32) -> u32 {
    return segment + 1u + k % 4096u / 256u * 33u;
}

/// The scale of weight 4 k of a segment: its code's value, times that of its group of 256 blocks, of which the first ones may lie before the segment,
/// and the mean of all scales.
fn scale_of(segment: u32, k: u32) -> f32 {
    let head = w[segment];
    let block = k % 4096u / 16u;
    let code = (w[scales_at(segment, k)][block % 16u / 4u] >> (block % 4u * 8u)) & 255u;
    let group = select(head.z, head.w, block + head.y >= 256u);
    return scale_value(code) * bitcast<f32>(group) + bitcast<f32>(head.x);
}

/// The four weights of the low half of this word over the block's scale.
fn four(codes: u32) -> vec4<f32> {
    return values(vec4<u32>(codes >> 4u, codes, codes >> 12u, codes >> 8u));
}

/// The weights 4 k to 4 k + 3 of the row that begins at this element.
fn weight4(row: u32, k: u32) -> vec4<f32> {
    let segment = row + k / 4096u * 529u;
    let codes = w[scales_at(segment, k) + 1u + k % 256u / 8u][k % 8u / 2u];
    return scale_of(segment, k) * four(codes >> (k % 2u * 16u));
}

/// The weights 4 k to 4 k + 7, k even.
fn weight8(row: u32, k: u32) -> mat2x4<f32> {
    let segment = row + k / 4096u * 529u;
    let codes = w[scales_at(segment, k) + 1u + k % 256u / 8u][k % 8u / 2u];
    return scale_of(segment, k) * mat2x4<f32>(four(codes), four(codes >> 16u));
}

/// Whether tiles store the weights before they load the inputs, rather than load both side by side: less speed in waiting, fewer registers.
const WEIGHTS_FIRST: bool = true;
