
/** The address of the program's second part. */
const deferredUrl = new URL("rootstock_deferred.wasm", import.meta.url);
let deferredPart = null;

function deferredIsThere() {
    wasm.deferred_loaded.value = 1;
}

/** Loads the program's second part, once; what a first visit does not need is in it. */
export function deferred() {
    deferredPart ??= (async () => {
        if (wasm.deferred_loaded.value === 1) return;
        const response = await fetch(deferredUrl);
        if (!response.ok) throw new Error(`${deferredUrl.href}: the server answers ${response.status}`);
        const imports = { p: wasm };
        const typed = response.headers.get("Content-Type") === "application/wasm";
        if (typed) await WebAssembly.instantiateStreaming(response, imports);
        else await WebAssembly.instantiate(await response.arrayBuffer(), imports);
        deferredIsThere();
    })().catch((error) => {
        deferredPart = null; // the next request tries again
        throw new Error(`A part of this page's program could not be loaded (${error.message}). Check the connection and try again; after a new version was put on the server, reload the page.`);
    });
    return deferredPart;
}

/** The same at once, for a function that is called before: in a worker, which may wait for the network. */
function loadDeferred() {
    const request = new XMLHttpRequest();
    request.open("GET", deferredUrl, false);
    request.responseType = "arraybuffer";
    request.send();
    if (request.status !== 200) throw new Error(`${deferredUrl.href}: the server answers ${request.status}`);
    new WebAssembly.Instance(new WebAssembly.Module(request.response), { p: wasm });
    deferredIsThere();
}
