//! Tool calls and tool descriptions, from the ways in which datasets write them to the one that chat templates read (OpenAI's, with the
//! arguments as an object).

use serde_json::{Map, Value as Json, json};

use super::layout::kind_of;

/// The tools of a record: a list, or its text as JSON. None where there are none.
///
/// # Errors
/// What is wrong with it, without the place.
pub(super) fn read_tools(name: &str, value: &Json) -> Result<Vec<Json>, String> {
    let parsed;
    let list = match value {
        Json::Null => return Ok(Vec::new()),
        Json::String(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Json::String(text) => {
            parsed = serde_json::from_str::<Json>(text).map_err(|e| format!("\"{name}\" is text that is not JSON: {e}"))?;
            &parsed
        }
        other => other,
    };
    let Json::Array(list) = list else { return Err(format!("\"{name}\" is {}, expected a list of tools", kind_of(list))) };
    let wrap = |tool: &Json| {
        let function = if tool["type"] == "function" && tool["function"].is_object() { &tool["function"] } else { tool };
        match function["name"].as_str() {
            Some(_) if function == tool => Ok(json!({"type": "function", "function": tool})),
            Some(_) => Ok(tool.clone()),
            None => Err(format!("a tool in \"{name}\" has no name; expected {{\"name\": …, \"description\": …, \"parameters\": {{…}}}}")),
        }
    };
    list.iter().map(wrap).collect()
}

/// The calls of tools that a message holds, in the form that chat templates read: from a list of `{"function": {"name", "arguments"}}` or of `{"name", "arguments"}`, or one of them.
///
/// # Errors
/// What is wrong with it, without the place.
pub fn read_calls(value: &Json) -> Result<Vec<Json>, String> {
    let one = std::slice::from_ref(value);
    let list = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Array(list) => list.as_slice(),
        _ => one,
    };
    list.iter().map(read_call).collect()
}

fn read_call(call: &Json) -> Result<Json, String> {
    let function = if call["function"].is_object() { &call["function"] } else { call };
    let Some(name) = function["name"].as_str() else {
        return Err("a tool call has no name; expected {\"name\": …, \"arguments\": {…}}".into());
    };
    let arguments = match function.get("arguments").or_else(|| function.get("parameters")) {
        None | Some(Json::Null) => json!({}),
        // OpenAI writes the arguments as text; templates want them as they are.
        Some(Json::String(text)) => match serde_json::from_str::<Json>(text) {
            Ok(object) if object.is_object() => object,
            _ if text.trim().is_empty() => json!({}),
            _ => return Err(format!("the arguments of the tool call {name} are text that is not a JSON object")),
        },
        Some(object @ Json::Object(_)) => object.clone(),
        Some(other) => return Err(format!("the arguments of the tool call {name} are {}, expected a record", kind_of(other))),
    };
    let mut out = Map::new();
    if let Some(id) = call["id"].as_str() {
        out.insert("id".into(), id.into());
    }
    out.insert("type".into(), "function".into());
    out.insert("function".into(), json!({"name": name, "arguments": arguments}));
    Ok(Json::Object(out))
}

/// The value of sharegpt's `function_call`: the calls as JSON, perhaps within `<tool_call>` and after a thought. What is beside the
/// JSON stays as text.
///
/// # Errors
/// What is wrong with it, without the place.
pub(super) fn read_function_call(text: &str) -> Result<(String, Vec<Json>), String> {
    let within = |open: &str, close: &str| {
        let start = text.find(open)?;
        let end = start + text[start..].find(close)?;
        Some((start, start + open.len(), end, end + close.len()))
    };
    let (thought, calls) = if let Some((from, start, end, to)) = within("<tool_call>", "</tool_call>") {
        (format!("{}{}", &text[..from], &text[to..]), &text[start..end])
    } else if let Some((from, _, _, to)) = within("<think>", "</think>") {
        // The line breaks that close a thought belong to it.
        let to = to + (text[to..].len() - text[to..].trim_start_matches('\n').len());
        (text[from..to].to_string(), text[to..].trim())
    } else {
        (String::new(), text.trim())
    };
    let json: Json = serde_json::from_str(calls.trim()).map_err(|e| format!("the function call is not JSON: {e}"))?;
    let calls = read_calls(&json)?;
    if calls.is_empty() { Err("the function call is empty".into()) } else { Ok((thought, calls)) }
}

/// Gives calls without an id one, and their results the id of their call: some templates (mistral's) want nine letters or digits.
pub(super) fn number_calls(messages: &mut [super::Message]) {
    let mut open: Vec<String> = Vec::new();
    let mut count = 0;
    for message in messages {
        if message.role == "assistant" {
            open.clear();
        }
        for call in message.more.get_mut("tool_calls").and_then(Json::as_array_mut).into_iter().flatten() {
            if call["id"].as_str().is_none() {
                call["id"] = format!("call{count:05}").into();
            }
            count += 1;
            open.extend(call["id"].as_str().map(str::to_string));
        }
        if message.role == "tool" && !open.is_empty() {
            let id = open.remove(0);
            message.more.entry("tool_call_id").or_insert_with(|| id.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_every_format_writes_them() {
        let expected = vec![json!({"type": "function", "function": {"name": "water", "arguments": {"tree": "pear", "n": 2}}})];
        for text in [
            r#"{"name": "water", "arguments": {"tree": "pear", "n": 2}}"#,
            r#"[{"name": "water", "arguments": {"tree": "pear", "n": 2}}]"#,
            r#"{"type": "function", "function": {"name": "water", "arguments": "{\"tree\": \"pear\", \"n\": 2}"}}"#,
        ] {
            assert_eq!(read_function_call(text), Ok((String::new(), expected.clone())), "{text}");
        }
        let thought = "<think>\nThe pear is dry.\n</think>\n\n{\"name\": \"water\", \"arguments\": {\"tree\": \"pear\", \"n\": 2}}";
        assert_eq!(read_function_call(thought), Ok(("<think>\nThe pear is dry.\n</think>\n\n".into(), expected.clone())));
        let wrapped = "I will.<tool_call>{\"name\": \"water\", \"arguments\": {\"tree\": \"pear\", \"n\": 2}}</tool_call>";
        assert_eq!(read_function_call(wrapped), Ok(("I will.".into(), expected)));
        for (text, word) in
            [("{", "not JSON"), ("[]", "empty"), ("{\"arguments\": {}}", "no name"), ("{\"name\": \"a\", \"arguments\": 5}", "a number")]
        {
            assert!(read_function_call(text).expect_err("it is wrong").contains(word), "{text}");
        }
    }

    #[test]
    fn tools_are_wrapped_and_read_from_text() {
        let wrapped = json!([{"type": "function", "function": {"name": "water", "parameters": {}}}]);
        for value in [wrapped.clone(), json!([{"name": "water", "parameters": {}}]), json!("[{\"name\": \"water\", \"parameters\": {}}]")] {
            assert_eq!(read_tools("tools", &value).map(Json::Array), Ok(wrapped.clone()), "{value}");
        }
        assert_eq!(read_tools("tools", &json!("")), Ok(Vec::new()));
        assert!(read_tools("tools", &json!("nonsense")).is_err() && read_tools("tools", &json!([{"a": 1}])).is_err());
    }
}
