// Entry point: creates the session with its worker, available in the browser's console as `rootstock`, and mounts the page.
import { Rootstock } from "rootstock";
import { mount } from "./ui/mount.js";

const client = new Rootstock({ assets: "./" });
Object.assign(globalThis, { rootstock: client });

/** Stores the page for visits without a network, when the first visit's own work is done. */
async function storePage(): Promise<void> {
  const connection = (navigator as { connection?: { saveData?: boolean } }).connection;
  if (!import.meta.env.PROD || !("serviceWorker" in navigator) || connection?.saveData) return;
  try {
    const registration = await navigator.serviceWorker.register("./offline.js");
    registration.active?.postMessage("complete");
  } catch (error) {
    console.warn("The page is not stored for visits without a network:", error);
  }
}

const place = document.getElementById("app");
if (place) void mount(place, client, () => new Rootstock({ assets: "./" }));
addEventListener("load", () => setTimeout(() => void storePage(), 3000));
