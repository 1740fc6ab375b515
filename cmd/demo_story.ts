/**
 * What the demo does. Each step is made sure of: what is told has happened, and what does not happen
 * as it should ends the demo.
 *
 * @module
 */
import { systemClock } from "../engine/clock.ts";
import { type Event, EventLog, type EventType } from "../engine/event.ts";
import { type GuardedEnd, Guardian } from "../engine/guardian.ts";
import type { Plan, PlannedGrant } from "../engine/plan.ts";
import { checkRecipient } from "../engine/recipient.ts";
import type { Context } from "./context.ts";
import { demoImporter, type Said, Words } from "./demo_importer.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { planText } from "./plan.ts";
import { factsOf, preparePlan } from "./prepare_plan.ts";
import { openSimulatedHost, type SimulatedHost } from "./simulated_host.ts";

/** Parts of the demo, in order. */
export type DemoStep = "validate" | "plan" | "export" | "reset" | "end";

/** Something that happened. */
export type DemoEntry =
  | {
    readonly step: DemoStep;
    readonly source: "demo";
    readonly text: string;
    readonly facts?: DemoFacts;
  }
  | { readonly step: DemoStep; readonly source: "bargate"; readonly event: Event }
  | { readonly step: DemoStep; readonly source: "importer"; readonly said: Said };

/** The audit's sum. */
export interface DemoFacts {
  readonly grants: number;
  readonly ends: number;
  readonly late: number;
  /** Descriptors that stand for something simulated. */
  readonly descriptorsLeft: number;
}

/** What the demo runs on: files of the examples. */
export interface DemoFiles {
  /** Folder that the paths are told from. */
  readonly folder: string;
  readonly policy: string;
  readonly snapshot: string;
}

/** What must happen in each step, and nothing else. */
const EVENTS = {
  export: ["device-opened", "planned", "exported", "importer-started", "delivered"],
  reset: ["revoking", "device-held", "ended", "device-reset", "device-closed"],
  end: ["importer-ended"],
} as const satisfies Partial<Record<DemoStep, readonly EventType[]>>;

/** How long a call of an end may take before it is late, ms. */
const LIMIT_MS = 30_000;

/**
 * Runs the demo.
 *
 * @param context of the verb
 * @param files to run on
 * @param tell takes what happens, in order
 * @throws {CommandError} refused: something did not happen as it should
 */
export async function runDemo(
  context: Context,
  files: DemoFiles,
  tell: (entry: DemoEntry) => void,
): Promise<void> {
  const say = (step: DemoStep, text: string) => tell({ step, source: "demo", text });
  const notes: string[] = [];
  const note = (line: string) => notes.push(line.replaceAll(files.folder, ""));
  const host = await openSimulatedHost(`${files.folder}${files.snapshot}`, note, "own");
  if ("unfit" in host) {
    const wrong = host.unfit.diagnostics.map(({ message }) => message).join("; ");
    throw unexpected(files.snapshot, wrong, "an inventory");
  }
  const plan = await planned(context, host, files, say);
  for (const line of notes.splice(0)) say("plan", line);
  say("plan", planText(plan, { simulated: true }).trimEnd());
  await new Play(host, plan, tell, notes).run();
}

async function planned(
  context: Context,
  { kernel, files }: SimulatedHost,
  { folder, policy }: DemoFiles,
  say: (step: DemoStep, text: string) => void,
): Promise<Plan> {
  const { release, pageSize } = kernel;
  const facts = factsOf({ files, release, pageSize });
  const { loaded, plan } = await preparePlan(context, facts, [`${folder}${policy}`], {});
  expect("diagnostics of the policy", loaded.diagnostics, []);
  if (plan === undefined) throw unexpected("the policy", "no plan", "a plan");
  say("validate", `${policy}: valid`);
  expect("diagnostics of the plan", plan.diagnostics, []);
  return plan;
}

/** The part of it in which there are descriptors. */
class Play {
  readonly #events: Event[] = [];
  readonly #grant: PlannedGrant;
  #untold: readonly Event[] = [];
  #toldWords = 0;

  constructor(
    private readonly host: SimulatedHost,
    private readonly plan: Plan,
    private readonly tell: (entry: DemoEntry) => void,
    private readonly notes: string[],
  ) {
    const [grant] = plan.grants;
    expect("number of grants", plan.grants.length, 1);
    if (grant === undefined) throw unexpected("the plan", "no grant", "one");
    this.#grant = grant;
  }

