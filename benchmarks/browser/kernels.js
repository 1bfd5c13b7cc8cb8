// Single kernels of Rootstock in the page, for processor.mjs: made once, then run by name.

/** What runs a kernel or a peer's product so many times. */
export const runs = {};

let device;
let failed;

async function open() {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter?.features.has("subgroups")) throw new Error("this Chromium offers no subgroups");
  device = await adapter.requestDevice({ requiredFeatures: ["subgroups"] });
  device.onuncapturederror = (event) => (failed ??= event.error.message);
}

/** Compiles a kernel and makes its buffers: parameters, the step's where it has one, then storage of so many floats each. */
export async function makeKernel({ name, wgsl, constants, params, step, buffers, groups }) {
  if (!device) await open();
  const module = device.createShaderModule({ code: wgsl });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main", constants } });
  const uniform = device.createBuffer({ size: 64, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(uniform, 0, new Uint32Array(params));
  const bound = [uniform, ...(step ? [device.createBuffer({ size: 256, usage: GPUBufferUsage.UNIFORM })] : [])];
  for (const length of buffers) {
    const buffer = device.createBuffer({ size: length * 4, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(buffer, 0, Float32Array.from({ length }, (_, i) => ((i * 7919) % 2003) / 1001.5 - 1));
    bound.push(buffer);
  }
  const entries = bound.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  await device.queue.onSubmittedWorkDone();
  if (failed) throw new Error(failed);
  runs[name] = async (count) => {
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < count; i++) {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...groups);
      pass.end();
    }
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
  };
}

export async function runKernel({ name, count }) {
  await runs[name](count);
}
