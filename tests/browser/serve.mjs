// Serves the browser tests' page, the wasm build and the fixtures, on loopback.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { root } from "../../scripts/lib/host.mjs";

/** @type {[string, string][]} */
const folders = [
  ["/wasm/", "target/web"],
  ["/fixtures/", "tests/fixtures"],
  ["/", "tests/browser/page"],
];
/** @type {Record<string, string>} */
const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

/**
 * Starts the server on a port that is free, so that several clones can test at the same time.
 *
 * @returns {Promise<{ origin: string, close: () => void }>}
 */
export function serve() {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    const [prefix, folder] = folders.find(([start]) => path.startsWith(start)) ?? ["/", ""];
    const file = join(root, folder, path.slice(prefix.length) || "index.html");
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
      response.writeHead(404).end(`no ${path}`);
      return;
    }
    response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("a TCP server has an address with a port");
      resolve({ origin: `http://127.0.0.1:${address.port}`, close: () => server.close() });
    });
  });
}
