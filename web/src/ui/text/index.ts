// The page's texts: `text.home.see` is what it says in the language that is shown. docs/page.md says how to add a text or a language.
import { catalogue } from "./language.js";
import { english } from "./en/index.js";

export const text = catalogue(english, { zh: async () => (await import("./zh/index.js")).chinese });
