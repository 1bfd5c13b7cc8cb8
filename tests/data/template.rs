//! Chat templates against what transformers' `apply_chat_template` renders.

use rootstock::data::{ChatTemplate, Message};
use serde_json::Value;

use super::{FIXTURES, fixture};

fn special_tokens() -> Vec<(String, String)> {
    vec![("bos_token".into(), "<|im_start|>".into()), ("eos_token".into(), "<|im_end|>".into())]
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new("chat_template.jinja", source, special_tokens(), 1_795_430_000).expect("the template is right")
}

#[test]
fn conversations_render_as_in_transformers() {
    let conversations = fixture("conversations.json");
    let renderings = fixture("renderings.json");
    let (mut same, mut refused) = (0, 0);
    for case in renderings.as_array().expect("a list") {
        let name = case["template"].as_str().expect("a name");
        let conversation = case["conversation"].as_str().expect("a name");
        let source = std::fs::read_to_string(format!("{FIXTURES}/templates/{name}.jinja")).expect("the fixture is committed");
        let tools = if conversation == "tools" { &conversations["tools"] } else { &Value::Null };
        let variables: Vec<(String, Value)> =
            case["variables"].as_object().map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()).unwrap_or_default();
        let messages = &conversations["conversations"][conversation];
        let prompt = case["add_generation_prompt"].as_bool().expect("a flag");
        let rendered = template(&source).render_json(messages, prompt, tools, &variables);
        match case["error"].as_str() {
            Some(reason) => {
                let message = rendered.expect_err("the template refuses it").to_string();
                assert!(message.ends_with(reason), "{name}, {conversation}: {message}");
                refused += 1;
            }
            None => {
                let expected = case["rendered"].as_str().expect("a text");
                assert_eq!(rendered.expect("the template takes it"), expected, "{name}, {conversation}, {prompt}");
                same += 1;
            }
        }
    }
    assert!(same > 100 && refused > 3, "{same} rendered, {refused} refused: the fixtures have shrunk");
}

/// Qwen3-Coder's way to ask whether there are tools, of which transformers says None.
#[test]
fn nothing_is_not_iterable() {
    let source = "{% if tools is iterable and tools | length > 0 %}tools{% else %}none{% endif %} \
                  {{ messages is iterable }} {{ 'text' is iterable }} {{ none is iterable }} {{ 3 is iterable }} {{ unknown is iterable }}";
    let rendered = template(source).render(&[Message::new("user", "Hi")], true);
    assert_eq!(rendered.map(|text| text.trim().to_string()), Ok("none True True False False True".to_string()));
}

#[test]
fn dates_are_told_in_english() {
    let now = |format: &str| template(&format!("{{{{ strftime_now('{format}') }}}}")).render(&[], false);
    assert_eq!(now("%d %b %Y"), Ok("23 Nov 2026".into()));
    assert_eq!(now("%A, %B %m/%y %H:%M:%S %a %%"), Ok("Monday, November 11/26 10:33:20 Mon %".into()));
    assert!(now("%Q").expect_err("unknown").to_string().contains("%Q"));
    let at = |seconds| ChatTemplate::new("t", "{{ strftime_now('%Y-%m-%d %a') }}", vec![], seconds).expect("right").render(&[], false);
    assert_eq!(at(951_782_400), Ok("2000-02-29 Tue".into()));
    let dated = template("{{ strftime_now('%Y-%m-%d') }}");
    assert_eq!((dated.now(), dated.render(&[], false)), (1_795_430_000, Ok("2026-11-23".into())));
    dated.set_now(951_782_400);
    assert_eq!(dated.render(&[], false), Ok("2000-02-29".into()), "a resumed run tells the date that it began with");
    assert_eq!(at(-1), Ok("1969-12-31 Wed".into()));
    assert_eq!(at(4_107_542_400), Ok("2100-03-01 Mon".into()));
}

#[test]
fn a_broken_or_endless_template_is_an_error() {
    let error = ChatTemplate::new("chat_template.jinja", "a\n{% for %}", vec![], 0).expect_err("broken").to_string();
    assert!(error.starts_with("chat_template.jinja: the chat template is broken at line 2: "), "{error}");
    let endless = template("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}");
    let error = endless.render(&[], false).expect_err("endless").to_string();
    assert!(error.contains("does not come to an end"), "{error}");
    let deep = template("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
    assert!(deep.render(&[], false).is_err());
    let file = ChatTemplate::new("chat_template.jinja", "{% include '/etc/passwd' %}", vec![], 0);
    assert!(file.expect_err("there is nothing to include").to_string().contains("include"));
}

#[test]
fn a_model_without_a_template_gets_plain_words() {
    let messages = [Message::new("system", "Be brief."), Message::new("user", "Which tree?"), Message::new("assistant", "The pear.")];
    let plain = ChatTemplate::fallback(special_tokens(), false, 0).expect("it is right");
    assert!(plain.is_fallback());
    assert_eq!(plain.render(&messages, false), Ok("Be brief.\n\nUser: Which tree?\nAssistant: The pear.<|im_end|>\n".into()));
    assert_eq!(plain.render(&messages[1..2], true), Ok("User: Which tree?\nAssistant:".into()));
    let with_bos = ChatTemplate::fallback(special_tokens(), true, 0).expect("it is right");
    assert_eq!(with_bos.render(&messages[1..2], true), Ok("<|im_start|>User: Which tree?\nAssistant:".into()));
}
