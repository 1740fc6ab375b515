/**
 * Names: unique where they must be, and none that is taken by Bargate itself.
 *
 * @module
 */
import type { PolicyDraft, Report } from "../draft.ts";
import type { Placed } from "../model.ts";
import { related } from "../report.ts";
import type { CheckContext } from "./context.ts";

/** Importers find their channel to Bargate under this name in LISTEN_FDNAMES. */
const CHANNEL_NAME = "bargate";

/** Checks names of policies and exports. */
export function checkNames({ drafts, report }: CheckContext): void {
  const names = drafts.flatMap((draft) => draft.name ?? []);
  checkUnique(names, (name, first) => {
    const message = `Cannot have two policies of one name in a set (received ${name.value})`;
    report("BG1306", name.at, message, { related: [related(first.at, "first here")] });
  });
  for (const draft of drafts) checkExportNames(draft, report);
}

function checkExportNames(draft: PolicyDraft, report: Report): void {
  const names = draft.exports.flatMap((rule) => rule.name ?? []);
  checkUnique(names, (name, first) => {
    const message = `Cannot have two exports of one name in a policy (received ${name.value})`;
    report("BG1305", name.at, message, { related: [related(first.at, "first here")] });
  });
  for (const name of names) {
    if (name.value !== CHANNEL_NAME) continue;
    report(
      "BG1307",
      name.at,
      `Cannot name an export ${CHANNEL_NAME}: importers get their channel under this name`,
    );
  }
  for (const rule of draft.exports) checkImporterList(rule.importers, report);
}

function checkImporterList(importers: readonly Placed<string>[], report: Report): void {
  checkUnique(importers, (name, first) => {
    const message = `Cannot list an importer twice (received ${name.value})`;
    report("BG1308", name.at, message, { related: [related(first.at, "first here")] });
  });
}

function checkUnique(
  names: readonly Placed<string>[],
  onRepeated: (name: Placed<string>, first: Placed<string>) => void,
): void {
  const seen = new Map<string, Placed<string>>();
  for (const name of names) {
    const first = seen.get(name.value);
    if (first === undefined) seen.set(name.value, name);
    else onRepeated(name, first);
  }
}
