// Fields bound to a key of the recipe.
import { flagOf, numberOf, set } from "../../state/recipe.js";
import { NumberField, type NumberProps, SwitchField, type SwitchProps } from "../Field.js";

/** A number field; an empty one removes the key from the recipe. */
export function NumberKey({ of, ...rest }: { of: string } & Omit<NumberProps, "value" | "onChange">) {
  return <NumberField {...rest} of={of} value={numberOf(of)} onChange={(value) => set({ [of]: value })} />;
}

/** A switch. Off is the default of all such keys, so it removes the key from the recipe. */
export function SwitchKey({ of, ...rest }: { of: string } & Omit<SwitchProps, "value" | "onChange">) {
  return <SwitchField {...rest} value={flagOf(of)} onChange={(value) => set({ [of]: value || null })} />;
}
