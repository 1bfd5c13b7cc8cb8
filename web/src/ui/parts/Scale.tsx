import { SHADES, SURPRISE } from "./heat.js";

/** The scale of a heat map of losses. */
export function Scale() {
  return (
    <p class="row scale" aria-hidden="true">
      <small>expected</small>
      {Array.from({ length: SHADES }, (_, index) => (
        <span key={index} class="token" data-heat={index}>
          {((index * SURPRISE) / (SHADES - 1)).toFixed(0)}
        </span>
      ))}
      <small>nats, surprising</small>
    </p>
  );
}
