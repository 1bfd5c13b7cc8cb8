import { useRef } from "preact/hooks";
import type { Settings } from "rootstock";
import { ask } from "../state/engine.js";
import { failed, say } from "../state/faults.js";
import { notes, readRecipe, settled } from "../state/recipe.js";
import { save } from "../save.js";
import { Button } from "./Button.js";
import { Notice } from "./Notice.js";
import { RemarkWords } from "./English.js";
import { text } from "../text/index.js";

/** The settings without what only this browser knows: the id of a stored adapter. */
function portable(): Settings {
  const settings = { ...settled.peek() };
  delete settings["adapter_name_or_path"];
  return settings;
}

/** The settings as a recipe file for LLaMA-Factory and the command line. */
export function RecipeFile() {
  const input = useRef<HTMLInputElement>(null);
  const read = async (file: File | undefined) => {
    if (!file) return;
    try {
      await readRecipe(await file.text());
      say(text.method.settingsTaken(file.name));
    } catch (error) {
      failed(error);
    }
  };
  return (
    <section class="part" aria-label={text.method.recipe}>
      <h2>{text.method.recipe}</h2>
      <p>{text.method.recipeText}</p>
      <div class="row">
        <Button onPress={async () => save("recipe.yaml", new Blob([await ask({ kind: "write_recipe", recipe: portable() })]))}>{text.method.saveFile}</Button>
        <Button onPress={() => input.current?.click()}>{text.method.readFile}</Button>
      </div>
      <input
        ref={input}
        type="file"
        hidden
        accept=".yaml,.yml"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          void read(file);
        }}
      />
      {notes.value.length > 0 && (
        <div class="spaced">
          <Notice kind="info">
            <ul>
              {notes.value.map((note) => (
                <li key={note}>
                  <RemarkWords>{note}</RemarkWords>
                </li>
              ))}
            </ul>
          </Notice>
        </div>
      )}
    </section>
  );
}
