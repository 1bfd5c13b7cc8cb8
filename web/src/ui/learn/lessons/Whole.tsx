// Lesson: why a base must be whole. A gallery of broken checkpoints: what transformers makes of each, what the validator says, the repair.
import { useSignal } from "@preact/signals";
import type { Verdict } from "rootstock";
import { count, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { Notice, Tag } from "../../parts/Notice.js";
import { device } from "../../state/device.js";
import { say } from "../../state/faults.js";
import { address, change, textAt } from "../address.js";
import { asTransformers, BREAKS, broken, BROKEN, given, intact, vocabularyOf, type Break } from "../broken.js";
import { STORY } from "../data.js";
import { focusOn, goTo, LessonFrame, Scene } from "../frame.js";
import { Result } from "../kept.js";
import { ask, EMBEDDED, inTurn, open, openFiles } from "../room.js";

interface Found {
  verdict: Verdict;
  findings: { code: string; file: string | null; message: string; repair: string | null }[];
  /** What transformers ends with; `null` where it loads. */
  refuses: string | null;
  /** What it prints where it loads. */
  says: string;
  /** How many of how many tensors it makes up. */
  random: number;
  of: number;
  /** Tokens that it knows; the logarithm is the loss of a model that knows nothing. */
  vocabulary: number;
  /** Mean loss a token, measured: of the whole model, of what transformers loads, of the repaired copy. */
  whole: number;
  loaded: number | null;
  repaired: number | null;
  /** What the repair did, or why there is none. */
  done: string[];
  noRepair: string | null;
  guess: string;
}

const OPTIONS = [
  ["refuses", "It is refused with an error"],
  ["same", "It loads and answers as before"],
  ["worse", "It loads and answers somewhat worse"],
  ["nonsense", "It loads without an error, and knows nothing"],
] as const;

const results = new Map<string, Result<Found>>();
function resultOf(key: string): Result<Found> {
  const known = results.get(key) ?? new Result<Found>(`whole.${key}`);
  results.set(key, known);
  return known;
}

/** Which guess came true. */
function came({ refuses, loaded, whole, vocabulary }: Found): string {
  if (refuses !== null || loaded === null) return "refuses";
  if (loaded > whole + 0.75 * (Math.log(vocabulary) - whole)) return "nonsense";
  return loaded > whole + 0.05 ? "worse" : "same";
}

/** The loss of the open base; within a turn. */
async function lossOf(): Promise<number> {
  await ask({ kind: "adapt", parts: [] });
  const losses = (await ask({ kind: "losses", which: "adapted", text: STORY })).flatMap(({ loss }) => (loss === null ? [] : [loss]));
  return losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length);
}

/** Tries a broken model with everyone; `tell` says what is being done. */
async function examine(breaks: readonly Break[], guess: string, tell: (what: string) => void): Promise<Found> {
  return inTurn(async () => {
    const files = await intact();
    tell("Measuring the whole model");
    await open(EMBEDDED);
    const whole = await lossOf();
    const files_ = broken(files, breaks);
    const loaded = asTransformers(files_, files);
    let loss: number | null = null;
    if ("files" in loaded) {
      tell("Measuring what transformers loads");
      await openFiles("as transformers loads it", given(loaded.files));
      loss = await lossOf();
    }
    tell("Asking the validator");
    const base = await openFiles("broken", given(files_));
    const { verdict, findings } = base.report;
    let [repaired, noRepair]: [number | null, string | null] = [null, null];
    let done: string[] = [];
    if (verdict !== "ready") {
      tell("Repairing a copy");
      try {
        const copy = await ask({ kind: "repair" });
        done = copy.done;
        if (copy.base.report.verdict === "ready") repaired = await lossOf();
        await ask({ kind: "remove", id: copy.id });
      } catch (error) {
        noRepair = error instanceof Error ? error.message : String(error);
      }
    }
    return {
      verdict,
      findings: findings.filter(({ severity }) => severity !== "info").map(({ code, file, message, repair }) => ({ code, file, message, repair })),
      refuses: "refuses" in loaded ? loaded.refuses : null,
      says: "says" in loaded ? loaded.says : "",
      random: "random" in loaded ? loaded.random.length : 0,
      of: "of" in loaded ? loaded.of : 0,
      vocabulary: vocabularyOf(files),
      whole,
      loaded: loss,
      repaired,
      done,
      noRepair,
      guess,
    };
  });
}

