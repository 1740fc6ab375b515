/**
 * What could not be read of a host, as diagnostics: whoever relies on a judgement must know what it
 * was made without.
 *
 * @module
 */
import type { Finding as LeftOutField } from "../host/field_reader.ts";
import type { SkippedFunction, TakenSnapshot } from "../host/read_snapshot.ts";
import type { HostSnapshot } from "../host/snapshot.ts";
import type { Diagnostic } from "../policy/diagnostic.ts";
import { type Finding, hostFinding } from "./host_findings.ts";

/** So many of each kind are told one by one. */
const MOST_TOLD = 20;

/**
 * What is missing in a snapshot that has just been taken.
 *
 * @param taken the snapshot, and what is not in it
 * @returns warnings
 *
 * @example
 * ```ts
 * import { leftOutDiagnostics } from "./left_out_findings.ts";
 *
 * const skipped = [{ address: "0000:03:00.0", why: "it has gone" }];
 * const [found] = leftOutDiagnostics({ skipped, findings: [] });
 * if (found?.code !== "BG2045") throw new Error("a function is missing");
 * ```
 */
export function leftOutDiagnostics(
  { skipped, findings }: Omit<TakenSnapshot, "snapshot">,
): readonly Diagnostic[] {
  return [
    ...told(
      "BG2045",
      skipped,
      ({ address, why }: SkippedFunction) =>
        `${JSON.stringify(address).slice(1, -1)} is left out: ${why}`,
    ),
    ...told(
      "BG2046",
      findings,
      ({ path, why }: LeftOutField) =>
        `what ${JSON.stringify(path).slice(1, -1)} says is left out: ${why}`,
    ),
  ];
}

/**
 * What a file says that it is without.
 *
 * @param snapshot of the file
 * @returns warnings
 */
export function leftOutOfInventory({ leftOut = [] }: HostSnapshot): readonly Diagnostic[] {
  return told(
    "BG2045",
    leftOut,
    ({ address }) => `${address} could not be read when the inventory was taken, and is not in it`,
  );
}

function told<T>(
  code: "BG2045" | "BG2046",
  all: readonly T[],
  textOf: (each: T) => string,
): readonly Diagnostic[] {
  const texts = all.slice(0, MOST_TOLD).map(textOf);
  const rest = all.length - texts.length;
  return [...texts, ...(rest > 0 ? [`so it is with ${rest} more`] : [])]
    .map((text): Finding => hostFinding(code, undefined, text)).map(({ diagnostic }) => diagnostic);
}
