// The page's plain logic, without a page.
import { expect, test } from "@playwright/test";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { thin, type Points } from "../../web/src/ui/charts/points.js";
import { csv, svg, ticks } from "../../web/src/ui/charts/picture.js";
import { asTransformers, broken, normal, readTensors, vocabularyOf, type Files } from "../../web/src/ui/learn/broken.js";
import { overlay, smooth } from "../../web/src/ui/charts/overlay.js";
import { modelFolder, recognise } from "rootstock";
import { obstacle } from "../../web/src/ui/state/where.js";
import { bytes, duration, figures, readNumber } from "../../web/src/ui/numbers.js";
import { firstQuestions } from "../../web/src/ui/state/questions.js";

test("numbers are read as typed and said in units", () => {
  expect(readNumber("5e-5", {}, false)).toEqual({ value: 5e-5, fault: null });
  expect(readNumber("0,5", {}, false).value).toBe(0.5);
  expect(readNumber("1.5", { whole: true }, false).fault).toMatch(/whole/);
  expect(readNumber("", {}, false).fault).toMatch(/needed/);
  expect(readNumber("", {}, true).fault).toBeNull();
  expect([0, 999, 1000, 999_600, 2_104_984].map(bytes)).toEqual(["0 B", "999 B", "1.00 KB", "1.00 MB", "2.10 MB"]);
  expect([0.4, 8, 250, 7500].map(duration)).toEqual(["under 1 s", "8 s", "4 min 10 s", "2 h 5 min"]);
  expect([0, 0.00001234, 0.4123456, 12345].map((value) => figures(value))).toEqual(["0", "1.23e-5", "0.4123", "12,345"]);
});

test("a long curve keeps its ends and its spikes", () => {
  const x = Array.from({ length: 100_000 }, (_, index) => index);
  const y = x.map((value) => (value === 54_321 ? 99 : Math.sin(value / 1000)));
  const sparse = x.map((value) => (value % 10_000 === 5_000 ? value : null));
  const [xs, ys, evaluations] = thin([x, y, sparse] as Points, 1000);
  expect(xs.length).toBeLessThan(1500);
  expect([xs[0], xs.at(-1)]).toEqual([0, 99_999]);
  expect(Math.max(...(ys as number[]))).toBe(99);
  expect(evaluations?.filter((value) => value !== null)).toHaveLength(10);
});

test("the folder of a model is found in what was dropped", () => {
  const file = {} as File;
  const given = ["parent/readme.md", "parent/model/config.json", "parent/model/model.safetensors", "parent/model/onnx/config.json"];
  const folder = modelFolder(given.map((path) => ({ path, file })));
  expect(folder.name).toBe("model");
  expect(folder.files.map(({ path }) => path)).toEqual(["config.json", "model.safetensors", "onnx/config.json"]);
  expect(modelFolder([{ path: "config.json", file }]).files).toHaveLength(1);
  expect(modelFolder([]).files).toEqual([]);
});

test("the first questions are taken from the records", () => {
  const lines = ['{"instruction": "A?", "output": "a"}', "not json", '{"messages": [{"role": "user", "content": "B?"}]}', '{"prompt": "C?"}'];
  expect(firstQuestions(lines.join("\n"))).toEqual([
    { question: "A?", answer: "a" },
    { question: "B?", answer: null },
  ]);
});

test("pasted text is recognised by its begin", () => {
  expect(recognise('[{"a": 1}]')).toBe("json");
  expect(recognise('{"instruction": "a"}\n{"instruction": "b"}')).toBe("jsonl");
  expect(recognise('{\n  "instruction": "a"\n}')).toBe("json");
  expect(recognise("question,answer\nWho sings?,Mira does.")).toBe("csv");
  expect(recognise("Once, long ago, there was a village.\nIt lay by a river, and was small.")).toBe("txt");
  expect(recognise("  \n")).toBeNull();
});

test("curves of several runs share their steps, and smoothing begins where the curve does", () => {
  expect(
    overlay([
      [
        [1, 5],
        [2, 4],
      ],
      [
        [2, 7],
        [4, 6],
      ],
    ]),
  ).toEqual([
    [1, 2, 4],
    [5, 4, null],
    [null, 7, 6],
  ]);
  const smoothed = smooth(
    [
      [1, 4],
      [2, 4],
      [3, 0],
    ],
    0.5,
  );
  expect(smoothed.map(([, value]) => Number(value.toFixed(3)))).toEqual([4, 4, 1.714]);
});

test("why nothing can be trained is said as it is", () => {
  const here = { secure: true, framed: false, webgpu: true, origin: "http://10.0.0.7:8080" };
  expect(obstacle({ ...here, secure: false, webgpu: false }).what).toBe("The address http://10.0.0.7:8080 is not secure");
  expect(obstacle({ ...here, framed: true, webgpu: false }).why).toContain("in a tab of its own");
  expect(obstacle(here).what).toContain("found no graphics card");
  expect(obstacle({ ...here, webgpu: false }).what).toContain("offers no WebGPU");
});

test("a plot is taken as CSV and as a drawing that escapes its words", () => {
  const points: Points = [[1, 2, 3], [0.5, null, 2]];
  expect(csv({ x: "step", lines: [{ name: 'a "b", c', colour: "" }], points })).toBe('step,"a ""b"", c"\n1,0.5\n2,\n3,2\n');
  const drawing = svg({ title: "<loss>", x: "step", lines: [{ name: "a&b", colour: "#1d6a44" }], points, log: false, paper: "#fff", ink: "#000", grid: "#ccc" });
  expect(drawing).toContain("&lt;loss&gt;");
  expect(drawing).toContain("a&amp;b");
  expect(drawing).not.toMatch(/NaN|Infinity/);
  expect(drawing.match(/L[\d.]+ [\d.]+/g), "a line through the points that there are").toHaveLength(1);
  expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(ticks(3, 3, 5)).toEqual([3]);
});

test("the embedded model is broken in each way, and what is missing is made up as transformers does", () => {
  const folder = join(root, "assets/embedded-model");
  const files: Files = new Map(readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]));
  expect(vocabularyOf(files)).toBe(512);
  expect([...broken(files, ["config"]).keys()]).not.toContain("config.json");
  const loaded = (breaks: Parameters<typeof broken>[1]) => asTransformers(broken(files, breaks), files);
  const whole = loaded([]);
  expect("random" in whole && whole.random).toEqual([]);
  const keys = loaded(["keys"]);
  if (!("random" in keys)) throw new Error("it loads");
  expect(keys.random).toHaveLength(keys.of);
  const made = readTensors(keys.files.get("model.safetensors") as Uint8Array<ArrayBuffer>);
  const [known] = [readTensors(files.get("model.safetensors") as Uint8Array<ArrayBuffer>)];
  expect([...made.keys()]).toEqual([...known.keys()]);
  for (const [name, { shape, bytes }] of made) expect([shape, bytes.length], name).toEqual([known.get(name)?.shape, known.get(name)?.bytes.length]);
  const head = loaded(["head"]);
  expect("random" in head && head.random).toEqual(["lm_head.weight"]);
  for (const name of ["config", "shard", "tokenizer", "adapter"] as const) expect(loaded([name]), name).toHaveProperty("refuses");
  const draw = normal(1);
  const values = Array.from({ length: 10_000 }, draw);
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
  expect(Math.abs(deviation - 0.02)).toBeLessThan(0.001);
});
