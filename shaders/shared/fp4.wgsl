/// What four codes of FP4 stand for (bitsandbytes' table: a sign, two bits of exponent, one of fraction, over 12); higher bits are ignored.
fn decoded(codes: vec4<u32>) -> vec4<f32> {
    let b0 = (codes & vec4<u32>(1u)) != vec4<u32>(0u);
    let b1 = (codes & vec4<u32>(2u)) != vec4<u32>(0u);
    let b2 = (codes & vec4<u32>(4u)) != vec4<u32>(0u);
    let v0 = select(vec4<f32>(0.0), vec4<f32>(0.0052083334885537624), b0);
    let v1 = select(vec4<f32>(0.6666666865348816), vec4<f32>(1.0), b0);
    let v2 = select(vec4<f32>(0.3333333432674408), vec4<f32>(0.5), b0);
    let v3 = select(vec4<f32>(0.1666666716337204), vec4<f32>(0.25), b0);
    let magnitude = select(select(v0, v1, b1), select(v2, v3, b1), b2);
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(magnitude) | ((codes & vec4<u32>(8u)) << vec4<u32>(28u)));
}
