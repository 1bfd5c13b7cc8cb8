"""Two real models against transformers, PEFT and llama.cpp: `npm run test:real` runs it, after `npm run real-models`.

    python check.py PROGRAM [PART ...]        parts: tokens, answers, steps-full, steps-lora, tune, export, page; all of them unless named

Every part prints its figures and a line PASS or FAIL; the exit status is 0 or 1.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

import numpy
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "real-models"
SMOLLM = MODELS / "SmolLM2-135M-Instruct"
GEMMA = MODELS / "gemma-3-270m"
FILES = {SMOLLM: MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf", GEMMA: MODELS / "gemma-3-270m-q4_k_m.gguf"}
INSTRUCTIONS = MODELS / "alpaca_en_demo.json"
# Loss and gradient norm of a step, over their size.
STEP_TOLERANCE = 1e-4
ANSWER_TOKENS = 60
# Maps of a layer whose rows lie in the same order in GGUF files and in transformers' directories.
KEPT_MAPS = {"attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
TUNED_RECORDS = 120
HELD_OUT_RECORDS = 32

QUESTIONS = ["What is the capital of France?", "Write a sentence about a gardener.", "How many legs has a spider?"]
BEGINNINGS = ["The capital of France is", "A gardener", "def add(a, b):"]
TEXTS = [
    "A gardener grafts scions on a rootstock, and the graft holds only if the rootstock is whole.",
    "The old tree in the garden gives apples in autumn; the young trees give none yet.",
    "How do I water a young tree? Water it slowly, in the morning, and not every day.",
    "In 2024 the garden had 17 trees, in 2025 it had 23, and 1 of them was a pear.",
    "It's the gardener's knife, isn't it? They'll say we've lost it. I'm sure you're right.",
]
HARD = TEXTS + [
    "",
    "  two  spaces,   three,\ttab\n\nblank line \n  indented\n" + " " * 37 + "far",
    "日本語の庭 и сад 🌳👩‍🌾 é e\u0301 ½ ﬁ",
    "def graft(rootstock, scion):\n    if rootstock.whole:\n        return 3.14 * 1000000\r\n",
    "don't DON'T we'Ve ''''''```````\"\"\"\"......!!!!!!?????? ------=======",
    "<table><tr><td>a</td></tr></table> <unused5> [multimodal] <strong>",
]

failed = []


def verdict(part, good, figures):
    """Prints what a part found."""
    print(f"{'PASS' if good else 'FAIL'}  {part}: {figures}", flush=True)
    if not good:
        failed.append(part)


def rootstock(*arguments, quiet=True):
    """The program's output."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"rootstock {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout if quiet else done.stdout + done.stderr


def llama(file, prompts, count, *more):
    """What llama.cpp answers."""
    command = ["node", str(ROOT / "scripts/real-models/llama.mjs"), str(file), str(count), *map(str, more)]
    return json.loads(subprocess.run(command, input=json.dumps(prompts), capture_output=True, text=True, check=True).stdout)


def load(directory):
    """The model in f32, as transformers computes it."""
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()


def tokens():
    """Both files: ready without a warning; llama.cpp's tokens."""
    for directory, file in FILES.items():
        for model in (file, directory):
            report = json.loads(rootstock("validate", model, "--json"))
            warnings = [finding["message"] for finding in report["findings"] if finding["severity"] != "info"]
            verdict(f"validate {model.name}", report["verdict"] == "ready" and not warnings, f"{report['verdict']}, {len(warnings)} warnings")
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        # llama.cpp is asked for the text's own tokens, without the bos that a model may want in front.
        ours = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in HARD]
        theirs = [answer["asked"] for answer in llama(file, HARD, 0)]
        different = [text for text, one, other in zip(HARD, ours, theirs) if one != other and text]
        verdict(f"tokens {file.name}", not different, f"{len(HARD)} texts, other tokens than llama.cpp for {different}")


def answers():
    """Greedy answers, token for token."""
    for directory, prompts in ((SMOLLM, QUESTIONS), (GEMMA, BEGINNINGS)):
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        model = load(directory)
        same, seconds = 0, 0.0
        for prompt in prompts:
            if tokenizer.chat_template:
                asked = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False)
            else:
                asked = tokenizer(prompt)["input_ids"]
            with torch.no_grad():
                ids = model.generate(
                    torch.tensor([asked]), max_new_tokens=ANSWER_TOKENS, do_sample=False, pad_token_id=0, repetition_penalty=1.0
                )
            expected = tokenizer.decode(ids[0, len(asked) :], skip_special_tokens=True)
            started = time.monotonic()
            found = rootstock("generate", "--quiet", "--model", FILES[directory], "--prompt", prompt, "--greedy", "--max-new-tokens", ANSWER_TOKENS)
            seconds += time.monotonic() - started
            same += found.strip() == expected.strip()
            if found.strip() != expected.strip():
                print(f"      {prompt!r}\n      transformers: {expected!r}\n      rootstock:    {found!r}")
        verdict(f"answers {directory.name}", same == len(prompts), f"{same} of {len(prompts)} as transformers', {ANSWER_TOKENS} tokens each, {seconds:.0f} s")


