import { counted, short } from "../numbers.js";
import { Button } from "../parts/Button.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { href } from "../route.js";
import { base, interrupted, runs } from "../state/base.js";
import { dataName } from "../state/data.js";
import { device } from "../state/device.js";
import { active } from "../state/phase.js";
import { restored } from "../state/session.js";
import { seeItLearn } from "../state/show.js";

/** The first screen: what this is, and the ways in. */
export function Home() {
  const open = base.value;
  const kept = runs.value.filter((run) => run.steps > 0).length;
  return (
    <>
      <NoGpu />
      <div class="ways">
        <section class="sheet stack" aria-labelledby="see">
          <h2 id="see">See it learn</h2>
          <p>
            A model of a million parameters has read stories of one village, and cannot answer a question yet. Watch it learn to: it answers
            before the first step, and again every few steps.
          </p>
          <p class="soft">One click. The answers change within the first minute, without a graphics card, too.</p>
          <div class="row foot">
            <Button kind="first" disabled={!device.value} onPress={seeItLearn}>
              {active.value ? "To the run" : "See it learn"}
            </Button>
          </div>
        </section>
        <section class="sheet stack" aria-labelledby="learn">
          <h2 id="learn">Learn</h2>
          <p>
            What does a model learn from an example, and what does it only read? Why must a base be whole? Short lessons answer with the
            real model: you predict, it trains, you see.
          </p>
          <p class="soft">For yourself or a class: each lesson has an address of its own, and a way to present it.</p>
          <div class="row foot">
            <a class="button" href={href("learn")}>
              To the lessons
            </a>
          </div>
        </section>
        <section class="sheet stack" aria-labelledby="yours">
          <h2 id="yours">Your own model</h2>
          <p>
            A Hugging Face folder from this computer or the network, your examples, all parameters or a LoRA adapter: six steps, and the
            result is a folder that transformers and PEFT load.
          </p>
          <p class="soft">Every file is checked before training, and memory and time are told before the start.</p>
          <div class="row foot">
            <a class="button" data-kind={device.value === null ? "first" : "plain"} href={href("base")}>
              Choose a base
            </a>
          </div>
        </section>
      </div>
      {restored.value !== null && !active.value && (
        <div class="spaced">
          <Notice kind="info" action={<a class="button" href={href(restored.value)}>Go on</a>}>
            <strong>Your last visit is as you left it</strong>
            {open ? `: ${open.name}${open.report.parameters === null ? "" : `, ${short(open.report.parameters)} parameters`}` : ""}
            {dataName.value === null ? "" : `, ${dataName.value}`}.
          </Notice>
        </div>
      )}
      {!active.value && runs.value.some(interrupted) && (
        <div class="spaced">
          <Notice kind="info" action={<a class="button" href={href("train")}>To the interrupted run</a>}>
            A run was interrupted. Its last snapshot is kept, and it can go on from there.
          </Notice>
        </div>
      )}
      {kept > 0 && (
        <p class="spaced">
          <a href={href("runs")}>Compare {counted(kept, "run")} kept in this browser</a>
        </p>
      )}
    </>
  );
}
