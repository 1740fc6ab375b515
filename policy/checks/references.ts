/**
 * References: what rules name is defined, and what is defined is named.
 *
 * @module
 */
import type { PolicyDraft, Report } from "../draft.ts";
import type { Placed } from "../model.ts";
import { suggest } from "../suggest.ts";
import type { CheckContext } from "./context.ts";

/** Checks references within each policy. */
export function checkReferences({ drafts, report }: CheckContext): void {
  for (const draft of drafts) {
    checkDevices(draft, report);
    checkImporters(draft, report);
  }
}

function checkDevices(draft: PolicyDraft, report: Report): void {
  if (!draft.devicesReadable) return;
  const names = [...draft.exports, ...draft.deny].flatMap((rule) => rule.device ?? []);
  const meant = checkKnown(names, draft.devices, { code: "BG1301", what: "device", report });
  // Where keys are misspelt, a use may have gone unseen.
  if (!draft.sound || meant === undefined) return;
  for (const { name, at } of unused(draft.devices, [...names.map(valueOf), ...meant])) {
    report("BG1303", at, `No rule uses the device ${name}`);
  }
}

function checkImporters(draft: PolicyDraft, report: Report): void {
  if (!draft.importersReadable) return;
  const names = draft.exports.flatMap((rule) => rule.importers);
  const meant = checkKnown(names, draft.importers, { code: "BG1302", what: "importer", report });
  if (!draft.sound || meant === undefined) return;
  for (const { name, at } of unused(draft.importers, [...names.map(valueOf), ...meant])) {
    report("BG1304", at, `No rule uses the importer ${name}`);
  }
}

function valueOf(name: Placed<string>): string {
  return name.value;
}

interface Kind {
  readonly code: "BG1301" | "BG1302";
  readonly what: "device" | "importer";
  readonly report: Report;
}

/** @returns names that were probably meant: they count as used; absent when any may be meant */
function checkKnown(
  names: readonly Placed<string>[],
  defined: ReadonlyMap<string, unknown>,
  { code, what, report }: Kind,
): readonly string[] | undefined {
  const unknown = names.filter((name) => !defined.has(name.value));
  const known = unknown.flatMap((name) => {
    const meant = suggest(name.value, defined.keys());
    const message = `Cannot find the ${what} in this policy (received ${
      JSON.stringify(name.value)
    })`;
    report(code, name.at, message, meant === undefined ? {} : { fix: `did you mean ${meant}?` });
    return meant ?? [];
  });
  return known.length === unknown.length ? known : undefined;
}

function unused<T extends { readonly name: string }>(
  defined: ReadonlyMap<string, T>,
  used: readonly string[],
): readonly T[] {
  const names = new Set(used);
  return [...defined.values()].filter(({ name }) => !names.has(name));
}
