import { Fault, Rootstock, type ModelSource, type Settings, type Training } from "rootstock";

const session = new Rootstock({ assets: "./rootstock" });
const at = <E extends HTMLElement>(id: string) => document.getElementById(id) as E;
const say = (words: string) => (at("state").textContent = words);
const steps = at<HTMLInputElement>("steps");
let run: Training | null = null;

async function open(source: ModelSource): Promise<void> {
  say("Opening …");
  const base = await session.open(source, { onProgress: ({ what }) => say(`${what} …`) });
  const findings = base.report.findings.map(({ severity, message }) => `${severity}: ${message}`);
  at("report").replaceChildren(
    ...findings.map((words) => Object.assign(document.createElement("li"), { textContent: words })),
  );
  const usable = base.report.verdict === "ready";
  for (const id of ["train", "send"]) at<HTMLButtonElement>(id).disabled = !usable;
  say(`${base.name}: ${base.report.verdict}, ${base.report.parameters?.toLocaleString() ?? "?"} parameters`);
}

async function train(): Promise<void> {
  const recipe: Settings = {
    stage: "pt",
    finetuning_type: "lora",
    lora_rank: 8,
    cutoff_len: 64,
    learning_rate: 5e-3,
    max_steps: steps.valueAsNumber,
    logging_steps: 1,
  };
  await session.prepare({ text: at<HTMLTextAreaElement>("text").value, name: "text.txt" }, recipe);
  const plan = await session.plan(recipe);
  if (!plan.fits) throw new Error(plan.obstacle ?? "The run does not fit.");
  say(`${plan.trainable.toLocaleString()} parameters, ${(plan.memory.peak / 1e6).toFixed(0)} MB`);
  at("files").replaceChildren();
  run = session.train(recipe);
  at<HTMLButtonElement>("hold").disabled = false;
  try {
    for await (const event of run) {
      if (event.kind === "progress") say(`${event.progress.what} …`);
      if (event.kind === "step") say(`Step ${event.line.current_steps} of ${event.line.total_steps}: loss ${event.line.loss.toFixed(3)}`);
      if (event.kind === "paused") say(`Held after step ${event.step}.`);
    }
    const { run: kept } = await run.result;
    for (const file of await session.files(kept.id)) {
      const href = URL.createObjectURL(await file.file());
      const link = Object.assign(document.createElement("a"), { href, download: file.name, textContent: file.name });
      at("files").appendChild(document.createElement("li")).append(link);
    }
    say("Done. The adapter, for PEFT:");
  } finally {
    run = null;
    at<HTMLButtonElement>("hold").disabled = true;
  }
}

async function answer(): Promise<void> {
  at("answer").textContent = "";
  for await (const piece of session.generate(at<HTMLInputElement>("question").value, { maxNewTokens: 40 })) {
    at("answer").textContent += piece;
  }
}

/** Faults have a sentence for people, a code for code and a place. */
function attempt(work: Promise<unknown>): void {
  work.catch((error: unknown) => say(error instanceof Fault ? error.sentence : String(error)));
}

at("embedded").onclick = () => attempt(open("embedded"));
for (const id of ["folder", "gguf"]) {
  const input = at<HTMLInputElement>(id);
  input.onchange = () => attempt(open({ files: input.files ?? [] }));
}
at("train").onclick = () => attempt(train());
at("hold").onclick = () => {
  const held = at("hold").textContent === "Go on";
  at("hold").textContent = held ? "Hold" : "Go on";
  attempt(held ? (run?.resume() ?? Promise.resolve()) : (run?.hold() ?? Promise.resolve()));
};
at<HTMLFormElement>("ask").onsubmit = (event) => {
  event.preventDefault();
  attempt(answer());
};
