//! Where the answers of a conversation lie, in tokens.
//!
//! A sample holds what the model sees when it is used: the prompt rendered with the header of the answer, tokenised, and then the
//! answer and the token that ends its turn. So for each answer the template renders the prompt and the
//! prompt with its answer, and the answer is what the second has beyond the first. Where the text so far is also the beginning of
//! the whole conversation (most templates), all answers are learned in one sequence; where a template rewrites earlier turns
//! (thinking that is cut out, a system message that moves), an answer gets a sequence of its own.

use serde_json::{Value as Json, json};

use super::record::Conversation;
use super::template::MARK;
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};

/// A prompt and its answer as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// From the end of the last answer to the end of this answer's header.
    pub(super) source: Vec<u32>,
    /// The answer with the token that ends its turn.
    pub(super) target: Vec<u32>,
    /// Whether the answer is learned in this sequence, or only read.
    pub(super) learned: bool,
    /// What is learned in the place of the source's first token.
    pub(super) opening: Opening,
}

/// What is learned where a turn begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing: the answer before it has an end of its own.
    Nothing,
    /// The token that ends the answer before it, if that answer is learned (GLM's template writes no end of turn).
    EndsAnswer(u32),
    /// This token, in every turn but the one that is fitted into cutoff_len first (LLaMA-Factory's `efficient_eos`).
    UnlessFirst(u32),
}

/// The turns of one sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Turns {
    pub(super) turns: Vec<Turn>,
    /// A token that ends the sequence and is learned, whatever is cut.
    pub(super) eos: Option<u32>,
}

impl Turns {
    /// How many tokens there are.
    pub(super) fn tokens(&self) -> usize {
        self.turns.iter().map(|turn| turn.source.len() + turn.target.len()).sum::<usize>() + usize::from(self.eos.is_some())
    }
}

/// One answer in the text of its conversation so far.
struct Answer {
    /// The conversation up to and with this answer.
    text: String,
    /// Byte where the answer begins: all before it is given when the model is used.
    start: usize,
    /// Byte where it ends, its end of turn included.
    end: usize,
    /// Whether a special token ends it; else the end-of-sequence token is appended.
    closed: bool,
    /// Whether the conversation goes on behind it.
    followed: bool,
    /// Whether it is learned.
    learned: bool,
}

/// What the answers before the last one are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    /// They are learned as well.
    Learned,
    /// They are only read (`mask_history`).
    Masked,
    /// They are a part of the last answer's prompt (stages dpo and kto).
    Prompt,
}

/// The sequences of a conversation that ends with an answer, each as its turns; the last sequence holds the last answer. Sequences
/// in which no answer is learned are left out.
///
/// # Errors
/// [`Error::Config`] when the template refuses the conversation, leaves out a part of it, or its headers cannot be found.
pub(super) fn encode_conversation(tokenizer: &Tokenizer, conversation: &Conversation, earlier: Earlier) -> Result<Vec<Turns>> {
    if let Some(named) = tokenizer.named_template() {
        return Ok(vec![named.encode(tokenizer, conversation, earlier)?]);
    }
    let with_system = tokenizer.with_default_system(conversation);
    let conversation = with_system.as_ref().unwrap_or(conversation);
    tokenizer.template().check_writes(conversation)?;
    let messages = &conversation.messages;
    let places = messages.iter().enumerate().filter(|(_, m)| m.role == "assistant").map(|(k, _)| k);
    let answers = places.map(|k| find_answer(tokenizer, conversation, k)).collect::<Result<Vec<_>>>()?;
    // From the last answer back: an answer joins the sequence behind it whose text begins with its own.
    let mut groups: Vec<Vec<&Answer>> = Vec::new();
    for answer in answers.iter().rev() {
        let so_far = &answer.text[..answer.end];
        let joins = |whole: &&Answer| (answer.closed || answer.followed) && whole.text.starts_with(so_far);
        match groups.iter_mut().find(|group| group.first().is_some_and(joins)) {
            Some(group) => group.push(answer),
            None => groups.push(vec![answer]),
        }
    }
    groups.retain(|group| group.iter().any(|answer| answer.learned));
    groups.iter().rev().map(|group| encode_group(tokenizer, group).map(|turns| Turns { turns, eos: None })).collect()
}

