//! The options of a validation, and its progress.

use std::rc::Rc;

use crate::gpu::Gpu;
use crate::platform::Directory;

/// What a validation looks at.
#[derive(Clone, Default)]
pub struct Options {
    /// The model that this one was made from: says what training changed, and serves what the directory lacks.
    pub base: Option<Rc<dyn Directory>>,
    /// Leave out everything that reads the weights themselves.
    pub quick: bool,
    /// The caller means to use it as an adapter: a whole model is a mistake then.
    pub as_adapter: bool,
    /// Where to run the self-test; without it, it is left out.
    pub gpu: Option<Rc<Gpu>>,
}

/// How far a validation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub what: &'a str,
    /// Bytes of weights read so far.
    pub done: u64,
    /// Bytes to read.
    pub total: u64,
}
