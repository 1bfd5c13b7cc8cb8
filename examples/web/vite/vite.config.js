import { defineConfig } from "vite";

export default defineConfig({
  base: "./", // the built folder works below any path
  optimizeDeps: { exclude: ["rootstock"] }, // the development server would move the module away from its worker
});
