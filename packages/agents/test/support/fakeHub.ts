/**
 * The boundary to a hub of our own: the paths and headers of huggingface.co, large files on another host, and every fault
 * that a test asks for.
 */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export interface HubRequest {
  /** `tree`, `info`, the path of a file, or `lfs PATH` of one on the other host. */
  readonly what: string
  /** First byte that was asked for. */
  readonly from: number
  readonly authorization: string | undefined
}

export interface HubFaults {
  /** Answers to every request, in place of the true one. */
  status?: number
  /** To requests for one file, `{ "config.json": 404 }`. */
  statusOf?: Record<string, number>
  /** The next so many answers are 503. */
  busy?: number
  /** A connection is cut after so many bytes of a large file; `cuts` times. */
  cutAfter?: number
  cuts?: number
  /** A connection is cut only when so many bytes of a file have arrived: what is still under way is lost with it. */
  hasArrived?: (path: string, bytes: number) => boolean
  /** After so many bytes of a large file nothing more is sent, and the connection stays. */
  stallAfter?: number
  /** Bytes other than those that are listed. */
  lies?: boolean
  /** Answers every range with the whole. */
  ignoresRanges?: boolean
  /** Answers every range with one that begins elsewhere. */
  shifts?: boolean
  /** Who has no token gets 401. */
  wantsToken?: boolean
  /** What the tree says of a size, by path. */
  sizes?: Record<string, number>
  /** Answers with a page for people. */
  isWebsite?: boolean
}

export interface FakeHub {
  readonly url: string
  readonly requests: Array<HubRequest>
  faults: HubFaults
  files: Map<string, Buffer>
  commit: string
  readonly close: () => Promise<void>
}

export const REPO = "someone/tiny"

/** As on a hub, where .gitattributes says so. */
const isLarge = (path: string): boolean => /\.onnx(_data)?$|\.safetensors$/.test(path)

const listen = (listener: RequestListener): Promise<Server> =>
  new Promise((resolve) => {
    const server = createServer(listener).listen(0, "127.0.0.1", () => resolve(server))
  })

const portOf = (server: Server): number => {
  const address: AddressInfo | string | null = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

const entryOf = (hub: FakeHub, path: string, content: Buffer) => {
  const size = hub.faults.sizes?.[path] ?? content.length
  const oid = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex")
  const lfs = { oid: createHash("sha256").update(content).digest("hex"), size, pointerSize: 130 }
  return { type: "file", path, size, oid: isLarge(path) ? "0".repeat(40) : oid, ...(isLarge(path) ? { lfs } : {}) }
}

const json = (response: ServerResponse, value: unknown) => {
  response.setHeader("content-type", "application/json")
  response.end(JSON.stringify(value))
}

/** Where an answer begins, by what was asked for and which faults there are; the headers are written. */
const begin = (hub: FakeHub, response: ServerResponse, whole: Buffer, from: number): number | undefined => {
  if (from === 0 || hub.faults.ignoresRanges) {
    response.setHeader("content-length", whole.length)
    return 0
  }
  if (from >= whole.length) {
    response.statusCode = 416
    response.end()
    return undefined
  }
  const start = hub.faults.shifts ? from + 1 : from
  response.statusCode = 206
  response.setHeader("content-range", `bytes ${start}-${whole.length - 1}/${whole.length}`)
  response.setHeader("content-length", whole.length - start)
  return start
}

/** A file, by its path; `large` ones are what connections are cut in. */
const send = (hub: FakeHub, response: ServerResponse, path: string, from: number, large: boolean) => {
  const { faults } = hub
  const content = hub.files.get(path) ?? Buffer.alloc(0)
  const whole = faults.lies ? Buffer.from(content.map((byte) => byte ^ 1)) : content
  const start = begin(hub, response, whole, from)
  if (start === undefined) return
  const body = whole.subarray(start)
  if (large && (faults.cuts ?? 0) > 0) {
    faults.cuts = (faults.cuts ?? 0) - 1
    const { cutAfter = 0 } = faults
    const wanted = start + Math.min(cutAfter, body.length)
    const cut = () => {
      if (!response.destroyed && cutAfter > 0 && faults.hasArrived?.(path, wanted) === false) setImmediate(cut)
      else response.destroy()
    }
    if (cutAfter > 0) response.write(body.subarray(0, cutAfter), cut)
    else cut()
  } else if (large && faults.stallAfter !== undefined) response.write(body.subarray(0, faults.stallAfter))
  else response.end(body)
}

const fromOf = (request: IncomingMessage): number => Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0)

/** Starts a hub with one repository. */
export const startHub = async (files: Readonly<Record<string, Buffer>>): Promise<FakeHub> => {
  const note = (request: IncomingMessage, what: string) =>
    hub.requests.push({ what, from: fromOf(request), authorization: request.headers.authorization })

  const storage = await listen((request, response) => {
    const path = decodeURIComponent((request.url ?? "").slice(1))
    note(request, `lfs ${path}`)
    send(hub, response, path, fromOf(request), true)
  })
  const resolve = (request: IncomingMessage, response: ServerResponse, path: string) => {
    note(request, path)
    const content = hub.files.get(path)
    response.statusCode = hub.faults.statusOf?.[path] ?? (content === undefined ? 404 : 200)
    if (response.statusCode !== 200 || content === undefined) return response.end()
    response.setHeader("x-repo-commit", hub.commit)
    if (!isLarge(path)) return send(hub, response, path, fromOf(request), false)
    response.statusCode = 302
    response.setHeader("x-linked-etag", `"${createHash("sha256").update(content).digest("hex")}"`)
    response.setHeader("x-linked-size", content.length)
    // Another host, by name and by port.
    response.setHeader("location", `http://localhost:${portOf(storage)}/${encodeURIComponent(path)}`)
    response.end()
  }
  const site = await listen((request, response) => {
    const { faults } = hub
    const url = decodeURIComponent((request.url ?? "").replace(/\?.*/, ""))
    const refused = (status: number) => {
      note(request, `refused ${url}`)
      response.statusCode = status
      response.end()
    }
    if (faults.status !== undefined) return refused(faults.status)
    if ((faults.busy ?? 0) > 0) {
      faults.busy = (faults.busy ?? 0) - 1
      return refused(503)
    }
    if (faults.wantsToken && request.headers.authorization === undefined) return refused(401)
    if (faults.isWebsite) return response.end("<html>hello</html>")
    const parts = /^\/(?:api\/models\/)?someone\/tiny\/(revision|tree|resolve)\/([^/]+)(?:\/(.*))?$/.exec(url)
    const [, kind, revision, path = ""] = parts ?? []
    if (kind === undefined || (revision !== "main" && revision !== hub.commit)) return refused(404)
    if (kind === "resolve") return resolve(request, response, path)
    note(request, kind === "tree" ? "tree" : "info")
    if (kind === "tree")
      return json(
        response,
        [...hub.files].map(([name, content]) => entryOf(hub, name, content)),
      )
    json(response, { _id: "1", id: REPO, sha: hub.commit, lastModified: "2026-01-01T00:00:00.000Z" })
  })
  const hub: FakeHub = {
    url: `http://127.0.0.1:${portOf(site)}`,
    requests: [],
    faults: {},
    files: new Map(Object.entries(files)),
    commit: "a".repeat(40),
    close: async () => {
      for (const server of [site, storage]) {
        server.closeAllConnections()
        await new Promise((done) => server.close(done))
      }
    },
  }
  return hub
}
