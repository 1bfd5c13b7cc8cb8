import { Rootstock } from "./node_modules/rootstock/dist/index.js";

const at = (id) => document.getElementById(id);
const assets = "./node_modules/rootstock/dist/assets";

/** Trains an adapter of this rank and fills its row of the table. */
async function compare(rank, steps, question, signal) {
  const row = at("rows").insertRow();
  const [name, parameters, step, loss, held, file, answer] = Array.from({ length: 7 }, () => row.insertCell());
  name.textContent = rank;
  const session = new Rootstock({ assets });
  try {
    await session.open("embedded", { signal });
    const recipe = {
      finetuning_type: "lora",
      lora_rank: rank,
      lora_alpha: 2 * rank,
      cutoff_len: 64,
      per_device_train_batch_size: 8,
      learning_rate: 5e-3,
      max_steps: steps,
      logging_steps: 1,
    };
    await session.prepare({ example: "pirate" }, recipe, { signal, count: 0 });
    const { trainable } = await session.plan(recipe, { signal });
    parameters.textContent = trainable.toLocaleString();
    const run = session.train(recipe, { signal });
    for await (const event of run) {
      if (event.kind === "progress") step.textContent = `${event.progress.what} …`;
      if (event.kind !== "step") continue;
      step.textContent = event.line.current_steps;
      loss.textContent = event.line.loss.toFixed(3);
    }
    const { run: kept } = await run.result;
    const files = await session.files(kept.id);
    const weights = files.find(({ name }) => name.endsWith(".safetensors"));
    file.textContent = `${Math.round(weights.size / 1000)} kB`;
    for await (const piece of session.generate(question, { maxNewTokens: 40, signal })) answer.textContent += piece;
    const score = await session.evaluate({ example: "pirate_held_out" }, { signal });
    held.textContent = score.loss.toFixed(3);
  } finally {
    session.close(); // its worker and its GPU memory; the adapter stays among the kept runs
  }
}

at("start").onclick = async () => {
  at("start").disabled = true;
  at("rows").replaceChildren();
  at("state").textContent = "Training …";
  const both = new AbortController();
  try {
    await Promise.all([2, 16].map((rank) => compare(rank, Number(at("steps").value), at("question").value, both.signal)));
    at("state").textContent = "Done.";
  } catch (fault) {
    both.abort(); // one has failed: the other stops as well
    at("state").textContent = fault.message;
  }
  at("start").disabled = false;
};
