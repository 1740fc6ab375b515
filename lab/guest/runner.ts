/**
 * The program that runs in the guest: prepares it, runs the cases or the story of the plan, and
 * tells the host.
 *
 * @module
 */
import { inspect } from "node:util";
import { GUEST_EXCHANGE, GUEST_PULSE } from "../machine/init_script.ts";
import { MESSAGE_PORT, OTHER_PROCESSORS } from "../machine/command_line.ts";
import { join, toFileUrl } from "../path.ts";
import { type CaseResult, type Figures, type GuestPlan, PLAN_FILE } from "../protocol/message.ts";
import type { CaseContext, LabCase, LabStory } from "./case.ts";
import { runCommands } from "./commands.ts";
import { type Guest, openContext } from "./context.ts";
import { KernelMessages } from "./kernel_messages.ts";
import { HostPort } from "./port.ts";
import { setUp } from "./setup.ts";

type CasesPlan = Extract<GuestPlan, { job: "cases" }>;

const DEFAULT_LIMIT_MS = 60_000;
const PULSE_MS = 5_000;

/** Thrown by `skip`. */
class Skipped extends Error {
  override readonly name = "Skipped";
}

async function main(): Promise<void> {
  using port = new HostPort(MESSAGE_PORT);
  try {
    const guest = await prepare(port);
    beat();
    const plan: GuestPlan = JSON.parse(
      await Deno.readTextFile(join(GUEST_EXCHANGE, PLAN_FILE)),
    );
    if (plan.job === "cases") await runCases(port, guest, plan);
    else if (plan.job === "story") await runStory(port, guest, plan.story);
    const status = plan.job === "commands" ? { status: await runCommands(port) } : {};
    port.send({ kind: "done", ok: true, ...status });
  } catch (error) {
    port.send({ kind: "done", ok: false, message: inspect(error) });
  }
}

/** Says from time to time that the event loop turns. */
function beat(): void {
  const pulse = () => Deno.writeTextFileSync(GUEST_PULSE, `${Deno.pid}`);
  pulse();
  Deno.unrefTimer(setInterval(pulse, PULSE_MS));
}

async function prepare(port: HostPort): Promise<Guest> {
  const checkout = Deno.cwd();
  const devices = await setUp(join(GUEST_EXCHANGE, "bin"));
  port.send({
    kind: "ready",
    kernel: Deno.osRelease(),
    deno: Deno.version.deno,
    uptimeMs: Deno.osUptime() * 1000,
  });
  return {
    devices,
    checkout,
    exchange: GUEST_EXCHANGE,
    kernelLog: new KernelMessages(),
    log: (text) => port.send({ kind: "log", text }),
  };
}

async function runCases(
  port: HostPort,
  guest: Guest,
  { only, rounds, skip, long, processor }: CasesPlan,
): Promise<void> {
  const all = await loadCases(join(guest.checkout, "lab/cases"));
  const anywhere = all.filter((each) => isChosen(each, only));
  const wanted = anywhere.filter((each) => each.processor === processor);
  const elsewhere = OTHER_PROCESSORS.filter((other) =>
    other !== processor && anywhere.some((each) => each.processor === other)
  );
  const chosen = Array.from(
    { length: rounds },
    (_, round) => wanted.map((each) => ofRound(each, round)),
  )
    .flat();
  port.send({ kind: "cases", names: chosen.map((each) => each.name), elsewhere });
  for (const each of chosen.filter(({ name }) => !skip.includes(name))) {
    const limitMs = each.limitMs ?? DEFAULT_LIMIT_MS;
    port.send({ kind: "case-start", name: each.name, limitMs });
    port.send(await runCase(long === undefined ? guest : { ...guest, long }, each, limitMs));
  }
}

/** Names stay apart, for results are known by them. */
function ofRound(each: LabCase, round: number): LabCase {
  return round === 0 ? each : { ...each, name: `${each.name} (round ${round + 1})` };
}

function isChosen({ name, onDemand }: LabCase, only: string | undefined): boolean {
  return onDemand ? name === only : only === undefined || name.includes(only);
}

async function loadCases(folder: string): Promise<readonly LabCase[]> {
  const names = (await Array.fromAsync(Deno.readDir(folder)))
    .map((entry) => entry.name).filter((name) => name.endsWith(".ts")).sort();
  const modules = await Promise.all(names.map(async (name) => {
    const module: { cases?: readonly LabCase[] } = await import(
      toFileUrl(join(folder, name)).href
    );
    return module.cases ?? [];
  }));
  return modules.flat();
}

async function runCase(guest: Guest, each: LabCase, limitMs: number): Promise<CaseResult> {
  const started = performance.now();
  const figures: Record<string, number | string> = {};
  const { context, close } = await openContext(guest);
  const outcome = await settle(async () => {
    try {
      await limited(each.run(caseContext(context, figures)), limitMs);
    } finally {
      await close();
    }
  });
  const ms = performance.now() - started;
  const log = outcome.state === "failed" ? await context.kernelLog.since(context.logStart) : [];
  return result(each.name, outcome, ms, figures, log);
}

type Outcome =
  | { readonly state: "passed" }
  | { readonly state: "failed" | "skipped"; readonly error: unknown };

async function settle(work: () => Promise<void>): Promise<Outcome> {
  try {
    await work();
    return { state: "passed" };
  } catch (error) {
    return { state: error instanceof Skipped ? "skipped" : "failed", error };
  }
}

function caseContext(
  context: Awaited<ReturnType<typeof openContext>>["context"],
  figures: Record<string, number | string>,
): CaseContext {
  return {
    ...context,
    figure: (name, value) => {
      figures[name] = value;
    },
    skip: (why) => {
      throw new Skipped(why);
    },
  };
}

function result(
  name: string,
  outcome: Outcome,
  ms: number,
  figures: Figures,
  log: readonly string[],
): CaseResult {
  const common = { kind: "case", name, ms, figures } as const;
  if (outcome.state === "passed") return { ...common, state: "passed" };
  const text = inspect(outcome.error, { depth: 6 });
  const message = outcome.error instanceof Error ? outcome.error.message : String(outcome.error);
  return {
    ...common,
    state: outcome.state,
    message: message.split("\n")[0] ?? "",
    detail: [text, ...log.map((line) => `kernel: ${line}`)].join("\n"),
  };
}

async function limited(promise: Promise<void>, limitMs: number): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`The case has not ended after ${limitMs} ms`)),
    limitMs,
  );
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runStory(port: HostPort, guest: Guest, name: string): Promise<void> {
  const path = join(guest.checkout, "lab/stories", `${name}.ts`);
  const module: { story: LabStory } = await import(toFileUrl(path).href);
  const { context, close } = await openContext(guest);
  try {
    await module.story.run({
      ...context,
      say: (text, style = "say") => port.send({ kind: "story", style, text }),
    });
  } finally {
    await close();
  }
}

await main();
// the reader of the kernel's log waits for ever
Deno.exit(0);
