/// What kernels of subgroups and of tiles call first: nothing is to be prepared for these weights.
fn begin(thread: u32) {
}

/// Whether tiles store the weights before they load the inputs, rather than load both side by side: less speed in waiting, fewer registers.
const WEIGHTS_FIRST: bool = false;
