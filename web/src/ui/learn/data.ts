// The page's own datasets, read for what a lesson asks: held-out questions with their right answers, and a text like those that the village
// model has read.
import type { DataSource } from "rootstock";
import { lessonText } from "../text/lessons.js";

export const DATA = ["village", "pirate", "newcomers"] as const;
export type Data = (typeof DATA)[number];

export const source = (name: Data): DataSource => ({ kind: "example", name });

export interface Asked {
  question: string;
  answer: string;
}

/** The first held-out questions of a dataset. */
export async function heldOut(name: Data, count: number): Promise<Asked[]> {
  const response = await fetch(`./demo/${name}_held_out.jsonl`);
  if (!response.ok) throw new Error(lessonText.parts.fileUnread(`demo/${name}_held_out.jsonl`, response.status));
  const lines = (await response.text()).trim().split("\n").slice(0, count);
  return lines.map((line) => {
    const { instruction, output } = JSON.parse(line) as { instruction: string; output: string };
    return { question: instruction, answer: output };
  });
}

/** A text of the kind that the base was pretrained on: no question, no mark of a conversation. */
export const STORY = "This is Anna from the village of Quince.\nAnna lives in the red house.\nHer best friend is Hugo.\nHugo works at the mill.\nThe hen says cluck.\nThe day after Friday is Saturday.";
