// 8 bits a weight with a scale a row, as bitsandbytes packs it.
// use: shared/weight_int8.wgsl
