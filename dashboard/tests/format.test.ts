import { describe, expect, test } from "vitest";
import { bytes, compact, cost, count, duration, percent, rate, rough, shortId, total } from "../src/text/format";

describe("numbers have units", () => {
  test.each([
    [0, "0 s"],
    [0.0004, "<1 ms"],
    [0.0123, "12 ms"],
    [1, "1 s"],
    [4.25, "4.3 s"],
    [59.4, "59 s"],
    [60, "1 m"],
    [200, "3 m 20 s"],
    [3600, "1 h"],
    [90_061, "1 d 1 h"],
    [-5, "0 s"],
  ])("%d seconds are %s", (seconds, text) => expect(duration(seconds)).toBe(text));

  test("relative times have one unit", () => {
    expect([rough(0), rough(59), rough(61), rough(7300), rough(200_000)]).toEqual(["0 s", "59 s", "1 m", "2 h", "2 d"]);
  });

  test("counts", () => {
    expect(count(1_234_567)).toBe("1,234,567");
    expect(compact(9_999)).toBe("9,999");
    expect(compact(1_250_000)).toBe("1.3M");
    expect(total({ value: 1000, relation: "gte" })).toBe("1,000+");
  });

  test("bytes, shares, rates, cost", () => {
    expect([bytes(0), bytes(999), bytes(1500), bytes(82_500_000), bytes(123_456_789)]).toEqual([
      "0 B", "999 B", "1.5 kB", "82.5 MB", "123 MB",
    ]); // biome-ignore format: one line
    expect([percent(0), percent(0.0001), percent(0.5), percent(0.9999), percent(1)]).toEqual([
      "0 %", "<0.1 %", "50 %", ">99.9 %", "100 %",
    ]); // biome-ignore format: one line
    expect([rate(0), rate(0.2), rate(1), rate(12.34), rate(5000)]).toEqual([
      "0 /min",
      "12 /h",
      "1 /min",
      "12.3 /min",
      "5,000 /min",
    ]);
    expect([cost(1.5, "EUR"), cost(0.00012)]).toEqual(["1.50 EUR", "0.00012"]);
  });

  test("ids keep the end that tells them apart", () =>
    expect(shortId("0198c0de-0000-7000-8000-0123456789ab")).toBe("…456789ab"));
});
