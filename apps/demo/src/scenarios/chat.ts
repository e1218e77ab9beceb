/** After the play: whoever sits at the terminal is a customer. */
import { createInterface } from "node:readline"
import { Effect, Stream } from "effect"
import { enterOwn, type Stage, speak } from "./Stage.ts"

/** Each line is a message of one conversation; an empty line, Ctrl-D or Ctrl-C ends it. */
export const chat = Effect.fnUntraced(function* (stage: Stage) {
  const quiet: Stage = {
    ...stage,
    // The terminal has echoed it.
    show: (event) => stage.show(event._tag === "Asked" ? { ...event, text: "" } : event),
  }
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "you > " })
  yield* Effect.addFinalizer(() => Effect.sync(() => lines.close()))
  process.stdout.write("\nNow you: order a coffee, ask the bank, give a headline. An empty line ends it.\n")
  lines.prompt()
  yield* Stream.fromAsyncIterable(lines, (cause) => cause).pipe(
    Stream.takeWhile((line) => line.trim() !== ""),
    Stream.runForEach((text) =>
      speak(quiet, enterOwn(stage, "you", text)).pipe(Effect.ignore, Effect.andThen(Effect.sync(() => lines.prompt()))),
    ),
    Effect.ignore,
  )
})
