import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the built folder works below any path
});
