//! The families of faults, as the documentation groups them.

/// Which family of rules finds a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// What kind of directory it is.
    Directory,
    /// Weight files and their index.
    Files,
    /// config.json.
    Config,
    /// Names and shapes of tensors.
    Tensors,
    /// Tokenizer, template, special tokens, generation settings.
    Tokenizer,
    /// The numbers themselves.
    Numbers,
    /// What shows only when the model is run or compared with its base.
    Behaviour,
    /// Adapters.
    Adapter,
}

impl Group {
    /// The heading in the documentation.
    pub fn title(self) -> &'static str {
        match self {
            Group::Directory => "What the directory is",
            Group::Files => "Weight files",
            Group::Config => "config.json",
            Group::Tensors => "Tensors",
            Group::Tokenizer => "Tokenizer, template and generation settings",
            Group::Numbers => "The numbers",
            Group::Behaviour => "Behaviour, and the comparison with a base",
            Group::Adapter => "Adapters",
        }
    }
}
