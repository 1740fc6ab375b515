/** One guardian, from its plan to its end, with all that it told. @module */
import { systemClock } from "../../engine/clock.ts";
import { ConnectedPeer } from "../../engine/connected_peer.ts";
import {
  DeniedError,
  HostNotReadyError,
  InterruptedError,
  RefusedError,
} from "../../engine/errors.ts";
import { type Event, EventLog } from "../../engine/event.ts";
import { Guardian } from "../../engine/guardian.ts";
import type { ImporterSource } from "../../engine/importer_process.ts";
import { makePlan, type Plan } from "../../engine/plan.ts";
import { checkRecipient } from "../../engine/recipient.ts";
import { StartedProgram } from "../../engine/started_program.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { loadPolicySet } from "../../policy/load.ts";
import type { LendingKernel } from "./lending_kernel.ts";

/** An event, and when it came, by the clock of the round. */
export interface Told {
  readonly event: Event;
  /** `performance.now()` */
  readonly at: number;
}

/** How the life of a guardian ended. */
export interface LifeEnd {
  readonly trouble: boolean;
  /** It could not begin: a refusal, with its words. */
  readonly refused?: string;
  /** What must not be thrown. */
  readonly error?: unknown;
}

/** Where the importer is. */
export type Recipient =
  | { readonly way: "send"; readonly socket: string; accept(): Promise<void> }
  | { readonly way: "exec"; readonly program: string; readonly argument: string };

/** How long a call of an end may take, ms: other programs use this machine as well. */
const LIMIT_MS = 25_000;

/** A guardian at work. */
export class Life {
  readonly told: Told[] = [];
  readonly ended: Promise<LifeEnd>;
  /** Resolves when the importer has been welcomed, or nothing comes of it. */
  readonly begun: Promise<unknown>;
  guardian: Guardian | undefined;
  /** What it ended with, once it has. */
  end: LifeEnd | undefined;
  readonly #welcomed = Promise.withResolvers<void>();

  constructor(
    private readonly kernel: LendingKernel,
    private readonly policy: string,
    private readonly addresses: readonly string[],
    private readonly recipient: Recipient,
  ) {
    this.ended = this.#live().then((end) => this.end = end);
    this.begun = Promise.race([this.#welcomed.promise, this.ended]);
  }

  /** Events of grants, grant by grant. */
  get grants(): ReadonlyMap<string, readonly Told[]> {
    return Map.groupBy(
      this.told.filter(({ event }) => event.grant !== undefined),
      ({ event }) => event.grant ?? "",
    );
  }

  async #live(): Promise<LifeEnd> {
    try {
      const plan = await planOf(this.kernel, this.policy, this.addresses);
      const guardian = this.guardian = this.#guardian(plan);
      const source = this.#source(plan);
      const accepted = this.recipient.way === "send" ? this.recipient.accept() : undefined;
      const [met] = await Promise.allSettled([guardian.meet(source), accepted]);
      if (met.status === "rejected") throw met.reason;
      await guardian.open();
      const { trouble } = await guardian.run(source);
      return { trouble };
    } catch (error) {
      return isRefusal(error) ? { trouble: false, refused: error.message } : {
        trouble: false,
        error,
      };
    }
  }

  #guardian(plan: Plan): Guardian {
    const log = new EventLog(plan.policy, Date.now, (event) => this.#take(event));
    return new Guardian(plan, {
      kernel: this.kernel,
      clock: systemClock,
      log,
      limitMs: LIMIT_MS,
      files: new LinuxFiles(),
    });
  }

  #take(event: Event): void {
    this.told.push({ event, at: performance.now() });
    const welcomed = event.type === "importer-started" || event.type === "importer-connected";
    if (welcomed) this.#welcomed.resolve();
  }

  #source({ grants }: Plan): ImporterSource {
    const importer = grants[0]?.importer;
    if (importer === undefined) throw new DeniedError("Cannot begin: there is nothing to grant");
    const { recipient } = this;
    const files = new LinuxFiles();
    if (recipient.way === "send") {
      return new ConnectedPeer({ path: recipient.socket, importer, files, allowSameUser: false });
    }
    const { program, argument } = recipient;
    return new StartedProgram(importer.name, {
      recipient: checkRecipient(this.kernel, files, importer, program, false),
      argv: [program, argument],
      env: {},
      stdoutToStderr: false,
    });
  }
}

async function planOf(
  kernel: LendingKernel,
  policy: string,
  addresses: readonly string[],
): Promise<Plan> {
  const loaded = loadPolicySet([{ file: "causes.yaml", text: policy }]);
  if (loaded.set === undefined) throw new Error(JSON.stringify(loaded.diagnostics));
  const plan = makePlan(loaded.set, await kernel.snapshot(addresses));
  const errors = plan.diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length === 0) return plan;
  throw new HostNotReadyError(errors.map(({ message }) => message).join("; "));
}

function isRefusal(error: unknown): error is Error {
  return error instanceof RefusedError || error instanceof HostNotReadyError ||
    error instanceof DeniedError || error instanceof InterruptedError;
}
