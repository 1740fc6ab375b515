/**
 * Puts wrong rules into copies of the simulation, one at a time, and demands that the conformance
 * suite sees each.
 *
 * Run: `deno task mutate:sim`
 *
 * @module
 */
import { fromFileUrl } from "../support/paths.ts";
import { WRONG_RULES, type WrongRule } from "./rules.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
/** What the suite consists of. */
const FOLDERS = ["conformance", "engine", "sim"];
const FILES = ["deno.json", "deno.lock", "tests/conformance.test.ts"];
const AT_ONCE = 2;
/** A wrong rule may make the simulation run for ever; that is seen too. */
const LIMIT_MS = 60_000;

type Outcome = "caught" | "SURVIVED" | "DOES NOT APPLY";

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyTree(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function copied(folder: string): Promise<void> {
  for (const each of FOLDERS) await copyTree(`${ROOT}${each}`, `${folder}/${each}`);
  await Deno.mkdir(`${folder}/tests`);
  for (const each of FILES) await Deno.copyFile(`${ROOT}${each}`, `${folder}/${each}`);
}

/** @returns whether the suite passes */
async function passes(folder: string): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--quiet", "--no-check", "--cached-only", "tests/conformance.test.ts"],
    cwd: folder,
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(LIMIT_MS),
  }).output();
  return success;
}

async function tried({ file, text, instead }: WrongRule, folder: string): Promise<Outcome> {
  const path = `${folder}/${file}`;
  const right = await Deno.readTextFile(path);
  if (right.split(text).length !== 2) return "DOES NOT APPLY";
  await Deno.writeTextFile(path, right.replace(text, () => instead));
  try {
    return await passes(folder) ? "SURVIVED" : "caught";
  } finally {
    await Deno.writeTextFile(path, right);
  }
}

async function main(): Promise<boolean> {
  const folders = await Promise.all(
    Array.from({ length: AT_ONCE }, () => Deno.makeTempDir({ prefix: "bargate-mutations-" })),
  );
  const outcomes: Outcome[] = [];
  try {
    await Promise.all(folders.map(copied));
    const [first] = folders;
    if (first === undefined || !await passes(first)) {
      throw new Error("Cannot try wrong rules: the suite fails with the right ones");
    }
    const left = [...WRONG_RULES];
    await Promise.all(folders.map(async (folder) => {
      for (let rule = left.shift(); rule !== undefined; rule = left.shift()) {
        const outcome = await tried(rule, folder);
        outcomes.push(outcome);
        console.log(`${outcome.padEnd(14)} ${rule.file.padEnd(22)} ${rule.what}`);
      }
    }));
  } finally {
    await Promise.all(folders.map((folder) => Deno.remove(folder, { recursive: true })));
  }
  const caught = outcomes.filter((outcome) => outcome === "caught").length;
  console.log(`${caught} of ${WRONG_RULES.length} wrong rules caught`);
  return caught === WRONG_RULES.length;
}

Deno.exit(await main() ? 0 : 1);
