// The page with a worker that answers from a script: for what only concerns what a person sees.
import { mount } from "../../../web/src/ui/mount.js";
import { script } from "./script.js";

const place = document.getElementById("app");
if (place) void mount(place, script, () => script);
