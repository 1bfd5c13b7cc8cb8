// Where a model's weights changed: the size of each update against the weight's own, by layer and module.
import { percent } from "../../numbers.js";
import { lessonText } from "../../text/lessons.js";
import { SHADES } from "../../parts/heat.js";
import { LayerGrid, type Place } from "../../parts/LayerGrid.js";

/** One parameter's update. */
export interface Change extends Place {
  /** ‖ΔW‖ / ‖W‖ */
  share: number;
}

/** `most` is the share of the darkest shade, the same for models that are compared. */
export function Changed({ name, changes, most }: { name: string; changes: readonly Change[]; most: number }) {
  const shade = (share: number) => Math.round((share / Math.max(most, Number.MIN_VALUE)) * (SHADES - 1));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={lessonText.parts.changed.label(name)}>
      <LayerGrid
        caption={
          <>
            <strong>{name}</strong>: ‖ΔW‖ / ‖W‖
          </>
        }
        items={changes}
        cell={({ share }) => (
          <span class="token cell" data-heat={shade(share)}>
            {percent(share)}
          </span>
        )}
      />
    </div>
  );
}
