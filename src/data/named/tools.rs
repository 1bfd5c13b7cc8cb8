//! How LLaMA-Factory writes tools and calls into a conversation (its `tool_utils.py`): the ways that small models are trained with.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::super::template::{dumps, strftime};
use crate::error::{Error, Result};

/// A way, by LLaMA-Factory's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::data) enum ToolFormat {
    Default,
    Glm4,
    Llama3,
    Mistral,
    Qwen,
}

const QWEN: (&str, &str) = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within \
     <tools></tools> XML tags:\n<tools>",
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML \
     tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>",
);
const LLAMA3: &str = "You have access to the following functions. To call a function, please respond with JSON for a function call. Respond in \
                      the format {\"name\": function name, \"parameters\": dictionary of argument name and its value}. Do not use variables.\n\n";
const GLM4: &str = "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱 AI 公司训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具";
const DEFAULT: &str = "Use the following format if using a tool:\n```\nAction: tool name (one of [";
const DEFAULT_END: &str = "])\nAction Input: the input to the tool, in a JSON format representing the kwargs (e.g. ```{\"input\": \"hello world\", \
                           \"num_beams\": 5}```)\n```\n";

impl ToolFormat {
    /// The format of that name.
    ///
    /// # Errors
    /// [`Error::Recipe`] with those that there are.
    pub(super) fn named(name: &str) -> Result<ToolFormat> {
        Ok(match name {
            "default" => ToolFormat::Default,
            "glm4" => ToolFormat::Glm4,
            "llama3" => ToolFormat::Llama3,
            "mistral" => ToolFormat::Mistral,
            "qwen" => ToolFormat::Qwen,
            _ => return Err(Error::recipe("tool_format", format!("'{name}' is not one of default, glm4, llama3, mistral, qwen"))),
        })
    }

    /// What the system message says about the tools.
    ///
    /// # Errors
    /// [`Error::Config`] for a description that this way cannot write.
    pub(super) fn tools(self, tools: &[Json], now: i64) -> Result<String> {
        match self {
            ToolFormat::Default => default_tools(tools),
            ToolFormat::Glm4 => {
                let tool = |tool: &Json| {
                    let function = &tool["function"];
                    let name = function["name"].as_str().unwrap_or_default();
                    format!("\n\n## {name}\n\n{}\n在调用上述函数时，请使用 Json 格式表示调用的参数。", dumps(function, Some(4)))
                };
                Ok(format!("{GLM4}{}", tools.iter().map(tool).collect::<String>()))
            }
            ToolFormat::Llama3 => {
                let date = strftime("%d %b %Y", now).map_err(|e| Error::config("chat template", "tool_format", e.to_string()))?;
                let tools: String = tools.iter().map(|tool| format!("{}\n\n", dumps(tool, Some(4)))).collect();
                Ok(format!("Cutting Knowledge Date: December 2023\nToday Date: {date}\n\n{LLAMA3}{tools}"))
            }
            ToolFormat::Mistral => Ok(format!("[AVAILABLE_TOOLS] {}[/AVAILABLE_TOOLS]", dumps(&Json::Array(tools.to_vec()), None))),
            ToolFormat::Qwen => {
                let tools: String = tools.iter().map(|tool| format!("\n{}", dumps(tool, None))).collect();
                Ok(format!("{}{tools}{}", QWEN.0, QWEN.1))
            }
        }
    }

    /// An answer that calls tools.
    ///
    /// # Errors
    /// [`Error::Config`] for several calls where the way has but one.
    pub(super) fn calls(self, calls: &[Json]) -> Result<String> {
        let functions: Vec<(&str, &Json)> =
            calls.iter().map(|call| (call["function"]["name"].as_str().unwrap_or_default(), &call["function"]["arguments"])).collect();
        let each =
            |write: &dyn Fn(&str, &Json) -> String| functions.iter().map(|(name, arguments)| write(name, arguments)).collect::<Vec<_>>();
        Ok(match self {
            ToolFormat::Default => each(&|name, arguments| format!("Action: {name}\nAction Input: {}", dumps(arguments, None))).join("\n"),
            ToolFormat::Glm4 if functions.len() > 1 => {
                return Err(Error::config(
                    "chat template",
                    "tool_format",
                    "the tool format glm4 has one call in an answer, and here are several",
                ));
            }
            ToolFormat::Glm4 => each(&|name, arguments| format!("{name}\n{}", dumps(arguments, None))).concat(),
            ToolFormat::Llama3 => {
                let mut objects: Vec<Json> =
                    functions.iter().map(|(name, arguments)| json!({"name": name, "parameters": arguments})).collect();
                let one = if objects.len() == 1 { objects.pop() } else { None };
                dumps(&one.unwrap_or(Json::Array(objects)), None)
            }
            ToolFormat::Mistral => {
                let objects = functions.iter().map(|(name, arguments)| json!({"name": name, "arguments": arguments})).collect();
                dumps(&Json::Array(objects), None)
            }
            ToolFormat::Qwen => {
                let call = |name: &str, arguments: &Json| {
                    format!("<tool_call>\n{}\n</tool_call>", dumps(&json!({"name": name, "arguments": arguments}), None))
                };
                each(&call).join("\n")
            }
        })
    }
}

fn default_tools(tools: &[Json]) -> Result<String> {
    let (mut text, mut names) = (String::new(), Vec::new());
    for tool in tools {
        let function = &tool["function"];
        let name = function["name"].as_str().unwrap_or_default();
        let parameters = &function["parameters"];
        let Some(properties) = parameters["properties"].as_object() else {
            let reason = format!(
                "the tool {name} describes no parameters (\"parameters\": {{\"properties\": {{…}}}}), which the tool format default lists"
            );
            return Err(Error::config("chat template", "tool_format", reason));
        };
        let required = |name: &str| parameters["required"].as_array().is_some_and(|list| list.iter().any(|item| item == name));
        let mut lines = String::new();
        for (name, parameter) in properties {
            let said = |key: &str| parameter[key].as_str().unwrap_or_default();
            let words =
                |list: &[Json]| list.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_string)).collect::<Vec<_>>();
            let choices = parameter["enum"].as_array().filter(|list| !list.is_empty());
            let choices = choices.map(|list| format!(", should be one of [{}]", words(list).join(", "))).unwrap_or_default();
            let items = parameter["items"].as_object().filter(|items| !items.is_empty());
            let items = items.map(|items| items.get("type").and_then(Json::as_str).unwrap_or_default());
            let items = items.map(|kind| format!(", where each item should be {kind}")).unwrap_or_default();
            let required = if required(name) { ", required" } else { "" };
            lines.push_str(&format!("  - {name} ({}{required}): {}{choices}{items}\n", said("type"), said("description")));
        }
        let description = function["description"].as_str().unwrap_or_default();
        text.push_str(&format!("> Tool Name: {name}\nTool Description: {description}\nTool Args:\n{lines}\n"));
        names.push(name);
    }
    Ok(format!("You have access to the following tools:\n{text}{DEFAULT}{}{DEFAULT_END}", names.join(", ")))
}
