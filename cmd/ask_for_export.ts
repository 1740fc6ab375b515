/**
 * What refuses an export whatever controllers answer. It comes before they are opened to be asked, for
 * that resets them.
 *
 * @module
 */
import type { PlanOptions } from "../engine/plan.ts";
import type { ImporterRule, PolicySet } from "../policy/model.ts";
import type { AskControllers } from "./ask_controllers.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { type PlanToHold, refusesUnasked } from "./hold_to_plan.ts";

/** What an export is held to. */
export interface ExportTerms {
  readonly options: PlanOptions;
  /** The file that it is held against. */
  readonly held?: PlanToHold;
}

/**
 * Asks only for an export that is not lost without the answers.
 *
 * @param ask asks
 * @param terms of the export
 */
export function askingForExport(ask: AskControllers, terms: ExportTerms): AskControllers {
  return async (controllers, set) => {
    onlyImporter(wantedImporters(set, terms.options));
    const { held } = terms;
    if (held !== undefined && refusesUnasked(held, set.digest)) return "refused";
    return await ask(controllers, set);
  };
}

/**
 * With several importers in the policies it must be said which one the program is: importers of two
 * policies can have one name, and be two different accounts.
 *
 * @param importers by `policy/importer`
 * @throws {CommandError} usage: there is not just one
 */
export function onlyImporter(importers: ReadonlyMap<string, ImporterRule>): ImporterRule {
  const [importer] = importers.values();
  if (importer === undefined || importers.size > 1) {
    const names = [...importers.keys()].join(", ");
    throw new CommandError(
      `Cannot tell which importer the program is: it could be ${names}; say it with --importer`,
      ExitStatus.usage,
    );
  }
  return importer;
}

/** Each rule of a plan without errors gives its importers grants: these are the plan's. */
function wantedImporters(
  { policies }: PolicySet,
  { importer: only }: PlanOptions,
): ReadonlyMap<string, ImporterRule> {
  const named = policies.flatMap(({ name, importers, exports }) =>
    exports.flatMap((rule) => rule.importers).flatMap(({ value }) => {
      const importer = importers.get(value);
      return importer === undefined ? [] : [[`${name}/${value}`, importer] as const];
    })
  );
  return new Map(
    named.filter(([name, importer]) =>
      only === undefined || only === importer.name || only === name
    ),
  );
}
