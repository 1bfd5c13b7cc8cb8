import type { Slug } from "../../learn/lessons.js";

/** The lessons' titles and what each answers: part of the page, because the rail names them before a lesson is loaded. */
export const lessonList: Record<Slug, { title: string; line: string }> = {
  learned: { title: "What is being learned?", line: "A model reads every token of an example and is graded on some. See which, and what changes in each place." },
  step: { title: "One step", line: "Forward, loss, gradient, update, one at a time and in a loop; the learning rate from nothing to divergence." },
  method: { title: "All parameters or LoRA?", line: "The same data both ways, beside each other: answers, memory, files, and what was forgotten." },
  rank: { title: "How much rank?", line: "Ranks 1 to 32, the singular values of a full update, and the same update cut to a rank and asked again." },
  whole: {
    title: "Why must a base be whole?",
    line: "A gallery of broken checkpoints, one’s own hands included: who refuses them, who loads nonsense in silence, what repairs them.",
  },
  strength: { title: "An adapter is a part", line: "Its strength from 0 to 2 while the model answers; two adapters on one base; merged or apart; on the wrong base." },
  memory: {
    title: "Where does the memory go?",
    line: "Weights, gradients, moments, activations: for the village and for models a thousand times larger, planned, then measured.",
  },
};
