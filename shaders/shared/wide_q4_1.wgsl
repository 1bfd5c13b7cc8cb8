// Q4_1 in the blocks of GGUF files.
// use: shared/weight_q4_1.wgsl
