// Where a model's weights changed: the size of each update against the weight's own, by layer and module.
import { percent } from "../../numbers.js";
import { SHADES } from "../../parts/heat.js";

/** One parameter's update. */
export interface Change {
  layer: number | null;
  module: string;
  /** ‖ΔW‖ / ‖W‖ */
  share: number;
}

/** `most` is the share of the darkest shade, the same for models that are compared. */
export function Changed({ name, changes, most }: { name: string; changes: readonly Change[]; most: number }) {
  const modules = [...new Set(changes.map(({ module }) => module))];
  const layers = [...new Set(changes.map(({ layer }) => layer))].sort((a, b) => (a ?? -1) - (b ?? -1));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`Where the weights changed: ${name}`}>
      <table class="grid">
        <caption>
          <strong>{name}</strong>: ‖ΔW‖ / ‖W‖
        </caption>
        <thead>
          <tr>
            <th scope="col">Module</th>
            {layers.map((layer) => (
              <th key={layer} scope="col" class="number">
                {layer ?? "outside"}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {modules.map((module) => (
            <tr key={module}>
              <th scope="row">
                <code>{module}</code>
              </th>
              {layers.map((layer) => {
                const change = changes.find((one) => one.module === module && one.layer === layer);
                return (
                  <td key={layer} class="number">
                    {change && (
                      <span class="token cell" data-heat={Math.round((change.share / Math.max(most, Number.MIN_VALUE)) * (SHADES - 1))}>
                        {percent(change.share)}
                      </span>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
