#!/usr/bin/env node
/** The boundary to the process: the `pontoon` command, its version and its exit code. */
import packageJson from "../package.json" with { type: "json" }
import { runPontoon } from "../src/inspect/cli.ts"

process.exitCode = await runPontoon(packageJson.version)
