import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

// Builds one self-contained HTML file into the Python package. Python writes an audit into a copy of it.
export default defineConfig({
  plugins: [react(), viteSingleFile({ removeViteModuleLoader: true })],
  build: {
    target: "es2022",
    outDir: "../src/deeptroubles/report",
    emptyOutDir: false, // The folder also contains Python modules.
    rolldownOptions: { input: "bundle.html" },
  },
});
