// The lessons' texts in English, a part for each lesson: their types are what other languages have to satisfy.
import { frame } from "./frame.js";

export const english = { frame };
