import { device } from "../state/device.js";
import { Notice } from "./Notice.js";

/** Explains what works without WebGPU, and where WebGPU is available. */
export function NoGpu() {
  if (device.value !== null) return null;
  return (
    <div class="spaced">
      <Notice kind="warning">
        <strong>This browser offers no WebGPU</strong>, so nothing can be trained here. Checking and repairing models works.
        <small>
          WebGPU is in Chrome and Edge 113 or later (on Linux 144), Safari 26, and Firefox 141 on Windows and 145 on Macs. Where it is there but off, it
          is often a blocked graphics driver: the address chrome://gpu says why.
        </small>
      </Notice>
    </div>
  );
}
