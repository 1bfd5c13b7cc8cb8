//! Runs that begin with something else than the stored model: weights at random, and more tokens; against what transformers makes
//! (scripts/fixtures/make_beginnings.py).

use std::path::Path;
use std::rc::Rc;

use rootstock::checkpoint::{Checkpoint, TensorFile};
use rootstock::config::Recipe;
use rootstock::data::Tokenizer;
use rootstock::platform::{Directory, MemoryDirectory, block_on, open_directory};
use rootstock::workflow::beginning;
use serde_json::Value;

const FIXTURES: &str = "tests/fixtures";

fn fixture() -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{FIXTURES}/beginnings.json")).expect("committed")).expect("JSON")
}

fn directory(name: &str) -> Rc<dyn Directory> {
    Rc::new(open_directory(Path::new(&format!("{FIXTURES}/{name}"))).expect("the fixture is there"))
}

fn recipe(more: &str) -> Recipe {
    let text = format!("model_name_or_path: m\nfinetuning_type: full\ndataset: d\noutput_dir: o\n{more}\n");
    Recipe::parse("recipe.yaml", &text, &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn begun(dir: Rc<dyn Directory>, more: &str) -> Rc<dyn Directory> {
    block_on(beginning(dir, &recipe(more))).unwrap_or_else(|e| panic!("{e}")).0
}

fn numbers(dir: &Rc<dyn Directory>, name: &str) -> Vec<f32> {
    let file = block_on(TensorFile::open(dir.clone(), "model.safetensors")).expect("it opens");
    let count = file.get(name).unwrap_or_else(|| panic!("{name} is missing")).elements();
    block_on(file.read_f32(name, 0..count)).expect("it reads")
}

fn mean_and_std(numbers: &[f32]) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    (mean, (numbers.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// The same tensors, each with transformers' mean and standard deviation, of every architecture; no stored weights are needed.
#[test]
fn weights_at_random_are_transformers() {
    let fixture = fixture();
    let models = fixture["scratch"].as_object().expect("an object");
    assert!(models.len() >= 15, "{}", models.len());
    for (model, expected) in models {
        let config = std::fs::read(format!("{FIXTURES}/golden/{model}/config.json")).expect("it is there");
        let dir: Rc<dyn Directory> = Rc::new(MemoryDirectory::new("m").with("config.json", config));
        let seeds: Vec<_> = (0..4).map(|seed| begun(dir.clone(), &format!("train_from_scratch: true\nseed: {seed}"))).collect();
        let checkpoint = block_on(Checkpoint::open(seeds[0].clone())).unwrap_or_else(|e| panic!("{model}: {e}"));
        let names: Vec<&String> = checkpoint.params().iter().map(|param| &param.name).collect();
        let expected = expected.as_object().expect("an object");
        assert_eq!(names.len(), expected.len(), "{model}: {names:?}");
        for name in names {
            let wanted = &expected[name];
            let (mean, std) = (wanted[0].as_f64().expect("a number"), wanted[1].as_f64().expect("a number"));
            let all: Vec<f32> = seeds.iter().flat_map(|dir| numbers(dir, name)).collect();
            let (found_mean, found_std) = mean_and_std(&all);
            // Five standard errors of the two samples.
            let error = 5.0 * std * (1.5 / all.len() as f64).sqrt();
            assert!((found_mean - mean).abs() <= error + 1e-9, "{model}: {name}: mean {found_mean}, {mean}");
            assert!((found_std - std).abs() <= error + 1e-9, "{model}: {name}: std {found_std}, {std}");
        }
    }
}

/// Whatever pieces are read, and only by the seed.
#[test]
fn numbers_at_random_do_not_depend_on_how_they_are_read() {
    let dir = begun(directory("golden/llama"), "train_from_scratch: true\nseed: 7");
    let file = block_on(TensorFile::open(dir.clone(), "model.safetensors")).expect("it opens");
    for tensor in file.tensors().iter().take(6) {
        let whole = block_on(file.read_f32(&tensor.name, 0..tensor.elements())).expect("it reads");
        for piece in [1, 7, 33] {
            let mut read = Vec::new();
            let mut at = 0;
            while at < tensor.elements().min(400) {
                let end = (at + piece).min(tensor.elements().min(400));
                read.extend(block_on(file.read_f32(&tensor.name, at..end)).expect("it reads"));
                at = end;
            }
            assert_eq!(read, whole[..read.len()], "{}, {piece}", tensor.name);
        }
    }
    let name = "model.layers.0.mlp.up_proj.weight";
    let again = begun(directory("golden/llama"), "train_from_scratch: true\nseed: 7");
    let other = begun(directory("golden/llama"), "train_from_scratch: true\nseed: 8");
    assert_eq!(numbers(&dir, name), numbers(&again, name));
    assert_ne!(numbers(&dir, name), numbers(&other, name));
    assert_ne!(numbers(&dir, name), numbers(&directory("golden/llama"), name));
    // Bytes across the header and several tensors are those of the whole file.
    let size = block_on(dir.size("model.safetensors")).expect("it answers").expect("it is there");
    let whole = block_on(dir.read("model.safetensors")).expect("it reads");
    assert_eq!(whole.len() as u64, size);
    for range in [0..9, 5..3000, 4001..9003, size - 5..size] {
        let part = block_on(dir.read_range("model.safetensors", range.clone())).expect("it reads");
        assert_eq!(part, whole[range.start as usize..range.end as usize], "{range:?}");
    }
}

fn model_with_tokenizer(model: &str) -> Rc<dyn Directory> {
    let mut dir = MemoryDirectory::new("m");
    for (folder, names) in [
        (format!("golden/{model}"), &["config.json", "model.safetensors"][..]),
        ("tokenizer/byte-level".to_string(), &["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]),
    ] {
        for name in names {
            dir = dir.with(name, std::fs::read(format!("{FIXTURES}/{folder}/{name}")).expect("it is there"));
        }
    }
    Rc::new(dir)
}

/// Ids, and what is shown of them, are transformers'; the files beside the model say the same.
#[test]
fn added_tokens_are_transformers() {
    let fixture = &fixture()["vocabulary"];
    let list = |key: &str| fixture[key].as_array().expect("a list").iter().map(|t| t.as_str().expect("text")).collect::<Vec<_>>().join(",");
    let more = format!("add_tokens: \"{}\"\nadd_special_tokens: \"{}\"", list("tokens"), list("special"));
    let dir = begun(model_with_tokenizer("llama"), &more);
    let tokenizer = block_on(Tokenizer::load(&*dir)).unwrap_or_else(|e| panic!("{e}"));
    for case in fixture["cases"].as_array().expect("a list") {
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids");
        let found = tokenizer.encode(case["text"].as_str().expect("text"), false).expect("it encodes");
        assert_eq!(found, ids, "{case}");
        assert_eq!(tokenizer.decode(&ids, true).expect("it decodes"), case["shown"].as_str().expect("text"), "{case}");
    }
    let (before, after) = (fixture["before"].as_u64().expect("a number"), fixture["after"].as_u64().expect("a number"));
    assert_eq!(after - before, 5);
    let rows = block_on(Checkpoint::open(dir)).unwrap_or_else(|e| panic!("{e}")).config().vocab_size as u64;
    assert_eq!(rows, after.next_multiple_of(64));
}

/// Old rows stay to the bit; new ones scatter around their mean by 1 / √width. A tied head grows with the embedding, others on their own.
#[test]
fn new_rows_are_the_mean_with_noise() {
    for (model, heads) in
        [("llama-v5", &["model.embed_tokens.weight", "lm_head.weight"][..]), ("llama-tied-v5", &["model.embed_tokens.weight"])]
    {
        let stored = directory(&format!("validate/healthy/{model}"));
        let words: Vec<String> = (0..60).map(|i| format!("<new{i}>")).collect();
        let dir = begun(stored.clone(), &format!("add_special_tokens: {}", words.join(",")));
        let checkpoint = block_on(Checkpoint::open(dir.clone())).unwrap_or_else(|e| panic!("{model}: {e}"));
        let width = checkpoint.config().hidden_size;
        for name in heads {
            let (old, new) = (numbers(&stored, name), numbers(&dir, name));
            assert_eq!(new[..old.len()], old, "{model}: {name}");
            let rows = (new.len() - old.len()) / width;
            assert!(rows >= 60, "{rows}");
            let mean_of = |numbers: &[f32], column: usize| {
                let column: Vec<f64> = numbers.chunks_exact(width).map(|row| f64::from(row[column])).collect();
                column.iter().sum::<f64>() / column.len() as f64
            };
            let noise: Vec<f32> = (0..new.len() - old.len()).map(|at| new[old.len() + at] - mean_of(&old, at % width) as f32).collect();
            let (mean, std) = mean_and_std(&noise);
            let expected = 1.0 / (width as f64).sqrt();
            let error = 5.0 * expected / (noise.len() as f64).sqrt();
            assert!(mean.abs() < error && (std - expected).abs() < error, "{model}: {name}: {mean}, {std}, {expected}");
        }
        for param in checkpoint.params().iter().filter(|param| !heads.contains(&param.name.as_str())) {
            assert_eq!(numbers(&dir, &param.name), numbers(&stored, &param.name), "{model}: {}", param.name);
        }
    }
}

/// Rows of described tokens, in embedding and head, are those that LLaMA-Factory makes (scripts/fixtures/make_descriptions.py).
#[test]
fn described_tokens_begin_as_llamafactory_makes_them() {
    let text = std::fs::read_to_string(format!("{FIXTURES}/descriptions/rows.json")).expect("committed");
    let fixture: Value = serde_json::from_str(&text).expect("JSON");
    let stored = directory("descriptions");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens.yaml");
    let descriptions = fixture["descriptions"].as_object().expect("an object");
    let lines = descriptions.iter().map(|(token, description)| format!("{token:?}: {description}\n"));
    std::fs::write(&file, lines.collect::<String>()).expect("it is written");
    let inline = format!("new_special_tokens_config: {}", fixture["descriptions"]);
    for given in [inline.clone(), format!("new_special_tokens_config: {}", file.display())] {
        let dir = begun(stored.clone(), &format!("{given}\ninit_special_tokens: desc_init"));
        let tokenizer = block_on(Tokenizer::load(&*dir)).unwrap_or_else(|e| panic!("{e}"));
        for (index, token) in descriptions.keys().enumerate() {
            let id = tokenizer.token_to_id(token).unwrap_or_else(|| panic!("{token}"));
            assert!(
                id as u64 == fixture["before"].as_u64().expect("a number") + index as u64 && tokenizer.is_special(id),
                "{token} is {id}"
            );
        }
        for name in ["model.embed_tokens.weight", "lm_head.weight"] {
            let (old, new) = (numbers(&stored, name), numbers(&dir, name));
            assert_eq!(new[..old.len()], old, "{name}");
            let expected: Vec<Vec<f32>> = serde_json::from_value(fixture["rows"][name].clone()).expect("rows");
            let width = expected[0].len();
            let found: Vec<&[f32]> = new[old.len()..].chunks_exact(width).collect();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
                // Rows that only fill up are transformers': the mean, give or take a thousandth of a standard deviation.
                let tolerance = if row < descriptions.len() { 1e-6 } else { 1e-4 };
                let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= tolerance, "{name}, new row {row}: {worst}");
            }
        }
    }
    // With noise, described rows scatter around those by 1 / √width.
    let name = "model.embed_tokens.weight";
    let calm = numbers(&begun(stored.clone(), &format!("{inline}\ninit_special_tokens: desc_init")), name);
    let from = numbers(&stored, name).len();
    let width = block_on(Checkpoint::open(stored.clone())).expect("it opens").config().hidden_size;
    let to = from + descriptions.len() * width;
    let mut noise = Vec::new();
    for seed in 0..20 {
        let noisy = numbers(&begun(stored.clone(), &format!("{inline}\ninit_special_tokens: desc_init_w_noise\nseed: {seed}")), name);
        noise.extend(noisy[from..to].iter().zip(&calm[from..to]).map(|(a, b)| a - b));
        assert_eq!(noisy[to..], calm[to..], "others have none");
    }
    let (mean, std) = mean_and_std(&noise);
    let expected = 1.0 / (width as f64).sqrt();
    let error = 5.0 * expected / (noise.len() as f64).sqrt();
    assert!(mean.abs() < error && (std - expected).abs() < error, "{mean}, {std}, {expected}");

    let fault = |given: &str| match block_on(beginning(stored.clone(), &recipe(&format!("new_special_tokens_config: {given}")))) {
        Ok(_) => panic!("{given}"),
        Err(error) => error.to_string(),
    };
    assert!(fault("nowhere.yaml").contains("nowhere.yaml"));
    std::fs::write(&file, "- <a>\n").expect("it is written");
    assert!(fault(&file.display().to_string()).contains("a mapping of tokens to descriptions"));
    std::fs::write(&file, "a: [\n").expect("it is written");
    assert!(fault(&file.display().to_string()).contains("no YAML"));
}

#[test]
fn nothing_asked_changes_nothing() {
    let stored = model_with_tokenizer("llama");
    assert!(Rc::ptr_eq(&stored, &begun(stored.clone(), "")));
    // Every token has a row already.
    let tokens = block_on(Tokenizer::load(&*stored)).expect("it loads").vocab_size();
    let rows = block_on(Checkpoint::open(stored.clone())).expect("it opens").config().vocab_size;
    assert_eq!(Rc::ptr_eq(&stored, &begun(stored.clone(), "resize_vocab: true")), tokens <= rows, "{tokens}, {rows}");
    let error = |more: &str| {
        let text = format!("model_name_or_path: m\ndataset: d\noutput_dir: o\n{more}\n");
        Recipe::parse("recipe.yaml", &text, &[]).expect_err("it does not go").to_string()
    };
    assert!(error("finetuning_type: lora\ntrain_from_scratch: true").contains("this needs finetuning_type: full"));
    assert!(error("add_tokens: a\nquantization_bit: 4").contains("embedding does not grow"));
    assert!(error("resize_vocab: true\nadapter_name_or_path: x").contains("output_dir/base"));
    let told = recipe("resize_vocab: true\ninit_special_tokens: desc_init").notices.join("\n");
    assert!(told.contains("no token is described"), "{told}");
}
