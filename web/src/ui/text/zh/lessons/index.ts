// The lessons' texts in Chinese.
import type { english } from "../../en/lessons/index.js";
import { frame } from "./frame.js";

export const chinese: typeof english = { frame };
