/** Runs the cases in as few boots as they allow. @module */
import { LabError } from "./lab_error.ts";
import type { OtherProcessor } from "./machine/command_line.ts";
import { endedEarly, type Vm, withVm } from "./machine/vm.ts";
import { type MachineParts, prepareExchange, runnerProgram, vmOptions } from "./machine_parts.ts";
import type { CaseResult, GuestMessage } from "./protocol/message.ts";

/** Hears what happens, as it happens. */
export interface CaseListener {
  /** A machine boots; `number` counts from 1. */
  boot(number: number): void;
  ready(message: Extract<GuestMessage, { kind: "ready" }>): void;
  log(text: string): void;
  result(result: CaseResult): void;
}

/** Which cases to run. */
export interface ChosenCases {
  /** Only cases whose name contains this. */
  readonly only: string | undefined;
  /** How often each. */
  readonly rounds: number;
  /** Also those that take long, random ones from this seed on. */
  readonly seed?: number;
}

/** From QEMU's start to the first message. */
const BOOT_LIMIT_MS = 120_000;
/** From there to the list of cases: the modules load. */
const LOAD_LIMIT_MS = 240_000;
/** What the guest may take longer than a case's own limit to say so: it also cleans up. */
const GRACE_MS = 30_000;

/**
 * Runs the chosen cases. A case that takes the guest down (a panic, a hang) fails, and the rest go
 * on in a fresh boot; those that need another processor have boots of their own.
 *
 * @param parts what a boot needs
 * @param chosen which cases, how often
 * @param listener hears what happens
 * @returns a result for each chosen case
 * @throws LabError when the guest does not even get to the cases
 */
export async function runCases(
  parts: MachineParts,
  chosen: ChosenCases,
  listener: CaseListener,
): Promise<readonly CaseResult[]> {
  let results: readonly CaseResult[] = [];
  const processors: (OtherProcessor | undefined)[] = [undefined];
  for (let boot = 1, at = 0; at < processors.length; boot++) {
    listener.boot(boot);
    const skip = results.map((result) => result.name);
    const processor = processors[at];
    const outcome = await oneBoot(parts, {
      ...chosen,
      skip,
      ...(processor !== undefined && { processor }),
    }, listener);
    results = [...results, ...outcome.results];
    processors.push(...outcome.elsewhere.filter((other) => !processors.includes(other)));
    if (outcome.complete) at++;
    else if (outcome.results.length === 0) {
      throw new LabError("Cannot run the cases: the guest ended without running one");
    }
  }
  return results;
}

interface Boot {
  readonly results: readonly CaseResult[];
  /** Every case has been dealt with. */
  readonly complete: boolean;
  /** Processors that chosen cases need and this boot did not have. */
  readonly elsewhere: readonly OtherProcessor[];
}

interface ChosenBoot extends ChosenCases {
  /** Cases that an earlier boot has dealt with. */
  readonly skip: readonly string[];
  /** Absent: the usual one. */
  readonly processor?: OtherProcessor;
}

async function oneBoot(
  parts: MachineParts,
  { only, rounds, seed, skip, processor }: ChosenBoot,
  listener: CaseListener,
): Promise<Boot> {
  const exchange = await prepareExchange({
    job: "cases",
    rounds,
    skip,
    ...(only !== undefined && { only }),
    ...(processor !== undefined && { processor }),
    ...(seed !== undefined && { long: { seed } }),
  }, parts.programs);
  const boot = await withVm(
    vmOptions(parts, exchange, runnerProgram(), processor),
    (vm) => new BootListener(vm, listener).listen(),
  );
  const clean = boot.complete && boot.results.every((result) => result.state !== "failed");
  if (clean) await Deno.remove(exchange, { recursive: true });
  else listener.log(`logs and artefacts are kept in ${exchange}`);
  return boot;
}

/** Follows one boot from its first message to its last. */
class BootListener {
  readonly #vm: Vm;
  readonly #listener: CaseListener;
  readonly #results: CaseResult[] = [];
  #elsewhere: readonly OtherProcessor[] = [];
  #running: { readonly name: string; readonly started: number } | undefined;
  #limitMs = BOOT_LIMIT_MS;
  #waitingFor = "the guest's first message";

  constructor(vm: Vm, listener: CaseListener) {
    this.#vm = vm;
    this.#listener = listener;
  }

  async listen(): Promise<Boot> {
    while (true) {
      const event = await this.#next();
      if (event.kind === "end") return this.#lost(endedEarly(this.#vm, event.status, this.#doing));
      if (event.kind === "trouble") {
        const { fatal, what, line } = event.trouble;
        this.#listener.log(`kernel ${what}: ${line}`);
        if (fatal) return await this.#broken(what, line);
      } else if (event.kind === "error") return this.#lost(event.error);
      else if (this.#take(event.message)) return this.#boot(true);
    }
  }

  #boot(complete: boolean): Boot {
    return { results: this.#results, complete, elsewhere: this.#elsewhere };
  }

  get #doing(): string {
    return this.#running === undefined
      ? `the host waited for ${this.#waitingFor}`
      : `the case "${this.#running.name}" ran`;
  }

  async #next() {
    try {
      return await this.#vm.next(this.#limitMs, this.#waitingFor);
    } catch (error) {
      if (error instanceof LabError) return { kind: "error", error } as const;
      throw error;
    }
  }

  /** The kernel's log says that the guest is broken: wait for the rest of what it says. */
  async #broken(what: string, line: string): Promise<Boot> {
    const end = Date.now() + 2000;
    while (Date.now() < end) {
      const event = await this.#vm.next(end - Date.now() + 1, "the end of the trouble")
        .catch(() => undefined);
      if (event === undefined || event.kind === "end") break;
    }
    return this.#lost(
      new LabError(`kernel ${what} while ${this.#doing}: ${line}`, { tail: this.#vm.tail(40) }),
    );
  }

  #lost(error: LabError): Boot {
    const running = this.#running;
    if (running === undefined) throw error;
    this.#finish({
      kind: "case",
      name: running.name,
      state: "failed",
      ms: performance.now() - running.started,
      message: error.message,
      detail: error.tail.join("\n"),
    });
    return this.#boot(false);
  }

  #finish(result: CaseResult): void {
    this.#running = undefined;
    this.#results.push(result);
    this.#listener.result(result);
  }

  /** @returns whether it was the last message */
  #take(message: GuestMessage): boolean {
    switch (message.kind) {
      case "ready":
        this.#listener.ready(message);
        this.#expect("the list of cases", LOAD_LIMIT_MS);
        break;
      case "cases":
        this.#elsewhere = message.elsewhere;
        this.#expect("the first case to start", GRACE_MS);
        break;
      case "case-start":
        this.#running = { name: message.name, started: performance.now() };
        this.#expect(`the end of the case "${message.name}"`, message.limitMs + GRACE_MS);
        break;
      case "case":
        this.#finish(message);
        this.#expect("the next case to start", GRACE_MS);
        break;
      case "log":
      case "story":
      case "output":
        this.#listener.log(message.text);
        break;
      case "done":
        if (!message.ok) throw new LabError(`The guest failed: ${message.message ?? "no reason"}`);
        return true;
    }
    return false;
  }

  #expect(what: string, limitMs: number): void {
    this.#waitingFor = what;
    this.#limitMs = limitMs;
  }
}
