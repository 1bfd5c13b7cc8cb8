// Fields that show a key of the recipe and set it.
import { flagOf, numberOf, set } from "../../state/recipe.js";
import { NumberField, type NumberProps, SwitchField, type SwitchProps } from "../Field.js";

/** A number; left empty, the key leaves the recipe. */
export function NumberKey({ of, ...rest }: { of: string } & Omit<NumberProps, "value" | "onChange">) {
  return <NumberField {...rest} value={numberOf(of)} onChange={(value) => set({ [of]: value })} />;
}

/** Yes or no; no is the default of all such keys, so then the key leaves the recipe. */
export function SwitchKey({ of, ...rest }: { of: string } & Omit<SwitchProps, "value" | "onChange">) {
  return <SwitchField {...rest} value={flagOf(of)} onChange={(value) => set({ [of]: value || null })} />;
}
