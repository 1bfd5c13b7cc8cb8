/// What the codes 0 to 7 and 8 to 15 stand for, one of each in each of eight lanes: a look-up is then a shuffle, which a processor has an instruction for.
var<private> table: vec2<f32>;

/// To be called by every lane first.
fn begin_values(lane: u32) {
    table = decoded(vec4<u32>(lane % 8u, lane % 8u + 8u, 0u, 0u)).xy;
}

fn value(code: u32) -> f32 {
    let at = code % 8u;
    return select(subgroupShuffle(table.x, at), subgroupShuffle(table.y, at), (code & 8u) != 0u);
}

/// What four codes of 4 bits stand for; higher bits are ignored. To be called by all lanes alike.
fn values(codes: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(value(codes.x), value(codes.y), value(codes.z), value(codes.w));
}
