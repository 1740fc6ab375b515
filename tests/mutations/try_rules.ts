/**
 * Puts wrong rules into copies of the code, one at a time, and demands that a suite sees each.
 *
 * @module
 */
import { fromFileUrl } from "../support/paths.ts";

/** A wrong rule. */
export interface WrongRule {
  /** What the code would do. */
  readonly what: string;
  readonly file: string;
  /** Text that occurs once. */
  readonly text: string;
  readonly instead: string;
}

/** Who must see the wrong rules. */
export interface Suite {
  /** Folders that it needs. */
  readonly folders: readonly string[];
  /** Test files that are run. */
  readonly tests: readonly string[];
}

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const FILES = ["deno.json", "deno.lock"];
const AT_ONCE = 2;
/** A wrong rule may make the code run for ever; that is seen too. */
const LIMIT_MS = 60_000;

type Outcome = "caught" | "SURVIVED" | "DOES NOT APPLY";

/**
 * Tries all rules whose text has what the first argument says, and tells of each on standard output.
 *
 * @param rules to be tried
 * @param suite that must see them
 * @returns whether all were caught
 * @throws {Error} if the suite fails with the right rules
 */
export async function tryRules(rules: readonly WrongRule[], suite: Suite): Promise<boolean> {
  const [only = ""] = Deno.args;
  const chosen = rules.filter(({ what, file }) => `${file} ${what}`.includes(only));
  const folders = await Promise.all(
    Array.from({ length: AT_ONCE }, () => Deno.makeTempDir({ prefix: "bargate-mutations-" })),
  );
  const outcomes: Outcome[] = [];
  try {
    await Promise.all(folders.map((folder) => copied(folder, suite)));
    const [first] = folders;
    if (first === undefined || !await passes(first, suite)) {
      throw new Error("Cannot try wrong rules: the suite fails with the right ones");
    }
    const left = [...chosen];
    await Promise.all(folders.map(async (folder) => {
      for (let rule = left.shift(); rule !== undefined; rule = left.shift()) {
        const outcome = await tried(rule, folder, suite);
        outcomes.push(outcome);
        console.log(`${outcome.padEnd(14)} ${rule.file.padEnd(22)} ${rule.what}`);
      }
    }));
  } finally {
    await Promise.all(folders.map((folder) => Deno.remove(folder, { recursive: true })));
  }
  const caught = outcomes.filter((outcome) => outcome === "caught").length;
  console.log(`${caught} of ${chosen.length} wrong rules caught`);
  return caught === chosen.length;
}

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyTree(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function copied(folder: string, { folders, tests }: Suite): Promise<void> {
  for (const each of folders) await copyTree(`${ROOT}${each}`, `${folder}/${each}`);
  for (const each of [...FILES, ...tests]) {
    await Deno.mkdir(`${folder}/${each}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.copyFile(`${ROOT}${each}`, `${folder}/${each}`);
  }
}

/** @returns whether the suite passes */
async function passes(folder: string, { tests }: Suite): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--quiet", "--no-check", "--cached-only", ...tests],
    cwd: folder,
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(LIMIT_MS),
  }).output();
  return success;
}

async function tried(
  { file, text, instead }: WrongRule,
  folder: string,
  suite: Suite,
): Promise<Outcome> {
  const path = `${folder}/${file}`;
  const right = await Deno.readTextFile(path);
  if (right.split(text).length !== 2) return "DOES NOT APPLY";
  await Deno.writeTextFile(path, right.replace(text, () => instead));
  try {
    return await passes(folder, suite) ? "SURVIVED" : "caught";
  } finally {
    await Deno.writeTextFile(path, right);
  }
}
