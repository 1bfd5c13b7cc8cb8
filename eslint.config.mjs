// @ts-check
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig([
  globalIgnores(["node_modules/", "target/", "web/dist/", "web/package/dist/", "dist/"]),
  {
    files: ["**/*.{ts,tsx,mjs}"],
    // With the types at hand: a promise that nobody awaits is an error.
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: { "@typescript-eslint/switch-exhaustiveness-check": "error" },
  },
  {
    files: ["**/*.mjs"],
    // The linter does not see a cast in JSDoc; the compiler does.
    rules: { "@typescript-eslint/no-unsafe-assignment": "off" },
  },
]);
