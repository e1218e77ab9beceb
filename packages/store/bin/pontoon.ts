#!/usr/bin/env node
import packageJson from "../package.json" with { type: "json" }
import { runPontoon } from "../src/inspect/cli.ts"

process.exitCode = await runPontoon(packageJson.version)