export function Whole() {
  const doing = useSignal<string | null>(null);
  const fault = useSignal<string | null>(null);
  const chosen = textAt("broken", "keys").split(",");
  const breaks = BREAKS.filter((name) => chosen.includes(name));
  const key = breaks.join(",");
  const found = breaks.length > 0 ? resultOf(key).of(key) : null;
  const toggle = (name: Break, on: boolean) => {
    const next = BREAKS.filter((one) => (one === name ? on : breaks.includes(one)));
    // Another model, another guess.
    change({ broken: next.join(",") || "none", guess: null, ...(textAt("present", "") === "1" ? {} : { at: null }) });
  };
  const tryIt = async () => {
    fault.value = null;
    doing.value = "Building it";
    try {
      resultOf(key).set(key, await examine(breaks, textAt("guess", ""), (what) => (doing.value = what)));
      say("It is examined.");
      goTo("see");
      focusOn("see");
    } catch (error) {
      fault.value = error instanceof Error ? error.message : String(error);
    } finally {
      doing.value = null;
    }
  };
  const all = [key, ...BREAKS].filter((one, index, list) => one !== "" && list.indexOf(one) === index);
  const tried = all.flatMap((one) => {
    const result = resultOf(one).of(one);
    return result ? [{ key: one, result }] : [];
  });
  return (
    <LessonFrame
      prediction={{
        question:
          breaks.length === 0
            ? "Nothing is broken yet: choose below what happens to the village model’s folder. What does a training program that loads it with transformers get?"
            : `Somebody fine-tuned the village model and hands you its folder. ${breaks.map((name) => BROKEN[name].what).join(" ")} What does a training program get that loads it with transformers?`,
        options: OPTIONS,
        came: found ? came(found) : null,
      }}
      doing={
        <Scene>
          <p>Break it with your own hands: each of these happens to people every week. Choose one, or several at once; the files are edited in this page.</p>
          <ul class="breaks">
            {BREAKS.map((name) => (
              <li key={name}>
                <label>
                  <input type="checkbox" checked={breaks.includes(name)} disabled={doing.value !== null} onChange={({ currentTarget }) => toggle(name, currentTarget.checked)} />
                  <span>
                    <strong>{BROKEN[name].title}</strong>
                    <small>{BROKEN[name].what}</small>
                  </span>
                </label>
              </li>
            ))}
          </ul>
          <div class="row">
            <Button kind="first" disabled={breaks.length === 0 || doing.value !== null || !device.value} onPress={tryIt}>
              Give it to everyone
            </Button>
            {doing.value !== null && <span class="soft">{doing.value} …</span>}
          </div>
          {fault.value !== null && <Notice kind="error">{fault.value}</Notice>}
        </Scene>
      }
      seeing={
        found && (
          <>
            <Scene>
              <h3>What transformers makes of it</h3>
              {found.refuses !== null ? (
                <Notice kind="error">
                  It refuses: <q>{found.refuses}</q>
                  <small>This is the good case: nobody trains on it.</small>
                </Notice>
              ) : (
                <Notice kind="warning">
                  It loads. {found.random > 0 ? `${count(found.random)} of ${count(found.of)} tensors are not found under the names it looks for, and it makes them up at random.` : "Every tensor is found."}
                  <small>
                    It prints: <q>{found.says}</q>
                  </small>
                </Notice>
              )}
              <Losses found={found} />
            </Scene>
            <Scene>
              <h3>What the validator of this page says</h3>
              <p>
                <Tag kind={found.verdict === "ready" ? "good" : found.verdict === "repairable" ? "warning" : "error"}>{found.verdict}</Tag>
              </p>
              <ul class="stack tight">
                {found.findings.map(({ code, file, message, repair }) => (
                  <li key={code + message}>
                    {file !== null && <code>{file}: </code>}
                    {message} <small>({code})</small>
                    {repair !== null && <small class="line">The repair: {repair}</small>}
                  </li>
                ))}
              </ul>
              {found.done.length > 0 && (
                <Notice kind="good">
                  The repaired copy: {found.done.join(" ")}
                  {found.repaired !== null && <small>Its loss is {found.repaired.toFixed(3)}; that of the whole model is {found.whole.toFixed(3)}.</small>}
                </Notice>
              )}
              {found.noRepair !== null && <Notice kind="info">{found.noRepair}</Notice>}
            </Scene>
            {tried.length > 1 && (
              <Scene>
                <Tried tried={tried} />
              </Scene>
            )}
          </>
        )
      }
      explaining={
        <Scene>
          <p>
            A model’s folder is an agreement between names: config.json says which matrices there are, the weight file holds them under those names, the
            tokenizer says which number is which piece of text. Where a name leads nowhere, a loader either stops, or fills the place with random
            numbers and prints one line among many. A model with random weights gives every token of its vocabulary about the same probability; its loss is the logarithm of their number. Training begins there without a fault, and an adapter on it learns nothing of use.
          </p>
          <p>
            So before a fine-tune is used as a base, look at two things: that nothing was made up, and that the loss on a known text is what it was. The
            Check step of this page does both. What is refused costs a minute; what is loaded in silence costs the run.
          </p>
          <p class="row">
            {BREAKS.filter((name) => name !== key).map((name) => (
              <Button key={name} kind="quiet" onPress={() => {
                change({ broken: name, guess: null, at: null });
                focusOn("predict");
              }}>
                {BROKEN[name].title}
              </Button>
            ))}
          </p>
        </Scene>
      }
      key={address.value.lesson ?? ""}
    />
  );
}

