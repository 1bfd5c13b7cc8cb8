// A plot that explains itself: a sentence on the point under the pointer, the figures in a table, and the plot as a file.
import { useSignal, type ReadonlySignal } from "@preact/signals";
import { Chart, type Line } from "../../charts/Chart.js";
import { csv, png, svg } from "../../charts/picture.js";
import type { Points } from "../../charts/points.js";
import { count, figures } from "../../numbers.js";
import { Button } from "../../parts/Button.js";
import { save } from "../../save.js";
import { lessonText } from "../../text/lessons.js";
import { colour } from "../../theme.js";

interface PlotProps {
  title: string;
  /** What one should see in it, in a sentence. */
  about: string;
  lines: readonly Line[];
  points: ReadonlySignal<Points>;
  x: string;
  most?: number;
  log?: boolean;
  /** A sentence on one x; the values are those of the lines, `null` where a line has none. */
  explain: (x: number, values: readonly (number | null)[]) => string;
}

export function Plot({ title, about, lines, points, x, most, log = false, explain }: PlotProps) {
  const words = lessonText.parts.plot;
  const at = useSignal<number | null>(null);
  const all = points.value;
  const [xs, ...columns] = all;
  const row = at.value === null ? -1 : xs.indexOf(at.value);
  const file = (ending: string) => `${title.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "-")}.${ending}`;
  const drawing = () =>
    svg({
      title,
      x,
      lines: lines.map(({ name, token, dots }) => ({ name, colour: colour(token), ...(dots ? { dots } : {}) })),
      points: all,
      log,
      paper: colour("sheet"),
      ink: colour("ink"),
      grid: colour("line"),
    });
  if (xs.length === 0) return null;
  return (
    <figure class="plot">
      <figcaption>
        <strong>{title}</strong> {about}
      </figcaption>
      <Chart
        label={`${title}. ${about} ${words.figuresBelow}`}
        lines={lines}
        points={points}
        x={x}
        height={240}
        log={log}
        {...(most === undefined ? {} : { most })}
        onPoint={(value) => (at.value = value)}
      />
      <p class="explained" aria-hidden="true">
        {row >= 0 ? explain(xs[row] ?? 0, columns.map((column) => column[row] ?? null)) : words.pointAtIt}
      </p>
      <div class="row">
        <details class="grow">
          <summary>{lessonText.parts.inNumbers}</summary>
          <div class="scroll tall" tabIndex={0} role="region" aria-label={words.tableLabel(title)}>
            <table>
              <thead>
                <tr>
                  <th scope="col" class="number">
                    {x}
                  </th>
                  {lines.map(({ name }) => (
                    <th key={name} scope="col" class="number">
                      {name}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {xs.map((value, index) => (
                  <tr key={index}>
                    <th scope="row" class="number">
                      {Number.isInteger(value) ? count(value) : figures(value)}
                    </th>
                    {columns.map((column, line) => (
                      <td key={line} class="number">
                        {column[index] === null || column[index] === undefined ? "–" : (lines[line]?.format ?? figures)(column[index])}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
        <div class="row take" role="group" aria-label={words.takeLabel(title)}>
          <Button kind="quiet" onPress={async () => save(file("png"), await png(drawing()))}>
            PNG
          </Button>
          <Button kind="quiet" onPress={() => save(file("svg"), new Blob([drawing()], { type: "image/svg+xml" }))}>
            SVG
          </Button>
          <Button kind="quiet" onPress={() => save(file("csv"), new Blob([csv({ x, lines: lines.map(({ name }) => ({ name, colour: "" })), points: all })], { type: "text/csv" }))}>
            CSV
          </Button>
        </div>
      </div>
    </figure>
  );
}