  async run(): Promise<void> {
    const { kernel } = this.host;
    const before = simulatedDescriptors(this.host);
    const [ours, theirs] = kernel.socketPair("the importer's words");
    const words = new Words(kernel, ours);
    try {
      const { importer } = this.#grant;
      const program = Deno.execPath();
      const { account } = checkRecipient(kernel, this.host.files, importer, program, true);
      for (const note of this.notes.splice(0)) this.#say("export", note);
      const source = demoImporter(importer.name, account, theirs);
      const guardian = this.#guardian();
      await guardian.meet(source);
      await guardian.open();
      // With its last writer gone, what it wrote can be read to the end.
      const end = guardian.run(source).finally(() => kernel.close(theirs));
      // It is awaited below; until then a failure must not count as unhandled.
      void Promise.allSettled([end]);
      await this.#whileRunning(guardian, words).catch(async (error: unknown) => {
        await guardian.shutdown("SIGTERM");
        await end;
        throw error;
      });
      this.#conclude(await end, words, before);
    } finally {
      if (theirs.open) kernel.close(theirs);
      words.close();
    }
  }

  #guardian(): Guardian {
    const { kernel, files } = this.host;
    return new Guardian(this.plan, {
      kernel,
      clock: systemClock,
      log: new EventLog(
        this.plan.policy,
        Date.now,
        (event) => this.#take({ ...event, simulated: true }),
      ),
      limitMs: LIMIT_MS,
      files,
    });
  }

  async #whileRunning(guardian: Guardian, words: Words): Promise<void> {
    const { export: name, ranges, bar, device } = this.#grant;
    const size = ranges.reduce((sum, { length }) => sum + length, 0n);
    const [first] = ranges;
    this.#say("export", "to a program of its own: deno run examples/clients/receiver.ts");
    await words.waitFor(`granted ${name} 0x${size.toString(16)}, ${size} bytes here`);
    await words.waitFor(
      `read: BAR ${bar} of ${device.address}, byte 0x${first?.offset.toString(16)} (simulated)`,
    );
    this.#tellNew("export", words);

    this.#say("reset", `of ${device.address}, by VFIO_DEVICE_RESET, as bargate reset asks for it`);
    const outcome = await guardian.reset(device.address, "function", "the demo");
    const { ended, failed, restored } = outcome ?? {};
    expect("grants ended, failed and restored", [ended, failed, restored], [1, 0, 0]);
    for (const text of ["revoked device-reset", "read: nothing", `let go of ${name}`, "end"]) {
      await words.waitFor(text);
    }
    this.#tellNew("reset", words);
  }

  #conclude(end: GuardedEnd, words: Words, before: number): void {
    expect("end of the importer", end, { child: { how: "exited", status: 0 }, trouble: false });
    this.#tellNew("end", words);
    const ended = this.#events.filter(({ type }) => type === "ended");
    expect("reasons of the ends", ended.map(({ reason }) => reason), ["device-reset"]);
    const left = simulatedDescriptors(this.host) - before;
    expect("descriptors left", left, 0);
    const late = this.#events.filter(({ type }) => type === "late").length;
    expect("late ends", late, 0);
    const ends = ended.map(({ reason, means }) => `${reason}, seen by ${means}`).join("; ");
    const grants = this.#events.filter(({ type }) => type === "exported").length;
    this.tell({
      step: "end",
      source: "demo",
      text:
        `grants: ${grants}; ends: ${ended.length} (${ends}); late: ${late}; descriptors left: ${left}`,
      facts: { grants, ends: ended.length, late, descriptorsLeft: left },
    });
  }

  #take(event: Event): void {
    this.#events.push(event);
    this.#untold = [...this.#untold, event];
  }

  #say(step: DemoStep, text: string): void {
    this.tell({ step, source: "demo", text });
  }

  /**
   * Bargate's events in their order, then the importer's words in theirs: which of both came first is
   * nobody's to say.
   *
   * @throws {CommandError} if other events have happened than those that belong to the step
   */
  #tellNew(step: keyof typeof EVENTS, words: Words): void {
    // The importer can be quicker than Bargate: that it has ended is told in its own place.
    const wanted: readonly EventType[] = EVENTS[step];
    const events = this.#untold.filter(({ type }) => step === "end" || wanted.includes(type));
    expect("events", events.map(({ type }) => type), wanted);
    for (const event of events) this.tell({ step, source: "bargate", event });
    this.#untold = this.#untold.filter((event) => !events.includes(event));
    for (const said of words.said.slice(this.#toldWords)) {
      this.tell({ step, source: "importer", said });
    }
    this.#toldWords = words.said.length;
  }
}

/** Descriptors of this process that stand for something simulated. */
function simulatedDescriptors({ kernel }: SimulatedHost): number {
  return kernel.table.size +
    kernel.ownDescriptors().filter(({ target }) => target.includes("simulated")).length;
}

/** @throws {CommandError} if what was found is not what was expected */
function expect(what: string, found: unknown, expected: unknown): void {
  const [received, wanted] = [JSON.stringify(found), JSON.stringify(expected)];
  if (received !== wanted) throw unexpected(what, received, wanted);
}

function unexpected(what: string, received: string, wanted: string): CommandError {
  return new CommandError(
    `Cannot go on with the demo: ${what} must be ${wanted} (received ${received})`,
    ExitStatus.refused,
  );
}
