//! docs/checkpoint-faults.md is generated from the table of faults.

#[test]
fn the_page_of_faults_is_up_to_date() {
    let path = "docs/checkpoint-faults.md";
    let page = rootstock::validate::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).expect("docs is writable");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "{path} differs from the table in src/validate/code.rs; UPDATE_DOCS=1 cargo test page_of_faults writes it");
}

/// Someone who searches for what another tool said finds the cure.
#[test]
fn the_words_of_other_tools_are_on_it() {
    let page = rootstock::validate::markdown();
    for words in [
        "Unrecognized model in",
        "Should have a `model_type` key",
        "Error no file named model.safetensors, or pytorch_model.bin",
        "size mismatch for",
        "newly initialized",
        "Couldn't instantiate the backend tokenizer",
        "is not a valid JSON file",
        "header too large",
        "incomplete metadata",
        "Tokenizer class TokenizersBackend does not exist",
        "Can't find 'adapter_config.json'",
        "does not recognize this architecture",
        "Unrecognized configuration class",
        "requires bitsandbytes",
        "Padding_idx must be within num_embeddings",
    ] {
        assert!(page.contains(words), "{words}");
    }
}
