//! The options of a validation, and its progress reports.

use std::rc::Rc;

use crate::gpu::Gpu;
use crate::platform::Directory;

/// Options of a validation.
#[derive(Clone, Default)]
pub struct Options {
    /// The model that this one was made from: shows what training changed, and supplies what the directory lacks.
    pub base: Option<Rc<dyn Directory>>,
    /// Skip all checks that read the weights themselves.
    pub quick: bool,
    /// The caller expects an adapter: a whole model is an error then.
    pub as_adapter: bool,
    /// The device for the self-test; without one, the self-test is skipped.
    pub gpu: Option<Rc<Gpu>>,
}

/// Progress of a validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The current activity.
    pub what: &'a str,
    /// Bytes of weights read so far.
    pub done: u64,
    /// Bytes to read.
    pub total: u64,
}
