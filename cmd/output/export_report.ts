/**
 * What `export` says: events as they happen or as one value at the end, errors, and the exit status
 * that follows from all of it.
 *
 * @module
 */
import type { Clock } from "../../engine/clock.ts";
import type { Event } from "../../engine/event.ts";
import { errorText } from "../error_text.ts";
import { describeError, exitStatusOf } from "../errors.ts";
import { ExitStatus } from "../exit_status.ts";
import { fileTrouble } from "../file_trouble.ts";
import { type AsyncStream, EventPump } from "./event_pump.ts";
import { eventText } from "./event_text.ts";
import type { Style } from "./style.ts";
import { jsonText } from "./json_text.ts";

/** How events are printed; `human` goes to standard error. */
export type ReportFormat = "human" | "json" | "jsonl";

/** What a report needs from around it. */
export interface ReportOptions {
  readonly format: ReportFormat;
  readonly stdout: AsyncStream;
  readonly stderr: AsyncStream;
  readonly style: Style;
  readonly clock: Pick<Clock, "after">;
}

/** How long the end waits for readers. */
const FLUSH_MS = 10_000;
/** The same, when nothing may wait. */
const LAST_WORD_MS = 200;
/** Events kept for one value at the end: peers can cause some, and there is no end to them. */
const MAX_EVENTS = 10_000;

/** Says what happens to grants. Nothing in it throws, and nothing but the end waits. */
export class ExportReport {
  readonly #stdout: EventPump;
  readonly #stderr: EventPump;
  readonly #events: Event[] = [];
  #forgotten = 0;
  #trouble = false;

  /** @param options streams, format, clock */
  constructor(private readonly options: ReportOptions) {
    const { clock, stdout, stderr } = options;
    this.#stdout = new EventPump(stdout, { clock, lossLine: lossRecord });
    this.#stderr = new EventPump(stderr, { clock, lossLine: lossText });
  }

  /** Takes an event. */
  event(event: Event): void {
    if (event.type === "late") this.#trouble = true;
    const { format, style } = this.options;
    if (format === "json") this.#keep(event);
    if (format === "jsonl") this.#stdout.write(`${jsonText(event)}\n`);
    if (format === "human") this.#stderr.write(`bargate ${eventText(event, style)}\n`);
  }

  /** Takes an error of an end: whether the grants have ended is not known. */
  problem(error: unknown): void {
    this.#trouble = true;
    this.mention(error);
  }

  /** Takes an error that changes nothing. */
  mention(error: unknown): void {
    this.#stderr.write(`${errorText(error)}\n`);
  }

  /**
   * Runs a step to its end, and says what became of it.
   *
   * @param run gives the exit status
   * @returns the exit status of all: a revoke that was late or failed goes before an error's and
   *   before a program's
   */
  async conclude(run: () => Promise<number>): Promise<number> {
    const end = await outcomeOf(run);
    const status = this.#trouble ? ExitStatus.revokeFailed : end.status;
    if ("error" in end) this.mention(end.error);
    if (this.options.format === "json") this.#stdout.write(this.#value(status, end));
    await this.#flush();
    return status;
  }

  /**
   * Says why everything ends now, for as long as that takes no time.
   *
   * @param why a line
   */
  async lastWord(why: string): Promise<void> {
    this.#stderr.write(`${why}\n`);
    await this.#stderr.flush(LAST_WORD_MS);
  }

  #keep(event: Event): void {
    this.#events.push(event);
    if (this.#events.length <= MAX_EVENTS) return;
    this.#events.shift();
    this.#forgotten++;
  }

  #value(status: number, end: Outcome): string {
    return `${
      jsonText({
        events: this.#events,
        ...(this.#forgotten > 0 && { lost: this.#forgotten }),
        status,
        ...("error" in end && { error: describeError(end.error) }),
      })
    }\n`;
  }

  async #flush(): Promise<void> {
    const [written] = await Promise.all([
      this.#stdout.flush(FLUSH_MS),
      this.#stderr.flush(FLUSH_MS),
    ]);
    if (written) return;
    const { trouble } = this.#stdout;
    const why = trouble === undefined
      ? `nobody has read it within ${FLUSH_MS / 1000} s`
      : fileTrouble(trouble, "write");
    await this.lastWord(`error: Cannot print everything: ${why}`);
  }
}

type Outcome = { readonly status: number } | { readonly status: number; readonly error: unknown };

async function outcomeOf(run: () => Promise<number>): Promise<Outcome> {
  try {
    return { status: await run() };
  } catch (error) {
    return { status: exitStatusOf(error), error };
  }
}

function lossRecord(count: number): string {
  return `${jsonText({ v: 1, type: "events-lost", count })}\n`;
}

function lossText(count: number): string {
  return `bargate: ${count} lines are lost, for nobody took them\n`;
}
