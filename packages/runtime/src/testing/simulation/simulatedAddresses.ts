/** The boundary between plans and actors: who there is to be named, and on what they agree. */

/** How long a key answers: the shortest that the runtime takes, and no longer than many a plan. */
export const KEY_WINDOW_MS = 1_000
/** What a level of priority is worth: as long as a few messages wait for each other. */
export const AGEING_MS = 20

/** Those who ask nobody. */
export const LEAVES = [
  "account/0",
  "account/1",
  "account/2",
  "desk/0",
  "talker/0",
  "talker/1",
  "crew/0",
  "crew/1",
  "shop/0",
  "shop/1",
  "models",
] as const
export const PLANNERS = ["planner/0", "planner/1", "planner/2"] as const
export const TALKERS = ["talker/0", "talker/1"] as const
export const TARGETS = ["model/a", "model/b", "model/c"] as const
/** What has a resource. */
export const STARTED = [...TARGETS, "crew/0", "crew/1"] as const
export const STOPPABLE = ["model/a", "model/b", "account/0", "desk/0", "planner/1", "crew/1"] as const
/** What may put messages aside. */
export const SHOPS = ["shop/0", "shop/1"] as const
/** Types that a program may lack: no pool is made of them. */
export const LACKABLE = ["account", "desk", "planner", "talker", "crew", "shop"] as const
