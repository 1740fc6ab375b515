/**
 * The laboratory's own commands on a real kernel, as a person gives them: a story, with a ready kernel
 * and its headers; a shell that is fed; a shell on a terminal. Needs what the laboratory needs.
 *
 * Run: `deno task lab:commands`; no part of `deno task test`.
 */
import assert from "node:assert/strict";
import { ensureKernel } from "../../lab/kernel/ensure_kernel.ts";
import { withLimit } from "../../lab/limit.ts";
import { LabOutput } from "../../lab/output.ts";
import { cacheFolder, checkoutFolder } from "../../lab/places.ts";
import { shellQuote } from "../../lab/machine/init_script.ts";

const LIMIT_MS = 10 * 60_000;
const SHELL_STATUS = 7;

const LAB = [Deno.execPath(), "run", "-A", `${checkoutFolder()}/cmd/main.ts`, "lab"];

/** The kernel that the other laboratory commands use; the first run of all builds it. */
async function readyKernel() {
  const write = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(text));
  const progress = new LabOutput({ isTerminal: false, write }, false);
  return await ensureKernel({ cache: cacheFolder() }, progress);
}

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a program and waits for its end; `typist` gets its input and each piece of its output. */
async function run(
  command: readonly string[],
  typist: (keyboard: WritableStreamDefaultWriter<Uint8Array>, printed: string) => Promise<void>,
): Promise<Ended> {
  const child = new Deno.Command(command[0] ?? "", {
    args: command.slice(1),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const keyboard = child.stdin.getWriter();
  const stdout = async () => {
    let printed = "";
    await typist(keyboard, printed);
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      printed += piece;
      await typist(keyboard, printed);
    }
    return printed;
  };
  const ended = Promise.all([child.status, stdout(), new Response(child.stderr).text()]);
  try {
    const [{ code }, out, err] = await withLimit(ended, LIMIT_MS, `"${command.join(" ")}" to end`);
    return { status: code, stdout: out, stderr: err };
  } catch (error) {
    child.kill("SIGTERM");
    throw error;
  }
}

/** Writes all there is to read, and closes. */
function feed(text: string) {
  return async (keyboard: WritableStreamDefaultWriter<Uint8Array>, printed: string) => {
    if (printed !== "") return;
    await keyboard.write(new TextEncoder().encode(text));
    await keyboard.close();
  };
}

/** Types a line when it is asked for by a prompt, and leaves the keyboard open until the end. */
function answer(prompt: string, line: string) {
  let typed = false;
  return async (keyboard: WritableStreamDefaultWriter<Uint8Array>, printed: string) => {
    if (typed || !printed.includes(prompt)) return;
    typed = true;
    await keyboard.write(new TextEncoder().encode(line));
    await keyboard.close();
  };
}

Deno.test("the story is told to its end, on a kernel and headers that are given", async () => {
  const { image, headers } = await readyKernel();
  const given = ["--kernel", image, "--headers", headers, "--format", "json"];
  const { status, stdout, stderr } = await run([...LAB, "cmb-to-edu", ...given], feed(""));
  assert.equal(status, 0, stderr);
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.filter(({ kind }) => kind !== "story"), []);
  assert.equal(lines[0].style, "title");
  assert.deepEqual(
    lines.filter(({ style }) => style === "done").map(({ text }) => text.replace(/ \(.*/, "")),
    [
      "The bytes arrived: device to device, past the CPU, because a policy allows it.",
      "The page is as it was before the attempt",
      "The program has ended, and Bargate with it. Nothing is left open.",
    ],
  );
  assert.match(lines.at(-1).text, /Nothing is left open/);
});

Deno.test("a shell that is fed runs the commands, and its status is the command's", async () => {
  const commands = `uname -s\necho problem >&2\ntest -c /dev/iommu && exit ${SHELL_STATUS}\n`;
  const { status, stdout, stderr } = await run([...LAB, "--shell"], feed(commands));
  assert.deepEqual([status, stdout], [SHELL_STATUS, "Linux\n"], stderr);
  assert.match(stderr, /^problem$/m);
});

Deno.test("a shell on a terminal shows the devices and ends with its own status", async () => {
  const shell = [...LAB, "--shell"].map(shellQuote).join(" ");
  const { status, stdout } = await run(
    ["script", "--quiet", "--return", "--command", shell, "/dev/null"],
    answer("guest# ", `test -t 0 && exit ${SHELL_STATUS}\n`),
  );
  assert.equal(status, SHELL_STATUS, stdout);
  assert.match(stdout, /nvme +0000:01:00\.0 1b36:0010 +\/dev\/vfio\/devices\//);
});
