// Where the page begins: the client to the worker, which can be had from the browser's console as `rootstock`, and what is shown.
import { Client } from "./client.js";
import { mount } from "./ui/mount.js";

const client = new Client();
Object.assign(globalThis, { rootstock: client });

const place = document.getElementById("app");
if (place) mount(place, client);
