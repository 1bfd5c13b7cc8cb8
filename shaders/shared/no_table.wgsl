/// What kernels of subgroups and of tiles call first: nothing is to be prepared for these weights.
fn begin(thread: u32) {
}
