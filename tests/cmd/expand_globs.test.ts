import assert from "node:assert/strict";
import { expandGlob } from "../../cmd/expand_globs.ts";

Deno.test("expandGlob() finds what shells find, in order", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    await Deno.mkdir(`${folder}/b/c`, { recursive: true });
    for (const name of ["a.yaml", ".h.yaml", "b/1.yaml", "b/2.yml", "b/c/3.yaml", "b/(x).yaml"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    const found = (pattern: string) =>
      expandGlob(`${folder}/${pattern}`).map((path) => path.slice(folder.length + 1));
    assert.deepEqual(found("*.yaml"), ["a.yaml"]);
    assert.deepEqual(found(".*.yaml"), [".h.yaml"]);
    assert.deepEqual(found("**/*.yaml"), ["a.yaml", "b/(x).yaml", "b/1.yaml", "b/c/3.yaml"]);
    assert.deepEqual(found("b/?.y*ml"), ["b/1.yaml", "b/2.yml"]);
    assert.deepEqual(found("b/[!1].y*"), ["b/2.yml"]);
    assert.deepEqual(found("b/[0-1].yaml"), ["b/1.yaml"]);
    assert.deepEqual(found("b/(*).yaml"), ["b/(x).yaml"]);
    assert.deepEqual(found("*/c/3.yaml"), ["b/c/3.yaml"]);
    assert.deepEqual(found("a.yaml/*"), []);
    assert.deepEqual(found("none/*"), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
