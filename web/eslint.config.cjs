// It ends in .cjs because springfield.serving.page serves every .js and .mjs of this folder.
const js = require("@eslint/js");
const { defineConfig } = require("eslint/config");

module.exports = defineConfig([
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { "no-undef": "off" }, // tsc does it, and knows which names a worker has
  },
  { files: ["sw.js"], languageOptions: { sourceType: "script" } }, // as the page registers it
]);
