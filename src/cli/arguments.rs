//! The command line as LLaMA-Factory's users write it: recipe keys with dashes, `--learning_rate 1e-4`.

use std::ffi::OsString;

use rootstock::config::keys::{canonical, find};
use rootstock::config::value::Kind;

/// Commands whose recipe keys have no option of the same name.
const COMMANDS: [&str; 3] = ["train", "estimate", "preview"];

/// Options of the program that are no keys.
const OPTIONS: [&str; 6] = ["device", "memory-limit", "quiet", "json", "help", "tokens"];

/// Turns `--key value`, `--key=value` and a flag `--key` into `key=value` behind the commands that take recipe keys.
pub(super) fn with_keys(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut rest: Vec<OsString> = arguments.collect();
    let command = rest.iter().position(|word| word.to_str().is_some_and(|word| COMMANDS.contains(&word)));
    let Some(command) = command else { return rest };
    let mut words = rest.split_off(command + 1).into_iter().peekable();
    while let Some(word) = words.next() {
        let Some(key) = word.to_str().and_then(key_of) else {
            rest.push(word);
            continue;
        };
        let flag =
            find(canonical(key.split('.').next().unwrap_or(&key))).is_some_and(|key| matches!(key.kind, Kind::Bool | Kind::BoolOrText));
        let value = words.next_if(|next| {
            let next = next.to_string_lossy();
            let word = next.to_lowercase();
            !next.starts_with("--") && (!flag || matches!(word.as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "none"))
        });
        let mut joined = OsString::from(format!("{key}="));
        match value {
            Some(value) => joined.push(value),
            None if flag => joined.push("true"),
            // clap says what is wrong with it.
            None => joined = word,
        }
        rest.push(joined);
    }
    rest
}

/// The recipe key of `--key`, if it is one and brings no value of its own.
fn key_of(word: &str) -> Option<String> {
    let name = word.strip_prefix("--")?;
    if OPTIONS.contains(&name) || name.contains('=') {
        return None; // `--key=value` is an override that needs no help
    }
    let key = name.replace('-', "_");
    find(canonical(key.split('.').next()?)).map(|_| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let words = with_keys(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_with_dashes_become_overrides() {
        for (line, expected) in [
            ("rootstock train r.yaml --learning_rate 1e-4", "rootstock train r.yaml learning_rate=1e-4"),
            ("rootstock train r.yaml --learning-rate 1e-4 -q", "rootstock train r.yaml learning_rate=1e-4 -q"),
            ("rootstock train r.yaml --max_steps -1 seed=7", "rootstock train r.yaml max_steps=-1 seed=7"),
            ("rootstock train r.yaml --do_train --packing false", "rootstock train r.yaml do_train=true packing=false"),
            ("rootstock train --bf16 r.yaml", "rootstock train bf16=true r.yaml"),
            ("rootstock train r.yaml --device llvmpipe --json", "rootstock train r.yaml --device llvmpipe --json"),
            ("rootstock train r.yaml --lr_scheduler_kwargs.min_lr 1e-6", "rootstock train r.yaml lr_scheduler_kwargs.min_lr=1e-6"),
            ("rootstock chat --model m --seed 7", "rootstock chat --model m --seed 7"),
            ("rootstock train r.yaml --nonsense 3", "rootstock train r.yaml --nonsense 3"),
            ("rootstock train r.yaml --seed", "rootstock train r.yaml --seed"),
        ] {
            assert_eq!(rewritten(line), expected);
        }
    }
}
