//! Copying what a model or an adapter is made of.

use rootstock::Result;
use rootstock::config::DescribedTokens;
use rootstock::platform::{Directory, OutputDirectory, open_beside, read_small, write_file};

/// Bytes at a time.
const PIECE: u64 = 8 << 20;

/// Copies the files of a model's or an adapter's directory: weights, configurations, tokenizer, code of its own. What a run left beside
/// them (logs, checkpoints, pictures) stays.
///
/// # Errors
/// What reading and writing fail with.
pub(super) async fn model(from: &dyn Directory, to: &dyn OutputDirectory) -> Result<()> {
    for entry in from.list().await?.into_iter().filter(|entry| belongs_to_model(&entry.name)) {
        let mut file = to.create(&entry.name).await?;
        let mut at = 0;
        while at < entry.size {
            let end = (at + PIECE).min(entry.size);
            file.write(&from.read_range(&entry.name, at..end).await?).await?;
            at = end;
        }
        file.finish().await?;
    }
    Ok(())
}

/// Copies the file of tokens that a recipe names in `new_special_tokens_config`, or writes those that stand there: LLaMA-Factory knows only files.
/// Returns the name that it has in the directory.
///
/// # Errors
/// As [`model`]; what is wrong with the path.
pub(super) async fn tokens(described: &DescribedTokens, to: &dyn OutputDirectory) -> Result<String> {
    let (kind, bytes) = match described {
        DescribedTokens::File(path) => {
            let (from, name) = open_beside(path)?;
            let kind = name.rsplit_once('.').map_or("yaml", |(_, kind)| kind).to_string();
            (kind, read_small(&*from, &name).await?)
        }
        DescribedTokens::Inline(entries) => {
            // A text in JSON is one in YAML.
            let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
            let lines: String = entries.iter().map(|(token, text)| format!("{}: {}\n", quoted(token), quoted(text))).collect();
            ("yaml".into(), lines.into_bytes())
        }
    };
    let name = format!("new-tokens.{kind}");
    write_file(to, &name, &bytes).await?;
    Ok(name)
}

/// Whether a file is a part of a model rather than of the run that made it.
fn belongs_to_model(name: &str) -> bool {
    let of_a_run =
        name.starts_with("trainer_") || name.ends_with("_results.json") || name.starts_with("training_") || name.starts_with("optimizer");
    let kind = name.rsplit('.').next().unwrap_or_default();
    let known = matches!(kind, "json" | "safetensors" | "bin" | "model" | "jinja" | "txt" | "tiktoken" | "py");
    known && !of_a_run && !name.contains('/') && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::belongs_to_model;

    #[test]
    fn a_model_is_told_from_its_run() {
        for name in
            ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "chat_template.jinja", "tokenizer.model"]
        {
            assert!(belongs_to_model(name), "{name}");
        }
        for name in [
            "trainer_state.json",
            "all_results.json",
            "training_args.bin",
            "training_loss.png",
            "checkpoint-5/config.json",
            ".lock",
            "optimizer.bin",
        ] {
            assert!(!belongs_to_model(name), "{name}");
        }
    }
}
