//! SentencePiece's BPE (`tokenizer.ggml.model` is llama): tokens with scores. What may be merged follows from the vocabulary, in the order
//! of the scores.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::{Bpe, Ids, Kind, TokenizerJson, Vocabulary, added, bytes};
use crate::error::Result;

/// What SentencePiece writes for a space.
pub(crate) const SPACE: &str = "\u{2581}";

/// tokenizer.json, and whether every text begins with bos.
pub(super) fn tokenizer(vocabulary: &Vocabulary<'_>) -> Result<(Vec<u8>, bool)> {
    let metadata = vocabulary.metadata;
    let key = "tokenizer.ggml.scores";
    let scores = metadata.numbers(key)?.ok_or_else(|| metadata.error(key, "is missing, and a llama tokenizer needs its scores"))?;
    if scores.len() != vocabulary.tokens.len() {
        let reason = format!("has {} entries for {} tokens; the file is damaged", scores.len(), vocabulary.tokens.len());
        return Err(metadata.error(key, reason));
    }
    // llama.cpp's defaults.
    let prefix = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let adds_bos = metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(true);
    let mut vocab = Ids::default();
    let mut extra = Vec::new();
    let mut pieces: HashMap<&str, usize> = HashMap::new();
    for (id, token, kind) in vocabulary.used() {
        // Spaces of user-defined tokens are stored as spaces.
        let text = match kind {
            Kind::UserDefined if token.contains(' ') => Cow::Owned(token.replace(' ', SPACE)),
            _ => Cow::Borrowed(token),
        };
        match kind {
            Kind::Control | Kind::Unknown => extra.push(added(id, token, false, true)),
            // A token with spaces is looked for where spaces are written as in the vocabulary, unless a prefix is put there too.
            Kind::UserDefined => extra.push(added(id, &text, text != token && !prefix, false)),
            Kind::Normal => drop(pieces.entry(token).or_insert(id)),
            Kind::Unused | Kind::Byte => {}
        }
        vocab.list.push((text, id));
    }
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let normalizer = match prefix {
        true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace(" ", SPACE)]}),
        false => replace(" ", SPACE),
    };
    let mut decoders = vec![replace(SPACE, " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let tokenizer = TokenizerJson {
        version: "1.0",
        truncation: None,
        padding: None,
        added_tokens: extra,
        normalizer,
        pre_tokenizer: Json::Null,
        post_processor: vocabulary.frame(adds_bos)?,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: Bpe {
            kind: "BPE",
            dropout: None,
            unk_token: vocabulary.named("unknown")?,
            continuing_subword_prefix: None,
            end_of_word_suffix: None,
            fuse_unk: true,
            byte_fallback: true,
            ignore_merges: false,
            vocab,
            merges: merges(&pieces, &scores),
        },
    };
    Ok((bytes(metadata, &tokenizer)?, adds_bos))
}

/// All pairs of pieces that make a piece, as transformers orders them: by falling score of the whole, then by falling lengths of the
/// halves.
pub(crate) fn merges<'a>(pieces: &HashMap<&'a str, usize>, scores: &[f64]) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    for (&piece, &id) in pieces {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(&left_id), Some(&right_id)) = (pieces.get(left), pieces.get(right)) {
                found.push((id, left, right, left_id, right_id));
            }
        }
    }
    let length = |text: &str| text.chars().count();
    found.sort_by(|a, b| {
        let by_score = scores[b.0].total_cmp(&scores[a.0]);
        let by_length = (length(b.1), length(b.2)).cmp(&(length(a.1), length(a.2)));
        by_score.then(by_length).then(a.0.cmp(&b.0)).then((a.3, a.4).cmp(&(b.3, b.4)))
    });
    found.into_iter().map(|(_, left, right, ..)| (left, right)).collect()
}