/** The losses beside the one of a model that knows nothing. */
function Losses({ found }: { found: Found }) {
  const rows: [string, number | null][] = [
    ["The whole model", found.whole],
    ["As transformers loads it", found.loaded],
    ["The repaired copy", found.repaired],
    [`A model that knows nothing: ln ${count(found.vocabulary)}`, Math.log(found.vocabulary)],
  ];
  const most = Math.max(...rows.map(([, loss]) => loss ?? 0));
  return (
    <div class="scroll">
      <table class="likeliest losses">
        <caption>Loss a token on a text of the village, measured here</caption>
        <tbody>
          {rows.map(([name, loss]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{loss === null ? "–" : loss.toFixed(3)}</td>
              <td class="number">{loss === null ? "" : percent(Math.exp(-loss))}</td>
              <td class="share" aria-hidden="true">
                {loss !== null && <span style={{ inlineSize: `${(100 * loss) / most}%` }} />}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Tried({ tried }: { tried: { key: string; result: Found }[] }) {
  const words = (key: string) => OPTIONS.find(([one]) => one === key)?.[1] ?? "–";
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="What was tried so far">
      <table class="answers-table">
        <caption>What was tried so far</caption>
        <thead>
          <tr>
            <th scope="col">Broken</th>
            <th scope="col">Your guess</th>
            <th scope="col">What came</th>
            <th scope="col" class="number">
              Loss
            </th>
            <th scope="col">Verdict</th>
          </tr>
        </thead>
        <tbody>
          {tried.map(({ key, result }) => (
            <tr key={key}>
              <th scope="row">{key.split(",").map((name) => BROKEN[name as Break].title).join(" + ")}</th>
              <td>{words(result.guess)}</td>
              <td data-right={result.guess === came(result) || undefined}>{words(came(result))}</td>
              <td class="number">{result.loaded?.toFixed(3) ?? "–"}</td>
              <td>{result.verdict}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
