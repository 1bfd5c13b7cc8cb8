// Q4_K in the blocks of GGUF files.
// use: shared/weight_q4_k.wgsl