def reference(directory, adapter, rate):
    """Loss and gradient norm of each of five steps, by torch."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = load(directory)
    if adapter is not None:
        import peft

        model = peft.PeftModel.from_pretrained(model, adapter, is_trainable=True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    made = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text)["input_ids"] + [tokenizer.eos_token_id]])
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        made.append((loss.item(), norm.item()))
    return made


def steps(method):
    """Five steps, of all parameters or of an adapter."""
    for directory in FILES:
        with tempfile.TemporaryDirectory(dir=MODELS) as place:
            place = pathlib.Path(place)
            (place / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
            adapter, rate = None, 1e-5
            if method == "lora":
                import peft

                torch.manual_seed(0)
                modules = ["q_proj", "v_proj", "down_proj"]
                config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=modules, init_lora_weights=False, task_type="CAUSAL_LM")
                adapter, rate = place / "adapter", 1e-4
                adapted = peft.get_peft_model(load(directory), config)
                # PEFT's random B is as large as A: Gemma's gradients then grow to a thousand, and each step multiplies what the one before rounded.
                for name, weight in adapted.named_parameters():
                    if "lora_B" in name:
                        weight.data *= 0.1
                adapted.save_pretrained(adapter)
            out = place / "out"
            settings = dict(
                model_name_or_path=FILES[directory],
                stage="sft",
                finetuning_type=method,
                dataset=place / "texts.jsonl",
                disable_shuffling="true",
                cutoff_len=48,
                per_device_train_batch_size=1,
                gradient_accumulation_steps=1,
                max_steps=5,
                learning_rate=rate,
                lr_scheduler_type="constant",
                weight_decay=0.0,
                max_grad_norm=1.0,
                logging_steps=1,
                save_strategy="no",
                packing="false",
                output_dir=out,
            )
            if adapter is not None:
                settings["adapter_name_or_path"] = adapter
                settings["lora_dropout"] = 0.0
            (place / f"{method}.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
            started = time.monotonic()
            # A software device says that it has 2 GiB, which all parameters of SmolLM2 with their moments fill.
            rootstock("train", place / f"{method}.yaml", "--quiet", "--memory-limit", "6GiB")
            seconds = time.monotonic() - started
            lines = [json.loads(line) for line in (out / "trainer_log.jsonl").read_text().splitlines()]
            found = [(line["loss"], line["grad_norm"]) for line in lines if "grad_norm" in line]
            expected = reference(directory, adapter, rate)
            off = [max(abs(a - b) / abs(b) for a, b in zip(column(found, at), column(expected, at))) for at in (0, 1)]
            good = len(found) == len(expected) and max(off) <= STEP_TOLERANCE
            verdict(f"steps {directory.name} {method}", good, f"loss within {off[0]:.1e}, gradient norm within {off[1]:.1e}, {seconds:.0f} s")
            if not good:
                print(f"      found    {found}\n      expected {expected}")


def tune():
    """LoRA on the blocks of a GGUF file, with real instructions: what was held out gets likelier, and the model still answers in its chat."""
    with tempfile.TemporaryDirectory(dir=MODELS) as place:
        place = pathlib.Path(place)
        # Short ones: a step takes seconds on a processor.
        records = [record for record in json.loads(INSTRUCTIONS.read_text()) if sum(map(len, record.values())) < 600]
        learned, held_out = place / "learned.json", place / "held_out.json"
        learned.write_text(json.dumps(records[:TUNED_RECORDS]))
        held_out.write_text(json.dumps(records[-HELD_OUT_RECORDS:]))
        out = place / "out"
        settings = dict(
            model_name_or_path=FILES[SMOLLM],
            stage="sft",
            finetuning_type="lora",
            lora_rank=8,
            lora_target="all",
            dataset=learned,
            cutoff_len=256,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=1,
            num_train_epochs=1.0,
            learning_rate=2.0e-4,
            lr_scheduler_type="cosine",
            warmup_ratio=0.1,
            logging_steps=5,
            save_strategy="no",
            output_dir=out,
        )
        (place / "tune.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
        started = time.monotonic()
        rootstock("train", place / "tune.yaml", "--quiet")
        seconds = time.monotonic() - started
        adapted = ("--adapter", out)
        before, after = (
            json.loads(rootstock("eval", "--quiet", "--model", FILES[SMOLLM], *more, "--dataset", held_out, "--json"))["loss"] for more in ((), adapted)
        )
        figures = f"{TUNED_RECORDS} records in {seconds:.0f} s, loss of {HELD_OUT_RECORDS} held out {before:.4f} -> {after:.4f}"
        verdict("tune: held-out loss", after < before - 0.02, figures)
        answers = [
            rootstock("generate", "--quiet", "--model", FILES[SMOLLM], *adapted, "--prompt", text, "--greedy", "--max-new-tokens", ANSWER_TOKENS).strip()
            for text in QUESTIONS
        ]
        for text, answer in zip(QUESTIONS, answers):
            print(f"      {text}  {answer!r}")
        works = "Paris" in answers[0] and all(answer and "<|im_" not in answer for answer in answers)
        verdict("tune: chat", works, "knows what it knew and keeps to its template" if works else "its answers are above")


def column(pairs, at):
    """One of both."""
    return [pair[at] for pair in pairs]


def export():
    """Exported files in llama.cpp: f16 gives the answers of this program. Beside q8_0 llama.cpp rounds activations to 8 bits as well, so that its
    answers tell nothing of the file (it calls the capital of France L'Étoile by the publisher's Q4_1 too): the blocks themselves are compared."""
    import gguf
    import safetensors.torch

    tokenizer = transformers.AutoTokenizer.from_pretrained(SMOLLM)
    asked = [tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False) for text in QUESTIONS]
    # As this program reads the directory: llama's queries and keys lie in another order in GGUF files, the others as they are.
    kept = {"token_embd": "model.embed_tokens"}
    kept |= {f"blk.{layer}.{there}": f"model.layers.{layer}.{here}" for layer in range(30) for there, here in KEPT_MAPS.items()}
    weights = {}
    for shard in SMOLLM.glob("*.safetensors"):
        weights |= safetensors.torch.load_file(shard)
    with tempfile.TemporaryDirectory(dir=MODELS) as place:
        for outtype in ("f16", "q8_0"):
            file = pathlib.Path(place) / f"smollm2-{outtype}.gguf"
            rootstock("export", "--quiet", "--model", SMOLLM, "--gguf", file, "--outtype", outtype)
            tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
            wrong = []
            for there, here in kept.items():
                tensor, weight = tensors[f"{there}.weight"], weights[f"{here}.weight"].float().numpy()
                expected = gguf.quants.quantize(weight, tensor.tensor_type)
                if not numpy.array_equal(expected.view(numpy.uint8), tensor.data.view(numpy.uint8).reshape(expected.view(numpy.uint8).shape)):
                    wrong.append(there)
            verdict(f"export {outtype}, bytes", not wrong, f"{len(kept)} of {len(tensors)} tensors as gguf makes them, different: {wrong}")
            theirs = [answer["text"].strip() for answer in llama(file, asked, ANSWER_TOKENS)]
            ours = [
                rootstock("generate", "--quiet", "--model", file, "--prompt", text, "--greedy", "--max-new-tokens", ANSWER_TOKENS).strip()
                for text in QUESTIONS
            ]
            same = sum(one == other for one, other in zip(ours, theirs))
            figures = f"{same} of {len(ours)} as llama.cpp's"
            if outtype == "f16":
                verdict("export f16, answers", same == len(ours), figures)
            else:
                print(f"      export {outtype}, answers: {figures}")
            for one, other in zip(ours, theirs):
                if one != other:
                    print(f"      llama.cpp: {other!r}\n      rootstock: {one!r}")


def page():
    """The same file in the page: opened, trained for a few steps, taken home (page.mjs, which says what it found)."""
    done = subprocess.run(["node", str(ROOT / "scripts/real-models/page.mjs"), PROGRAM], check=False)
    if done.returncode != 0:
        failed.append("page")


PARTS = {
    "tokens": tokens,
    "answers": answers,
    "steps-full": lambda: steps("full"),
    "steps-lora": lambda: steps("lora"),
    "tune": tune,
    "export": export,
    "page": page,
}

if __name__ == "__main__":
    PROGRAM = sys.argv[1]
    for part in sys.argv[2:] or PARTS:
        PARTS[part]()
    print("PASS" if not failed else f"FAIL {', '.join(failed)}")
    sys.exit(bool(failed))
