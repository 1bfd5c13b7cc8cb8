import { modelWords } from "../names.js";
import { counted, short } from "../numbers.js";
import { Button } from "../parts/Button.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { Replay } from "../parts/Recorded.js";
import { href } from "../route.js";
import { base, interrupted, runs } from "../state/base.js";
import { dataName } from "../state/data.js";
import { device } from "../state/device.js";
import { active } from "../state/phase.js";
import { restored } from "../state/session.js";
import { seeItLearn } from "../state/show.js";
import { text } from "../text/index.js";

/** The first screen: what this is, and the ways in. */
export function Home() {
  const words = text.home;
  const open = base.value;
  const kept = runs.value.filter((run) => run.steps > 0).length;
  return (
    <>
      <NoGpu replay={false} />
      <div class="ways">
        <section class="sheet stack" aria-labelledby="see">
          <h2 id="see">{words.see}</h2>
          <p>{words.seeText}</p>
          <p class="soft">{device.value === null ? words.seeRecorded : words.seeMore}</p>
          {device.value === null ? (
            <Replay first />
          ) : (
            <div class="row foot">
              <Button kind="first" disabled={!device.value} onPress={seeItLearn}>
                {active.value ? words.toTheRun : words.see}
              </Button>
            </div>
          )}
        </section>
        <section class="sheet stack" aria-labelledby="learn">
          <h2 id="learn">{words.learn}</h2>
          <p>{words.learnText}</p>
          <p class="soft">{words.learnMore}</p>
          <div class="row foot">
            <a class="button" href={href("learn")}>
              {words.toTheLessons}
            </a>
          </div>
        </section>
        <section class="sheet stack" aria-labelledby="yours">
          <h2 id="yours">{words.own}</h2>
          <p>{words.ownText}</p>
          <p class="soft">{words.ownMore}</p>
          <div class="row foot">
            <a class="button" href={href("base")}>
              {words.chooseABase}
            </a>
          </div>
        </section>
      </div>
      {restored.value !== null && !active.value && (
        <div class="spaced">
          <Notice kind="info" action={<a class="button" href={href(restored.value)}>{words.goOn}</a>}>
            <strong>{words.lastVisit}</strong>
            {open && words.lastBase(modelWords(open.name), open.report.parameters === null ? null : short(open.report.parameters))}
            {dataName.value !== null && words.lastData(dataName.value)}
            {words.lastEnd}
          </Notice>
        </div>
      )}
      {!active.value && runs.value.some(interrupted) && (
        <div class="spaced">
          <Notice kind="info" action={<a class="button" href={href("train")}>{words.toTheInterrupted}</a>}>
            {words.interrupted}
          </Notice>
        </div>
      )}
      {kept > 0 && (
        <p class="spaced">
          <a href={href("runs")}>{words.compareKept(counted(kept, "run"))}</a>
        </p>
      )}
    </>
  );
}