fn find_answer(tokenizer: &Tokenizer, conversation: &Conversation, k: usize) -> Result<Answer> {
    let template = tokenizer.template();
    let Conversation { messages, tools } = conversation;
    let prompt = template.render_tools(&messages[..k], tools, true)?;
    let full = template.render_tools(&messages[..=k], tools, false)?;
    let (text, start) = if full.starts_with(&prompt) {
        let start = prompt.len();
        (full, start)
    } else {
        join(tokenizer, conversation, k, &prompt, &full)?
    };

    // What follows the answer's own words: "<|im_end|>\n" or the like.
    let content = messages[k].content.trim();
    let region = &text[start..];
    let lead = region.len() - region.trim_start().len();
    let after = if messages[k].more.is_empty() && region.trim_start().starts_with(content) {
        start + lead + content.len()
    } else {
        // The template rewrites the words, or writes more than them; a marked answer shows what it writes after them.
        let (_, mut tail) = around(tokenizer, conversation, k, k)?;
        if !messages[k].tool_calls().is_empty() {
            // What closes the call itself depends on its arguments; the end of the turn behind it does not.
            let (ids, offsets) = tokenizer.encode_with_offsets(&tail)?;
            let closing = ids.iter().zip(&offsets).find(|(id, _)| tokenizer.ends_turn(**id));
            tail = closing.map_or_else(String::new, |(_, (from, _))| tail[*from..].to_string());
        }
        if text[start..].ends_with(&tail) { text.len() - tail.len() } else { text.len() }
    };
    // The first special token after the words ends the turn. What else a template appends (a newline, for phi3 a second end) is
    // never generated, since generation stops there.
    let (ids, offsets) = tokenizer.encode_with_offsets(&text[after..])?;
    let closing = ids.iter().zip(&offsets).find(|(id, _)| tokenizer.is_special(**id));
    let end = closing.map_or(text.len(), |(_, (_, end))| after + end);
    let followed = k + 1 < messages.len();
    Ok(Answer { start, end, closed: closing.is_some(), followed, learned: messages[k].learned, text })
}

/// What the template writes before and after message `i` of the conversation up to answer `k`; of an answer that calls tools, before and
/// after an argument of its last call.
fn around(tokenizer: &Tokenizer, conversation: &Conversation, k: usize, i: usize) -> Result<(String, String)> {
    let mut marked = conversation.messages[..=k].to_vec();
    if let Some(message) = marked.get_mut(i) {
        match message.more.get_mut("tool_calls").and_then(Json::as_array_mut).and_then(|calls| calls.last_mut()) {
            Some(call) => call["function"]["arguments"] = json!({"argument": MARK}),
            None => message.content = MARK.into(),
        }
    }
    let rendered = tokenizer.template().render_tools(&marked, &conversation.tools, false)?;
    match rendered.rsplit_once(MARK) {
        Some((before, after)) => Ok((before.to_string(), after.to_string())),
        None if i == k => Err(Error::config(
            "chat template",
            "chat_template",
            "the chat template leaves this answer out, so that there is nothing to learn; use another one (template: NAME in the recipe)",
        )),
        None => Ok((rendered, String::new())),
    }
}

/// The text to train on and where its answer begins, when the full rendering does not begin with the prompt: the prompt,
/// then what the full rendering has beyond it.
fn join(tokenizer: &Tokenizer, conversation: &Conversation, k: usize, prompt: &str, full: &str) -> Result<(String, usize)> {
    // The header of the answer stands between the question and the answer's own words.
    let (_, after_question) = around(tokenizer, conversation, k, k.saturating_sub(1))?;
    let (before_answer, _) = around(tokenizer, conversation, k, k)?;
    let header = if full.ends_with(&after_question) { full.len() - after_question.len() } else { full.len() };
    let words = if full.starts_with(&before_answer) { before_answer.len() } else { full.len() };

    // The two renderings differ within the header. White space that only the prompt has stays, since the model will see it; more
    // ("<think>") is text that the model would have written itself and that the given answer may lack: then the answer begins
    // where they differ.
    let common = prompt.char_indices().zip(full.chars()).find(|((_, a), b)| a != b).map_or(prompt.len().min(full.len()), |((i, _), _)| i);
    if common >= header {
        return match prompt[common..].trim() {
            "" => Ok((format!("{prompt}{}", &full[common..]), prompt.len())),
            _ => Ok((full.to_string(), common)),
        };
    }
    // Or something before the question moved (mistral's system message): the longest end of the prompt that the header has.
    let end_of = |cut: &usize| {
        let tail = &prompt[*cut..];
        full[..words].rfind(tail).map(|at| at + tail.len()).filter(|end| *end >= header)
    };
    // Where one end of the prompt is found, every shorter one is found too, so that a bisection finds the longest.
    let cuts: Vec<usize> = prompt.char_indices().map(|(cut, _)| cut).collect();
    let longest = cuts.get(cuts.partition_point(|cut| end_of(cut).is_none()));
    if let Some(end) = longest.and_then(end_of) {
        return Ok((format!("{prompt}{}", &full[end..]), prompt.len()));
    }
    Err(Error::config(
        "chat template",
        "chat_template",
        "the answer cannot be found in what the chat template renders: the prompt with add_generation_prompt is not its beginning",
    ))
}

