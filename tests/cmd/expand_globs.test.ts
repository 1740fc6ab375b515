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

Deno.test("expandGlob() goes into linked folders, once, and into none for ever", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    await Deno.mkdir(`${folder}/site/own`, { recursive: true });
    await Deno.mkdir(`${folder}/shared/denies`, { recursive: true });
    for (const name of ["site/own/a.yaml", "shared/d.yaml", "shared/denies/e.yaml"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    await Deno.symlink("../shared", `${folder}/site/shared`);
    await Deno.symlink("../../site", `${folder}/shared/denies/round`);
    await Deno.symlink("nowhere", `${folder}/site/dangling`);
    const found = (pattern: string) =>
      expandGlob(`${folder}/${pattern}`).map((path) => path.slice(folder.length + 1));
    assert.deepEqual(found("site/**/*.yaml"), [
      "site/own/a.yaml",
      "site/shared/d.yaml",
      "site/shared/denies/e.yaml",
    ]);
    assert.deepEqual(found("shared/*/**/*.yaml"), [
      "shared/denies/e.yaml",
      "shared/denies/round/own/a.yaml",
      "shared/denies/round/shared/d.yaml",
    ]);
    assert.deepEqual(found("site/**/denies/*.yaml"), ["site/shared/denies/e.yaml"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("expandGlob() takes the ending of a policy in any case", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    for (const name of ["a.yaml", "b.YAML", "c.Yml", "d.json"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    const found = (pattern: string) =>
      expandGlob(`${folder}/${pattern}`).map((path) => path.slice(folder.length + 1));
    assert.deepEqual(found("*.yaml"), ["a.yaml", "b.YAML"]);
    assert.deepEqual(found("*.yml"), ["c.Yml"]);
    assert.deepEqual(found("[a-d].*"), ["a.yaml", "b.YAML", "c.Yml", "d.json"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("expandGlob() reads brackets as shells do", async () => {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    for (const name of ["a", "-", "]", "^", "\\", "z", "ä"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    const found = (pattern: string) =>
      expandGlob(`${folder}/${pattern}`).map((path) => path.slice(folder.length + 1));
    assert.deepEqual(found("[z-a]"), []);
    assert.deepEqual(found("[]a]"), ["]", "a"]);
    assert.deepEqual(found("[!]a]"), ["-", "\\", "^", "z", "ä"]);
    assert.deepEqual(found("[a-]"), ["-", "a"]);
    assert.deepEqual(found("[^]a]"), found("[!]a]"), "which bash takes for the same");
    assert.deepEqual(found("[^a]"), ["-", "\\", "]", "^", "z", "ä"]);
    assert.deepEqual(found("[\\^]"), ["\\", "^"], "only where it stands first");
    assert.deepEqual(found("[!^]"), ["-", "\\", "]", "a", "z", "ä"]);
    assert.deepEqual(found("[^!]"), ["-", "\\", "]", "^", "a", "z", "ä"]);
    assert.deepEqual(found("[ä]"), ["ä"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
