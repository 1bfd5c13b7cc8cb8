// Something about each weight of a model, by module and layer.
import type { ComponentChildren } from "preact";
import { text } from "../text/index.js";

/** Where a weight stands: outside the layers without a number. */
export interface Place {
  layer: number | null;
  module: string;
}

/** A row for each module, a column for each layer; `cell` draws what is known of a weight. */
export function LayerGrid<T extends Place>({ caption, items, cell }: {
  caption: ComponentChildren;
  items: readonly T[];
  cell: (item: T) => ComponentChildren;
}) {
  const modules = [...new Set(items.map(({ module }) => module))];
  const layers = [...new Set(items.map(({ layer }) => layer))].sort((a, b) => (a ?? -1) - (b ?? -1));
  return (
    <table class="grid">
      <caption>{caption}</caption>
      <thead>
        <tr>
          <th scope="col">{text.use.module}</th>
          {layers.map((layer) => (
            <th key={layer} scope="col" class="number">
              {layer ?? text.use.outside}
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
              const item = items.find((one) => one.module === module && one.layer === layer);
              return (
                <td key={layer} class="number">
                  {item && cell(item)}
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
