// use: shared/half.wgsl

/// Scale and minimum of a group of 32 weights, from the first element of a block: the scale and the minimum of all as f16; the low four bits of each
/// group's scale; of each group's minimum; the two high bits of all scales, then of all minima.
fn scales_of(head: vec4<u32>, group: u32) -> vec2<f32> {
    let low = (head.yz >> vec2<u32>(group * 4u)) & vec2<u32>(15u);
    let high = (vec2<u32>(head.w, head.w >> 16u) >> vec2<u32>(group * 2u)) & vec2<u32>(3u);
    return vec2<f32>(half(head.x), -half(head.x >> 16u)) * vec2<f32>(low | (high << vec2<u32>(4u)));
}
