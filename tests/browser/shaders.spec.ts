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

/**
 * Whether the device compiles it too, which takes a software device a second for each matrix product. Permutations by the type of the weights differ in the
 * language that they use, which the module shows, and not in what they need of the device: two of them, one with a table, stand for all.
 */
const becomesPipeline = ({ name }: Shader) => !/\.(bf16|f16|fp4|int8|q\w+)$/.test(name);

/** Subgroup operations: these shaders run natively only, and Tint wants the `enable` line that naga refuses. */
const needsSubgroups = (shader: Shader) => shader.name.includes(".subgroup");

test("every shader compiles in Tint, within WebGPU's default limits", async ({ page, rootstock }) => {
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
    becomesPipeline: becomesPipeline(shader),
  }));
  const faults = await page.evaluate(async (sources) => {
    const adapter = await navigator.gpu.requestAdapter();
    // No limit is raised: a pipeline that needs more than WebGPU promises everywhere is a fault too.
    const device = await adapter?.requestDevice({ requiredFeatures: ["subgroups"] });
    if (!device) throw new Error("no device with subgroups");
    const compile = async ({ name, wgsl, becomesPipeline }: (typeof sources)[number]) => {
      const module = device.createShaderModule({ code: wgsl });
      const messages = (await module.getCompilationInfo()).messages.filter(({ type }) => type === "error");
      if (messages.length > 0) return messages.map(({ lineNum, message }) => `${name}:${lineNum}: ${message}`);
      if (!becomesPipeline) return [];
      const pipeline = device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
      return pipeline.then(
        () => [],
        (error: unknown) => [`${name}: ${String(error)}`],
      );
    };
    const faults = (await Promise.all(sources.map(compile))).flat();
    device.destroy();
    return faults;
  }, sources);

  expect(faults).toEqual([]);
  const pipelines = sources.filter(({ becomesPipeline }) => becomesPipeline).length;
  console.log(`  ${sources.length} shaders compiled, ${pipelines} of them to pipelines, ${shaders.filter(needsSubgroups).length} with subgroups`);
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
