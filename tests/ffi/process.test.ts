/**
 * What belongs to a whole process (its descriptors, umask, signals, end) is tested in processes of
 * its own: the tests of other files run in this one at the same time.
 *
 * @module
 */
import { deepEqual, equal, match } from "node:assert/strict";

const PROGRAM = new URL("./process_scenarios.ts", import.meta.url).pathname;

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function scenario(name: string): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", PROGRAM, name],
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("after all that ffi does, refusals included, the descriptors are as before", async () => {
  const { code, out, err } = await scenario("hygiene");
  equal(err, "");
  deepEqual(JSON.parse(out), { left: [], notCloseOnExec: [] });
  equal(code, 0);
});

Deno.test("the process ends when nothing is watched, and not before", async () => {
  deepEqual(await scenario("end"), { code: 0, out: "watching\nstopped\n", err: "" });
});

Deno.test("an interrupted epoll_wait is waited for again", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", PROGRAM, "interrupted"],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  equal((await lines.read()).value, "watching\n");
  // Stopping and continuing makes epoll_wait answer EINTR (signal(7)).
  for (const signal of ["SIGSTOP", "SIGCONT", "SIGUSR2"] as const) child.kill(signal);
  equal((await lines.read()).value, "called\n");
  equal((await lines.read()).done, true);
  equal((await child.status).code, 0);
});

Deno.test("a socket has mode 0600 whatever the umask", async () => {
  deepEqual(await scenario("umask"), { code: 0, out: "600\n", err: "" });
});

Deno.test("makeNonDumpable shuts descriptors and the inspector away", async () => {
  const { code, out, err } = await scenario("harden");
  equal(err, "");
  deepEqual(JSON.parse(out), { before: true, after: false, inspector: "ignored", files: true });
  equal(code, 0);
});

Deno.test("standard output of a child goes to standard error where asked", async () => {
  deepEqual(await scenario("stdout"), { code: 0, out: "plain\n", err: "redirected\n" });
});

Deno.test("nothing is loaded by a module that only knows ffi", async () => {
  const { code, out, err } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--quiet",
      `import ${
        JSON.stringify(new URL("../../ffi/linux_kernel.ts", import.meta.url).href)
      }; console.log("loaded")`,
    ],
  }).output().then(({ code, stdout, stderr }) => ({
    code,
    out: new TextDecoder().decode(stdout),
    err: new TextDecoder().decode(stderr),
  }));
  equal(err, "");
  match(out, /^loaded$/m);
  equal(code, 0);
});
