import { defineConfig } from "tsdown"

/** The published build: Node refuses to strip types under node_modules, so what is installed must be JavaScript. */
export default defineConfig({
  entry: {
    index: "src/index.ts",
    pontoon: "bin/pontoon.ts",
    checkpointWorker: "src/checkpointWorker.ts",
    integrityWorker: "src/care/integrityWorker.ts",
  },
  format: "esm",
  platform: "node",
  target: "node22.18",
  tsconfig: "tsconfig.build.json",
  dts: true,
  // .js and .d.ts: the package is a module already.
  fixedExtension: false,
  sourcemap: true,
  clean: true,
})
