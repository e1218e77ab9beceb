import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { fixture } from "./support/engines.ts"

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const startHost = async () => {
  const script = fileURLToPath(new URL("support/host.ts", import.meta.url))
  // A process group of its own, so that a signal to the group is what Ctrl-C in its terminal would be.
  const host = spawn(process.execPath, [script, fixture("tiny-decoder")], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  })
  let stderr = ""
  host.stderr.on("data", (bytes) => {
    stderr += String(bytes)
  })
  const lines = createInterface({ input: host.stdout })[Symbol.asyncIterator]()
  const nextLine = async () => Number((await lines.next()).value)
  return { host, nextLine, modelPid: await nextLine(), stderr: () => stderr }
}

describe.skipIf(process.platform === "win32")("a model's process", () => {
  it("ends by itself when its host is killed", async () => {
    const { host, modelPid } = await startHost()
    expect(isAlive(modelPid)).toBe(true)
    process.kill(host.pid ?? 0, "SIGKILL")
    await once(host, "exit")
    // It is no child of ours, so there is nothing to wait on but its being gone; the test's own limit ends this.
    while (isAlive(modelPid)) await new Promise((resolve) => setImmediate(resolve))
  })

  it("outlives a Ctrl-C that its host handles, ends with it, and writes nothing", async () => {
    const { host, modelPid, nextLine, stderr } = await startHost()
    process.kill(-(host.pid ?? 0), "SIGINT")
    expect(await nextLine()).toBeGreaterThan(0)
    const [code] = await once(host, "exit")
    expect(code).toBe(0)
    expect(isAlive(modelPid)).toBe(false)
    expect(stderr()).toBe("")
  })
})
