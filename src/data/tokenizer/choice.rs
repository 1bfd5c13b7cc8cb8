//! The chat template that a recipe chooses, in the place of the checkpoint's own.

use serde_json::json;
use sha2::{Digest, Sha256};
use tokenizers::AddedToken;

use super::super::named::{Named, TemplateChoice};
use super::super::record::Conversation;
use super::super::template::Message;
use super::{Tokenizer, guarded};
use crate::error::{Error, Result};

impl Tokenizer {
    /// The same tokenizer with the template that a recipe chooses; [`Tokenizer::template_notices`] tells in what it differs from the
    /// checkpoint's own.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a template that there is not, or whose tokens the vocabulary lacks.
    pub fn choose(mut self, choice: &TemplateChoice) -> Result<Tokenizer> {
        self.choice = choice.clone();
        if let Some(thinking) = choice.enable_thinking {
            self.template.set_variable("enable_thinking", json!(thinking));
        }
        if choice.preserve_thinking {
            self.template.set_variable("preserve_thinking", json!(true));
        }
        let Some(name) = &choice.name else {
            if choice.tool_format.is_some() {
                let reason = "it belongs to a template: NAME; the checkpoint's own template writes tools in its own way";
                return Err(Error::recipe("tool_format", reason));
            }
            return Ok(self);
        };
        let named = Named::of(choice, name, self.now())?;
        if let Some(token) = named.needed_tokens().find(|token| self.inner.token_to_id(token).is_none()) {
            let reason = format!(
                "the tokenizer lacks {token}, which the template {name} writes; choose one of plain words (default, alpaca, vicuna), or leave \
                 it out to use the checkpoint's own"
            );
            return Err(Error::recipe("template", reason));
        }
        let eos = named.replaced_eos().map(str::to_string);
        if let Some(id) = eos.as_ref().and_then(|token| self.inner.token_to_id(token)) {
            self.eos = Some(id);
            self.eos_ids.push(id);
            self.eos_ids.sort_unstable();
            self.eos_ids.dedup();
        }
        // As in LLaMA-Factory, what ends a turn is a special token from now on.
        let words: Vec<AddedToken> =
            named.stop_words().filter(|word| self.inner.token_to_id(word).is_some()).map(|word| AddedToken::from(word, true)).collect();
        self.special_ids.extend(words.iter().filter_map(|word| self.inner.token_to_id(&word.content)));
        guarded(|| Ok(self.inner.add_special_tokens(&words))).map_err(|reason| Error::config("tokenizer.json", "added_tokens", reason))?;

        let own = (!self.template.is_fallback()).then(|| self.compare(&named)).flatten();
        let writes = named.replaces_own() || self.template.is_fallback();
        if let Some(source) = named.jinja(&self).filter(|_| writes) {
            self.template = self.template.replaced_by(&source, eos)?;
        }
        let written = if self.template.is_new() { "; it is saved with the trained model" } else { "" };
        self.template_notices.push(match own {
            None => format!("template: {name} is LLaMA-Factory's{written}"),
            Some(differences) if differences.is_empty() => {
                format!("template: {name} is LLaMA-Factory's, and writes what the checkpoint's own writes{written}")
            }
            Some(differences) => format!(
                "template: {name} is LLaMA-Factory's, and differs from the checkpoint's own: {}{written}; leave template out to use the \
                 checkpoint's own",
                differences.join("; ")
            ),
        });
        self.named = Some(named);
        Ok(self)
    }

    /// In what a template differs from this tokenizer's own, as clauses; None where the own one refuses an ordinary conversation.
    fn compare(&self, named: &Named) -> Option<Vec<String>> {
        const WORDS: [&str; 4] = ["Zq question", "Zq answer", "Zq doubt", "Zq proof"];
        let roles = ["user", "assistant", "user", "assistant"];
        let messages: Vec<Message> = roles.iter().zip(WORDS).map(|(role, text)| Message::new(*role, text)).collect();
        let own = self.template.render(&messages, false).ok()?;
        let other = named.text(self, &messages.into()).ok()?;
        let (own, other) = (seams(&own, &WORDS)?, seams(&other, &WORDS)?);
        let places =
            ["before the first question", "before an answer", "after an answer", "before the last answer", "after the last answer"];
        let differing = places.iter().zip(own.iter().zip(&other)).filter(|(_, (own, other))| own != other);
        let clause =
            |(place, (own, other)): (&&str, (&&str, &&str))| format!("{place} it writes {}, the own one {}", quoted(other), quoted(own));
        let mut clauses: Vec<String> = Vec::new();
        for (i, found) in differing.enumerate() {
            // The same difference in a later turn says nothing new.
            let again = i > 0 && found.1 == (&own[1], &other[1]);
            if !again {
                clauses.push(clause(found));
            }
        }
        Some(clauses)
    }

    /// What the user should be told about the template.
    pub fn template_notices(&self) -> &[String] {
        &self.template_notices
    }

    /// Adds all that the tokens of conversations depend on to a hash.
    pub(in crate::data) fn add_to(&self, hash: &mut Sha256) -> Result<()> {
        let inner =
            serde_json::to_vec(&self.inner).map_err(|e| Error::config("tokenizer.json", "", format!("it cannot be written: {e}")))?;
        hash.update(&inner);
        let day = self.template.source().contains("strftime_now") || self.choice.name.is_some();
        let date = if day { self.now().div_euclid(86_400) } else { 0 };
        hash.update(format!("{:?} {:?} {:?} {:?} {date}", self.template.source(), self.choice, self.eos, self.bos));
        Ok(())
    }

    /// What was chosen.
    pub fn template_choice(&self) -> &TemplateChoice {
        &self.choice
    }

    /// The token that the chosen template ends answers with, where that is another one than the checkpoint's.
    pub fn replaced_eos(&self) -> Option<(u32, String)> {
        let token = self.named.as_ref()?.replaced_eos()?;
        Some((self.inner.token_to_id(token)?, token.to_string()))
    }

    /// The template of LLaMA-Factory's that was chosen.
    pub(in crate::data) fn named_template(&self) -> Option<&Named> {
        self.named.as_ref()
    }

    /// The conversation with the recipe's system message, if it has none of its own.
    pub(in crate::data) fn with_default_system(&self, conversation: &Conversation) -> Option<Conversation> {
        let system = self.choice.default_system.as_ref().filter(|system| !system.is_empty())?;
        let has_one = conversation.messages.first().is_some_and(|message| message.role == "system");
        (!has_one).then(|| {
            let mut conversation = conversation.clone();
            conversation.messages.insert(0, Message::new("system", system.as_str()));
            conversation
        })
    }
}

/// What stands before, between and after some words; None where one is missing.
fn seams<'t>(text: &'t str, words: &[&str]) -> Option<Vec<&'t str>> {
    let mut rest = text;
    let mut seams = Vec::new();
    for word in words {
        let (before, after) = rest.split_once(word)?;
        seams.push(before);
        rest = after;
    }
    seams.push(rest);
    Some(seams)
}

fn quoted(text: &str) -> String {
    const LONGEST: usize = 120;
    let text = text.replace('\n', "\\n");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("\"{} …\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}
