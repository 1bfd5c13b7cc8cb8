// Why this browser, at this address, offers no WebGPU.
import { text } from "../text/index.js";

export interface Obstacle {
  /** The fact, as the begin of a sentence. */
  what: string;
  /** What it comes from, and what to do. */
  why: string;
}

/** The facts that decide, from the browser. */
export interface Surroundings {
  secure: boolean;
  /** Whether the page is shown inside a page of another origin. */
  framed: boolean;
  /** Whether the browser has the interface at all. */
  webgpu: boolean;
  /** The address without its path. */
  origin: string;
}

export function surroundings(): Surroundings {
  return { secure: isSecureContext, framed: isFramed(), webgpu: "gpu" in navigator, origin: location.origin };
}

function isFramed(): boolean {
  if (window.top === window) return false;
  try {
    return window.top?.location.origin !== location.origin;
  } catch {
    return true; // another origin's address cannot be read
  }
}

export function obstacle({ secure, framed, webgpu, origin }: Surroundings = surroundings()): Obstacle {
  const words = text.device;
  if (!secure) return { what: words.notSecure(origin), why: words.notSecureWhy };
  if (framed && !webgpu) return { what: words.framed, why: words.framedWhy(origin) };
  if (webgpu) return { what: words.noAdapter, why: words.noAdapterWhy };
  return { what: words.noWebGpu, why: words.noWebGpuWhy };
}
