// Q8_0 in the blocks of GGUF files.
// use: shared/weight_q8_0.wgsl
