// Every shader, as the program sends it to the GPU, has to pass Chromium's compiler (Tint) beside naga: the two accept
// different languages.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { expect, test } from "./harness.js";

/** One module with its shared pieces in front, as `shader_sources` of the wasm build lists them. */
interface Shader {
  name: string;
  wgsl: string;
}

/** Subgroup operations: Tint wants the `enable` line that naga refuses. */
const needsSubgroups = (shader: Shader) => /\.(subgroup|lanes)(\.|$)/.test(shader.name);

/** Numbers of f16 in tiles: only some devices have them. */
const needsHalves = (shader: Shader) => shader.wgsl.startsWith("enable f16;");

// Tint reads and checks a module when it is made. What a pipeline needs beyond that, workgroup memory and bindings within WebGPU's default limits, wgpu
// checks by the same rules in every native test (gpu/mod.rs asks for no higher ones), with the constants that are really chosen; and a
// software device would compile each of them for a second.
test("every shader compiles in Tint", async ({ page, rootstock }) => {
  const shaders = JSON.parse(String(await rootstock.call("shader_sources"))) as Shader[];
  const files = readdirSync(join(root, "shaders")).filter((file) => file.endsWith(".wgsl"));
  expect(files.length, "there are shaders").toBeGreaterThan(0);
  for (const file of files) {
    const stem = file.replace(/\.wgsl$/, "");
    const permuted = /^\/\/ permute /m.test(readFileSync(join(root, "shaders", file), "utf8"));
    const listed = shaders.some(({ name }) => (permuted ? name.startsWith(`${stem}.`) : name === stem));
    expect(listed, `${file} is part of the wasm build`).toBe(true);
  }

  const sources = shaders.map((shader) => ({
    name: shader.name,
    wgsl: needsSubgroups(shader) ? `enable subgroups;\n${shader.wgsl}` : shader.wgsl,
    needsHalves: needsHalves(shader),
  }));
  expect(sources.some(({ needsHalves }) => needsHalves), "some tiles are in f16").toBe(true);
  const { faults, halves } = await page.evaluate(async (sources) => {
    const adapter = await navigator.gpu.requestAdapter();
    const halves = adapter?.features.has("shader-f16") ?? false;
    const device = await adapter?.requestDevice({ requiredFeatures: halves ? ["subgroups", "shader-f16"] : ["subgroups"] });
    if (!device) throw new Error("no device with subgroups");
    const compile = async ({ name, wgsl, needsHalves }: (typeof sources)[number]) => {
      // A device without halves has Tint read all but the type's name.
      const code = needsHalves && !halves ? wgsl.replace("enable f16;", "").replaceAll("vec4<f16>", "vec4<f32>") : wgsl;
      const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
      const errors = messages.filter(({ type }) => type === "error");
      return errors.map(({ lineNum, message }) => `${name}:${lineNum}: ${message}`);
    };
    const faults = (await Promise.all(sources.map(compile))).flat();
    device.destroy();
    return { faults, halves };
  }, sources);

  expect(faults).toEqual([]);
  console.log(
    `  ${sources.length} shaders compiled, ${shaders.filter(needsSubgroups).length} of them with subgroups, ` +
      `${shaders.filter(needsHalves).length} with halves (which this device ${halves ? "has" : "has not: read as f32"})`,
  );
});

test("Tint's faults are seen", async ({ page, rootstock }) => {
  void rootstock; // for the device
  const errors = await page.evaluate(async () => {
    const device = await (await navigator.gpu.requestAdapter())?.requestDevice();
    const module = device?.createShaderModule({ code: "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }" });
    const messages = (await module?.getCompilationInfo())?.messages ?? [];
    return messages.filter(({ type }) => type === "error").length;
  });
  expect(errors).toBeGreaterThan(0);
});
