enable f16;

/// Four numbers of a tile in workgroup memory: half the memory and half the traffic. Products of two of them are exact in f32.
alias Tile = vec4<f16>;

/// What becomes of four numbers on their way into a tile. Magnitudes above 65504 become infinite and end the run: nothing is hidden.
fn to_tile(x: vec4<f32>) -> Tile {
    return vec4<f16>(x);
}

/// And back.
fn of_tile(x: Tile) -> vec4<f32> {
    return vec4<f32>(x);
}

/// The exponent of a loss's scale with its offset, which is 1 / targets.
fn loss_exponent(loss_scale: f32) -> u32 {
    return clamp((bitcast<u32>(loss_scale) >> 23u) & 0xffu, 67u, 191u);
}

/// What gradients are multiplied by on their way into a tile, where the loss has this scale: 16 over its power of two. Gradients of a mean over
/// many targets would be too small for 16 bits; those of one target's loss are about 1 and less. From 16 on there are 12 powers of two up to the largest
/// number and 18 down to the smallest with all digits.
fn gradient_scale(loss_scale: f32) -> f32 {
    return bitcast<f32>((258u - loss_exponent(loss_scale)) << 23u);
}

/// What their products are multiplied by: its inverse, which is a power of two as well.
fn gradient_unscale(loss_scale: f32) -> f32 {
    return bitcast<f32>((loss_exponent(loss_scale) - 4u) << 23u);
}
