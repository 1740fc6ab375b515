/**
 * Property tests with other seeds than that of `deno task test`: `deno task test:seeds [RUNS [SEED]]`.
 * The seeds are SEED, SEED + 1, …; what fails is told with its seed, and `BARGATE_SEED` plays it again.
 *
 * @module
 */
const runs = numberOf(Deno.args[0] ?? "10");
const first = numberOf(Deno.args[1] ?? String(Date.now() % 1_000_000));
const ROOT = new URL("../../", import.meta.url).pathname;
const files = propertyTests(`${ROOT}tests`);
let failed = 0;
for (let seed = first; seed < first + runs; seed++) {
  const { success, stdout } = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--parallel", "--quiet", ...files],
    cwd: ROOT,
    env: { BARGATE_SEED: String(seed), NO_COLOR: "1" },
    stderr: "inherit",
  }).outputSync();
  if (!success) {
    failed++;
    Deno.stdout.writeSync(stdout);
  }
  console.error(`seed ${seed}: ${success ? "passed" : "failed"}`);
}
console.error(`${files.length} files, ${runs} seeds, ${failed} failed`);
if (failed > 0) Deno.exit(1);

function propertyTests(folder: string): readonly string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    if (isDirectory) return propertyTests(path);
    const isOne = name.endsWith(".test.ts") && /\bfc\.assert\(/.test(Deno.readTextFileSync(path));
    return isOne ? [path] : [];
  });
}

function numberOf(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  console.error(`usage: deno task test:seeds [RUNS [SEED]] (received ${text})`);
  Deno.exit(2);
}
