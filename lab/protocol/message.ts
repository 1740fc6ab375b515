/**
 * What the guest tells the host: one JSON object a line, over a port of its own. The host tells the
 * guest what to do once, in a file of the exchange folder ({@linkcode GuestPlan}).
 *
 * @module
 */

import type { OtherProcessor } from "../machine/command_line.ts";

/** How a case ended. */
export type CaseState = "passed" | "failed" | "skipped";

/** A figure that a case measured, for the summary. */
export type Figures = Readonly<Record<string, number | string>>;

/** How a line of a story is shown. */
export type StoryStyle = "title" | "step" | "say" | "done" | "warn" | "data";

/** A standard stream of what runs in the guest. */
export type OutputStream = "stdout" | "stderr";

/** A message of the guest. */
export type GuestMessage =
  | {
    readonly kind: "ready";
    readonly kernel: string;
    readonly deno: string;
    /** Since the kernel started. */
    readonly uptimeMs: number;
  }
  | {
    readonly kind: "cases";
    readonly names: readonly string[];
    /** Processors that chosen cases need and this boot does not have. */
    readonly elsewhere: readonly OtherProcessor[];
  }
  | { readonly kind: "case-start"; readonly name: string; readonly limitMs: number }
  | CaseResult
  | { readonly kind: "story"; readonly style: StoryStyle; readonly text: string }
  | {
    readonly kind: "output";
    /** Where the shell's commands wrote it. */
    readonly stream: OutputStream;
    /** Not necessarily whole lines. */
    readonly text: string;
  }
  | { readonly kind: "log"; readonly text: string }
  | {
    readonly kind: "done";
    readonly ok: boolean;
    readonly message?: string;
    /** What the shell exited with. */
    readonly status?: number;
  };

/** The end of a case. */
export interface CaseResult {
  readonly kind: "case";
  readonly name: string;
  readonly state: CaseState;
  readonly ms: number;
  /** Why it failed or was skipped, in one line. */
  readonly message?: string;
  /** More lines: the difference, the stack, the kernel's log since the case began. */
  readonly detail?: string;
  readonly figures?: Figures;
}

/** What the guest shall do; the file `plan.json` of the exchange folder. */
export type GuestPlan =
  | {
    readonly job: "cases";
    /** Only cases whose name contains this. */
    readonly only?: string;
    /** How often each of them is run. */
    readonly rounds: number;
    /** The processor of this boot; absent: the usual one. */
    readonly processor?: OtherProcessor;
    /** Cases that an earlier boot has dealt with. */
    readonly skip: readonly string[];
    /** Run the cases that take long, too: with random histories from this seed on. */
    readonly long?: { readonly seed: number };
  }
  | { readonly job: "story"; readonly story: string }
  /** Feed a shell with the file `commands` of the exchange folder. */
  | { readonly job: "commands" };

/** Name of the file with a shell's commands. */
export const COMMANDS_FILE = "commands";

/** Name of the file with the {@linkcode GuestPlan}. */
export const PLAN_FILE = "plan.json";

const KINDS: ReadonlySet<string> = new Set<GuestMessage["kind"]>([
  "ready",
  "cases",
  "case-start",
  "case",
  "story",
  "output",
  "log",
  "done",
]);

/**
 * Reads a line of the port. Both ends are of one checkout, so the fields of a known kind are
 * trusted; what is not a message at all (a stray print) becomes a log line, never an error.
 *
 * @param line one line, without its end
 * @returns the message
 */
export function parseMessage(line: string): GuestMessage {
  try {
    const value: unknown = JSON.parse(line);
    if (isMessage(value)) return value;
  } catch (error) {
    return { kind: "log", text: `not JSON (${String(error)}): ${line}` };
  }
  return { kind: "log", text: `not a message: ${line}` };
}

function isMessage(value: unknown): value is GuestMessage {
  return typeof value === "object" && value !== null && "kind" in value &&
    typeof value.kind === "string" && KINDS.has(value.kind);
}
