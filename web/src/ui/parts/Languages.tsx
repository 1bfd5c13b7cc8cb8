import { choose, language, LANGUAGES, type Language } from "../text/language.js";
import { Button } from "./Button.js";

/** Buttons for the other languages, each in its own words, so that whoever cannot read the page finds theirs. */
export function Languages() {
  const others = (Object.keys(LANGUAGES) as Language[]).filter((one) => one !== language.value);
  return others.map((one) => (
    <span key={one} lang={LANGUAGES[one].tag}>
      <Button kind="quiet" onPress={() => choose(one)}>
        {LANGUAGES[one].name}
      </Button>
    </span>
  ));
}
