//! The text of a shader and the kinds of its bindings.

/// How a kernel uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`: written, or read and written.
    Write,
}

/// One expanded shader module, as build.rs made it.
#[derive(Debug)]
pub struct Shader {
    /// The file's name without `.wgsl`, and the version of a permuted one.
    pub name: &'static str,
    /// The texts that it is made of, one after the other.
    pub parts: &'static [&'static str],
    /// Access of each storage buffer, in the order of the bindings.
    pub bindings: &'static [Access],
    /// Whether binding 1 is the step's uniform.
    pub uses_step: bool,
    /// Whether all indices into its workgroup memory are known to be within bounds, so that native devices need not check them.
    pub unchecked: bool,
}

impl Shader {
    /// The whole text.
    pub fn wgsl(&self) -> String {
        self.parts.concat()
    }

    /// Whether it uses subgroup operations; such files are called so.
    pub fn uses_subgroups(&self) -> bool {
        self.name.contains(".subgroup")
    }
}
