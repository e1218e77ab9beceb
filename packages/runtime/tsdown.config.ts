import { defineConfig } from "tsdown"

/** The published build: Node refuses to strip types under node_modules, so what is installed must be JavaScript. */
export default defineConfig({
  // Two package roots, which share what they import: a copy of a service's tag each would be two services.
  entry: { index: "src/index.ts", testing: "src/testing/index.ts" },
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
