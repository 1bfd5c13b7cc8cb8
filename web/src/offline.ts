// The page's service worker, built into `offline.js`: after the first visit the page opens without a network. It serves files of the page
// only; what a person fetches from other hosts passes it by.
//
// Files under `assets/` have a hash in their names, so the stored one is as good as any. Others (index.html, the embedded model) come
// from the network while there is one. `offline.json` lists the files of this build.

/** The parts of a service worker that are used here; TypeScript has them only in a library that excludes that of documents. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: "fetch", hear: (event: FetchEvent) => void): void;
  addEventListener(kind: "install" | "activate" | "message", hear: (event: ExtendableEvent) => void): void;
}
const worker = self as unknown as Scope;

const CACHE = "page";
const LIST = "offline.json";
const INDEX = "index.html";

const address = (name: string) => new URL(name, worker.registration.scope).href;

/** Stores what is missing of this build, and removes what belongs to earlier ones. */
async function complete(): Promise<void> {
  const response = await fetch(address(LIST), { cache: "no-cache" });
  if (!response.ok) throw new Error(`${LIST}: ${response.status}`);
  const names = ((await response.json()) as string[]).map(address);
  const cache = await caches.open(CACHE);
  const known = new Set((await cache.keys()).map(({ url }) => url));
  for (const name of names) {
    // Names without a hash may hold something else since the last visit.
    if (!known.has(name) || !isHashed(name)) await cache.add(new Request(name, { cache: isHashed(name) ? "default" : "no-cache" }));
  }
  for (const url of known) if (!names.includes(url)) await cache.delete(url);
}

const isHashed = (url: string) => url.startsWith(address("assets/"));

worker.addEventListener("install", (event) => event.waitUntil(complete().then(() => worker.skipWaiting())));
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
// The page asks on every visit, so that a new build is stored whole; without a network the stored one stays.
worker.addEventListener("message", (event) => event.waitUntil(complete().catch(() => undefined)));

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = request.url.split(/[?#]/, 1)[0] ?? "";
  if (request.method !== "GET" || !url.startsWith(worker.registration.scope)) return;
  event.respondWith(answer(request, url === address("") ? address(INDEX) : url));
});

async function answer(request: Request, url: string): Promise<Response> {
  const stored = async () => (await caches.open(CACHE)).match(url);
  if (isHashed(url)) {
    const known = await stored();
    if (known) return known;
  }
  try {
    return await fetch(request);
  } catch (error) {
    const known = await stored();
    if (!known) throw error;
    return part(known, request.headers.get("Range"));
  }
}

/** A part of a stored file, as a server answers a request for a range. */
async function part(whole: Response, range: string | null): Promise<Response> {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
  if (first === undefined) return whole;
  const bytes = await whole.blob();
  const [start, end] = [Number(first), last ? Math.min(Number(last) + 1, bytes.size) : bytes.size];
  const headers = { "Content-Range": `bytes ${start}-${end - 1}/${bytes.size}`, "Content-Length": String(end - start) };
  return new Response(bytes.slice(start, end), { status: 206, headers });
}
