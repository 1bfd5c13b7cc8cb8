// The lessons' texts in Chinese.
import type { english } from "../../en/lessons/index.js";
import { frame } from "./frame.js";
import { learned } from "./learned.js";
import { memory } from "./memory.js";
import { method } from "./method.js";
import { parts } from "./parts.js";
import { rank } from "./rank.js";
import { step } from "./step.js";
import { strength } from "./strength.js";
import { whole } from "./whole.js";

export const chinese: typeof english = { frame, learned, memory, method, parts, rank, step, strength, whole };
