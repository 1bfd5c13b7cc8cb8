//! `handover`: the directory is whole, trains to the same result here, and its script asks LLaMA-Factory for the right thing. That
//! LLaMA-Factory computes the same from it is what scripts/fixtures/check_handover.py shows.

use std::fs;
use std::process::Command;

use super::Workspace;

#[test]
fn what_is_handed_over_trains_to_the_same_result() {
    let ws = Workspace::new();
    ws.recipe("finetuning_type: lora\noutput_dir: begun\nmax_steps: 2\nsave_strategy: \"no\"");
    ws.run(&["train", "recipe.yaml"]).good();
    // A table, several turns, a folder, from places of their own.
    fs::create_dir_all(ws.path("far/folder")).expect("it is new");
    ws.write("far/table.csv", "instruction,output\nWhat is it?,It is three.\n");
    ws.write("far/folder/train.jsonl", "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\"}, {\"role\": \"user\", \"content\": \"R\"}, {\"role\": \"assistant\", \"content\": \"B\"}]}\n");
    let more = "finetuning_type: lora\nadapter_name_or_path: begun\ndataset: train.jsonl,far/table.csv,far/folder\neval_dataset: test.jsonl\n\
                evaluation_strategy: steps\neval_steps: 2\nmax_samples: 6\non_bad_record: skip\ndeepspeed: z3.json\noutput_dir: here\ntemplate: chatml";
    ws.recipe(more);
    ws.run(&["train", "recipe.yaml"]).good();
    let said = ws.run(&["handover", "recipe.yaml", "--out", "cluster", "learning_rate=1e-3"]).good();
    assert!(said.stdout.contains("cluster/launch.sh") && said.stderr.contains("another order there"), "{said:?}");

    let recipe = String::from_utf8(ws.read("cluster/recipe.yaml")).expect("text");
    for line in [
        "dataset: train,table,folder",
        "eval_dataset: test",
        "adapter_name_or_path: adapter-1",
        "eval_strategy: steps",
        "output_dir: output",
    ] {
        assert!(recipe.lines().any(|found| found == line), "'{line}' in {recipe}");
    }
    assert!(!recipe.contains("deepspeed") && !recipe.contains("on_bad_record"), "{recipe}");
    let guide = String::from_utf8(ws.read("cluster/README.md")).expect("text");
    assert!(guide.contains("left out: `on_bad_record`") && guide.contains("data/train.jsonl: 6 records"), "{guide}");
    assert!(!guide.contains('@'), "every place is filled in");

    // Moved elsewhere, without what it was made of.
    let moved = Workspace::new();
    fs::rename(ws.path("cluster"), moved.path("cluster")).expect("both are temporary");
    let inside = Command::new(env!("CARGO_BIN_EXE_rootstock")).args(["train", "recipe.yaml"]).current_dir(moved.path("cluster")).output();
    let inside = inside.expect("the program starts");
    assert!(inside.status.success(), "{}", String::from_utf8_lossy(&inside.stderr));
    assert!(moved.read("cluster/output/adapter_model.safetensors") == ws.read("here/adapter_model.safetensors"));
    assert_eq!(moved.json("cluster/output/all_results.json")["eval_loss"], ws.json("here/all_results.json")["eval_loss"]);
}

/// A file of descriptions goes along; tokens that stand in the recipe become one, which is the only form that LLaMA-Factory reads.
#[test]
fn new_tokens_go_along() {
    let ws = Workspace::new();
    fs::create_dir_all(ws.path("far")).expect("it is new");
    ws.write("far/tokens.yml", "<leaf>: what falls in autumn\n");
    for (given, file, text) in [
        ("far/tokens.yml", "new-tokens.yml", "<leaf>: what falls in autumn\n"),
        ("{<leaf>: 'what \"falls\"'}", "new-tokens.yaml", "\"<leaf>\": \"what \\\"falls\\\"\"\n"),
    ] {
        ws.recipe(&format!("new_special_tokens_config: {given}\ninit_special_tokens: desc_init"));
        ws.run(&["handover", "recipe.yaml", "--out", "cluster"]).good();
        assert_eq!(String::from_utf8(ws.read(&format!("cluster/{file}"))).expect("text"), text);
        let recipe = String::from_utf8(ws.read("cluster/recipe.yaml")).expect("text");
        assert!(recipe.contains(&format!("\nnew_special_tokens_config: {file}\n")), "{recipe}");
        // The same run from there: the rows begin with what the description says.
        let inside = Command::new(env!("CARGO_BIN_EXE_rootstock")).args(["train", "recipe.yaml"]).current_dir(ws.path("cluster")).output();
        let said = String::from_utf8_lossy(&inside.expect("the program starts").stderr).into_owned();
        assert!(said.contains("1 of them new"), "{said}");
        fs::remove_dir_all(ws.path("cluster")).expect("it is there");
    }
}

