import { useLayoutEffect, useRef } from "preact/hooks";
import { effect, type ReadonlySignal } from "@preact/signals";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count, figures } from "../numbers.js";
import { colour, repaint } from "../theme.js";
import { thin, type Points } from "./points.js";
import { leave, takeTurn } from "./turns.js";

export interface Line {
  name: string;
  /** The design token of its colour. */
  token: string;
  /** Draw single points, for sparse values such as evaluations. */
  dots?: boolean;
  format?: (value: number) => string;
}

interface ChartProps {
  /** Description for screen readers; the figures are in the table beside the chart. */
  label: string;
  lines: readonly Line[];
  /** x and one column per line. A new object signals new points. */
  points: ReadonlySignal<Points>;
  height?: number;
  /** Logarithmic y axis, for spectra and learning rates. */
  log?: boolean;
  x?: string;
  /** The last x that there will be: the axis runs to it. */
  most?: number;
  /** Lets the y axis begin at 0, for amounts that hardly change. */
  fromZero?: boolean;
  /** Called with the x under the pointer; `null` without one. */
  onPoint?: (x: number | null) => void;
}

/** A live chart. It draws at most once per frame, scheduled with the other charts, and never more points than its columns of pixels. */
export function Chart({ label, lines, points, height = 140, log = false, x = "step", most, fromZero = false, onPoint }: ChartProps) {
  const heard = useRef(onPoint);
  heard.current = onPoint;
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const place = box.current;
    if (!place) return;
    let plot: uPlot | null = null;
    const width = () => Math.max(120, Math.floor(place.clientWidth));
    const build = () => {
      plot?.destroy();
      plot = new uPlot(options(lines, { width: width(), height, log, x, most, fromZero }, (value) => heard.current?.(value)), thin(points.peek(), width() * 2), place);
    };
    const draw = () => plot?.setData(thin(points.peek(), width() * 2));
    const stop = [
      effect(() => {
        void repaint.value;
        takeTurn(build);
      }),
      effect(() => {
        void points.value;
        if (plot) takeTurn(draw); // a new plot already has all points
      }),
    ];
    const resized = new ResizeObserver(() => {
      if (plot && plot.width !== width()) plot.setSize({ width: width(), height });
    });
    resized.observe(place);
    return () => {
      for (const end of stop) end();
      resized.disconnect();
      for (const turn of [build, draw]) leave(turn);
      plot?.destroy();
    };
  }, [points, lines, height, log, x, most, fromZero]);
  return <div class="chart" data-lines={lines.length} ref={box} role="img" aria-label={label} style={{ minBlockSize: `${height}px` }} />;
}

/** The width of a digit or comma in the axes' font, in pixels. */
const DIGIT = 6.5;

/** Tick distances for steps and ranks, which are integers. */
const WHOLE = [1, 2, 5].flatMap((first) => Array.from({ length: 9 }, (_, power) => first * 10 ** power)).sort((a, b) => a - b);

interface Shape {
  width: number;
  height: number;
  log: boolean;
  x: string;
  most: number | undefined;
  fromZero: boolean;
}

function options(lines: readonly Line[], { width, height, log, x, most, fromZero }: Shape, point: (x: number | null) => void): uPlot.Options {
  const [ink, line] = [colour("soft"), colour("line")];
  const format = lines[0]?.format;
  const plain = (value: number | null) => (value === null ? "" : format ? format(value) : String(Number(value.toPrecision(4))));
  // Ticks that a format makes the same (44.0 MB, 44.0 MB) are written once.
  const ticks = (values: (number | null)[]) => values.map(plain).map((words, index, all) => (index > 0 && words === all[index - 1] ? "" : words));
  const range = (low: number, high: number): [number, number] => [Math.min(low, most ?? low), Math.max(high, most ?? high)];
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "11px system-ui" };
  return {
    width,
    height,
    // The last number of the x axis stands under the last point: half of it reaches beyond.
    padding: [8, (plot) => Math.max(8, 2 + (DIGIT * count(plot.scales["x"]?.max ?? 0).length) / 2), 0, 0],
    hooks: { setCursor: [({ cursor, data }) => point(cursor.idx === null || cursor.idx === undefined ? null : (data[0][cursor.idx] ?? null))] },
    cursor: { y: false, points: { size: 6 } },
    legend: { live: true },
    scales: { x: { time: false, range: (_, low, high) => range(low ?? 0, high ?? 1) }, y: log ? { distr: 3 } : fromZero ? { range: (_, __, high) => [0, (high ?? 1) * 1.1] } : {} },
    axes: [
      { ...axis, size: 24, gap: 2, space: 40, incrs: WHOLE, values: (_, values) => values.map(count) },
      { ...axis, size: 54, gap: 4, values: (_, values) => ticks(values) },
    ],
    series: [
      { label: x, value: (_, value) => (value === null ? "–" : String(value)) },
      ...lines.map(({ name, token, dots, format }): uPlot.Series => {
        const stroke = colour(token);
        return {
          label: name,
          stroke,
          width: 1.5,
          spanGaps: true,
          points: dots ? { show: true, size: 6, fill: stroke } : { show: false },
          value: (_, value) => (value === null ? "–" : (format ?? figures)(value)),
        };
      }),
    ],
  };
}
