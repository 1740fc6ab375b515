import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_DURATION_MS, parseDuration } from "../../policy/duration.ts";
import { formatQuantity, parseQuantity, QUANTITY_LIMIT } from "../../policy/quantity.ts";

const anyQuantity = fc.bigInt({ min: 0n, max: QUANTITY_LIMIT - 1n });

Deno.test("parseQuantity() reads back what formatQuantity() prints", () => {
  fc.assert(fc.property(anyQuantity, (value) => {
    assert.deepEqual(parseQuantity(formatQuantity(value)), { ok: true, value });
  }));
});

Deno.test("parseQuantity() reads decimal and hexadecimal alike, exactly", () => {
  fc.assert(fc.property(anyQuantity, (value) => {
    assert.deepEqual(parseQuantity(value.toString()), { ok: true, value });
    assert.deepEqual(parseQuantity(`0x${value.toString(16)}`), { ok: true, value });
  }));
});

Deno.test("parseQuantity() refuses what does not fit 64 bits as out of range", () => {
  const tooLarge = fc.bigInt({ min: QUANTITY_LIMIT, max: QUANTITY_LIMIT << 64n });
  fc.assert(fc.property(tooLarge, (value) => {
    const result = parseQuantity(value.toString());
    assert.ok(!result.ok && result.problem === "range");
  }));
  const digits = parseQuantity("9".repeat(1_000_000));
  assert.ok(!digits.ok && digits.problem === "range");
});

Deno.test("parseQuantity() accepts no text but those of its grammar", () => {
  const grammar = /^(0x[0-9a-fA-F]+|(0|[1-9][0-9]*)(KiB|MiB|GiB|TiB)?)$/;
  const near = fc.stringMatching(/^[-+0-9a-fA-FxKkMmGgTtiBb. _]{0,12}$/);
  fc.assert(fc.property(near, (text) => {
    const result = parseQuantity(text);
    if (result.ok) assert.match(text, grammar);
    else assert.ok(result.why.length > 0 && result.fix.length > 0);
  }));
});

Deno.test("parseQuantity() says what to write instead of a common mistake", () => {
  const fixes: readonly (readonly [string, string])[] = [
    ["16MB", "write 16MiB"],
    ["16M", "write 16MiB"],
    ["4K", "write 4KiB"],
    ["4kib", "write 4KiB"],
    ["4 KiB", "write 4KiB"],
    ["0010", "write 10, or 0x…"],
  ];
  for (const [text, fix] of fixes) {
    const result = parseQuantity(text);
    assert.equal(result.ok ? undefined : result.fix, fix, text);
  }
});

Deno.test("parseDuration() reads every unit and refuses what a timer cannot wait", () => {
  const units: Readonly<Record<string, number>> = {
    ms: 1,
    s: 1e3,
    m: 6e4,
    h: 36e5,
    d: 864e5,
  };
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom(...Object.keys(units)), (count, unit) => {
      const ms = count * (units[unit] ?? 0);
      const result = parseDuration(`${count}${unit}`);
      assert.equal(result.ok, ms <= MAX_DURATION_MS);
      if (result.ok) assert.equal(result.ms, ms);
    }),
  );
  for (const text of ["", "2", "-1s", "1.5s", "1 s", "s", "01s", "1w", "1S"]) {
    assert.equal(parseDuration(text).ok, false, text);
  }
});
