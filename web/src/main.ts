// Entry point: creates the worker's client, available in the browser's console as `rootstock`, and mounts the page.
import { Client } from "./client.js";
import { mount } from "./ui/mount.js";

const client = new Client();
Object.assign(globalThis, { rootstock: client });

const place = document.getElementById("app");
if (place) mount(place, client);