/// Tokens of a group of answers (the last one first) that share the text of the last one.
fn encode_group(tokenizer: &Tokenizer, group: &[&Answer]) -> Result<Vec<Turn>> {
    let Some(whole) = group.first() else { return Ok(Vec::new()) };
    let text = whole.text.as_str();
    let bounds: Vec<usize> = group.iter().rev().flat_map(|answer| [answer.start, answer.end]).collect();
    let pieces = match split_tokens(tokenizer, text, &bounds)? {
        Some(pieces) => pieces,
        None => encode_pieces(tokenizer, text, &bounds)?,
    };
    let answers: Vec<&Answer> = group.iter().rev().copied().collect();
    let mut turns = Vec::with_capacity(answers.len());
    for (i, (pair, answer)) in pieces.chunks_exact(2).zip(&answers).enumerate() {
        let (source, target) = (pair[0].clone(), pair[1].clone());
        let before = i.checked_sub(1).map(|before| answers[before]);
        let opening = match (before, source.first()) {
            // An answer without an end of turn ends where the next turn begins: with that turn's token, if generation stops at it.
            (Some(Answer { closed: false, learned: true, .. }), Some(first)) => {
                let end = if tokenizer.eos_ids().contains(first) { Some(*first) } else { tokenizer.eos() };
                end.map_or(Opening::Nothing, Opening::EndsAnswer)
            }
            _ => Opening::Nothing,
        };
        turns.push(Turn { source, target, learned: answer.learned, opening });
    }
    if !whole.closed
        && whole.learned
        && let (Some(last), Some(eos)) = (turns.last_mut(), tokenizer.eos())
    {
        last.target.push(eos); // a template without an end of turn: without this token the model would never stop
    }
    Ok(turns)
}

/// The tokens of the whole text, split at byte positions; None where a token crosses one, or where the tokens before an
/// answer are not those of its prompt alone: then the model would be used with other tokens than it was trained with.
fn split_tokens(tokenizer: &Tokenizer, text: &str, bounds: &[usize]) -> Result<Option<Vec<Vec<u32>>>> {
    let (ids, offsets) = tokenizer.encode_with_offsets(text)?;
    let mut pieces = Vec::with_capacity(bounds.len());
    let mut from = 0;
    for (i, &bound) in bounds.iter().enumerate() {
        if offsets.iter().any(|&(start, end)| start < bound && bound < end) {
            return Ok(None);
        }
        let to = offsets.partition_point(|&(start, _)| start < bound).max(from);
        let begins_answer = i % 2 == 0;
        if begins_answer && tokenizer.encode(&text[..bound], false)? != ids[..to] {
            return Ok(None);
        }
        pieces.push(ids[from..to].to_vec());
        from = to;
    }
    Ok(Some(pieces))
}

/// Each piece tokenised on its own, as a prompt is when the model is used.
fn encode_pieces(tokenizer: &Tokenizer, text: &str, bounds: &[usize]) -> Result<Vec<Vec<u32>>> {
    let mut pieces = Vec::with_capacity(bounds.len());
    let mut from = 0;
    for &bound in bounds {
        let piece = &text[from..bound];
        pieces.push(if from == 0 { tokenizer.encode(piece, false)? } else { encode_within(tokenizer, piece)? });
        from = bound;
    }
    Ok(pieces)
}

/// Tokens of a piece from the middle of a text. SentencePiece tokenizers put a space in front of every text; behind a newline
/// the piece stands as it is.
fn encode_within(tokenizer: &Tokenizer, piece: &str) -> Result<Vec<u32>> {
    const GUARD: &str = "\n";
    let guard = tokenizer.encode(GUARD, false)?;
    let guarded = tokenizer.encode(&format!("{GUARD}{piece}"), false)?;
    match guarded.strip_prefix(guard.as_slice()) {
        Some(ids) if !guard.is_empty() => Ok(ids.to_vec()),
        _ => tokenizer.encode(piece, false),
    }
}
