/** Interleaved causes at random moments: what must always hold, holds. @module */
import { LendingKernel } from "../causes/lending_kernel.ts";
import { playRound, RoundError, type RoundFigures } from "../causes/round.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";

const ROUNDS = 200;
const ROUNDS_OF_A_CASE = 20;
/** Of every run; the others take too long. */
const USUAL_ROUNDS = 60;
/** For a machine that others use too. */
const LIMIT_MS = 600_000;

async function rounds(context: CaseContext, first: number): Promise<void> {
  const kernel = await lendingKernel(context);
  const total = { grants: 0, lives: 0, done: 0, transfers: 0 };
  const failures: RoundError[] = [];
  const started = performance.now();
  for (let seed = first; seed < first + ROUNDS_OF_A_CASE; seed++) {
    const figures = await playOn(context, kernel, seed, failures);
    for (const key of Object.keys(total) as (keyof typeof total)[]) {
      total[key] += figures?.[key] ?? 0;
    }
  }
  context.figure("one round, ms", Math.round((performance.now() - started) / ROUNDS_OF_A_CASE));
  for (const [name, value] of Object.entries(total)) context.figure(name, value);
  if (failures.length > 0) throw new Error(failures.map(({ message }) => message).join("\n\n"));
}

/** A round in which something was wrong does not keep the next ones from being played. */
async function playOn(
  context: CaseContext,
  kernel: LendingKernel,
  seed: number,
  failures: RoundError[],
): Promise<RoundFigures | undefined> {
  const begun = performance.now();
  try {
    return await playRound(context, kernel, seed);
  } catch (error) {
    if (!(error instanceof RoundError)) throw error;
    await Deno.writeTextFile(`${context.exchange}/seed-${seed}.txt`, error.message);
    context.log(error.message.split("\n").slice(0, 4).join("\n"));
    // What is stuck may keep the case from ending: it was told before.
    if (error.stuck) throw error;
    failures.push(error);
    return undefined;
  } finally {
    context.log(`round of seed ${seed}: ${Math.round(performance.now() - begun)} ms`);
  }
}

/** As many threads as two guardians of one device each take. */
const THREADS = 4;

async function lendingKernel(context: CaseContext): Promise<LendingKernel> {
  const kernel = new LendingKernel();
  context.defer(() => kernel.end());
  await kernel.warm(THREADS);
  return kernel;
}

function firsts(): readonly number[] {
  return Array.from(
    { length: ROUNDS / ROUNDS_OF_A_CASE },
    (_, index) => 1 + index * ROUNDS_OF_A_CASE,
  );
}

/** Rounds by their seeds, and each of them alone, for whom one has failed. */
export const cases: readonly LabCase[] = [
  ...firsts().map((first): LabCase => ({
    name: `causes: 20 interleaved causes a round, rounds ${first} to ${
      first + ROUNDS_OF_A_CASE - 1
    } of ${ROUNDS}`,
    limitMs: LIMIT_MS,
    run: async (context) => {
      if (first > USUAL_ROUNDS && context.long === undefined) {
        context.skip("it takes long: deno task lab:causes");
      }
      await rounds(context, first);
    },
  })),
  ...Array.from({ length: ROUNDS }, (_, index): LabCase => ({
    name: `causes: round of seed ${index + 1}`,
    onDemand: true,
    run: async (context) => {
      const figures = await playRound(context, await lendingKernel(context), index + 1);
      for (const [name, value] of Object.entries(figures)) context.figure(name, value);
    },
  })),
];
