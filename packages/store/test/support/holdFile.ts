/**
 * Another program on a log, argv: FILE, `read`, `write` or `exclusive`: holds a read transaction, the write lock, or a lock that
 * keeps readers out too, says so in a line, and lets go of it when it is killed.
 */
import Database from "better-sqlite3"
import { say } from "./say.ts"

const [, , file = "", what = "read"] = process.argv
const database = new Database(file, { readonly: what === "read" })
if (what === "exclusive") database.pragma("locking_mode = exclusive")
database.exec(what === "read" ? "begin" : "begin immediate")
// A transaction begins to read with its first read.
database.prepare("select count(*) from sqlite_schema").get()
setInterval(() => {}, 60_000)
say("holds")
