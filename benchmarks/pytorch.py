#!/usr/bin/env python3
"""PyTorch with transformers and PEFT against `rootstock bench`, on the same processor, in alternation.

    pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2      (CPU builds)
    python benchmarks/pytorch.py --rootstock target/release/rootstock [--model embedded|SmolLM2-135M] [--rounds 3]

Shapes, batches and what is trained are those of src/bench: full fine-tuning in f32, LoRA of rank 8 on every linear map but the head beside bf16 weights,
16 tokens after a prompt of 256 with bf16 weights. PyTorch runs as its documentation advises for processors: scaled dot product attention, fused AdamW,
as many threads as cores; LoRA and decoding once with f32 and once with bf16 weights, of which the faster counts. Each figure is the median of
the rounds; the order within a round changes."""

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import time

import peft
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "embedded": (dict(vocab_size=512, hidden_size=128, intermediate_size=384, num_hidden_layers=5, num_attention_heads=4,
                      num_key_value_heads=2, head_dim=32, tie_word_embeddings=True), 32, 64),
    "SmolLM2-135M": (dict(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                          num_key_value_heads=3, head_dim=64, tie_word_embeddings=True, max_position_embeddings=8192), 1, 256),
}
PROMPT, ANSWER = 256, 16
STEPS = 3  # of a round, after one that is not timed; their median counts


def model(config, dtype=torch.float32):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**config, attn_implementation="sdpa")).to(dtype)


def seconds(step):
    times = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def trainer(net, batch, sequence, vocabulary):
    ids = torch.randint(0, vocabulary, (batch, sequence))
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=1e-5, fused=True)

    def step():
        net(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


class Peer:
    """PyTorch's three jobs; each returns tokens a second."""

    def __init__(self, name):
        config, self.batch, self.sequence = SHAPES[name]
        self.config = dict(config)

    def full(self):
        step = trainer(model(self.config).train(), self.batch, self.sequence, self.config["vocab_size"])
        return self.batch * self.sequence / seconds(step), "f32"

    def lora(self):
        best = (0.0, "")
        for dtype in (torch.float32, torch.bfloat16):
            adapted = peft.get_peft_model(model(self.config, dtype), peft.LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
            step = trainer(adapted.train(), self.batch, self.sequence, self.config["vocab_size"])
            best = max(best, (self.batch * self.sequence / seconds(step), str(dtype).removeprefix("torch.")))
        return best

    @torch.inference_mode()
    def generation(self):
        best = (0.0, "")
        for dtype in (torch.float32, torch.bfloat16):
            net = model(self.config, dtype).eval()
            ids = torch.randint(0, self.config["vocab_size"], (1, PROMPT))
            past = net(input_ids=ids, use_cache=True)
            times, token, cache = [], past.logits[:, -1:].argmax(-1), past.past_key_values
            for _ in range(ANSWER + 1):
                start = time.perf_counter()
                out = net(input_ids=token, past_key_values=cache, use_cache=True)
                token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values
                times.append(time.perf_counter() - start)
            best = max(best, (1 / statistics.median(times[1:]), str(dtype).removeprefix("torch.")))
        return best


def ours(program, name, what):
    command = [program, "--quiet", "bench", "--model", name, "--only", what, "--json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = report["generation"] if what == "generation" else report["steps"]
    return found[0]["tokens_per_second"], report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rootstock", required=True)
    parser.add_argument("--model", choices=SHAPES)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows, adapter = [], ""
    for name in [arguments.model] if arguments.model else SHAPES:
        peer = Peer(name)
        for what in ("full", "lora", "generation"):
            theirs, mine, dtypes = [], [], set()
            for round in range(arguments.rounds):
                for who in ((0, 1), (1, 0))[round % 2]:
                    if who == 0:
                        speed, dtype = getattr(peer, what)()
                        theirs.append(speed)
                        dtypes.add(dtype)
                    else:
                        speed, report = ours(arguments.rootstock, name, what)
                        mine.append(speed)
                        adapter = f"{report['adapter']} ({report['driver']})"
                print(f"{name} {what}: PyTorch {theirs[-1]:.1f}, Rootstock {mine[-1]:.1f} tokens/s", flush=True)
            a, b = statistics.median(mine), statistics.median(theirs)
            rows.append(f"| {name}, {what} | {a:.1f} | {b:.1f} ({', '.join(sorted(dtypes))}) | {a / b:.2f} |")
    print(f"\n{datetime.date.today()}, {adapter}; PyTorch {torch.__version__}, transformers {transformers.__version__}, PEFT {peft.__version__}, "
          f"{torch.get_num_threads()} threads, {platform.processor() or platform.machine()}\n")
    print("| tokens a second | Rootstock | PyTorch | ratio |\n| --- | --- | --- | --- |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