#[test]
fn what_cannot_be_handed_over_is_said_and_nothing_is_left() {
    let ws = Workspace::new();
    ws.recipe("dataset: weighed.jsonl");
    ws.write("weighed.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\"}, {\"role\": \"assistant\", \"content\": \"A\", \"weight\": 0}, {\"role\": \"user\", \"content\": \"R\"}, {\"role\": \"assistant\", \"content\": \"B\"}]}\n");
    let fault = ws.run(&["handover", "recipe.yaml", "--out", "cluster"]).fault();
    assert!(fault.contains("weighed.jsonl, line 1") && fault.contains("weight 0"), "{fault}");
    assert!(!ws.path("cluster").exists());
    fs::create_dir(ws.path("full")).expect("it is new");
    ws.write("full/file.txt", "mine");
    assert!(ws.run(&["handover", "recipe.yaml", "--out", "full"]).fault().contains("not empty"));
    ws.recipe("learning_rate: fast");
    assert!(ws.run(&["handover", "recipe.yaml", "--out", "cluster"]).fault().contains("learning_rate"));
}

/// The script keeps the number of samples of a step, whatever the number of processes.
#[cfg(unix)]
#[test]
fn the_script_parts_a_step_among_processes() {
    use std::os::unix::fs::PermissionsExt;

    let ws = Workspace::new();
    ws.recipe("per_device_train_batch_size: 3\ngradient_accumulation_steps: 4");
    ws.run(&["handover", "recipe.yaml", "--out", "cluster"]).good();
    for name in ["llamafactory-cli", "accelerate"] {
        ws.write(
            name,
            "#!/bin/sh\necho $(basename $0) \"$@\" procs=${NPROC_PER_NODE:-} nodes=${NNODES:-} port=${MASTER_PORT:-} ray=${USE_RAY:-}\n",
        );
        fs::set_permissions(ws.path(name), fs::Permissions::from_mode(0o755)).expect("it is there");
    }
    let path = format!("{}:{}", ws.path("").display(), std::env::var("PATH").unwrap_or_default());
    let launch = |args: &[&str], more: &[(&str, &str)]| {
        let mut command = Command::new("sh");
        command.arg(ws.path("cluster/launch.sh")).args(args).env("PATH", &path).envs(more.iter().copied());
        for name in ["MASTER_PORT", "MASTER_ADDR"].into_iter().filter(|name| !more.iter().any(|(given, _)| given == name)) {
            command.env_remove(name);
        }
        let output = command.output().expect("there is a shell");
        (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    };
    let hosts = [("NNODES", "2"), ("NODE_RANK", "1"), ("MASTER_ADDR", "10.0.0.1")];
    for (args, more, expected) in [
        (&["one"][..], &[][..], "llamafactory-cli train recipe.yaml per_device_train_batch_size=3 gradient_accumulation_steps=4 "),
        (
            &["torchrun", "2", "bf16=true"],
            &[],
            "per_device_train_batch_size=3 gradient_accumulation_steps=2 bf16=true procs=2 nodes=1 port= ",
        ),
        (&["torchrun", "6"], &[], "per_device_train_batch_size=2 gradient_accumulation_steps=1 procs=6"),
        (&["zero3", "3"], &hosts, "per_device_train_batch_size=2 gradient_accumulation_steps=1 procs=3 nodes=2 port=29500"),
        (&["zero2", "4"], &[], "deepspeed=deepspeed-zero2.json per_device_train_batch_size=3 gradient_accumulation_steps=1 "),
        (&["fsdp", "2"], &[], "accelerate launch --config_file fsdp.yaml --num_processes 2 --num_machines 1"),
        (&["ray", "12"], &[], "ray_num_workers=12"),
    ] {
        let (good, said) = launch(args, more);
        assert!(good && said.contains(expected), "{args:?}: {said}");
    }
    for (args, more, expected) in [
        (&["torchrun", "5"][..], &[][..], "a step has 12 samples, which 5 processes cannot share evenly"),
        (&["sideways"], &[], "say how: one, torchrun"),
        (&[], &[], "say how: one, torchrun"),
        (&["torchrun", "2"], &[("NNODES", "2")], "MASTER_ADDR"),
    ] {
        let (good, said) = launch(args, more);
        assert!(!good && said.contains(expected), "{args:?}: {said}");
    }
}
