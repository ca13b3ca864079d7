import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// Builds the page of `deeptroubles serve` into the Python package: one classic script, because a static copy of the page
// is opened from disk, where browsers load no modules.
export default defineConfig({
  plugins: [react(), classicScript()],
  base: "./",
  build: {
    target: "es2022",
    outDir: "../src/deeptroubles/serving/page",
    emptyOutDir: true,
    modulePreload: false,
    cssCodeSplit: false,
    rolldownOptions: {
      input: "app.html",
      output: { format: "iife", entryFileNames: "assets/app-[hash].js", assetFileNames: "assets/[name]-[hash][extname]" },
    },
  },
});

/** Load the script without `type="module"`, and call the page index.html. */
function classicScript(): Plugin {
  return {
    name: "classic-script",
    enforce: "post",
    generateBundle(_options, bundle) {
      const page = bundle["app.html"];
      if (page?.type !== "asset") return;
      page.source = String(page.source).replace(/<script type="module" crossorigin/g, "<script defer").replace(/ crossorigin/g, "");
      page.fileName = "index.html";
    },
  };
}
