/**
 * Importers: someone in particular, a driver that can work, and rules that fit the driver.
 *
 * @module
 */
import {
  type ExportDraft,
  type ImporterDraft,
  type PolicyDraft,
  readSlices,
  type Report,
} from "../draft.ts";
import { IMPORTER_DRIVERS } from "../importer_drivers.ts";
import { related } from "../report.ts";
import { mergeAdjacent } from "../slices.ts";
import { suggest } from "../suggest.ts";
import type { CheckContext } from "./context.ts";

/** Checks importers, and the exports to them. */
export function checkImporters({ drafts, report }: CheckContext): void {
  for (const draft of drafts) {
    for (const importer of draft.importers.values()) {
      checkIdentity(importer, report);
      checkAccount(importer, report);
      checkDriver(importer, report);
    }
    for (const rule of draft.exports) {
      const importers = importersOf(draft, rule);
      checkRangeCount(rule, importers, report);
      checkAccess(rule, importers, report);
    }
  }
}

function importersOf(draft: PolicyDraft, rule: ExportDraft): readonly ImporterDraft[] {
  return rule.importers.flatMap((name) => draft.importers.get(name.value) ?? []);
}

function checkIdentity(importer: ImporterDraft, report: Report): void {
  const { user, unit, cgroup, executable, sha256, group } = importer.identity;
  if (user !== undefined || unit !== undefined || cgroup !== undefined) return;
  const given = [executable && "executable", sha256 && "sha256", group && "group"].filter(Boolean);
  if (given.length === 0) return;
  const message = `Cannot accept ${given.join(" and ")} alone as an identity of ${importer.name}`;
  report("BG1506", importer.identityAt, message, { fix: "add user, unit or cgroup" });
}

/** What `bargate init` writes where somebody has to say who the importer is. */
const NOBODY_YET = "change-me";

function checkAccount({ identity: { user }, name }: ImporterDraft, report: Report): void {
  if (user === undefined) return;
  const received = `(received ${JSON.stringify(user.value)})`;
  if (user.value === NOBODY_YET) {
    const message = `Cannot tell who importer ${name} is: its account is an example ${received}`;
    report("BG1507", user.at, message);
  } else if (user.value === "root" || /^0+$/.test(user.value)) {
    const message = `Cannot keep anything from importer ${name}: its account is root ${received}`;
    report("BG1508", user.at, message);
  }
}

function checkDriver({ driver, mapping }: ImporterDraft, report: Report): void {
  if (driver === undefined) return;
  const known = IMPORTER_DRIVERS.get(driver.value);
  if (known === undefined) {
    const meant = meantDriver(driver.value);
    const message = `Cannot accept an unknown importer driver (received ${
      JSON.stringify(driver.value)
    })`;
    report(
      "BG1501",
      driver.at,
      message,
      meant === undefined ? {} : { fix: `did you mean ${meant}?` },
    );
  } else if (known.verdict === "refuses") {
    const message =
      `Cannot export to the driver ${driver.value}: it ${known.note} (${known.source})`;
    report("BG1502", driver.at, message);
  } else if (mapping.value === "bargate" && driver.value !== "iommufd") {
    const message = `Cannot map for the driver ${driver.value}: Bargate maps into an iommufd only`;
    const place = related(driver.at, "the driver");
    report("BG1504", mapping.at, message, { related: [place] });
  }
}

/** The importer driver of a kernel module, or the one whose name is near. */
function meantDriver(written: string): string | undefined {
  const byFunction = [...IMPORTER_DRIVERS.values()].find(({ functionDrivers }) =>
    functionDrivers.includes(written)
  );
  return byFunction?.name ?? suggest(written, IMPORTER_DRIVERS.keys());
}

function checkRangeCount(
  rule: ExportDraft,
  importers: readonly ImporterDraft[],
  report: Report,
): void {
  const single = importers.find(({ driver }) =>
    driver !== undefined && IMPORTER_DRIVERS.get(driver.value)?.ranges === "one"
  );
  if (single?.driver === undefined) return;
  const slices = readSlices(rule.slices);
  // A slice that could not be read may be the one that joins two others.
  if (slices.length < rule.slices.length) return;
  const ranges = mergeAdjacent(slices);
  const second = ranges[1];
  if (second === undefined) return;
  const message =
    `Cannot give the driver ${single.driver.value} a buffer of ${ranges.length} ranges: it takes exactly one`;
  const place = related(single.driver.at, `the driver of ${single.name}`);
  report("BG1503", second.at, message, { related: [place] });
}

function checkAccess(rule: ExportDraft, importers: readonly ImporterDraft[], report: Report): void {
  if (rule.access.value !== "read-only") return;
  const open = importers.find(({ driver, mapping }) =>
    driver !== undefined && IMPORTER_DRIVERS.has(driver.value) &&
    (driver.value !== "iommufd" || mapping.value === "importer")
  );
  if (open === undefined) return;
  const message = `Cannot enforce access read-only: ${open.name} maps the buffer itself`;
  const place = related(open.at, `${open.name} is defined here`);
  report("BG1505", rule.access.at, message, { related: [place] });
}
