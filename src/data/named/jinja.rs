//! A template of LLaMA-Factory's as Jinja, as it writes one beside a trained model that had none.

use super::{Class, Named, Slot};
use crate::data::tokenizer::Tokenizer;

impl Named {
    /// The text of chat_template.jinja; None for templates with tokens that only their ids can name.
    pub(in crate::data) fn jinja(&self, tokenizer: &Tokenizer) -> Option<String> {
        let d = &self.declaration;
        let expression = |slots: &[Slot], placeholder: &str| expression(slots, placeholder, tokenizer);
        let prefix = expression(&d.prefix, "content")?;
        let system = expression(&d.system, "system_message")?;
        let user = expression(&d.user, "content")?;
        let assistant = expression(&d.assistant, "content")?;
        let mut text = String::new();
        if !prefix.is_empty() {
            text.push_str(&format!("{{{{ {prefix} }}}}"));
        }
        if !d.default_system.is_empty() {
            text.push_str(&format!("{{% set system_message = '{}' %}}", quoted(&d.default_system)));
        }
        text.push_str(
            "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
             {% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}",
        );
        let content = match d.class {
            Class::SystemInQuestion => format!(
                "{{% if loop.index0 == 0 and system_message is defined %}}{{% set content = {system} + message['content'] %}}\
                 {{% else %}}{{% set content = message['content'] %}}{{% endif %}}"
            ),
            Class::Plain | Class::Reasoning => {
                text.push_str(&format!("{{% if system_message is defined %}}{{{{ {system} }}}}{{% endif %}}"));
                "{% set content = message['content'] %}".into()
            }
        };
        text.push_str(&format!(
            "{{% for message in loop_messages %}}{content}{{% if message['role'] == 'user' %}}{{{{ {user} }}}}\
             {{% elif message['role'] == 'assistant' %}}{{{{ {assistant} }}}}{{% endif %}}{{% endfor %}}"
        ));
        Some(text)
    }
}

/// The slots as one expression.
fn expression(slots: &[Slot], placeholder: &str, tokenizer: &Tokenizer) -> Option<String> {
    let mut items = Vec::new();
    for slot in slots {
        match slot {
            Slot::Text(text) => {
                let (before, after) = text.split_once("{{content}}").map_or((text.as_str(), None), |(before, after)| (before, Some(after)));
                if !before.is_empty() {
                    items.push(format!("'{}'", quoted(before)));
                }
                if let Some(after) = after {
                    items.push(placeholder.to_string());
                    if !after.is_empty() {
                        items.push(format!("'{}'", quoted(after)));
                    }
                }
            }
            Slot::Special { special } => {
                let id = if special == "bos_token" { tokenizer.bos() } else { tokenizer.eos() };
                items.extend(id.and_then(|id| tokenizer.id_to_token(id)).map(|token| format!("'{token}'")));
            }
            Slot::Token { .. } => return None,
        }
    }
    Some(items.join(" + "))
}

fn quoted(text: &str) -> String {
    text.replace('\'', "\\'")
}
