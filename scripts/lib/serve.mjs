// A static file server on loopback. Browsers that accept brotli get the compressed copy (`.br`) of a file that has one.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { root } from "./host.mjs";

/** @type {Record<string, string>} */
const types = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/**
 * Serves folders, relative to the repository. A path belongs to the first folder whose prefix it starts with.
 *
 * @param {[prefix: string, folder: string][]} folders
 * @param {number} [port] if it is taken, the next free one is used; without it any free port, so that several clones can test at the
 *   same time
 * @param {Record<string, string>} [more] headers that go with every file
 * @returns {Promise<{ origin: string, close: () => void }>}
 */
export function serve(folders, port = 0, more = {}) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    const [prefix, folder] = folders.find(([start]) => path.startsWith(start)) ?? ["/", ""];
    const file = join(resolve(root, folder), path.slice(prefix.length) || "index.html");
    const found = statSync(file, { throwIfNoEntry: false });
    if (!found?.isFile()) {
      response.writeHead(404).end(`no ${path}`);
      return;
    }
    /** @type {Record<string, string | number>} */
    const headers = { ...more, "Content-Type": types[extname(file)] ?? "application/octet-stream", "Accept-Ranges": "bytes" };
    // As `rootstock serve`: files below assets/ have a hash of their content in their names.
    headers["Cache-Control"] = path.includes("/assets/") ? "max-age=31536000, immutable" : "no-cache";
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    if (range === null) {
      const small = /\bbr\b/.test(String(request.headers["accept-encoding"] ?? "")) && statSync(`${file}.br`, { throwIfNoEntry: false });
      if (small) Object.assign(headers, { "Content-Encoding": "br", Vary: "Accept-Encoding" });
      response.writeHead(200, { ...headers, "Content-Length": small ? small.size : found.size });
      createReadStream(small ? `${file}.br` : file).pipe(response);
      return;
    }
    const [start, end] = [Number(range[1]), range[2] ? Math.min(Number(range[2]), found.size - 1) : found.size - 1];
    response.writeHead(206, { ...headers, "Content-Length": end - start + 1, "Content-Range": `bytes ${start}-${end}/${found.size}` });
    createReadStream(file, { start, end }).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.on("error", (/** @type {NodeJS.ErrnoException} */ error) => {
      if (error.code === "EADDRINUSE" && port !== 0) server.listen(++port, "127.0.0.1");
      else reject(error);
    });
    server.on("listening", () => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("a TCP server has an address with a port");
      resolve({ origin: `http://127.0.0.1:${address.port}`, close: () => server.close() });
    });
    server.listen(port, "127.0.0.1");
  });
}
