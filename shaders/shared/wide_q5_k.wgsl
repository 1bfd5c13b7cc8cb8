// Q5_K in the blocks of GGUF files.
// use: shared/weight_q5_k.wgsl
