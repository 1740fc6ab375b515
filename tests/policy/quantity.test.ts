import assert from "node:assert/strict";
import fc from "fast-check";
import { formatDuration, MAX_DURATION_MS, parseDuration } from "../../policy/duration.ts";
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

const SIZES: Readonly<Record<string, bigint>> = {
  KiB: 1n << 10n,
  MiB: 1n << 20n,
  GiB: 1n << 30n,
  TiB: 1n << 40n,
};
/** Decimals as people write them: few digits, some of which come out even. */
const decimal = fc.tuple(fc.nat(4096), fc.stringMatching(/^[0-9]{0,5}[1-9]$|^5$|^25$|^125$/));

Deno.test("parseQuantity() offers for a fraction the same number of bytes, or none", () => {
  const unit = fc.constantFrom(...Object.keys(SIZES));
  fc.assert(fc.property(decimal, unit, ([whole, part], name) => {
    const result = parseQuantity(`${whole}.${part}${name}`);
    assert.ok(!result.ok);
    const offered = /^write (\S+)$/.exec(result.fix)?.[1];
    const scale = 10n ** BigInt(part.length);
    const scaled = BigInt(`${whole}${part}`) * (SIZES[name] ?? 0n);
    assert.equal(offered !== undefined, scaled % scale === 0n, result.fix);
    if (offered === undefined) return;
    assert.deepEqual(parseQuantity(offered), { ok: true, value: scaled / scale });
  }));
});

Deno.test("parseQuantity() offers what was written, not what somebody else wrote once", () => {
  const fixes: readonly (readonly [string, string])[] = [
    ["0.5MiB", "write 512KiB"],
    ["0.25GiB", "write 256MiB"],
    ["2.5KiB", "write 2560"],
    ["1.50 MB", "write 1536KiB"],
    [".5M", "write 512KiB"],
    ["1.MiB", "write 1MiB"],
    ["3.7TiB", "write a whole number, of a smaller unit"],
    ["1.5", "write a whole number, of a smaller unit"],
    [`0.${"5".repeat(1_000_000)}MiB`, "write a whole number, of a smaller unit"],
    ["99999999.5TiB", "write a whole number, of a smaller unit"],
  ];
  for (const [text, fix] of fixes) {
    const result = parseQuantity(text);
    assert.equal(result.ok ? undefined : result.fix, fix, text.slice(0, 20));
  }
});

Deno.test("parseDuration() reads back what formatDuration() prints", () => {
  fc.assert(fc.property(fc.nat(MAX_DURATION_MS), (ms) => {
    assert.deepEqual(parseDuration(formatDuration(ms)), { ok: true, ms });
  }));
});

Deno.test("parseDuration() offers for a fraction the same time, or none", () => {
  const sizes: Readonly<Record<string, bigint>> = {
    ms: 1n,
    s: 1000n,
    m: 60_000n,
    h: 3_600_000n,
    d: 86_400_000n,
  };
  fc.assert(fc.property(decimal, fc.constantFrom(...Object.keys(sizes)), ([whole, part], name) => {
    const result = parseDuration(`${whole}.${part}${name}`);
    assert.ok(!result.ok);
    const offered = /^write (\d\S*)$/.exec(result.fix)?.[1];
    const scale = 10n ** BigInt(part.length);
    const scaled = BigInt(`${whole}${part}`) * (sizes[name] ?? 0n);
    const ms = Number(scaled / scale);
    assert.equal(offered !== undefined, scaled % scale === 0n && ms <= MAX_DURATION_MS, result.fix);
    if (offered !== undefined) assert.deepEqual(parseDuration(offered), { ok: true, ms });
  }));
});

Deno.test("parseDuration() says what to write instead of a fraction", () => {
  const fixes: readonly (readonly [string, string])[] = [
    ["1.5h", "write 90m"],
    ["1.5m", "write 90s"],
    ["0.5s", "write 500ms"],
    ["0.25 H", "write 15m"],
    ["1.5ms", "write whole milliseconds, or a whole number of a larger unit"],
    ["1.5", "write a whole number with ms, s, m, h or d"],
    ["30.5d", "write at most 24d"],
  ];
  for (const [text, fix] of fixes) {
    const result = parseDuration(text);
    assert.equal(result.ok ? undefined : result.fix, fix, text);
  }
});
