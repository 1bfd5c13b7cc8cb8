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
    /// The same kernel with its sums across lanes by subgroup operations.
    pub across: Option<Across>,
}

/// A kernel whose sums across lanes are made by subgroup operations and one exchange in workgroup memory, in place of a tree with a barrier for each
/// halving (shaders/shared/across.wgsl).
#[derive(Debug)]
pub struct Across {
    /// The shader. Beside the constants of the other it takes those of shaders/shared/across.wgsl.
    pub shader: &'static Shader,
    /// The constant that says how many lanes share a sum.
    pub lanes: &'static str,
    /// Whether it adds four numbers at a time.
    pub vectors: bool,
    /// Whether it looks for the largest number too.
    pub maxima: bool,
}

impl Shader {
    /// The whole text.
    pub fn wgsl(&self) -> String {
        self.parts.concat()
    }

    /// Whether it uses subgroup operations; such versions are called so.
    pub fn uses_subgroups(&self) -> bool {
        self.name.contains(".subgroup") || self.name.contains(".lanes")
    }
}
