// "See it learn": the whole way in one click, with the village model and settings that show an effect soon.
import { go } from "../route.js";
import { open } from "./base.js";
import { example, listExamples, examples, prepareNow, way } from "./data.js";
import { failed } from "./faults.js";
import { active, phase } from "./phase.js";
import { resetRecipe } from "./recipe.js";
import { sampling, start, starting } from "./run.js";

/** Steps between two rounds of answers: often enough that the change is seen as it happens. */
const EVERY = 10;
/** The village's answers are short sentences. */
const LONGEST_ANSWER = 24;

export async function seeItLearn(): Promise<void> {
  go("train");
  if (active.peek()) return;
  starting();
  try {
    await open({ kind: "embedded" });
    if (examples.peek().length === 0) await listExamples();
    way.value = "example";
    example.value = "village";
    resetRecipe();
    sampling.value = { every: EVERY, prompts: [], max_new_tokens: LONGEST_ANSWER };
    await prepareNow();
  } catch (error) {
    phase.value = "none";
    failed(error);
    return;
  }
  await start();
}
