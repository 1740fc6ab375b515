/**
 * What a code of Bargate or an errno of the kernel means.
 *
 * @module
 */
import { CAUSES } from "../engine/causes.ts";
import { CODES } from "../policy/codes.ts";
import { HOST_CODES } from "../policy/host_codes.ts";

/** Steps of an export, in the order in which they are made, by what people call them. */
export const STEPS = {
  iommufd: "/dev/iommu",
  open: "openNode",
  bind: "VFIO_DEVICE_BIND_IOMMUFD",
  export: "VFIO_DEVICE_FEATURE_DMA_BUF",
  map: "IOMMU_IOAS_MAP_FILE",
  irqs: "VFIO_DEVICE_SET_IRQS",
  reset: "VFIO_DEVICE_RESET",
} as const;

/** One of {@linkcode STEPS}. */
export type Step = keyof typeof STEPS;

/**
 * The code or errno that is meant, in capitals; absent where it may be a path: what is written small
 * is an errno only if it is known.
 */
export function wordOf(text: string): string | undefined {
  const word = text.toUpperCase();
  const certain = /^BG[0-9]{4}$/.test(word) || /^E[A-Z0-9]+$/.test(text);
  return certain || explainErrno(word, undefined) !== undefined ? word : undefined;
}

/**
 * Explains a word.
 *
 * @param word `BG1203` or `EINVAL`
 * @param step at which step an errno was answered; absent: all steps that answer it
 * @returns lines for people; absent when nothing is known of it
 */
export function explainWord(word: string, step: Step | undefined): string | undefined {
  return word.startsWith("BG") ? explainCode(word) : explainErrno(word, step);
}

function explainCode(word: string): string | undefined {
  const entry = new Map(Object.entries({ ...CODES, ...HOST_CODES })).get(word);
  if (entry === undefined) return undefined;
  return [
    `${word}: ${entry.title} (${entry.severity})`,
    entry.why,
    `To mend it: ${entry.fix}`,
    `Examples: docs/diagnostics.md#${word}`,
    "",
  ].join("\n");
}

function explainErrno(word: string, step: Step | undefined): string | undefined {
  const lines = Object.entries(STEPS).flatMap(([name, call]) => {
    const cause = step === undefined || step === name ? CAUSES[call]?.[word] : undefined;
    return cause === undefined ? [] : [`${word} at ${name} (${call}): ${cause}\n`];
  });
  return lines.length === 0 ? undefined : lines.join("");
}
