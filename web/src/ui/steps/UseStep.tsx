import { modelFolder, type Run } from "rootstock";
import { dataWords } from "../names.js";
import { Button } from "../parts/Button.js";
import { Chat } from "../parts/Chat.js";
import { Contents } from "../parts/Contents.js";
import { Deltas } from "../parts/Deltas.js";
import { Drop } from "../parts/Drop.js";
import { HeatMap } from "../parts/HeatMap.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { Missing } from "../parts/Onward.js";
import { Prefer } from "../parts/Prefer.js";
import { RunList } from "../parts/RunList.js";
import { Stack } from "../parts/Stack.js";
import { TakeHome } from "../parts/TakeHome.js";
import { device } from "../state/device.js";
import { ready } from "../state/base.js";
import { graft, trainFurther } from "../state/further.js";
import { adapters } from "../state/stack.js";
import { adopt, choose, tuned } from "../state/tuned.js";
import { text } from "../text/index.js";

/** What a result is made of. */
function whatItIs({ name, model, base, data, method }: Run): string {
  return text.use.whatItIs(name, method === "merge" ? "merge" : model ? "model" : "adapter", base, data === null ? null : dataWords(data));
}

/** The parts that the step shows, in their order. */
function partsOf(result: boolean, base: boolean): (readonly [string, string])[] {
  const { use, results } = text;
  return [
    ["chat", use.talk],
    ...(result ? [["home", use.takeHome] as const] : []),
    ["prefer", results.prefer.title],
    ["heat", use.surprised],
    ...(result ? [["deltas", use.update] as const] : []),
    ...(base && adapters.value.length > 0 ? [["stack", results.stack.title] as const] : []),
    ...(base ? [["back", use.bringBack] as const] : []),
    ["others", use.otherRuns],
  ];
}

export function UseStep() {
  if (device.value === null) return <NoGpu />;
  const result = tuned.value;
  const words = text.use;
  const whole = ready.value || result !== null;
  return (
    <>
      {result ? (
        <Notice
          kind="good"
          action={
            result.model ? (
              <Button kind="first" onPress={() => graft(result.id)}>
                {words.baseForLora}
              </Button>
            ) : (
              <Button onPress={() => trainFurther(result)}>{words.trainFurtherIt}</Button>
            )
          }
        >
          <strong>{text.train.isReady}</strong>
          {text.units.gap}
          {whatItIs(result)}
        </Notice>
      ) : (
        whole && <Notice kind="info">{words.noResult}</Notice>
      )}
      {whole && <Contents label={words.parts} parts={partsOf(result !== null, ready.value)} />}
      {whole ? (
        <>
          <Chat />
          {result && <TakeHome key={result.id} run={result} />}
          <Prefer />
          <HeatMap />
        </>
      ) : (
        <Missing to="base">{words.noModel}</Missing>
      )}
      {result && <Deltas key={result.id} />}
      {ready.value && <Stack />}
      {ready.value && (
        <section class="part">
          <h2 id="back">{words.bringBack}</h2>
          <p>{words.bringBackText}</p>
          <Drop
            folders
            onFiles={(given) => {
              const { name, files } = modelFolder(given);
              return adopt(name, files);
            }}
          >
            <span>{words.dropAdapter}</span>
          </Drop>
        </section>
      )}
      <section class="part">
        <h2 id="others">{words.otherRuns}</h2>
        <p>{words.otherRunsText}</p>
        <RunList
          only={(run) => run.usable && run.id !== result?.id}
          actions={(run) => (
            <>
              <Button label={words.tryRun(run.name)} onPress={() => choose(run.id)}>
                {words.try}
              </Button>
              {run.model ? (
                <Button label={words.runForLora(run.name)} onPress={() => graft(run.id)}>
                  {words.forLora}
                </Button>
              ) : (
                <Button label={words.trainRunFurther(run.name)} onPress={() => trainFurther(run)}>
                  {words.trainFurther}
                </Button>
              )}
            </>
          )}
        />
      </section>
    </>
  );
}
