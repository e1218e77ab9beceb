/** The boundary between how people name a time on a command line and milliseconds since 1970. */

const UNITS_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90m`, `2h`, `3d` ago, or a date as `2026-01-31` or `2026-01-31T12:00Z`; undefined where it is none of these. */
export const parseSince = (text: string, nowMs: number): number | undefined => {
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(text) ?? []
  if (count !== undefined) return nowMs - Number(count) * (UNITS_MS[unit] ?? 0)
  // Date.parse takes much else, each engine something of its own.
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/.test(text)) return undefined
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? undefined : atMs
}
