// What goes wrong around the page: a lost GPU, a killed worker, a full disk, a tab that is closed in the middle of a move. Each is
// said to the person, and the run goes on. And the ways in and out of the page that a person has besides the buttons.
import { join } from "node:path";
import { root } from "../../scripts/lib/host.mjs";
import { expect } from "./harness.js";
import { next, openVillage, patient, test, train } from "./village.js";

test("a lost GPU and a killed worker are said, the run goes on, and its folder is saved", async ({ page, browser }) => {
  await openVillage(page);
  await next(page, "Data");
  await next(page, "Method");
  await train(page, { steps: 10, snapshot: 2 });
  await expect(page.getByText(/Snapshot of step [2-6] is kept/)).toBeVisible(patient);
  // The process that computes for all pages, WebGPU's devices in it. It dies in the middle of the command.
  const devtools = await browser.newBrowserCDPSession();
  await devtools.send("Browser.crashGpuProcess").catch(() => undefined);
  await expect(page.getByText(/The GPU was lost/).first()).toBeVisible(patient);

  await expect(page.getByText(/Snapshot of step [4-8] is kept/)).toBeVisible(patient);
  await page.evaluate(() => rootstock.terminate("The worker was ended on purpose."));
  await expect(page.getByRole("alert")).toHaveText(/ended on purpose/);
  await page.getByRole("button", { name: /^Go on with/ }).click(patient);
  await expect(page.getByText(/The run goes on from its snapshot of step/).first()).toBeVisible(patient);
  await expect(page.getByText("Done. Step 10 of 10")).toBeVisible(patient);
  await next(page, "Use");

  // A folder that the person picks: here one of the browser's own storage stands for it.
  await page.evaluate(() => {
    const picked = async () => (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
    Object.assign(globalThis, { showDirectoryPicker: picked });
  });
  await page.getByRole("button", { name: "Save as a folder" }).click();
  const saved = () =>
    page.evaluate(async () => {
      const picked = await (await navigator.storage.getDirectory()).getDirectoryHandle("picked", { create: true });
      const found: Record<string, number> = {};
      for await (const folder of picked.values()) {
        if (folder.kind !== "directory") continue;
        for await (const file of (folder).values()) {
          // A file that is being written has another name until it is whole, and may be gone when it is asked.
          if (file.kind === "file") found[file.name] = (await file.getFile().catch(() => null))?.size ?? 0;
        }
      }
      return found;
    });
  await expect.poll(async () => (await saved())["model.safetensors"] ?? 0, patient).toBeGreaterThan(1e6);
  await expect.poll(async () => Object.keys(await saved()), patient).toEqual(expect.arrayContaining(["config.json", "tokenizer.json", "tokenizer_config.json"]));
  // While the first folder is still being written, a click does nothing.
  await expect(async () => {
    await page.getByRole("button", { name: "Save as a folder" }).click();
    await expect(page.getByRole("alert")).toHaveText(/There is a folder .* already/, { timeout: 3_000 });
  }).toPass(patient);
});

test("a full quota is said, and a move that a closed tab left half done is completed", async ({ page, origin }) => {
  await openVillage(page);
  await next(page, "Data");
  await next(page, "Method");
  const devtools = await page.context().newCDPSession(page);
  // Enough for the page's notes, too little for a snapshot.
  await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 3_000_000 });
  await train(page, { steps: 6, snapshot: 2 });
  await expect(page.getByRole("alert")).toHaveText(/space/, patient);
  await devtools.send("Storage.overrideQuotaForOrigin", { origin });
  await page.getByRole("button", { name: /^Start/ }).click();
  await expect(page.getByText(/Snapshot of step [2-4] is kept/)).toBeVisible(patient);
  await page.getByRole("button", { name: "Stop and keep" }).click();
  await expect(page.getByRole("link", { name: "Next: Use" })).toBeVisible(patient);

  // As a tab leaves it that is closed while a snapshot gets its name: a part lies under the old name, and the move is written down.
  const step = await page.evaluate(async () => {
    let kept = await navigator.storage.getDirectory();
    for (const name of ["kept"]) kept = await kept.getDirectoryHandle(name);
    const folders = async (parent: FileSystemDirectoryHandle) => {
      const found: FileSystemDirectoryHandle[] = [];
      for await (const entry of parent.values()) if (entry.kind === "directory") found.push(entry);
      return found;
    };
    const out = await (await folders(kept))[0]?.getDirectoryHandle("out");
    const snapshot = (out ? await folders(out) : []).find(({ name }) => name.startsWith("checkpoint-"));
    if (!out || !snapshot) throw new Error("the run has no snapshot");
    const old = await out.getDirectoryHandle("half-moved", { create: true });
    const file = (await snapshot.getFileHandle("model.safetensors")) as FileSystemFileHandle & { move: (to: FileSystemDirectoryHandle, name: string) => Promise<void> };
    await file.move(old, "model.safetensors");
    const journal = await (await out.getFileHandle(".rename.json", { create: true })).createWritable();
    await journal.write(JSON.stringify({ from: "half-moved", to: snapshot.name }));
    await journal.close();
    return Number(snapshot.name.split("-")[1]);
  });
  await page.goto("/page/#/train");
  await page.reload();
  await page.getByRole("link", { name: "To Base" }).click();
  await page.getByRole("link", { name: "To the interrupted run" }).click(patient);
  await page.getByRole("button", { name: /^Go on with/ }).click();
  await expect(page.getByText(`The run goes on from its snapshot of step ${step}.`).first()).toBeVisible(patient);
  await expect(page.getByText("Done. Step 6 of 6")).toBeVisible(patient);
});

test("a model is dropped, picked as a folder, and fetched from an address", async ({ page, origin }) => {
  const model = join(root, "tests/fixtures/validate/healthy/llama-v5");
  const opened = async () => {
    await expect(page.getByRole("heading", { name: "Check the base" })).toBeVisible(patient);
    await expect(page.getByText("Ready.", { exact: true })).toBeVisible(patient);
    await expect(page.getByText("config.json", { exact: true }).first()).toBeVisible();
    await page.goto("/page/#/base");
  };
  await page.goto("/page/#/base");
  await page.waitForFunction(() => "rootstock" in globalThis);

  // As the system hands a drop to the page, with the folder's path.
  const place = await page.getByText("Drop a folder or its files here").boundingBox();
  if (!place) throw new Error("there is no place to drop on");
  const devtools = await page.context().newCDPSession(page);
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    const data = { items: [], files: [model], dragOperationsMask: 1 };
    await devtools.send("Input.dispatchDragEvent", { type, x: place.x + 5, y: place.y + 5, data });
  }
  await opened();

  await page.locator("input[webkitdirectory]").setInputFiles(model);
  await opened();

  await page.getByLabel("Hub id or address").fill(`${origin}/fixtures/validate/healthy/llama-v5`);
  await page.getByRole("button", { name: "Fetch" }).click();
  await opened();
  await page.getByLabel("Hub id or address").fill(`${origin}/fixtures/nowhere`);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toHaveText(/no config\.json/, patient);
});
