//! Names in an output directory that several files of this room know.

/// What a checkpoint says about the run that it belongs to.
pub(super) const STATE_FILE: &str = "trainer_state.json";

/// A checkpoint's optimizer state.
pub(super) const OPTIMIZER_FILE: &str = "optimizer.safetensors";

/// The name of a step's checkpoint.
pub(super) fn checkpoint_name(step: u64) -> String {
    format!("checkpoint-{step}")
}

/// The step of a checkpoint's name; `None` for any other name.
pub(super) fn checkpoint_step(name: &str) -> Option<u64> {
    let step = name.strip_prefix("checkpoint-")?.parse().ok()?;
    (name == checkpoint_name(step)).then_some(step)
}
