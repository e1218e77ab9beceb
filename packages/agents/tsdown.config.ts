import { defineConfig } from "tsdown"

/** The published build: Node refuses to strip types under node_modules, so what is installed must be JavaScript. */
export default defineConfig({
  // The worker is started by its path, not imported, so it is an entry of its own; it has to lie beside EngineProcess,
  // as it does in the sources: hence one file for one file.
  entry: ["src/index.ts", "src/engine/engineWorker.ts", "src/commands/pontoonModels.ts"],
  unbundle: true,
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
