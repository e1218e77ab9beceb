/** Whether there is a process of this id; a zombie that nobody has waited for counts. */
export const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
