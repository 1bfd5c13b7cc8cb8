// Questions about the data: the default prompts during training, and the default text for the loss per token.
import { computed } from "@preact/signals";
import { beginOf, data, examples, files, heldOut, way } from "./data.js";

/** A question, and its right answer where the data has one. */
export interface Asked {
  question: string;
  answer: string | null;
}

const FIRST = 2;

/** The first questions: held out from training where the data says so, otherwise those it begins with. */
export const asked = computed<Asked[]>(() => {
  const given = data.value;
  if (!given) return [];
  if (given.kind === "example") return (examples.value.find(({ name }) => name === given.name)?.asked ?? []).slice(0, FIRST);
  const aside = firstQuestions(beginOf(heldOut.value[0]));
  return aside.length > 0 ? aside : firstQuestions(way.value === "files" ? beginOf(files.value[0]) : (given.files[0]?.text ?? ""));
});

/** Default prompts during training. */
export const questions = computed<string[]>(() => asked.value.map(({ question }) => question));

/** The first questions of JSON lines; empty for other formats, because a wrong guess is worse than none. */
export function firstQuestions(text: string): Asked[] {
  const found: Asked[] = [];
  // Lines one by one: splitting a large file would take long.
  for (let start = 0, line = 0; start < text.length && line < 50 && found.length < FIRST; line += 1) {
    const end = text.indexOf("\n", start);
    const one = exchangeOf(text.slice(start, end < 0 ? text.length : end));
    if (one !== null && !found.some(({ question }) => question === one.question)) found.push(one);
    start = end < 0 ? text.length : end + 1;
  }
  return found;
}

function exchangeOf(line: string): Asked | null {
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== "object" || record === null) return null;
    const fields = record as Record<string, unknown>;
    const turns = Array.isArray(fields["messages"]) ? (fields["messages"] as { role?: unknown; content?: unknown }[]) : [];
    const first = turns.findIndex(({ role }) => role === "user");
    const asked = turns[first]?.content ?? fields["instruction"] ?? fields["prompt"];
    const input = typeof fields["input"] === "string" && fields["input"] !== "" ? `\n${fields["input"]}` : "";
    const answer = turns[first + 1]?.content ?? fields["output"] ?? fields["completion"] ?? fields["response"];
    return typeof asked === "string" ? { question: asked + input, answer: typeof answer === "string" ? answer : null } : null;
  } catch {
    return null;
  }
}
