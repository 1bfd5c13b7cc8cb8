// A chart as a file: its figures as CSV, its drawing as SVG and PNG. The drawing is made of the figures alone, so it looks the same on paper.
import { figures } from "../numbers.js";
import { text } from "../text/index.js";
import type { Points } from "./points.js";

export interface PictureLine {
  name: string;
  /** A CSS colour. */
  colour: string;
  dots?: boolean;
}

export interface Picture {
  title: string;
  x: string;
  lines: readonly PictureLine[];
  points: Points;
  log: boolean;
  /** CSS colours of paper, text and grid. */
  paper: string;
  ink: string;
  grid: string;
}

/** The figures, a row for each x. */
export function csv({ x, lines, points }: Pick<Picture, "x" | "lines" | "points">): string {
  const quote = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const [xs, ...columns] = points;
  const head = [x, ...lines.map(({ name }) => name)].map(quote).join(",");
  return [head, ...xs.map((at, row) => [at, ...columns.map((column) => column[row] ?? "")].join(","))].join("\n") + "\n";
}

const WIDTH = 800;
const HEIGHT = 450;
const LEFT = 64;
const RIGHT = 16;
const TOP = 56;
const BOTTOM = 44;

/** Round numbers that divide a range into about `wanted` parts. */
export function ticks(low: number, high: number, wanted: number): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** The drawing. */
export function svg({ title, x, lines, points, log, paper, ink, grid }: Picture): string {
  const [xs, ...columns] = points;
  const scale = (value: number) => (log ? Math.log10(value) : value);
  const drawable = (value: number | null | undefined): value is number => typeof value === "number" && Number.isFinite(value) && (!log || value > 0);
  const values = columns.flat().filter(drawable).map(scale);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (!(high > low)) [low, high] = [low - 0.5, low + 0.5];
  const px = (value: number) => LEFT + ((value - left) / Math.max(right - left, 1e-12)) * (WIDTH - LEFT - RIGHT);
  const py = (value: number) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const place = (value: number) => value.toFixed(1);
  const parts: string[] = [];
  for (const tick of ticks(low, high, 5)) {
    parts.push(`<path d="M${LEFT} ${place(py(tick))}H${WIDTH - RIGHT}" stroke="${grid}"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${place(py(tick) + 4)}" text-anchor="end">${escape(figures(log ? 10 ** tick : tick, 3))}</text>`);
  }
  for (const tick of ticks(left, right, 8)) {
    parts.push(`<text x="${place(px(tick))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${escape(figures(tick, 3))}</text>`);
  }
  parts.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escape(x)}</text>`);
  let legend = LEFT;
  lines.forEach(({ name, colour, dots }, index) => {
    const all = xs.flatMap((at, row) => {
      const value = columns[index]?.[row];
      return drawable(value) ? [[px(at), py(scale(value))] as const] : [];
    });
    const path = all.map(([a, b], at) => `${at === 0 ? "M" : "L"}${place(a)} ${place(b)}`).join("");
    if (path !== "") parts.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    if (dots) for (const [a, b] of all) parts.push(`<circle cx="${place(a)}" cy="${place(b)}" r="4" fill="${colour}"/>`);
    parts.push(`<path d="M${legend} 40h16" stroke="${colour}" stroke-width="3"/><text x="${legend + 22}" y="44">${escape(name)}</text>`);
    legend += 40 + 8 * name.length;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12" fill="${ink}">` +
    `<title>${escape(title)}</title><rect width="${WIDTH}" height="${HEIGHT}" fill="${paper}"/>` +
    `<text x="${LEFT}" y="22" font-size="15">${escape(title)}</text>${parts.join("")}</svg>\n`
  );
}

/** The drawing in pixels, twice as fine as its size. */
export async function png(drawing: string): Promise<Blob> {
  const image = new Image();
  const address = URL.createObjectURL(new Blob([drawing], { type: "image/svg+xml" }));
  try {
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * WIDTH, 2 * HEIGHT];
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob) throw new Error(text.train.noPicture);
    return blob;
  } finally {
    URL.revokeObjectURL(address);
  }
}
