/**
 * Throws mutated policies at the parser and all checks: nothing may crash, hang or eat memory.
 *
 * Run: `deno task fuzz [RUNS] [SEED]`, default 1,000,000 runs and a seed from the clock.
 */
import { formatPolicy } from "../../policy/format.ts";
import { loadPolicySet } from "../../policy/load.ts";

const CORPUS = new URL("../corpus/", import.meta.url);
const [runs, seed] = [Number(Deno.args[0] ?? 1_000_000), Number(Deno.args[1] ?? Date.now())];
if (Deno.args.length > 2 || !Number.isSafeInteger(runs) || !Number.isSafeInteger(seed)) {
  throw new RangeError(`Cannot fuzz: give RUNS and SEED (received ${Deno.args.join(" ")})`);
}
/** One input may take this long, milliseconds; most take a tenth of one. */
const SLOW_MS = 2000;
/** What the heap may grow by from the first tenth of the runs to the end, bytes. */
const GROWTH = 64 * 1024 * 1024;
/** Formatting is slow; so many inputs are formatted as well. */
const FORMAT_EVERY = 50;

/** Numbers that a seed repeats (mulberry32). */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to `limit`, `limit` not included. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) % limit;
  }

  of<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new RangeError("Cannot choose from nothing");
    return item;
  }
}

function seeds(): readonly string[] {
  return ["good/", "bad/"].flatMap((folder) =>
    [...Deno.readDirSync(new URL(folder, CORPUS))].filter(({ name }) => name.endsWith(".yaml"))
      .map(({ name }) => Deno.readFileSync(new URL(folder + name, CORPUS)))
      .filter((bytes) => bytes.length < 4000)
      .map((bytes) => new TextDecoder().decode(bytes))
  );
}

const PIECES = [
  ..."{}[]:,#&*!|>'\"%@`~-?\n\r\t \u0000\ufeff\u202e🔒",
  ...["&a ", "*a", "<<: ", "!!int ", "---\n", "...\n", "? ", "- ", ": ", "null", "rest", "0x"],
  ...["99999999999999999999", "-1", "18446744073709551615", "8MB", "  ", "region: whole", "true"],
  ...["kind: PolicyTest", "kind: PolicySet", "shared: true", "defaults:", "acquire: borrow"],
];

function mutate(text: string, random: Random, all: readonly string[]): string {
  const at = random.below(text.length + 1);
  switch (random.below(5)) {
    case 0:
      return text.slice(0, at) + text.slice(at + 1 + random.below(20));
    case 1:
      return text.slice(0, at) + random.of(PIECES) + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(at, at + 80).repeat(1 + random.below(4)) +
        text.slice(at);
    case 3: {
      const other = random.of(all);
      return text.slice(0, at) + other.slice(random.below(other.length + 1));
    }
    default: {
      const code = text.charCodeAt(at) ^ (1 << random.below(7));
      return text.slice(0, at) + String.fromCharCode(code || 32) + text.slice(at + 1);
    }
  }
}

function check(text: string, number: number): void {
  const started = performance.now();
  const { set, diagnostics } = loadPolicySet([{ file: "fuzz.yaml", text }]);
  const failed = diagnostics.some(({ severity }) => severity === "error");
  if (failed !== (set === undefined)) throw new Error("Cannot be both valid and invalid");
  if (number % FORMAT_EVERY === 0) formatPolicy(text);
  const took = performance.now() - started;
  if (took > SLOW_MS) throw new Error(`Cannot be so slow: ${took.toFixed(0)} ms`);
}

function run(): void {
  const random = new Random(seed);
  const corpus = seeds();
  let early = 0;
  for (let number = 1; number <= runs; number++) {
    let text = random.of(corpus);
    for (let times = 1 + random.below(6); times > 0; times--) text = mutate(text, random, corpus);
    try {
      check(text, number);
    } catch (error) {
      console.error(`run ${number} of seed ${seed}: ${JSON.stringify(text)}`);
      throw error;
    }
    if (number === Math.ceil(runs / 10)) early = heap();
    if (number % 100_000 === 0) console.error(`${number} runs, heap ${mebibytes(heap())} MiB`);
  }
  const late = heap();
  if (late - early > GROWTH) {
    throw new Error(`Cannot grow so much: ${mebibytes(early)} to ${mebibytes(late)} MiB`);
  }
  console.log(`${runs} runs of seed ${seed}: no crash, none slow, heap ${mebibytes(late)} MiB`);
}

function heap(): number {
  return Deno.memoryUsage().heapUsed;
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}

const started = performance.now();
run();
console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`);
