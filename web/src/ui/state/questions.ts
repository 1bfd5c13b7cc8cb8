// Default prompts during training: the first questions of the data.
import { computed } from "@preact/signals";
import { data } from "./data.js";

/** Prompts for the page's examples: questions from their held-out records, which are never trained on. */
const OF_EXAMPLES: Record<string, string[]> = {
  village: ["Where is Emma at work?", "What are eight plums and one plum together?"],
  pirate: ["Who likes fish best?", "Where does Anna live?"],
  newcomers: ["What does Nora do for fun?", "For whom is popcorn the best food?"],
};

const FIRST = 2;

export const questions = computed<string[]>(() => {
  const given = data.value;
  if (!given) return [];
  if (given.kind === "example") return OF_EXAMPLES[given.name] ?? [];
  return firstQuestions(given.files[0]?.text ?? "");
});

/** The first questions of JSON lines; empty for other formats, because a wrong guess is worse than none. */
export function firstQuestions(text: string): string[] {
  const found: string[] = [];
  for (const line of text.split("\n", 50)) {
    const question = questionOf(line);
    if (question !== null && !found.includes(question)) found.push(question);
    if (found.length === FIRST) break;
  }
  return found;
}

function questionOf(line: string): string | null {
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== "object" || record === null) return null;
    const fields = record as Record<string, unknown>;
    const first = Array.isArray(fields["messages"]) ? (fields["messages"] as { role?: unknown; content?: unknown }[]) : [];
    const asked = first.find(({ role }) => role === "user")?.content ?? fields["instruction"] ?? fields["prompt"];
    const input = typeof fields["input"] === "string" && fields["input"] !== "" ? `\n${fields["input"]}` : "";
    return typeof asked === "string" ? asked + input : null;
  } catch {
    return null;
  }
}
