/**
 * The boundary to a GPU that is none: SwiftShader, Vulkan in software, as @sparticuz/chromium carries it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { brotliDecompressSync } from "node:zlib"

/** Of tar, plain files with short names are all that is in there. */
const BLOCK = 512
const textOf = (header: Buffer, from: number, to: number): string =>
  header.subarray(from, to).toString("latin1").replace(/\0.*$/s, "")

const unpack = (tar: Buffer, folder: string): void => {
  let at = 0
  while (at + BLOCK <= tar.length) {
    const header = tar.subarray(at, at + BLOCK)
    const name = textOf(header, 0, 100)
    if (name === "") return
    const size = Number.parseInt(textOf(header, 124, 136), 8)
    writeFileSync(join(folder, name), tar.subarray(at + BLOCK, at + BLOCK + size))
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK
  }
}

/** Unpacks it to a folder of its own; `env` makes a process find it in place of a GPU's driver. */
export const unpackSwiftShader = () => {
  const main = createRequire(import.meta.url).resolve("@sparticuz/chromium")
  const packed = join(dirname(main), "..", "bin", "swiftshader.tar.br")
  const folder = mkdtempSync(join(tmpdir(), "pontoon-swiftshader-"))
  unpack(brotliDecompressSync(readFileSync(packed)), folder)
  return {
    env: { LD_LIBRARY_PATH: folder, VK_DRIVER_FILES: join(folder, "vk_swiftshader_icd.json") },
    remove: () => rmSync(folder, { recursive: true }),
  }
}
