// The lessons' texts in English, a part for each lesson: their types are what other languages have to satisfy.
import { frame } from "./frame.js";
import { learned } from "./learned.js";
import { memory } from "./memory.js";
import { method } from "./method.js";
import { parts } from "./parts.js";
import { rank } from "./rank.js";
import { step } from "./step.js";
import { strength } from "./strength.js";
import { whole } from "./whole.js";

export const english = { frame, learned, memory, method, parts, rank, step, strength, whole };
