import { SHADES, SURPRISE } from "./heat.js";
import { text } from "../text/index.js";

/** The scale of a heat map of losses. */
export function Scale() {
  return (
    <p class="row scale" aria-hidden="true">
      <small>{text.use.expected}</small>
      {Array.from({ length: SHADES }, (_, index) => (
        <span key={index} class="token" data-heat={index}>
          {((index * SURPRISE) / (SHADES - 1)).toFixed(0)}
        </span>
      ))}
      <small>{text.use.surprising}</small>
    </p>
  );
}
