//! The demo, shortened: every part of the journey, on the model that the program carries.

use super::Workspace;

#[test]
fn the_demo_goes_from_the_embedded_model_to_a_directory_that_computes_the_same() {
    let ws = Workspace::new();
    let said = ws.run(&["demo", "--out", "result", "max_steps=3", "max_samples=24"]).good();
    assert!(said.stderr.contains("as in the run to the last bit"), "{}", said.stderr);
    for words in ["question (held out)", "answered right", "perplexity", "3 steps in ", "training_loss.png"] {
        assert!(said.stdout.contains(words), "'{words}' in: {}", said.stdout);
    }
    for file in ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "trainer_log.jsonl"] {
        assert!(ws.path("result/village").join(file).exists(), "{file}");
    }
    let losses: Vec<f64> = {
        let line = said.stdout.lines().find(|l| l.trim_start().starts_with("loss")).expect("a row of losses");
        line.split_whitespace().skip(1).map(|n| n.parse().expect("a number")).collect()
    };
    assert!(losses.len() == 2 && losses[1] < losses[0], "three steps help already: {losses:?}");
    let score = ws.run(&["eval", "--model", "result/village", "--dataset", "train.jsonl", "--json"]).good().json();
    assert_eq!(score["samples"], 12);
}
