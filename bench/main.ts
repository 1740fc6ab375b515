/**
 * All benchmarks, of policies and of inventories, side by side with peers in one run; figures are
 * medians.
 *
 * Run: `deno task bench`; needs Node.js with npm for the peers of policies, `lspci` (pciutils) and
 * `unshare` (util-linux) for those of inventories.
 *
 * @module
 */
import { ownFile } from "../cmd/own_file.ts";
import { bargateDecisions, type Size } from "./decisions.ts";
import { inventories } from "./inventory.ts";
import { installPeers } from "./peers.ts";
import { benchPreflight } from "./preflight.ts";
import { type Timed, timeProcesses } from "./processes.ts";
import { policyText } from "./rules.ts";

const BENCH = ownFile("bench/");
const MAIN = ownFile("cmd/main.ts");
const SCHEMA = ownFile("policy/schema.json");

async function main(): Promise<void> {
  const peers = await installPeers();
  const folder = await Deno.makeTempDir({ prefix: "bargate-bench-" });
  try {
    await decisions(peers);
    await startUp(folder);
    await against(peers, folder);
    await scale(folder);
    await memory(folder);
    await fleet(folder);
    await inventories(folder, row);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function row(name: string, value: string, note = ""): void {
  console.log(`${name.padEnd(44)}${value.padStart(16)}  ${note}`);
}

async function decisions(peers: string): Promise<void> {
  console.log("\nDecisions a second");
  const sizes: readonly Size[] = [[10, 1], [100, 1], [1000, 1], [10_000, 10]];
  const rates = bargateDecisions(sizes);
  const [base = NaN] = rates;
  for (const [index, [rules, slices]] of sizes.entries()) {
    const rate = rates[index] ?? NaN;
    row(`bargate, ${rules} rules, ${rules * slices} slices`, rate.toFixed(0), ratio(base, rate));
    if (rules > 1000) continue;
    for (const [name, peer] of await peerDecisions(peers, rules)) {
      row(
        `${name}, ${rules} rules`,
        peer.toFixed(0),
        `bargate is ${(rate / peer).toFixed(0)} times as fast`,
      );
    }
  }
}

function ratio(base: number, rate: number): string {
  return `10 rules are ${(base / rate).toFixed(1)} times as fast`;
}

async function peerDecisions(peers: string, rules: number): Promise<[string, number][]> {
  const { stdout, success } = await new Deno.Command("node", {
    args: [`${BENCH}peer_decisions.mjs`, peers, String(rules)],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("Cannot bench the peers' decisions");
  return Object.entries(JSON.parse(new TextDecoder().decode(stdout)));
}

function validate(file: string): Timed["command"] {
  return [Deno.execPath(), "run", "--allow-read", MAIN, "validate", file];
}

async function startUp(folder: string): Promise<void> {
  console.log("\nA whole process, milliseconds");
  const [empty, ten] = [`${folder}/empty.ts`, `${folder}/10.yaml`];
  await Deno.writeTextFile(empty, "");
  await Deno.writeTextFile(ten, policyText(10));
  const times = await timeProcesses([
    { name: "deno run of an empty file", command: [Deno.execPath(), "run", empty] },
    { name: "bargate validate, 10 rules", command: validate(ten) },
  ], 21);
  const [base = NaN] = times.values();
  for (const [name, ms] of times) row(name, ms.toFixed(1), `${(ms / base).toFixed(2)} times`);
}

async function against(peers: string, folder: string): Promise<void> {
  console.log(
    "\n1,000 rules: bargate with all checks, the others with the schema alone, milliseconds",
  );
  const [yaml, json] = [`${folder}/1000.yaml`, `${folder}/1000.json`];
  await Deno.writeTextFile(yaml, policyText(1000));
  await Deno.writeTextFile(json, await asJson(yaml));
  const node = (
    script: string,
    ...args: string[]
  ): Timed["command"] => ["node", `${peers}/node_modules/${script}`, ...args];
  const native =
    `${peers}/node_modules/@sourcemeta/jsonschema/build/github-releases/jsonschema-linux-${
      Deno.build.arch === "aarch64" ? "arm64" : "x86_64"
    }`;
  const times = await timeProcesses([
    { name: "bargate validate", command: validate(yaml) },
    {
      name: "@jirutka/ajv-cli",
      command: node(
        "@jirutka/ajv-cli/lib/main.js",
        "validate",
        "--spec=draft2020",
        "--strict=false",
        "-s",
        SCHEMA,
        yaml,
      ),
    },
    {
      name: "ajv-cli (JSON)",
      command: node(
        "ajv-cli/dist/index.js",
        "validate",
        "--spec=draft2020",
        "--strict=false",
        "-s",
        SCHEMA,
        "-d",
        json,
      ),
    },
    {
      name: "ajv-cli (YAML)",
      command: node(
        "ajv-cli/dist/index.js",
        "validate",
        "--spec=draft2020",
        "--strict=false",
        "-s",
        SCHEMA,
        "-d",
        yaml,
      ),
    },
    { name: "@sourcemeta/jsonschema, native", command: [native, "validate", SCHEMA, yaml] },
  ], 7);
  const own = times.get("bargate validate") ?? NaN;
  for (const [name, ms] of times) {
    row(name, ms.toFixed(1), `bargate takes ${(own / ms).toFixed(2)} of its time`);
  }
}

async function asJson(file: string): Promise<string> {
  const { load } = await import("js-yaml");
  return JSON.stringify(load(await Deno.readTextFile(file)));
}

async function scale(folder: string): Promise<void> {
  console.log("\nbargate validate by size, milliseconds");
  await scaleOf(folder, "", 0, policyText);
  await scaleOf(
    folder,
    ", all wrong",
    3,
    (rules) => policyText(rules).replaceAll("length: 4KiB", "length: 8MB"),
  );
}

/** Ten times the rules, and what they cost more. */
async function scaleOf(
  folder: string,
  what: string,
  status: number,
  text: (rules: number) => string,
): Promise<void> {
  const files = [1000, 10_000].map((rules) => [rules, `${folder}/${rules}.yaml`] as const);
  for (const [rules, file] of files) await Deno.writeTextFile(file, text(rules));
  const commands = files.map(([rules, file]): Timed => ({
    name: `${rules} rules${what}`,
    command: validate(file),
    status,
  }));
  const times = await timeProcesses(commands, 5);
  const [base = NaN] = times.values();
  for (const [name, ms] of times) row(name, ms.toFixed(0), `${(ms / base).toFixed(1)} times`);
}

async function memory(folder: string): Promise<void> {
  const file = `${folder}/100000-slices.yaml`;
  await Deno.writeTextFile(file, policyText(10_000, 10));
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${BENCH}peak_memory.ts`, file],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("Cannot measure the memory");
  const bytes = Number(new TextDecoder().decode(stdout));
  console.log("\nMost memory of a check of 100,000 slices");
  row("bargate", `${(bytes / 1024 / 1024).toFixed(0)} MiB`);
}

async function fleet(folder: string): Promise<void> {
  const { what, seconds, peak } = await benchPreflight(folder);
  console.log(`\nbargate preflight: ${what}`);
  row("bargate", `${seconds.toFixed(1)} s`, `${(peak / 2 ** 20).toFixed(0)} MiB`);
}

await main();
