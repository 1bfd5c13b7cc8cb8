// The conversation with the base and the tuned model: one question, two answers.
import { signal } from "@preact/signals";
import type { ChatMessage, Event, Which } from "rootstock";
import { ask as request } from "./engine.js";
import { say } from "./faults.js";
import { text } from "../text/index.js";

/** A question and each model's answer. */
export interface Turn {
  question: string;
  /** The models that were asked, in order, and what they are called. */
  models: readonly Named[];
  answers: Partial<Record<Which, string>>;
  /** Whether an answer was cut at its longest length. */
  cut: Partial<Record<Which, boolean>>;
  /** The model that is answering now. */
  speaking: Which | null;
}

export interface Named {
  which: Which;
  name: string;
}

/** Whether two questions went to the same models. */
export const sameModels = (a: readonly Named[], b: readonly Named[]) =>
  a.length === b.length && a.every(({ which, name }, index) => which === b[index]?.which && name === b[index].name);

export const turns = signal<Turn[]>([]);
/** Whether a question carries the conversation before it. Otherwise each question stands alone. */
export const remembers = signal(false);
export const settings = signal({ temperature: 0, top_p: 1, max_new_tokens: 60, seed: 42 });

let abort = new AbortController();

/** Asks the models one after the other, since there is only one GPU. */
export async function ask(question: string, models: readonly Named[]): Promise<void> {
  const before = turns.peek();
  turns.value = [...before, { question, models, answers: {}, cut: {}, speaking: models[0]?.which ?? null }];
  const update = (change: (turn: Turn) => Turn) => {
    const list = turns.peek();
    const turn = list[before.length];
    if (turn) turns.value = list.with(before.length, change(turn));
  };
  abort = new AbortController();
  const { signal: stopped } = abort;
  try {
    for (const { which } of models) {
      if (stopped.aborted) break;
      update((turn) => ({ ...turn, speaking: which, answers: { ...turn.answers, [which]: "" } }));
      // Only what these same models said: another model's answers are not its own.
      const earlier = remembers.peek() ? before.filter((turn) => sameModels(turn.models, models)) : [];
      const history = [...earlier.flatMap((turn) => spoken(turn, which)), { role: "user", content: question }];
      const hear = (more: string) =>
        update((turn) => ({ ...turn, answers: { ...turn.answers, [which]: (turn.answers[which] ?? "") + more } }));
      const on = (event: Event) => event.kind === "text" && hear(event.text);
      const { finish } = await request({ kind: "chat", which, messages: history, sampling: settings.peek() }, { on, signal: stopped });
      update((turn) => ({ ...turn, cut: { ...turn.cut, [which]: finish === "length" || finish === "context" } }));
    }
    const answers = turns.peek()[before.length]?.answers ?? {};
    say(models.map(({ which }) => text.use.model(text.use.models[which], answers[which] ?? "")).join(" "));
  } finally {
    update((turn) => ({ ...turn, speaking: null }));
  }
}

/** The messages of a turn for one model: each model sees only its own answers. */
function spoken({ question, answers }: Turn, which: Which): ChatMessage[] {
  const answer = answers[which];
  if (!answer) return [];
  return [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ];
}

export function stopChat(): void {
  abort.abort();
}

export function forget(): void {
  stopChat();
  turns.value = [];
}
