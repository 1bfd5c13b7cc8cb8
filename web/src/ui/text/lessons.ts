// The lessons' texts, which are loaded with them.
import { catalogue } from "./language.js";
import { english } from "./en/lessons/index.js";

export const lessonText = catalogue(english, { zh: async () => (await import("./zh/lessons/index.js")).chinese });
