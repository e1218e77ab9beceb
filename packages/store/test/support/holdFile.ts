/**
 * Another program on a log, argv: FILE, `read` or `write`: holds a read transaction, or the write lock, says so in a line, and
 * lets go of it when it is killed.
 */
import Database from "better-sqlite3"
import { say } from "./say.ts"

const [, , file = "", what = "read"] = process.argv
const database = new Database(file, { readonly: what === "read" })
database.exec(what === "read" ? "begin" : "begin immediate")
// A transaction begins to read with its first read.
database.prepare("select count(*) from sqlite_schema").get()
setInterval(() => {}, 60_000)
say("holds")
