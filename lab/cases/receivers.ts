/** The receivers of `examples/clients`, by each route by which a buffer can get to them. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import type { Running } from "../guest/process.ts";
import { IMPORTER_ACCOUNT } from "../guest/setup.ts";
import { join } from "../path.ts";
import { borrowing, LabOwner } from "./owner_support.ts";
import { endOf, eventsOf, type PolicySpec, SLICE, startSend } from "./support.ts";

/** For cases that start Bargate more than once, on a machine that others use too. */
const LONG_MS = 300_000;

/** A receiver, and Bargate that has given it its buffer. */
interface Received {
  readonly receiver: Running;
  readonly bargate: Running;
}

/** How a receiver is run. */
interface Language {
  readonly name: string;
  /** Routes that it is tried by; absent: all. */
  readonly routes?: readonly string[];
  /** Who it is, in the policy; absent: an account and an executable. */
  readonly identity?: string;
  readonly command: (context: CaseContext, socket: string) => Promise<readonly string[]>;
}

const PYTHONS = ["/usr/bin/python3", "/usr/local/bin/python3"];

const LANGUAGES: readonly Language[] = [
  {
    name: "C",
    command: (context, socket) => Promise.resolve([context.program("receiver"), socket]),
  },
  { name: "Python", command: inPython },
  // Starting Deno takes its time here, and the packets are the same by each route. Its executable is
  // a copy that the importer could replace.
  { name: "TypeScript", command: inTypeScript, routes: [""], identity: "{ user: nobody }" },
];

async function inPython(context: CaseContext, socket: string): Promise<readonly string[]> {
  const python = await firstThere(PYTHONS);
  if (python === undefined) return context.skip(`no Python here (${PYTHONS.join(", ")})`);
  const script = join(context.checkout, "examples/clients/receiver.py");
  return [python, await reachable(context, script), socket];
}

async function inTypeScript(context: CaseContext, socket: string): Promise<readonly string[]> {
  const deno = await reachable(context, Deno.execPath());
  const script = await reachable(context, join(context.checkout, "examples/clients/receiver.ts"));
  const options = ["--quiet", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm"];
  return [deno, "run", ...options, "--allow-ffi", "--allow-env", script, socket];
}

/** A copy where the importer's account can reach it, with the file's own rights to execute. */
async function reachable({ scratch }: CaseContext, path: string): Promise<string> {
  const copy = join(scratch, path.slice(path.lastIndexOf("/") + 1));
  await Deno.copyFile(path, copy);
  const executable = ((await Deno.stat(path)).mode ?? 0) & 0o111;
  await Deno.chmod(copy, executable === 0 ? 0o644 : 0o755);
  return copy;
}

async function firstThere(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      if ((await Deno.stat(path)).isFile) return path;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return undefined;
}

/** The receiver listens, and is granted. */
async function receive(
  context: CaseContext,
  { command, identity }: Language,
  spec: PolicySpec,
): Promise<Received> {
  const { uid, gid } = IMPORTER_ACCOUNT;
  const socket = join(context.scratch, "receiver.sock");
  const receiver = context.start(await command(context, socket), { uid, gid });
  await receiver.line("stdout", (line) => line === "listening");
  const bargate = await startSend(context, socket, {
    identity: identity ??
      `{ user: nobody, executable: ${await Deno.realPath(`/proc/${receiver.pid}/exe`)} }`,
    ...spec,
  });
  const granted = `granted lab/data 0x${SLICE.length.toString(16)}, ${SLICE.length} bytes here`;
  assert.equal(await receiver.line("stdout", (line) => line.startsWith("granted")), granted);
  return { receiver, bargate };
}

/** Bargate has gone, and the receiver with it. */
async function assertOver({ receiver, bargate }: Received, end: readonly unknown[]): Promise<void> {
  const { status, stdout } = await receiver.wait();
  assert.deepEqual([status, stdout.trim().split("\n").at(-1)], [0, "end"]);
  assert.equal((await bargate.wait()).status, 0);
  const { reason, means } = endOf(eventsOf(bargate));
  assert.deepEqual([reason, means], end);
}

/** Of a device that Bargate opens: it is reset away for a moment, and taken back by a signal. */
async function ownStory(
  context: CaseContext,
  language: Language,
  flags: readonly string[],
): Promise<void> {
  const received = await receive(context, language, { onReset: "restore", flags });
  const { receiver, bargate } = received;
  const reset = await context.bargate(["reset", context.devices.nvme.address]);
  assert.equal(reset.status, 0, reset.stderr);
  await receiver.line("stdout", (line) => line.startsWith("suspended"));
  await receiver.line("stdout", (line) => line.startsWith("restored"));
  bargate.kill("SIGTERM");
  await receiver.line("stdout", (line) => line === "revoking shutdown");
  await receiver.line("stdout", (line) => line === "revoked shutdown");
  // It let go when it was told.
  await assertOver(received, ["shutdown", "release"]);
}

/** Of a device that another process has open: its death takes it back. */
async function borrowedStory(context: CaseContext, language: Language): Promise<void> {
  const owner = await LabOwner.holding(context);
  const received = await receive(context, language, borrowing(owner.identity));
  owner.process.kill("SIGKILL");
  await received.receiver.line("stdout", (line) => line === "revoked owner-gone");
  await assertOver(received, ["owner-gone", "close"]);
}

/** A way by which the device is come by. */
interface Route {
  readonly by: string;
  readonly run: (context: CaseContext, language: Language) => Promise<void>;
}

const ROUTES: readonly Route[] = [
  { by: "", run: (context, language) => ownStory(context, language, []) },
  {
    by: " (by group)",
    run: (context, language) => ownStory(context, language, ["--route", "group"]),
  },
  { by: " (by borrow)", run: borrowedStory },
];

/** Cases of the examples. */
export const cases: readonly LabCase[] = LANGUAGES.flatMap((language) =>
  ROUTES.filter(({ by }) => language.routes?.includes(by) ?? true).map(({ by, run }): LabCase => ({
    name:
      `send: the receiver in ${language.name} of examples/clients is granted, told, and lets go${by}`,
    limitMs: LONG_MS,
    run: (context) => run(context, language),
  }))
);
