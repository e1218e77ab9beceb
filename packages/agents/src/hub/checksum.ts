/** The boundary from bytes to what a hub says that they come to. */
import { createHash, type Hash } from "node:crypto"
import { createReadStream } from "node:fs"
import type { RepoFile } from "./chooseFiles.ts"

/** A hash of the file's kind, fed with what comes before its bytes: git puts `blob SIZE` before those of a small file. */
const startChecksum = ({ bytes, checksum }: RepoFile): Hash =>
  checksum.kind === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${bytes}\0`)

/** What a file comes to. */
export const checksumOf = async (path: string, file: RepoFile): Promise<string> => {
  const hash = startChecksum(file)
  for await (const piece of createReadStream(path)) hash.update(piece)
  return hash.digest("hex")
}

export const hasChecksum = async (path: string, file: RepoFile): Promise<boolean> =>
  (await checksumOf(path, file)) === file.checksum.hex
