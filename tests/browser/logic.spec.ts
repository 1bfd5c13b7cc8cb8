// The page's plain logic, without a page.
import { expect, test } from "@playwright/test";
import { thin, type Points } from "../../web/src/ui/charts/points.js";
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
