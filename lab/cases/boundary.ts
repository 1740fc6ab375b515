/** What Bargate holds open is to be had neither by its child nor by who starts later. @module */
import assert from "node:assert/strict";
import type { CaseContext, GuestContext, LabCase } from "../guest/case.ts";
import type { Running } from "../guest/process.ts";
import { IMPORTER_ACCOUNT } from "../guest/setup.ts";
import { join } from "../path.ts";
import { borrowPolicy, LabOwner } from "./owner_support.ts";
import { LabExport, type PolicySpec } from "./support.ts";

/** Each descriptor is tried for, on a processor that others use too. */
const LIMIT_MS = 240_000;

/** A descriptor of another process. */
interface Descriptor {
  readonly number: number;
  readonly target: string;
  readonly info: string;
}

/** A table of descriptors, by a thread that has it. */
interface Table {
  readonly thread: number;
  readonly descriptors: readonly Descriptor[];
}

async function tablesOf(pid: number): Promise<readonly Table[]> {
  const threads = await Array.fromAsync(Deno.readDir(`/proc/${pid}/task`), (it) => Number(it.name));
  return await Promise.all(threads.map(async (thread) => ({
    thread,
    descriptors: await descriptorsIn(`/proc/${pid}/task/${thread}`),
  })));
}

async function descriptorsIn(folder: string): Promise<readonly Descriptor[]> {
  const table: Descriptor[] = [];
  for await (const { name } of Deno.readDir(`${folder}/fd`)) {
    try {
      const target = await Deno.readLink(`${folder}/fd/${name}`);
      const info = await Deno.readTextFile(`${folder}/fdinfo/${name}`);
      table.push({ number: Number(name), target, info });
    } catch (error) {
      // It was closed while this looked.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return table;
}

function isDevice({ target }: Descriptor): boolean {
  return target.startsWith("/dev/vfio/devices/");
}

/**
 * The child tries for all that is in the process's own table, and in those of the threads that have a
 * device: `pidfd_getfd` looks into the table of the thread that it is given.
 */
async function assertNothingToTake(lab: LabExport): Promise<void> {
  const { pid } = lab.bargate;
  const tables = await tablesOf(pid);
  const own = tables.filter(({ thread }) => thread === pid);
  const lanes = tables.filter(({ descriptors }) => descriptors.some(isDevice));
  assert.ok(lanes.length > 0, "a thread of Bargate has the device open");
  assert.ok(!own.some(({ descriptors }) => descriptors.some(isDevice)), "the process's has not");
  for (const { thread, descriptors } of [...own, ...lanes]) {
    for (const { number, target } of descriptors) {
      const what = `${number} (${target}) of thread ${thread}`;
      assert.equal((await lab.importer.ask(`getfd ${thread} ${number}`)).error, "EPERM", what);
      const path = `/proc/${pid}/task/${thread}/fd/${number}`;
      assert.equal((await lab.importer.ask(`open taken ${path}`)).error, "EACCES", what);
    }
  }
}

/**
 * Bargate, and with it the importer that it starts, without the one capability that overrides that a
 * process is not dumpable. All that is between them then is what Bargate has done about itself.
 */
function startWithoutPtrace(context: GuestContext, args: readonly string[]): Running {
  const dropped = ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
  const bargate = [Deno.execPath(), "run", "-A", "--cached-only"];
  const main = join(context.checkout, "cmd/main.ts");
  return context.start(["/usr/bin/setpriv", ...dropped, ...bargate, main, ...args]);
}

/** As Bargate stands while an importer has its slices. */
interface Standing {
  readonly how: string;
  readonly start: (context: CaseContext) => Promise<LabExport>;
}

function started(how: string, spec: PolicySpec): Standing {
  return { how, start: (context) => LabExport.start(context, spec) };
}

const STANDINGS: readonly Standing[] = [
  started("whose child maps", {}),
  started("by group", { flags: ["--route", "group"] }),
  {
    how: "that has mapped",
    async start(context) {
      const lab = await LabExport.start(context, { mapping: "bargate" });
      await lab.request();
      return lab;
    },
  },
  {
    how: "that has borrowed",
    async start(context) {
      const owner = await LabOwner.holding(context);
      const lab = await LabExport.startWith(context, borrowPolicy(context, owner.identity));
      await lab.packetOf("granted");
      return lab;
    },
  },
];

async function assertCloseOnExec(pid: number): Promise<void> {
  const O_CLOEXEC = 0o2000000;
  for (const { thread, descriptors } of await tablesOf(pid)) {
    for (const { number, target, info } of descriptors) {
      if (number <= 2) continue;
      const flags = Number.parseInt(/^flags:\s+([0-7]+)$/m.exec(info)?.[1] ?? "0", 8);
      const what = `${number} (${target}) of thread ${thread}`;
      assert.ok((flags & O_CLOEXEC) !== 0, `${what} is inheritable`);
    }
  }
}

/** Cases of what is Bargate's alone. */
export const cases: readonly LabCase[] = [
  {
    name: "boundary: the child cannot take a descriptor of Bargate",
    about:
      "The device is in the table of a thread of its own; nothing of the process's or of that thread's is to be had.",
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await LabExport.start(context);
      await assertNothingToTake(lab);
      assert.equal(await lab.finish(), 0);
    },
  },
  {
    name: "boundary: not even a child of Bargate's own account can take one",
    about:
      "Both are root without CAP_SYS_PTRACE: only that Bargate is not dumpable stands between.",
    limitMs: LIMIT_MS,
    async run(context) {
      const spec = { identity: "{ user: root }", flags: ["--allow-same-user"] };
      const lab = await LabExport.start(context, spec, (args) => startWithoutPtrace(context, args));
      await assertNothingToTake(lab);
      assert.equal(await lab.finish(), 0);
    },
  },
  {
    name: "boundary: not even a process of the same account gets a descriptor of Bargate's kind",
    about: "Both hold a file as nobody; only one has made itself not dumpable, as Bargate does.",
    async run(context) {
      const { uid, gid } = IMPORTER_ACCOUNT;
      const thief = context.importer();
      context.start([context.program("importer"), thief.socketPath], { uid, gid });
      // Deno itself may lie where nobody cannot reach it.
      const deno = join(context.scratch, "deno");
      await Deno.copyFile(Deno.execPath(), deno);
      await Deno.chmod(deno, 0o755);
      const taken: (string | undefined)[] = [];
      for (const how of ["dumpable", "guarded"]) {
        const script = join(context.checkout, "lab/guest/holder.ts");
        const holder = context.start(
          [deno, "run", "-A", "--no-config", "--no-lock", "--no-npm", script, how],
          { uid, gid, environment: { DENO_DIR: join(context.scratch, "cache") } },
        );
        const fd = await holder.line("stdout", (line) => /^\d+$/.test(line));
        taken.push((await thief.ask(`getfd ${holder.pid} ${fd}`)).error);
      }
      assert.deepEqual(taken, [undefined, "EPERM"]);
    },
  },
  ...STANDINGS.map(({ how, start }): LabCase => ({
    name: `boundary: every descriptor of a Bargate ${how} is close-on-exec`,
    limitMs: LIMIT_MS,
    async run(context) {
      const lab = await start(context);
      await assertCloseOnExec(lab.bargate.pid);
      assert.equal(await lab.finish(), 0);
    },
  })),
];
