// Why this browser, at this address, offers no WebGPU.

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
  if (!secure) {
    return {
      what: `The address ${origin} is not secure`,
      why:
        "Browsers offer WebGPU and storage only over https, and over http on the machine itself (http://localhost). Open the page on that " +
        "machine, or serve it by https: `rootstock serve --lan` does that for a local network.",
    };
  }
  if (framed && !webgpu) {
    return {
      what: "This page is shown inside another site’s page, which does not let it use WebGPU",
      why: `Open ${origin} in a tab of its own.`,
    };
  }
  if (webgpu) {
    return {
      what: "This browser has WebGPU, but found no graphics card that it may use",
      why:
        "It is often a blocked graphics driver, or hardware acceleration that is switched off in the browser’s settings; the address " +
        "chrome://gpu (about:support in Firefox) says why. On a machine without a graphics card, Chrome computes on the processor when it is started with --enable-unsafe-webgpu.",
    };
  }
  return {
    what: "This browser offers no WebGPU",
    why: "WebGPU is in Chrome and Edge 113 or later (on Linux 144), Safari 26, and Firefox 141 on Windows and 145 on Macs.",
  };
}
