/**
 * All cases, by subject.
 *
 * @module
 */
import { Bench } from "./bench.ts";
import type { ConformanceCase, Subject } from "./case.ts";
import { subject as bind } from "./cases/bind.ts";
import { subject as closing } from "./cases/closing.ts";
import { subject as exporting } from "./cases/export.ts";
import { subject as group } from "./cases/group.ts";
import { subject as hotReset } from "./cases/hot_reset.ts";
import { subject as importer } from "./cases/importer.ts";
import { subject as importerKinds } from "./cases/importer_kinds.ts";
import { subject as info } from "./cases/info.ts";
import { subject as interrupts } from "./cases/interrupts.ts";
import { subject as raw } from "./cases/raw.ts";
import { subject as revoke } from "./cases/revoke.ts";
import { subject as virtual } from "./cases/virtual.ts";
import { subject as stuck } from "./cases/stuck.ts";
import type { Role, World } from "./world.ts";

/** The subjects, in the order of the report. */
export const SUBJECTS: readonly Subject[] = [
  exporting,
  info,
  bind,
  group,
  revoke,
  virtual,
  hotReset,
  importer,
  importerKinds,
  stuck,
  closing,
  interrupts,
  raw,
];

/** All cases. */
export const CASES: readonly ConformanceCase[] = SUBJECTS.flatMap(({ cases }) => cases);

/**
 * Runs a case, and gives back what it opened.
 *
 * @param it the case
 * @param world the side
 */
export async function runCase(it: ConformanceCase, world: World): Promise<void> {
  const bench = new Bench(world);
  try {
    await it.run(bench);
  } finally {
    await bench.close();
  }
}

/**
 * @param it a case
 * @param world a side
 * @returns why the case cannot be run there; absent: it can
 */
export async function whyNot(it: ConformanceCase, world: World): Promise<string | undefined> {
  if (it.only !== undefined && it.only.side !== world.side) return it.only.why;
  const missing: Role[] = [];
  for (const role of it.needs ?? []) {
    if (await world.device(role) === undefined) missing.push(role);
  }
  return missing.length === 0 ? undefined : `there is no device ${missing.join(", ")}`;
}
