// Lesson: why a base must be whole. A gallery of broken checkpoints: what transformers makes of each, what the validator says, the repair.
import { useSignal } from "@preact/signals";
import type { Finding, Verdict } from "rootstock";
import { count, percent } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { English, FindingWords, RepairWords } from "../../parts/English.js";
import { FaultNotice } from "../../parts/FaultNotice.js";
import { Notice, Tag } from "../../parts/Notice.js";
import { device } from "../../state/device.js";
import { say, saidOf, type Said } from "../../state/faults.js";
import { lessonText } from "../../text/lessons.js";
import { address, change, textAt } from "../address.js";
import { asTransformers, BREAKS, broken, given, intact, vocabularyOf, type Break } from "../broken.js";
import { STORY } from "../data.js";
import { focusOn, goTo, LessonFrame, Scene, Why } from "../frame.js";
import { Result } from "../kept.js";
import { ask, EMBEDDED, inTurn, open, openFiles } from "../room.js";

interface Found {
  verdict: Verdict;
  findings: Finding[];
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

const OPTIONS = ["refuses", "same", "worse", "nonsense"] as const;

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
  const words = lessonText.whole;
  return inTurn(async () => {
    const files = await intact();
    tell(words.measuringWhole);
    await open(EMBEDDED);
    const whole = await lossOf();
    const files_ = broken(files, breaks);
    const loaded = asTransformers(files_, files);
    let loss: number | null = null;
    if ("files" in loaded) {
      tell(words.measuringLoaded);
      await openFiles(words.asLoaded, given(loaded.files));
      loss = await lossOf();
    }
    tell(words.askingValidator);
    const base = await openFiles(words.broken, given(files_));
    const { verdict, findings } = base.report;
    let [repaired, noRepair]: [number | null, string | null] = [null, null];
    let done: string[] = [];
    if (verdict !== "ready") {
      tell(words.repairing);
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
      findings: findings.filter(({ severity }) => severity !== "info"),
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
  const words = lessonText.whole;
  const doing = useSignal<string | null>(null);
  const fault = useSignal<Said | null>(null);
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
    doing.value = words.building;
    try {
      resultOf(key).set(key, await examine(breaks, textAt("guess", ""), (what) => (doing.value = what)));
      say(words.examined);
      goTo("see");
      focusOn("see");
    } catch (error) {
      fault.value = saidOf(error);
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
            ? words.nothingBroken
            : words.predict(breaks.map((name) => words.breaks[name].what)),
        options: OPTIONS.map((one) => [one, words.options[one]] as const),
        came: found ? came(found) : null,
      }}
      doing={
        <Scene>
          <p>{words.breakIt}</p>
          <ul class="breaks">
            {BREAKS.map((name) => (
              <li key={name}>
                <label>
                  <input type="checkbox" checked={breaks.includes(name)} disabled={doing.value !== null} onChange={({ currentTarget }) => toggle(name, currentTarget.checked)} />
                  <span>
                    <strong>{words.breaks[name].title}</strong>
                    <small>{words.breaks[name].what}</small>
                  </span>
                </label>
              </li>
            ))}
          </ul>
          <div class="row">
            <Button kind="first" disabled={breaks.length === 0 || doing.value !== null || !device.value} onPress={tryIt}>
              {words.give}
            </Button>
            {doing.value !== null && <span class="soft">{lessonText.parts.doing(doing.value)}</span>}
          </div>
          {fault.value !== null && <FaultNotice of={fault.value} />}
        </Scene>
      }
      seeing={
        found && (
          <>
            <Scene>
              <h3>{words.transformers}</h3>
              {found.refuses !== null ? (
                <Notice kind="error">
                  {words.refuses}
                  <q lang="en">{found.refuses}</q>
                  <small>{words.goodCase}</small>
                </Notice>
              ) : (
                <Notice kind="warning">
                  {words.loads(found.random > 0 ? count(found.random) : null, count(found.of))}
                  <small>
                    {words.prints}
                    <q lang="en">{found.says}</q>
                  </small>
                </Notice>
              )}
              <Losses found={found} />
            </Scene>
            <Scene>
              <h3>{words.validator}</h3>
              <p>
                <Tag kind={found.verdict === "ready" ? "good" : found.verdict === "repairable" ? "warning" : "error"}>{words.verdicts[found.verdict]}</Tag>
              </p>
              <ul class="stack tight">
                {found.findings.map((finding) => (
                  <li key={finding.code + finding.message}>
                    <small>
                      {finding.file !== null && <code>{finding.file} </code>}({finding.code})
                    </small>
                    <FindingWords finding={finding} />
                    <RepairWords finding={finding} />
                  </li>
                ))}
              </ul>
              {found.done.length > 0 && (
                <Notice kind="good">
                  <span lang="en">{words.repairedCopy(found.done.join(" "))}</span>
                  {found.repaired !== null && <small>{words.itsLoss(found.repaired.toFixed(3), found.whole.toFixed(3))}</small>}
                </Notice>
              )}
              {found.noRepair !== null && <Notice kind="info">{found.verdict === "unusable" ? words.cannotBeRepaired : <English>{found.noRepair}</English>}</Notice>}
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
          <Why paragraphs={words.why} />
          <p class="row">
            {BREAKS.filter((name) => name !== key).map((name) => (
              <Button key={name} kind="quiet" onPress={() => {
                change({ broken: name, guess: null, at: null });
                focusOn("predict");
              }}>
                {words.breaks[name].title}
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
  const words = lessonText.whole.losses;
  const rows: [string, number | null][] = [
    [words.whole, found.whole],
    [words.loaded, found.loaded],
    [words.repaired, found.repaired],
    [words.nothing(count(found.vocabulary)), Math.log(found.vocabulary)],
  ];
  const most = Math.max(...rows.map(([, loss]) => loss ?? 0));
  return (
    <div class="scroll">
      <table class="likeliest losses">
        <caption>{words.caption}</caption>
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
  const { breaks, options, tried: words, verdicts } = lessonText.whole;
  const optionOf = (key: string) => (OPTIONS.some((one) => one === key) ? options[key as (typeof OPTIONS)[number]] : "–");
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={words.caption}>
      <table class="answers-table">
        <caption>{words.caption}</caption>
        <thead>
          <tr>
            <th scope="col">{words.broken}</th>
            <th scope="col">{words.guess}</th>
            <th scope="col">{words.came}</th>
            <th scope="col" class="number">
              {words.loss}
            </th>
            <th scope="col">{words.verdict}</th>
          </tr>
        </thead>
        <tbody>
          {tried.map(({ key, result }) => (
            <tr key={key}>
              <th scope="row">{key.split(",").map((name) => breaks[name as Break].title).join(" + ")}</th>
              <td>{optionOf(result.guess)}</td>
              <td data-right={result.guess === came(result) || undefined}>{optionOf(came(result))}</td>
              <td class="number">{result.loaded?.toFixed(3) ?? "–"}</td>
              <td>{verdicts[result.verdict]}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
