/**
 * What an idle actor holds of memory: 100,000 of them, each of which has answered once, beside a Map of their names and
 * numbers. `npm run bench -- idleActors`. PONTOON_BENCH_ACTORS sets another number.
 */
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const ACTORS = Number(process.env.PONTOON_BENCH_ACTORS ?? 100_000)
const CHILD = fileURLToPath(new URL("holdActors.ts", import.meta.url))

const measure = async (side: "runtime" | "map"): Promise<Readonly<Record<string, number>>> => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-idle-"))
  try {
    const file = join(folder, "bench.db")
    const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", CHILD, side, file, `${ACTORS}`])
    return JSON.parse(stdout) as Readonly<Record<string, number>>
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export default {
  conditions: [
    `${ACTORS} actors with a number for a state, none of them let go (residentMax, idleMsMax)`,
    "bytes of the heap after full collections, less those before; the log is on disk",
  ],
  cases: [
    {
      name: `${ACTORS} idle actors`,
      peer: "a Map of their names and states",
      runOurs: () => measure("runtime"),
      runPeer: () => measure("map"),
    },
  ],
}
