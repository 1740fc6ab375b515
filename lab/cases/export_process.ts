/** Bargate and the program that it starts as processes: their terminal, environment and ends. @module */
import assert from "node:assert/strict";
import type { CaseContext, LabCase } from "../guest/case.ts";
import { IMPORTER_ACCOUNT } from "../guest/setup.ts";
import { until } from "../guest/until.ts";
import { LabExport, policyText, writePolicy } from "./support.ts";
import { exists } from "../exists.ts";

const RUNTIME_FOLDER = "/run/bargate";

/** `bargate export` of a shell line as the importer. */
async function exportShell(
  context: CaseContext,
  line: string,
  ...flags: readonly string[]
): Promise<readonly string[]> {
  const path = await writePolicy(context, policyText(context));
  return ["export", path, ...flags, "--exec", "--", "/bin/sh", "-c", line];
}

/** Fills the pipe that it shares with Bargate, after making it non-blocking. */
const FLOOD =
  `perl -MFcntl -e 'fcntl(STDERR, F_SETFL, O_NONBLOCK | O_WRONLY); 1 while syswrite STDERR, "x" x 4096'`;

/** Cases of processes. */
export const cases: readonly LabCase[] = [
  {
    name: "process: the program has its account's environment, and a session of its own",
    async run(context) {
      const line = "env -0; exec cat /proc/self/stat";
      const flags = ["--env", "GIVEN=a b", "--env", "SECRET"];
      const ran = await context.bargate(await exportShell(context, line, ...flags), {
        environment: { SECRET: "x", OTHER: "y", LC_TIME: "C", LD_DEBUG: "" },
      });
      assert.equal(ran.status, 0, ran.stderr);
      const parts = ran.stdout.split("\0");
      const env = new Map(
        parts.slice(0, -1).map((it) => {
          const cut = it.indexOf("=");
          return [it.slice(0, cut), it.slice(cut + 1)];
        }),
      );
      const { name } = IMPORTER_ACCOUNT;
      assert.deepEqual([env.get("USER"), env.get("LOGNAME")], [name, name]);
      assert.deepEqual([env.get("GIVEN"), env.get("SECRET"), env.get("LC_TIME")], [
        "a b",
        "x",
        "C",
      ]);
      assert.deepEqual([env.has("OTHER"), env.has("LD_DEBUG")], [false, false]);
      assert.notEqual(env.get("HOME"), "/root");
      const stat = parts.at(-1) ?? "";
      const [, , , session, terminal] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      assert.deepEqual([session, terminal], [stat.slice(0, stat.indexOf(" ")), "0"]);
    },
  },
  {
    name: "process: a second signal ends Bargate at once, and the kernel takes back what is left",
    async run(context) {
      const lab = await LabExport.start(context, { grace: "30s" });
      await lab.map();
      lab.bargate.kill("SIGTERM");
      assert.equal((await lab.packetOf("revoking"))["reason"], "shutdown");
      // What follows at once could be a wrapper that passes the same signal on.
      const second = setInterval(() => lab.bargate.kill("SIGINT"), 300);
      context.defer(() => clearInterval(second));
      await lab.bargate.exited(10_000);
      clearInterval(second);
      await lab.channelEnds();
      await lab.importer.send("exit 0");
      const ran = await lab.bargate.wait();
      assert.equal(ran.status, 6, ran.stderr);
      assert.match(ran.stderr, /ended by a second signal \(SIGINT\)/);
      assert.ok(!lab.events.some(({ type }) => type === "ended"));
    },
  },
  {
    name: "process: json is one value also when the program cannot be started",
    async run(context) {
      const path = await writePolicy(context, policyText(context));
      await Deno.mkdir(RUNTIME_FOLDER, { recursive: true });
      await Deno.chmod(RUNTIME_FOLDER, 0o755);
      context.defer(() => Deno.chmod(RUNTIME_FOLDER, 0o700));
      const args = ["export", path, "--format", "json", "--exec", "--", "/bin/true"];
      const open = await context.bargate(args);
      assert.equal(open.status, 4, open.stderr);
      const { events, status, error } = JSON.parse(open.stdout);
      assert.deepEqual([events, status], [[], 4]);
      assert.match(error, /nobody else can enter/);
      assert.match(open.stderr, /^error: Cannot use \/run\/bargate/m);
      await Deno.chmod(RUNTIME_FOLDER, 0o700);
      const fine = await context.bargate(args);
      assert.equal(fine.status, 0, fine.stderr);
      assert.equal(JSON.parse(fine.stdout).status, 0);
    },
  },
  {
    name: "process: a program that fills the pipe it shares cannot hold Bargate up",
    async run(context) {
      const line = `${FLOOD}; touch ${context.scratch}/full; exec sleep 600`;
      // Its reader reads when Bargate has ended.
      const script = '"$@" 2>&1 >/dev/null | { read line; cat <"$0" >/dev/null; cat; }';
      const gate = `${context.scratch}/gate`;
      await context.run(["mkfifo", gate]);
      const bargate = [Deno.execPath(), "run", "-A", "--cached-only"];
      const args = await exportShell(context, line);
      const main = `${context.checkout}/cmd/main.ts`;
      const running = context.start(["/bin/sh", "-c", script, gate, ...bargate, main, ...args]);
      const { scratch } = context;
      await until("a full pipe", 40_000, () => exists(`${scratch}/full`).then(trueOnly));
      const reset = await context.bargate(["reset", context.devices.nvme.address]);
      assert.equal(reset.status, 0, reset.stderr);
      const [socket] = await Array.fromAsync(Deno.readDir(RUNTIME_FOLDER), ({ name }) => name);
      const pid = Number.parseInt(socket ?? "0");
      Deno.kill(pid, "SIGTERM");
      await until(
        "Bargate's end",
        30_000,
        () => exists(`/proc/${pid}`).then((is) => trueOnly(!is)),
      );
      await Deno.writeTextFile(gate, "");
      const { stdout } = await running.wait();
      assert.match(stdout, /^x{1000}/m);
    },
  },
];

function trueOnly(is: boolean): true | undefined {
  return is || undefined;
}
