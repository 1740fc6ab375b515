/** Files whose names would be commands to a build server that reads what Bargate prints. */
import assert from "node:assert/strict";
import { errorText } from "../../cmd/error_text.ts";
import { CommandError } from "../../cmd/errors.ts";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { visible, visibleLines } from "../../cmd/output/visible.ts";
import { fromFileUrl } from "../support/paths.ts";
import { bargate } from "./run_here.ts";
import { withFolder } from "./run_verb.ts";

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const POLICY = `${ROOT}examples/policies/cmb-to-edu.yaml`;
const HOST = `${ROOT}examples/hosts/laboratory.json`;
const NAME = "x\n::error::pwned\t\u001b[2J";
const SHOWN = "x<U+000A>::error::pwned<U+0009><U+001B>[2J";

Deno.test("visible() keeps to its line; visibleLines() keeps lines and tabs", () => {
  assert.equal(
    visible("a\tb\nc\r\u2028\u0085\u001b"),
    [
      "a<U+0009>b<U+000A>c<U+000D>",
      "<U+2028><U+0085><U+001B>",
    ].join(""),
  );
  assert.equal(visibleLines("a\tb\nc\r"), "a\tb\nc<U+000D>");
});

Deno.test("an error's message begins no line, unless it is of several things", () => {
  assert.equal(errorText(new Error(`no ${NAME}`)), `error: no ${SHOWN}`);
  const several = new CommandError([`no ${NAME}`, "no y"], ExitStatus.usage);
  assert.equal(errorText(several), `error: no ${SHOWN}\nno y`);
});

Deno.test("no name of a file begins a line of what is printed", async () => {
  await withFolder(async (folder) => {
    const [host, bad, policy, wrong] = ["h", "b", "p", "w"].map((kind) =>
      `${folder}/${kind}${NAME}.${kind === "h" || kind === "b" ? "json" : "yaml"}`
    ) as [string, string, string, string];
    await Deno.copyFile(HOST, host);
    await Deno.writeTextFile(bad, "[]");
    await Deno.copyFile(POLICY, policy);
    await Deno.writeTextFile(wrong, "apiVersion: bargate/v1\nkind: ExportPolicy\nwhat:   1\n");
    const runs = [
      ["preflight", policy, "--inventory", host, "--inventory", bad],
      ["preflight", policy, "--inventory", host, "--inventory", bad, "--format", "junit"],
      ["preflight", policy, "--inventory", host, "--inventory", bad, "--format", "github"],
      ["preflight", policy, "--inventory", `${folder}/not${NAME}`],
      ["plan", policy, "--inventory", host],
      ["plan", policy, "--inventory", bad],
      ["validate", wrong],
      ["validate", wrong, "--format", "junit"],
      ["validate", `${folder}/not${NAME}.yaml`, `${folder}/nor${NAME}.yaml`],
      ["fmt", "--check", wrong],
      ["test", wrong],
      ["inventory", "diff", host, bad],
    ];
    for (const args of runs) {
      const { stdout, stderr } = await bargate(args);
      const all = `${stdout}\n${stderr}`;
      assert.ok(all.includes("::error::pwned") || args.includes("github"), args.join(" "));
      const lines = all.split(/\r\n|\n|\r/).map((line) => line.trimStart());
      assert.deepEqual(lines.filter((line) => line.startsWith("::error::")), [], args.join(" "));
      assert.ok(!all.includes("\t") && !all.includes("\u001b"), args.join(" "));
    }
  });
});
