/** The boundary to the outside application: a process that can be asked over HTTP, and killed. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { Schema } from "effect"

const Said = Schema.Struct({
  listening: Schema.optionalKey(Schema.String),
  model: Schema.optionalKey(Schema.Int),
})
const Answer = Schema.Struct({ text: Schema.String, model: Schema.String, resumed: Schema.Array(Schema.Unknown) })

export interface OutsideApp {
  readonly pid: number
  /** The process of its model, which is started by the first message; 0 before. */
  readonly modelPid: () => number
  readonly ask: (customer: string, text: string, key: string) => Promise<typeof Answer.Type>
  /** Sends a signal, and gives what it ended with. */
  readonly end: (signal: "SIGKILL" | "SIGTERM") => Promise<string>
  /** Everything that it wrote to standard error. */
  readonly errors: () => string
}

const decodeSaid = Schema.decodeUnknownSync(Schema.fromJsonString(Said))
const decodeAnswer = Schema.decodeUnknownSync(Answer)

/** Starts app.js of `folder`, and waits until it listens. */
export const startApp = async (folder: string, stepDelayMs: number): Promise<OutsideApp> => {
  const child = spawn(process.execPath, ["--no-strip-types", "app.js"], {
    cwd: folder,
    env: { ...process.env, STEP_DELAY_MS: String(stepDelayMs) },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let errors = ""
  child.stderr.on("data", (text) => (errors += text))
  const ended = once(child, "close")
  let modelPid = 0
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const said = decodeSaid(line)
      modelPid = said.model ?? modelPid
      if (said.listening !== undefined) resolve(said.listening)
    })
    child.once("close", () => reject(new Error(`the application did not start: ${errors}`)))
  })
  return {
    pid: child.pid!,
    modelPid: () => modelPid,
    ask: async (customer, text, key) => {
      const response = await fetch(`${url}/ask`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": key },
        body: JSON.stringify({ customer, text }),
      })
      const body: unknown = await response.json()
      if (response.status !== 200) throw new Error(`${response.status}: ${JSON.stringify(body)}`)
      return decodeAnswer(body)
    },
    end: async (signal) => {
      child.kill(signal)
      const [code, by] = await ended
      return String(by ?? code)
    },
    errors: () => errors,
  }
}
