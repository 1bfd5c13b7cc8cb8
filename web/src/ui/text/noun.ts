// Counted things.

/** What is counted. */
export type Thing = "answer" | "fault" | "file" | "kernel" | "minute" | "pair" | "prompt" | "record" | "run" | "sample" | "step" | "tensor" | "token";

/** Writes a count, which is already formatted, with its noun; `one` where the language uses its singular. */
export type Counted = (count: string, one: boolean) => string;
