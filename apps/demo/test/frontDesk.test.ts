import { describe, expect, it } from "vitest"
import { chooseDesk } from "../src/cluster/FrontDesk.ts"

const found = (label: string, confidence: number) => ({ label, confidence })

describe("the front desk", () => {
  it("1. sends a first message where it belongs, and what is nobody's to `other`", () => {
    expect(chooseDesk("a latte please", found("coffee", 0.99), null)).toBe("coffee")
    expect(chooseDesk("yes", found("other", 0.99), null)).toBe("other")
    expect(chooseDesk("hm", found("weather", 0.99), null)).toBe("other")
  })
  it("2. keeps a short follow-up at the counter, where an order is in hand", () => {
    for (const text of ["yes", "yep thats the one", "looks good send it off"]) {
      expect(chooseDesk(text, found("other", 0.99), "coffee")).toBe("coffee")
    }
    const long = "will i need an umbrella in leeds tmrw morning"
    expect(chooseDesk(long, found("other", 0.99), "coffee")).toBe("other")
  })
  it("3. moves a customer only when it is sure", () => {
    expect(chooseDesk("my card is gone", found("banking", 0.9), "coffee")).toBe("banking")
    expect(chooseDesk("a large one", found("finance", 0.5), "coffee")).toBe("coffee")
    expect(chooseDesk("thanks", found("other", 0.99), "banking")).toBe("other")
  })
})
