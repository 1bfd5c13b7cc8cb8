/// Whether an output is added to what its buffer holds: mode 0 never, 1 always, 2 as this micro-step says
/// (the first of an accumulation group writes, the others add).
fn adds_to_output(mode: u32) -> bool {
    return mode == 1u || (mode == 2u && step.accumulate == 1u);
}
