// Q4_0 in the blocks of GGUF files.
// use: shared/weight_q4_0.wgsl
