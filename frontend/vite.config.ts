import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

// One HTML file with everything in it, put where the Python package ships it. Python writes an audit into a copy of it.
export default defineConfig({
  plugins: [react(), viteSingleFile({ removeViteModuleLoader: true })],
  build: {
    target: "es2022",
    outDir: "../src/deeptroubles/report",
    emptyOutDir: false, // The Python of the report lives there.
    rolldownOptions: { input: "bundle.html" },
  },
});
