// The page's texts in English, a part for each area: their types are what other languages have to satisfy.
import { base } from "./base.js";
import { check } from "./check.js";
import { core } from "./core.js";
import { data } from "./data.js";
import { device } from "./device.js";
import { home } from "./home.js";
import { lessonList } from "./lessonList.js";
import { method } from "./method.js";
import { results } from "./results.js";
import { runs } from "./runs.js";
import { shell } from "./shell.js";
import { state } from "./state.js";
import { train } from "./train.js";
import { units } from "./units.js";
import { use } from "./use.js";

export const english = { base, check, core, data, device, home, lessonList, method, results, runs, shell, state, train, units, use };
