#!/usr/bin/env node
/** The boundary to the process: the `pontoon-models` command, its version and its exit code. */
import { readFileSync } from "node:fs"
import { Schema } from "effect"
import { runPontoonModels } from "./cli.ts"

// Read, not imported: the sources and what is built of them lie equally deep, and the build keeps to src.
const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8")
const { version } = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ version: Schema.String })))(manifest)

process.exitCode = await runPontoonModels(version)
