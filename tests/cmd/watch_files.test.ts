import assert from "node:assert/strict";
import { withFolder } from "./run_verb.ts";

const MAIN = new URL("../../cmd/main.ts", import.meta.url).pathname;
const GOOD = Deno.readTextFileSync(new URL("../corpus/good/minimal.yaml", import.meta.url));
const BAD = GOOD.replace("bar: 2", "bar: 7");

/** Ends a test that waits for what does not come, milliseconds. */
const DEADLINE_MS = 60_000;

/** Waits until what is written, standard error and output together, goes on with this. */
type Expect = (text: RegExp) => Promise<void>;

/** Runs `validate --watch` in a folder of its own. */
async function watching(
  prepare: (folder: string) => Promise<void>,
  paths: readonly string[],
  use: (folder: string, expect: Expect) => Promise<void>,
  rights: readonly string[] = ["--allow-read"],
): Promise<void> {
  await withFolder(async (folder) => {
    await prepare(folder);
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$@" 2>&1', "sh", Deno.execPath(), "run", "--no-prompt", ...rights, MAIN]
        .concat("validate", "--watch", paths),
      cwd: folder,
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let running = true;
    const ended = child.status.then(() => running = false);
    const kill = () => running && child.kill("SIGKILL");
    const deadline = setTimeout(kill, DEADLINE_MS);
    const chunks = child.stdout.pipeThrough(new TextDecoderStream()).values();
    let text = "";
    try {
      await use(folder, async (expected) => {
        for (let found = expected.exec(text);; found = expected.exec(text)) {
          if (found !== null) {
            text = text.slice(found.index + found[0].length);
            return;
          }
          const { value, done } = await chunks.next();
          assert.ok(!done, `${expected} is still to come after ${text}`);
          text += value;
        }
      });
    } finally {
      clearTimeout(deadline);
      kill();
      await chunks.return?.();
      await ended;
    }
  });
}

function write(name: string, text: string): (folder: string) => Promise<void> {
  return (folder) => Deno.writeTextFile(`${folder}/${name}`, text);
}

Deno.test("--watch checks again what changed, and survives its absence", async () => {
  await watching(write("a.yaml", GOOD), ["a.yaml"], async (folder, expect) => {
    await expect(/^valid .*\n/m);
    await write("a.yaml", BAD)(folder);
    await expect(/changed: a\.yaml\n[^]*BG1106[^]*invalid.*\n/);
    await Deno.remove(`${folder}/a.yaml`);
    await expect(/Cannot read a\.yaml: no such file/);
    await write("a.yaml", GOOD)(folder);
    await expect(/changed: a\.yaml\nvalid .*\n/);
  });
});

Deno.test("--watch takes patterns, and finds what comes to match", async () => {
  await watching(write("a.yaml", GOOD), ["*.yaml"], async (folder, expect) => {
    await expect(/^valid .* 1 file /m);
    await write("b.yaml", BAD.replace("name: demo", "name: other"))(folder);
    await expect(/changed: b\.yaml\n[^]*BG1106/);
  });
});

Deno.test("--watch goes by what is given, not by its ending", async () => {
  await watching(write("policy.txt", GOOD), ["policy.txt"], async (folder, expect) => {
    await expect(/^valid /m);
    await write("policy.txt", BAD)(folder);
    await expect(/changed: policy\.txt\n[^]*BG1106/);
  });
});

Deno.test("--watch sees what links lead to, and that they lead elsewhere", async () => {
  const prepare = async (folder: string) => {
    for (const [name, text] of [["one", GOOD], ["two", BAD]] as const) {
      await Deno.mkdir(`${folder}/${name}`);
      await write(`${name}/a.yaml`, text)(folder);
    }
    await Deno.mkdir(`${folder}/given`);
    await Deno.symlink("one", `${folder}/now`);
    await Deno.symlink("../now/a.yaml", `${folder}/given/a.yaml`);
  };
  await watching(prepare, ["given/a.yaml"], async (folder, expect) => {
    await expect(/^valid /m);
    await Deno.remove(`${folder}/now`);
    await Deno.symlink("two", `${folder}/now`);
    await expect(/changed: given\/a\.yaml\n[^]*BG1106/);
    await write("two/a.yaml", GOOD)(folder);
    await expect(/changed: given\/a\.yaml\nvalid /);
  });
});

Deno.test("--watch tells that a folder is gone, and goes on when it is back", async () => {
  const prepare = async (folder: string) => {
    await Deno.mkdir(`${folder}/site`);
    await write("site/a.yaml", GOOD)(folder);
  };
  await watching(prepare, ["site"], async (folder, expect) => {
    await expect(/^valid /m);
    await Deno.rename(`${folder}/site`, `${folder}/away`);
    await expect(/Cannot read site: no such file or folder/);
    await write("away/a.yaml", BAD)(folder);
    await Deno.rename(`${folder}/away`, `${folder}/site`);
    await expect(/changed: site\/a\.yaml\n[^]*BG1106/);
    await write("site/a.yaml", GOOD)(folder);
    await expect(/changed: site\/a\.yaml\nvalid /);
  });
});

Deno.test("--watch needs no right but to read what is given", async () => {
  const rights = ["--allow-read=a.yaml"];
  await watching(write("a.yaml", GOOD), ["a.yaml"], async (folder, expect) => {
    await expect(/Cannot listen for changes of \.: .*\n[^]*valid /);
    await write("a.yaml", BAD)(folder);
    await expect(/changed: a\.yaml\n[^]*BG1106/);
  }, rights);
});
