/** The conformance suite on the real kernel: the same cases as on the simulation. @module */
import type { ConformanceCase } from "../../conformance/case.ts";
import { CASES, runCase, whyNot } from "../../conformance/suite.ts";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { KernelWorld } from "../guest/kernel_world.ts";

let world: KernelWorld | undefined;

async function onKernel(it: ConformanceCase, context: CaseContext): Promise<void> {
  const here = (world ??= new KernelWorld()).enter(context);
  const why = await whyNot(it, here);
  if (why !== undefined) context.skip(why);
  // A lane that does not answer any more is no use to the next case.
  world = undefined;
  await runCase(it, here);
  if (it === CASES.at(-1)) context.defer(() => here.close());
  else world = here;
}

/** A case of the laboratory for each of the suite. */
export const cases: readonly LabCase[] = CASES.map((it) => ({
  name: `conformance: ${it.name}`,
  run: (context) => onKernel(it, context),
}));
